//! The description of the sharing API.
//!
//! An error is an answer with status 200 and the key `error`; that is ArcGIS's way.

use serde_json::{Map, Value, json};

use crate::operations::Kind::{self, Choice, File, Flag, Id, Json, Text, Whole};
use crate::operations::{Answer, FORMAT, Method, OPERATIONS, Operation, Parameter};

/// Where it is.
const ROOT: &str = "/sharing/rest";

/// The paths of the sharing API.
pub(super) fn paths() -> Map<String, Value> {
    let mut paths = Map::new();
    for operation in OPERATIONS {
        let path = paths.entry(format!("{ROOT}{}", operation.path)).or_insert_with(|| json!({}));
        path[operation.method.name()] = operation.described();
    }
    paths
}

impl Operation {
    fn described(&self) -> Value {
        let mut parameters: Vec<Value> = self
            .placeholders()
            .map(|name| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}}))
            .collect();
        let fields: Vec<_> = self.parameters().chain([(&FORMAT, false)]).collect();
        let mut described = json!({
            "tags": ["sharing REST"],
            "summary": self.summary,
            "responses": {"200": self.answer.response()},
        });
        match self.method {
            Method::Get => parameters.extend(fields.into_iter().map(|((name, kind, about), required)| {
                json!({"name": name, "in": "query", "required": required, "description": about, "schema": kind.schema()})
            })),
            Method::Post => described["requestBody"] = form(&fields),
        }
        if let Answer::Page = self.answer {
            described["responses"]["302"] = json!({"description": "The browser goes on there"});
        }
        described["parameters"] = Value::Array(parameters);
        described
    }
}

/// A form; one with a file in parts.
fn form(fields: &[(&Parameter, bool)]) -> Value {
    let properties: Map<String, Value> = fields
        .iter()
        .map(|((name, kind, about), _)| {
            let mut schema = kind.schema();
            schema["description"] = json!(about);
            ((*name).to_owned(), schema)
        })
        .collect();
    let required: Vec<&str> =
        fields.iter().filter(|(_, required)| *required).map(|((name, _, _), _)| *name).collect();
    let schema = json!({"type": "object", "properties": properties, "required": required});
    let has_file = fields.iter().any(|((_, kind, _), _)| matches!(kind, File));
    let media = if has_file { "multipart/form-data" } else { "application/x-www-form-urlencoded" };
    json!({"required": !required.is_empty(), "content": {media: {"schema": schema}}})
}

impl Kind {
    fn schema(self) -> Value {
        match self {
            Text | Json => json!({"type": "string"}),
            Whole => json!({"type": "integer"}),
            Flag => json!({"type": "boolean"}),
            Id => json!({"type": "string", "pattern": "^[0-9a-f]{32}$"}),
            File => json!({"type": "string", "format": "binary"}),
            Choice(choices) => json!({"type": "string", "enum": choices}),
        }
    }
}

impl Answer {
    fn response(self) -> Value {
        let error = json!({"$ref": "#/components/schemas/Error"});
        let document = match self {
            Answer::Named(name) => json!({"$ref": format!("#/components/schemas/{name}")}),
            // An answer without `error` has done what was asked.
            Answer::Object => json!({"type": "object", "not": {"required": ["error"]}}),
            Answer::Bytes | Answer::Page => Value::Null,
        };
        let json = if document.is_null() { error } else { json!({"oneOf": [document, error]}) };
        let page = json!({"schema": {"type": "string"}});
        let mut content = json!({
            "application/json": {"schema": json},
            "text/plain": page,
            "text/html": page,
        });
        if let Answer::Bytes = self {
            content["*/*"] = json!({});
        }
        json!({"description": "What was asked for, or what is wrong", "content": content})
    }
}
