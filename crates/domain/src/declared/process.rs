//! The inputs of a process, as its server describes them: OGC API - Processes, Part 1, "process description"
//! (<https://docs.ogc.org/is/18-062r2/18-062r2.html>), and the drafts before it, which many servers still speak. What is not
//! understood is not checked.

use serde_json::{Map, Value};

use super::{DeclaredParameter, DeclaredParameters, Dialect, ParameterKind};

/// Schemas within schemas that are read.
const DEEPEST: usize = 4;

/// What the description (`/processes/{id}`) declares. None: it has no inputs that can be read.
pub fn process_parameters(description: &Value) -> Option<DeclaredParameters> {
    let described = Some(&description["process"]).filter(|inner| inner.is_object()).unwrap_or(description);
    let inputs: Vec<Option<DeclaredParameter>> = match &described["inputs"] {
        Value::Object(inputs) => {
            inputs.iter().map(|(name, input)| Some(parameter(name, input.as_object()?))).collect()
        }
        Value::Array(inputs) => inputs.iter().map(listed).collect(),
        _ => return None,
    };
    let unread = inputs.iter().any(Option::is_none);
    Some(DeclaredParameters {
        parameters: inputs.into_iter().flatten().collect(),
        incomplete: unread.then_some("the process's description has inputs that can't be read"),
        dialect: Dialect::Process,
    })
}

/// An input of a list, as drafts have it: with its name in it.
fn listed(input: &Value) -> Option<DeclaredParameter> {
    let fields = input.as_object()?;
    let name = ["id", "identifier", "name"].iter().find_map(|key| fields.get(*key)?.as_str())?;
    Some(parameter(name, fields))
}

fn parameter(name: &str, input: &Map<String, Value>) -> DeclaredParameter {
    let field = |key: &str| input.get(key).unwrap_or(&Value::Null);
    let schema = match (field("schema"), &field("input")["literalDataDomain"]) {
        (Value::Null, domain) => literal(domain),
        (schema, _) => Schema::read(schema, 0),
    };
    let help = field("description").as_str().or_else(|| field("title").as_str());
    // Both are 1 where they are not given.
    let (least, most) = (count(field("minOccurs")), count(field("maxOccurs")));
    DeclaredParameter {
        kind: schema.kind,
        type_name: schema.type_name,
        required: least.is_some_and(|least| least > 0) && schema.default.is_none(),
        default: schema.default,
        help: help.map(str::to_owned),
        choices: schema.choices,
        repeatable: most != Some(1),
        ..DeclaredParameter::new(name)
    }
}

/// How often an input may stand there. None: without a bound, or it can't be read.
fn count(value: &Value) -> Option<u64> {
    match value {
        Value::Null => Some(1),
        Value::String(text) => text.trim().parse().ok(),
        value => value.as_u64(),
    }
}

/// What of a JSON Schema is checked.
struct Schema {
    kind: ParameterKind,
    type_name: Option<String>,
    default: Option<String>,
    choices: Vec<String>,
}

impl Schema {
    fn any() -> Schema {
        Schema { kind: ParameterKind::Any, type_name: None, default: None, choices: Vec::new() }
    }

    fn read(schema: &Value, depth: usize) -> Schema {
        let Some(fields) =
            schema.as_object().filter(|fields| depth < DEEPEST && !fields.contains_key("$ref"))
        else {
            return Schema::any();
        };
        let field = |key: &str| fields.get(key).unwrap_or(&Value::Null);
        let alternatives = ["oneOf", "anyOf", "allOf"].iter().find_map(|key| field(key).as_array());
        let of_one_kind = match alternatives {
            Some(all) => Schema::common(all.iter().map(|one| Schema::read(one, depth + 1)).collect()),
            None => Schema::any(),
        };
        let word = one_type(field("type"));
        let listed = choices(field("enum")).or_else(|| choices(&Value::Array(vec![field("const").clone()])));
        let names = ["format", "contentMediaType"].iter().find_map(|key| field(key).as_str());
        Schema {
            kind: word.and_then(kind).unwrap_or(of_one_kind.kind),
            type_name: names.or(word).map(str::to_owned).or(of_one_kind.type_name),
            default: Some(field("default").to_string()).filter(|_| !field("default").is_null()),
            choices: listed.unwrap_or(of_one_kind.choices),
        }
    }

