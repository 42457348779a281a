//! The parameters of a geoprocessing task, as its server describes them:
//! <https://developers.arcgis.com/rest/services-reference/enterprise/gp-task/>.

use serde_json::Value;

use super::{DeclaredParameter, DeclaredParameters, Dialect, ParameterKind};

/// Fields that every task's `submitJob` takes beside the task's own. `f` and `token` are not a task's to give, and its run
/// says so.
pub(super) const EVERY_TASKS: &[&str] = &[
    "f",
    "token",
    "context",
    "env:outsr",
    "env:processsr",
    "env:processextent",
    "esri_out_feature_service_name",
    "esri_out_image_service",
    "returnz",
    "returnm",
    "returntruecurves",
    "returnfeaturecollection",
    "returncolumnname",
    "simplifyfeatures",
];

/// What the description (`<taskURL>?f=json`) declares. None: it has no list of parameters.
pub fn geoprocessing_parameters(description: &str) -> Option<DeclaredParameters> {
    let description: Value = serde_json::from_str(description).ok()?;
    let all = description["parameters"].as_array()?;
    let inputs = all.iter().filter(|one| one["direction"] != "esriGPParameterDirectionOutput");
    let parameters = inputs.map(parameter).collect::<Option<Vec<_>>>();
    let incomplete = parameters.is_none().then_some("its server's description has parameters without a name");
    Some(DeclaredParameters {
        parameters: parameters.unwrap_or_default(),
        incomplete,
        dialect: Dialect::Geoprocessing,
    })
}

fn parameter(described: &Value) -> Option<DeclaredParameter> {
    let name = described["name"].as_str()?;
    let data_type = described["dataType"].as_str().unwrap_or_default();
    let default = &described["defaultValue"];
    let choices = described["choiceList"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let is_list = data_type.starts_with("GPMultiValue");
    Some(DeclaredParameter {
        kind: kind(data_type),
        type_name: Some(data_type.to_owned()).filter(|name| !name.is_empty()),
        default: Some(default.to_string()).filter(|_| !default.is_null() && *default != ""),
        help: described["description"].as_str().or(described["displayName"].as_str()).map(str::to_owned),
        required: described["parameterType"] == "esriGPParameterTypeRequired"
            && (default.is_null() || *default == ""),
        choices: if is_list { Vec::new() } else { choices.map(str::to_owned).collect() },
        ..DeclaredParameter::new(name)
    })
}

/// A date is milliseconds or a text; a set of features an object, or the text of its URL or JSON.
fn kind(data_type: &str) -> ParameterKind {
    match data_type {
        "GPBoolean" => ParameterKind::Boolean,
        "GPLong" => ParameterKind::Integer,
        "GPDouble" => ParameterKind::Number,
        "GPString" => ParameterKind::String,
        _ => ParameterKind::Any,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;

    #[test]
    fn a_description_declares_names_types_and_choices() {
        let described = json!({"name": "Buffer", "executionType": "esriExecutionTypeAsynchronous", "parameters": [
            {"name": "distance", "dataType": "GPDouble", "direction": "esriGPParameterDirectionInput",
             "parameterType": "esriGPParameterTypeRequired", "defaultValue": null, "displayName": "Distance"},
            {"name": "units", "dataType": "GPString", "direction": "esriGPParameterDirectionInput",
             "parameterType": "esriGPParameterTypeOptional", "defaultValue": "m", "choiceList": ["m", "km"]},
            {"name": "result", "dataType": "GPFeatureRecordSetLayer", "direction": "esriGPParameterDirectionOutput"},
        ]});
        let declared = geoprocessing_parameters(&described.to_string()).expect("declared");
        let check = |given: Value| {
            let given: BTreeMap<String, Value> = serde_json::from_value(given).expect("an object");
            declared.check(&given).map(drop).map_err(|problem| problem.problem)
        };
        assert_eq!(check(json!({"distance": "5", "Units": "km", "env:outSR": 4326})), Ok(()));
        assert!(check(json!({"units": "km"})).is_err_and(|why| why.contains("'distance'")));
        assert!(check(json!({"distance": 5, "units": "mi"})).is_err_and(|why| why.contains("m, km")));
        assert!(check(json!({"distance": [5]})).is_err_and(|why| why.contains("number")));
        assert!(check(json!({"distance": 5, "buffre": 1})).is_err_and(|why| why.contains("distance, units")));
        assert_eq!(geoprocessing_parameters("{}"), None);
        assert_eq!(geoprocessing_parameters("<html>"), None);
    }
}
