//! ArcGIS Notebooks' Parameters pane: the input and output parameters that an author has set up there. They stand in the
//! notebook's metadata. Where and how, Esri does not document: they are known by what they are, lists of objects with a name
//! and a geoprocessing data type, told apart by `input` and `output` in their keys or in themselves.

use serde_json::{Map, Value};

use super::{DeclaredParameter, ParameterKind};

const DEEPEST: usize = 6;
const NAMES: [&str; 5] = ["variableName", "variable", "paramName", "parameterName", "name"];
const TYPES: [&str; 3] = ["dataType", "parameterDataType", "type"];
const DIRECTIONS: [&str; 5] = ["direction", "parameterType", "kind", "parameterDirection", "io"];
const DEFAULTS: [&str; 3] = ["defaultValue", "default", "value"];
/// Of other subjects.
const PASSED_OVER: [&str; 3] = ["kernelspec", "language_info", "widgets"];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Input,
    Output,
}

/// What the pane declares.
#[derive(Debug, Default)]
pub(super) struct Pane {
    /// Values that a run may be given.
    pub(super) inputs: Vec<DeclaredParameter>,
    /// The names of the variables whose values are a run's result.
    pub(super) outputs: Vec<String>,
}

/// Reads it from the notebook's metadata.
pub(super) fn read(metadata: &Value) -> Pane {
    let mut found = Pane::default();
    look(metadata, None, 0, &mut found);
    found
}

fn look(value: &Value, direction: Option<Direction>, depth: usize, found: &mut Pane) {
    if depth > DEEPEST {
        return;
    }
    match value {
        Value::Array(entries) => {
            for entry in entries {
                match entry.as_object().and_then(|entry| Some((entry, parameter(entry)?))) {
                    Some((entry, parameter)) => match own_direction(entry).or(direction) {
                        None | Some(Direction::Input) => found.inputs.push(parameter),
                        Some(Direction::Output) if found.outputs.contains(&parameter.name) => {}
                        Some(Direction::Output) => found.outputs.push(parameter.name),
                    },
                    None => look(entry, direction, depth + 1, found),
                }
            }
        }
        Value::Object(fields) => {
            for (key, inner) in fields.iter().filter(|(key, _)| !PASSED_OVER.contains(&key.as_str())) {
                look(inner, spoken(key).or(direction), depth + 1, found);
            }
        }
        _ => {}
    }
}

fn parameter(entry: &Map<String, Value>) -> Option<DeclaredParameter> {
    let (name, type_name) = (text(entry, &NAMES)?, text(entry, &TYPES)?);
    let starts_right = name.starts_with(|first: char| first == '_' || first.is_alphabetic());
    if !starts_right || !name.chars().all(|letter| letter == '_' || letter.is_alphanumeric()) {
        return None;
    }
    let default = DEFAULTS.iter().find_map(|key| entry.get(*key)).filter(|value| !value.is_null());
    Some(DeclaredParameter {
        kind: kind(type_name)?,
        type_name: Some(type_name.to_owned()),
        default: default.map(Value::to_string),
        ..DeclaredParameter::new(name)
    })
}

/// None: no data type of a geoprocessing parameter.
fn kind(type_name: &str) -> Option<ParameterKind> {
    let letters = type_name.chars().filter(|letter| letter.is_alphabetic());
    let word: String = letters.flat_map(char::to_lowercase).collect();
    match word.strip_prefix("gp").unwrap_or(&word) {
        "string" => Some(ParameterKind::String),
        "long" | "integer" => Some(ParameterKind::Integer),
        "double" | "float" | "number" => Some(ParameterKind::Number),
        "boolean" => Some(ParameterKind::Boolean),
        "date"
        | "featureset"
        | "featurerecordsetlayer"
        | "recordset"
        | "linearunit"
        | "rasterdatalayer"
        | "rasterdata"
        | "datafile"
        | "file"
        | "json" => Some(ParameterKind::Any),
        _ => None,
    }
}

fn own_direction(entry: &Map<String, Value>) -> Option<Direction> {
    match entry.get("isOutput") {
        Some(Value::Bool(true)) => Some(Direction::Output),
        Some(Value::Bool(false)) => Some(Direction::Input),
        _ => spoken(text(entry, &DIRECTIONS)?),
    }
}

fn spoken(word: &str) -> Option<Direction> {
    let word = word.to_lowercase();
    if word.contains("output") {
        Some(Direction::Output)
    } else {
        word.contains("input").then_some(Direction::Input)
    }
}

fn text<'a>(entry: &'a Map<String, Value>, keys: &[&str]) -> Option<&'a str> {
    keys.iter().find_map(|key| entry.get(*key)?.as_str().filter(|text| !text.is_empty()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn parameters_are_found_wherever_they_stand() {
        let metadata = json!({
            "kernelspec": {"name": "python3"},
            "esriNotebookParameters": {
                "inputParameters": [{"variableName": "distance", "dataType": "Double", "defaultValue": 5.5},
                                    {"variableName": "layer", "dataType": "GPFeatureRecordSetLayer"}],
                "outputParameters": [{"variableName": "total", "dataType": "Long"}],
            },
        });
        let Pane { inputs, outputs } = read(&metadata);
        let found: Vec<_> = inputs.into_iter().map(|one| (one.name, one.kind, one.default)).collect();
        let expected = [
            ("distance".to_owned(), ParameterKind::Number, Some("5.5".to_owned())),
            ("layer".to_owned(), ParameterKind::Any, None),
        ];
        assert_eq!((found.as_slice(), outputs), (&expected[..], vec!["total".to_owned()]));
        let flat = json!({"parameters": [{"name": "n", "type": "GPLong", "direction": "esriGPParameterDirectionInput"},
                                         {"name": "m", "type": "GPLong", "isOutput": true},
                                         {"name": "tags", "type": "Notebook"}, {"name": "a b", "type": "String"}]});
        let Pane { inputs, outputs } = read(&flat);
        let names: Vec<String> = inputs.into_iter().map(|one| one.name).collect();
        assert_eq!((names, outputs), (vec!["n".to_owned()], vec!["m".to_owned()]));
        let nothing = read(&Value::Null);
        assert!(nothing.inputs.is_empty() && nothing.outputs.is_empty());
    }
}
