//! The parameters of a simulated GIS server's tasks, as it describes them and as it shows what a job was given.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::tools::Tool;

/// A parameter of a task.
pub(super) struct Parameter {
    pub(super) name: &'static str,
    /// ArcGIS's name for what it is, such as `GPString`.
    kind: &'static str,
    output: bool,
    /// `Required`, `Optional` or `Derived`.
    need: &'static str,
    default: fn() -> Value,
}

const fn required(name: &'static str, kind: &'static str, default: fn() -> Value) -> Parameter {
    Parameter { name, kind, output: false, need: "Required", default }
}

const fn optional(name: &'static str, kind: &'static str, default: fn() -> Value) -> Parameter {
    Parameter { name, kind, output: false, need: "Optional", default }
}

const fn output(name: &'static str, kind: &'static str, default: fn() -> Value) -> Parameter {
    Parameter { name, kind, output: true, need: "Derived", default }
}

const NONE: fn() -> Value = || Value::Null;
const FEATURES: &str = "GPFeatureRecordSetLayer";
const BUFFER: &[Parameter] = &[
    required("Input_Features", FEATURES, || empty("esriGeometryPoint")),
    required("Distance", "GPLinearUnit", NONE),
    output("Output_Features", FEATURES, || empty("esriGeometryPolygon")),
];
const SLEEP: &[Parameter] = &[SECONDS, output("slept", "GPDouble", NONE)];
const ECHO: &[Parameter] = &[optional("text", "GPString", || json!("")), output("said", "GPString", NONE)];
const COOK: &[Parameter] = &[
    required("service_url", "GPString", NONE),
    optional("num_of_caching_service_instances", "GPLong", NONE),
    required("layer", "GPString", NONE),
    required("update_mode", "GPString", || json!("RECREATE_ALL_NODES")),
    optional("update_extent", "GPString", || json!("DEFAULT")),
    optional("area_of_interest", FEATURES, NONE),
    output("out_service_url", "GPString", NONE),
];
const SECONDS: Parameter = optional("seconds", "GPDouble", || json!(super::tools::SECONDS));

/// A feature set without features: what a server has as the default of one.
fn empty(geometry: &str) -> Value {
    json!({
        "displayFieldName": "", "geometryType": geometry, "spatialReference": {"wkid": 102_100, "latestWkid": 3857},
        "fields": [{"name": "OBJECTID", "type": "esriFieldTypeOID", "alias": "OBJECTID"}],
        "features": [], "exceededTransferLimit": false,
    })
}

impl Tool {
    pub(super) fn parameters(self) -> &'static [Parameter] {
        match self {
            Tool::Buffer => BUFFER,
            Tool::Slow | Tool::Stubborn | Tool::Novel | Tool::Late => SLEEP,
            Tool::Broken | Tool::Silent | Tool::Overlong => &[SECONDS],
            Tool::Instant => ECHO,
            Tool::Cook => COOK,
        }
    }

    /// Those that a job is given.
    pub(super) fn inputs(self) -> impl Iterator<Item = &'static Parameter> {
        self.parameters().iter().filter(|parameter| !parameter.output)
    }
}

impl Parameter {
    /// As the task's description has it.
    pub(super) fn describe(&self) -> Value {
        let direction = if self.output { "Output" } else { "Input" };
        json!({
            "name": self.name, "dataType": self.kind, "displayName": self.name.replace('_', " "), "description": "",
            "direction": format!("esriGPParameterDirection{direction}"), "defaultValue": (self.default)(),
            "parameterType": format!("esriGPParameterType{}", self.need), "category": "",
        })
    }

    /// What a job was given for it, its default where that is nothing.
    pub(super) fn given(&self, form: &BTreeMap<String, String>) -> Value {
        let value = match form.get(self.name).filter(|text| !text.is_empty()) {
            None => (self.default)(),
            Some(text) if self.kind == "GPString" => json!(text),
            Some(text) => serde_json::from_str(text).unwrap_or_else(|_| json!(text)),
        };
        json!({"paramName": self.name, "dataType": self.kind, "value": value})
    }
}
