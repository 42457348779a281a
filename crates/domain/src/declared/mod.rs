//! The parameters that a notebook, a geoprocessing task or a process declares, and whether values fit them.

mod geoprocessing;
mod given;
mod notebook;
mod pane;
mod process;
mod python_cell;

pub use geoprocessing::geoprocessing_parameters;
pub use given::{check_parameters, given_parameters};
pub use notebook::{notebook_outputs, notebook_parameters};
pub use process::process_parameters;

use std::collections::BTreeMap;

use serde_json::Value;

use crate::Problem;

/// What kind of value a parameter takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParameterKind {
    /// Any; nothing says which.
    Any,
    /// A whole number.
    Integer,
    /// A number.
    Number,
    /// A string.
    String,
    /// True or false.
    Boolean,
    /// A list.
    Array,
    /// An object.
    Object,
}

impl ParameterKind {
    /// As JSON Schema calls it; none for any.
    pub fn name(self) -> Option<&'static str> {
        match self {
            ParameterKind::Any => None,
            ParameterKind::Integer => Some("integer"),
            ParameterKind::Number => Some("number"),
            ParameterKind::String => Some("string"),
            ParameterKind::Boolean => Some("boolean"),
            ParameterKind::Array => Some("array"),
            ParameterKind::Object => Some("object"),
        }
    }

    /// Whether the value is of this kind, or could be converted to it: clients with forms send `"5"` for 5. Null always
    /// is: it stands for the default.
    fn accepts(self, value: &Value) -> bool {
        let text = value.as_str().map(str::trim);
        let scalar = !value.is_array() && !value.is_object();
        match (self, value) {
            (ParameterKind::Any, _)
            | (_, Value::Null)
            | (ParameterKind::Integer | ParameterKind::Number, Value::Number(_) | Value::Bool(_))
            | (ParameterKind::Boolean, Value::Bool(_))
            | (ParameterKind::Array, Value::Array(_))
            | (ParameterKind::Object, Value::Object(_)) => true,
            (ParameterKind::String, _) => scalar,
            (ParameterKind::Integer | ParameterKind::Number, _) => {
                text.is_some_and(|text| text.replace('_', "").parse::<f64>().is_ok())
            }
            (ParameterKind::Boolean, Value::Number(number)) => matches!(number.as_f64(), Some(0.0 | 1.0)),
            (ParameterKind::Boolean, _) => text.is_some_and(|text| {
                let words = ["true", "false", "yes", "no", "on", "off", "1", "0", "t", "f", "y", "n"];
                words.iter().any(|word| word.eq_ignore_ascii_case(text))
            }),
            (ParameterKind::Array, _) => text.is_some_and(|text| is_json(text, Value::is_array)),
            (ParameterKind::Object, _) => text.is_some_and(|text| is_json(text, Value::is_object)),
        }
    }
}

fn is_json(text: &str, is: impl Fn(&Value) -> bool) -> bool {
    serde_json::from_str(text).is_ok_and(|value| is(&value))
}

/// One parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeclaredParameter {
    /// Its name; case matters.
    pub name: String,
    /// What it takes.
    pub kind: ParameterKind,
    /// The type as its author or server writes it, where one is written.
    pub type_name: Option<String>,
    /// The default as its author wrote it, or as JSON.
    pub default: Option<String>,
    /// What its author says of it.
    pub help: Option<String>,
    /// Whether a value has to be given.
    pub required: bool,
    /// The only values that it takes; none: any of its kind.
    pub choices: Vec<String>,
    /// Whether a list of such values may be given, too.
    pub repeatable: bool,
}

impl DeclaredParameter {
    fn new(name: &str) -> DeclaredParameter {
        DeclaredParameter {
            name: name.to_owned(),
            kind: ParameterKind::Any,
            type_name: None,
            default: None,
            help: None,
            required: false,
            choices: Vec::new(),
            repeatable: false,
        }
    }
}

/// What is known of the parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeclaredParameters {
    /// In the order in which they are declared.
    pub parameters: Vec<DeclaredParameter>,
    /// Why there may be others, for people. None: there are no others.
    pub incomplete: Option<&'static str>,
    dialect: Dialect,
}

/// How names are compared and values are sent on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dialect {
    /// As variables of Python.
    Python,
    /// As fields of a form: names in any case, objects and lists as the text of their JSON.
    Geoprocessing,
    /// As inputs of OGC API - Processes, in JSON; or as a whole request that has them.
    Process,
}