    /// What holds whichever of them is meant.
    fn common(all: Vec<Schema>) -> Schema {
        let first = all.first().map_or(ParameterKind::Any, |schema| schema.kind);
        let kind = if all.iter().all(|schema| schema.kind == first) { first } else { ParameterKind::Any };
        let listed = all.iter().all(|schema| !schema.choices.is_empty());
        let choices = all.into_iter().flat_map(|schema| schema.choices).filter(|_| listed).collect();
        Schema { kind, choices, ..Schema::any() }
    }
}

/// The type's name, if there is one beside `null`.
fn one_type(value: &Value) -> Option<&str> {
    match value {
        Value::String(word) => Some(word),
        Value::Array(words) => {
            let mut words = words.iter().map(Value::as_str).filter(|word| *word != Some("null"));
            words.next().flatten().filter(|_| words.next().is_none())
        }
        _ => None,
    }
}

fn kind(word: &str) -> Option<ParameterKind> {
    match word.to_ascii_lowercase().as_str() {
        "integer" | "int" | "long" => Some(ParameterKind::Integer),
        "number" | "double" | "float" => Some(ParameterKind::Number),
        "string" => Some(ParameterKind::String),
        "boolean" => Some(ParameterKind::Boolean),
        "array" => Some(ParameterKind::Array),
        "object" => Some(ParameterKind::Object),
        _ => None,
    }
}

/// The values of an enumeration, as texts. None: there are none, or some that are no texts, numbers or truth values.
fn choices(listed: &Value) -> Option<Vec<String>> {
    let listed = listed.as_array()?.iter().filter(|choice| !choice.is_null());
    let choices: Vec<String> = listed.map(super::as_text).collect::<Option<_>>()?;
    Some(choices).filter(|choices| !choices.is_empty())
}