impl DeclaredParameters {
    /// Whether the values can be given: their names are declared, and their kinds can be converted. Answers the names that
    /// can't be checked, as there may be others than those that are declared.
    ///
    /// # Errors
    /// A problem of `parameters` that names the value and what there is.
    fn check<'a>(&self, given: &'a BTreeMap<String, Value>) -> Result<Vec<&'a str>, Problem> {
        let given = self.dialect.values(given);
        let mut unchecked = Vec::new();
        for (name, value) in &given {
            match self.parameters.iter().find(|declared| self.dialect.same(&declared.name, name)) {
                Some(declared) => self.check_value(declared, value)?,
                None if self.dialect.always_takes(name) => {}
                None if self.incomplete.is_some() => unchecked.push(*name),
                None => return Err(self.unknown(name)),
            }
        }
        let missing = |declared: &&DeclaredParameter| {
            declared.required && !given.keys().any(|name| self.dialect.same(&declared.name, name))
        };
        match self.parameters.iter().find(missing) {
            Some(missing) => {
                Err(Problem::new("parameters", format!("have no '{}', which is required", missing.name)))
            }
            None => Ok(unchecked),
        }
    }

    fn unknown(&self, name: &str) -> Problem {
        let names: Vec<&str> = self.parameters.iter().map(|declared| declared.name.as_str()).collect();
        let there = if names.is_empty() {
            "there are none".to_owned()
        } else {
            format!("there are {}", names.join(", "))
        };
        let problem = format!("have '{}', which is not declared; {there}", shortened(name));
        Problem::new("parameters", problem)
    }

    fn check_value(&self, declared: &DeclaredParameter, value: &Value) -> Result<(), Problem> {
        match (self.dialect, value) {
            // Where the value is, or what it is with its media type.
            (Dialect::Process, Value::Object(fields)) if fields.contains_key("href") => Ok(()),
            (Dialect::Process, Value::Object(fields)) if fields.contains_key("value") => {
                self.check_value(declared, &fields["value"])
            }
            (_, Value::Array(_)) if declared.repeatable && declared.kind == ParameterKind::Array => Ok(()),
            (_, Value::Array(values)) if declared.repeatable => {
                values.iter().try_for_each(|value| self.check_one(declared, value))
            }
            _ => self.check_one(declared, value),
        }
    }

    fn check_one(&self, declared: &DeclaredParameter, value: &Value) -> Result<(), Problem> {
        let name = &declared.name;
        let sent_as_text = self.dialect == Dialect::Geoprocessing && declared.kind == ParameterKind::String;
        if !sent_as_text && !declared.kind.accepts(value) {
            let expected = declared.kind.name().unwrap_or("another value");
            let sent = shortened(&value.to_string());
            return Err(Problem::new("parameters", format!("have '{name}' as {sent}; expected {expected}")));
        }
        let text = as_text(value).unwrap_or_else(|| value.to_string());
        let same = |choice: &String| {
            let number = |text: &str| text.parse::<f64>().ok();
            *choice == text || number(choice).is_some_and(|choice| number(&text) == Some(choice))
        };
        if declared.choices.is_empty()
            || value.is_null()
            || text.is_empty()
            || declared.choices.iter().any(same)
        {
            return Ok(());
        }
        let (sent, choices) = (shortened(&text), declared.choices.join(", "));
        Err(Problem::new("parameters", format!("have '{name}' as {sent}; expected one of {choices}")))
    }
}

/// A value that is no list and no object, as people write it.
fn as_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) | Value::Null => Some(value.to_string()),
        Value::Array(_) | Value::Object(_) => None,
    }
}

impl Dialect {
    /// The values by their names, of what a task gives.
    fn values(self, given: &BTreeMap<String, Value>) -> BTreeMap<&str, &Value> {
        match (self, given.get("inputs")) {
            (Dialect::Process, Some(Value::Object(inputs))) => {
                inputs.iter().map(|(name, value)| (name.as_str(), value)).collect()
            }
            _ => given.iter().map(|(name, value)| (name.as_str(), value)).collect(),
        }
    }

    fn same(self, declared: &str, given: &str) -> bool {
        match self {
            Dialect::Python | Dialect::Process => declared == given,
            Dialect::Geoprocessing => declared.eq_ignore_ascii_case(given),
        }
    }

    fn always_takes(self, name: &str) -> bool {
        self == Dialect::Geoprocessing
            && geoprocessing::EVERY_TASKS.iter().any(|known| known.eq_ignore_ascii_case(name))
    }
}

fn shortened(text: &str) -> String {
    const LONGEST: usize = 60;
    match text.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}...", &text[..at]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn declared(kind: ParameterKind) -> DeclaredParameters {
        let parameter = DeclaredParameter { kind, ..DeclaredParameter::new("n") };
        DeclaredParameters { parameters: vec![parameter], incomplete: None, dialect: Dialect::Python }
    }

    #[test]
    fn a_value_fits_where_it_can_be_converted() {
        use ParameterKind::{Any, Array, Boolean, Integer, Number, Object, String};
        let fits = |kind, value: Value| declared(kind).check(&[("n".to_owned(), value)].into()).is_ok();
        for kind in [Any, Array, Boolean, Integer, Number, Object, String] {
            assert!(fits(kind, Value::Null), "{kind:?}: null is the default");
        }
        for (kind, value) in [
            (Integer, json!(5)),
            (Integer, json!("5")),
            (Integer, json!(" 1_000 ")),
            (Integer, json!(true)),
            (Number, json!("1e3")),
            (Number, json!(2)),
            (String, json!(5)),
            (String, json!("x")),
            (Boolean, json!("False")),
            (Boolean, json!(1)),
            (Array, json!("[1, 2]")),
            (Array, json!([])),
            (Object, json!("{}")),
            (Any, json!({"a": [1]})),
        ] {
            assert!(fits(kind, value.clone()), "{kind:?} takes {value}");
        }
        for (kind, value) in [
            (Integer, json!("five")),
            (Integer, json!([5])),
            (Number, json!({})),
            (Number, json!("")),
            (String, json!(["a"])),
            (String, json!({"a": 1})),
            (Boolean, json!("perhaps")),
            (Boolean, json!(2)),
            (Array, json!("1,2")),
            (Array, json!(1)),
            (Object, json!([1])),
            (Object, json!("x")),
        ] {
            assert!(!fits(kind, value.clone()), "{kind:?} does not take {value}");
        }
    }

    #[test]
    fn an_unknown_name_is_refused_with_those_that_there_are() {
        let known = declared(ParameterKind::Any);
        let problem = known.check(&[("m".to_owned(), json!(1))].into()).expect_err("unknown");
        assert_eq!(problem.parameter, "parameters");
        assert!(problem.problem.contains("'m'") && problem.problem.contains("there are n"), "{problem}");
        let open = DeclaredParameters { incomplete: Some("there may be others"), ..known };
        assert_eq!(open.check(&[("m".to_owned(), json!(1))].into()), Ok(vec!["m"]));
    }
}