/// A literal value, as the drafts describe it.
fn literal(domain: &Value) -> Schema {
    let data_type = &domain["dataType"];
    let word = data_type.as_str().or_else(|| data_type["name"].as_str());
    let default = Some(&domain["defaultValue"]).filter(|value| !value.is_null());
    Schema {
        kind: word.and_then(kind).unwrap_or(ParameterKind::Any),
        type_name: word.map(str::to_owned),
        default: default.map(Value::to_string),
        choices: choices(&domain["allowedValues"]).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;

    fn problem(declared: &DeclaredParameters, given: &Value) -> Option<String> {
        let given: BTreeMap<String, Value> = serde_json::from_value(given.clone()).expect("an object");
        declared.check(&given).err().map(|problem| problem.to_string())
    }

    fn buffer() -> DeclaredParameters {
        let description = json!({"id": "buffer", "version": "1.0.0", "jobControlOptions": ["async-execute"], "inputs": {
            "distance": {"title": "Distance", "schema": {"type": "number"}, "minOccurs": 1, "maxOccurs": 1},
            "units": {"schema": {"type": "string", "enum": ["m", "km"], "default": "m"}},
            "layers": {"schema": {"type": "string"}, "minOccurs": 0, "maxOccurs": "unbounded"},
            "steps": {"schema": {"type": "integer", "enum": [1, 2, 5]}, "minOccurs": 0, "maxOccurs": 3},
            "area": {"minOccurs": 0, "schema": {"oneOf": [
                {"type": "string", "contentMediaType": "application/gml+xml"}, {"type": "object", "format": "geojson"}]}},
            "box": {"minOccurs": 0, "schema": {"allOf": [{"format": "ogc-bbox"}, {"$ref": "bbox.yaml"}]}},
            "dissolve": {"minOccurs": 0, "schema": {"type": ["boolean", "null"]}, "description": "Whether to"},
        }, "outputs": {"result": {}}});
        process_parameters(&description).expect("a description")
    }

    #[test]
    fn a_description_declares_names_types_and_choices() {
        let buffer = buffer();
        for fine in [
            json!({"distance": 5}),
            json!({"distance": "5", "units": "km", "layers": ["roads", "rivers"], "steps": [1, 5.0]}),
            json!({"distance": {"value": 5}, "layers": "roads", "steps": 2, "dissolve": null}),
            json!({"distance": {"href": "https://example.com/distance"}, "area": "<gml/>", "box": {"bbox": [1, 2, 3, 4]}}),
            json!({"inputs": {"distance": 5, "area": {"type": "Point"}}, "response": "document", "outputs": {}}),
        ] {
            assert_eq!(problem(&buffer, &fine), None, "{fine}");
        }
        for (wrong, words) in [
            (json!({}), "have no 'distance', which is required"),
            (json!({"inputs": {"units": "m"}}), "have no 'distance', which is required"),
            (
                json!({"distance": 5, "unit": "m"}),
                "'unit', which is not declared; there are distance, units, layers",
            ),
            (json!({"distance": 5, "Units": "m"}), "'Units', which is not declared"),
            (json!({"distance": "far"}), "'distance' as \"far\"; expected number"),
            (json!({"distance": {"value": "far"}}), "expected number"),
            (json!({"distance": [5]}), "expected number"),
            (json!({"distance": 5, "units": "mi"}), "'units' as mi; expected one of m, km"),
            (json!({"distance": 5, "steps": [1, 3]}), "'steps' as 3; expected one of 1, 2, 5"),
            (json!({"distance": 5, "layers": [["roads"]]}), "expected string"),
            (json!({"distance": 5, "dissolve": "perhaps"}), "expected boolean"),
        ] {
            let problem = problem(&buffer, &wrong).unwrap_or_else(|| panic!("{wrong} is refused"));
            assert!(problem.contains(words), "{wrong}: {problem}");
        }
        let shown = |name: &str| buffer.parameters.iter().find(|one| one.name == name).expect("it is there");
        assert_eq!(shown("units").default.as_deref(), Some("\"m\""));
        assert_eq!((shown("units").required, shown("distance").required), (false, true));
        assert_eq!((shown("layers").repeatable, shown("distance").repeatable), (true, false));
        assert_eq!(shown("dissolve").help.as_deref(), Some("Whether to"));
    }

    #[test]
    fn what_is_odd_is_not_checked() {
        for odd in [json!(null), json!([]), json!({}), json!({"inputs": "many"}), json!({"inputs": null})] {
            assert_eq!(process_parameters(&odd), None, "{odd}");
        }
        let odd = json!({"inputs": {
            "a": {"schema": {"type": "geometry"}, "minOccurs": "some", "maxOccurs": -1},
            "b": {"schema": {"type": 7, "enum": "x"}, "minOccurs": "0"},
            "c": {"schema": [], "minOccurs": 0}, "d": {"minOccurs": 0, "schema": {"enum": [{"x": 1}, "y"]}},
            "e": {"minOccurs": 0, "schema": {"$ref": "https://example.com/e"}},
            "f": {"minOccurs": 0, "schema": {"oneOf": "x", "anyOf": [true, {"type": "integer"}]}},
        }});
        let declared = process_parameters(&odd).expect("a description");
        let given = json!({"a": [1], "b": {"x": 1}, "c": "x", "d": 5, "e": [], "f": "x"});
        assert_eq!(problem(&declared, &given), None);
        assert!(problem(&declared, &json!({"g": 1})).is_some());
        let some = process_parameters(&json!({"inputs": {"a": 7, "b": {"schema": {"type": "integer"}}}}))
            .expect("some");
        assert_eq!(problem(&some, &json!({"b": 1, "x": 1})), None);
        assert!(problem(&some, &json!({"b": "x"})).is_some() && some.incomplete.is_some());
    }

    #[test]
    fn drafts_are_read() {
        let draft = json!({"process": {"id": "buffer", "inputs": [
            {"id": "distance", "title": "Distance", "minOccurs": "1", "maxOccurs": "1",
             "input": {"literalDataDomain": {"dataType": {"name": "double"}, "valueDefinition": {"anyValue": true}}}},
            {"id": "units", "minOccurs": "0", "input": {"literalDataDomain": {"dataType": "string", "defaultValue": "m",
             "allowedValues": ["m", "km"]}}},
            {"id": "area", "minOccurs": 0, "input": {"formats": [{"mimeType": "application/json"}]}},
        ]}});
        let declared = process_parameters(&draft).expect("a description");
        assert_eq!(
            problem(&declared, &json!({"distance": 5, "units": "km", "area": {"type": "Point"}})),
            None
        );
        for wrong in
            [json!({}), json!({"distance": "far"}), json!({"distance": 5, "units": "mi"}), json!({"x": 1})]
        {
            assert!(problem(&declared, &wrong).is_some(), "{wrong}");
        }
    }
}
