//! The parameters of a notebook: its cell tagged `parameters`, as papermill and ArcGIS read it, and ArcGIS's pane.

use std::collections::BTreeMap;

use serde_json::Value;
use serde_json::value::RawValue;

use super::pane::{self, Pane};
use super::python_cell::{self, Cell};
use super::{DeclaredParameter, DeclaredParameters, Dialect};
use crate::notebook_text::read_notebook_as;

/// How the cells begin that papermill and Isochrone put in.
const FIRST_LINE_OF_INJECTION: &str = "# Parameters";

/// What the notebook declares. None: it is no notebook of the fourth format that can be read.
pub fn notebook_parameters(data: &[u8]) -> Option<DeclaredParameters> {
    let notebook = Notebook::read(data)?;
    let Pane { inputs, .. } = pane::read(&notebook.metadata);
    let cell = notebook.cells.iter().find(|cell| cell.is_tagged("parameters"));
    let incomplete = match cell {
        _ if !notebook.is_python() => Some("the notebook's language is not Python"),
        None if inputs.is_empty() => Some("the notebook has no cell tagged 'parameters'"),
        _ => None,
    };
    let own =
        notebook.cells.iter().filter(|cell| cell.is_tagged("injected-parameters") && !cell.is_injection());
    // Values are put in after an author's own cell of that tag, too.
    let read: Vec<Cell> = cell.into_iter().chain(own).map(NotebookCell::declared).collect();
    let incomplete = incomplete.or_else(|| {
        let complete = read.iter().all(|cell| cell.complete);
        (!complete).then_some("the notebook's cell tagged 'parameters' does more than set values")
    });
    let mut parameters: Vec<DeclaredParameter> = Vec::new();
    // The pane's author has said more than a cell's literal does.
    for parameter in read.into_iter().flat_map(|cell| cell.parameters).chain(inputs) {
        match parameters.iter_mut().find(|known| known.name == parameter.name) {
            Some(known) => *known = parameter,
            None => parameters.push(parameter),
        }
    }
    Some(DeclaredParameters { parameters, incomplete, dialect: Dialect::Python })
}

/// The names of the output parameters that the notebook's author has set up in ArcGIS's pane.
pub fn notebook_outputs(data: &[u8]) -> Vec<String> {
    Notebook::read(data).map(|notebook| pane::read(&notebook.metadata).outputs).unwrap_or_default()
}

/// A notebook without its outputs, which may hold what only Python can read.
struct Notebook {
    metadata: Value,
    cells: Vec<NotebookCell>,
}

/// A code cell.
struct NotebookCell {
    tags: Vec<String>,
    /// None: it can't be read.
    source: Option<String>,
}

/// A JSON object, field by field, as any of them may be unreadable.
type Fields = BTreeMap<String, Box<RawValue>>;

impl Notebook {
    fn read(data: &[u8]) -> Option<Notebook> {
        let fields: Fields = read_notebook_as(data).ok()?;
        let cells: Vec<Box<RawValue>> = serde_json::from_str(fields.get("cells")?.get()).ok()?;
        let cells = cells.iter().filter_map(|cell| NotebookCell::read(cell.get())).collect();
        Some(Notebook { metadata: value(&fields, "metadata"), cells })
    }

    fn is_python(&self) -> bool {
        let language = |value: &Value| value.as_str().map(str::to_ascii_lowercase);
        let spec = language(&self.metadata["kernelspec"]["language"]);
        let language = spec.or_else(|| language(&self.metadata["language_info"]["name"]));
        language.is_none_or(|language| language.contains("python"))
    }
}

impl NotebookCell {
    /// None: it is no code cell.
    fn read(text: &str) -> Option<NotebookCell> {
        let fields: Fields = serde_json::from_str(text).ok()?;
        if value(&fields, "cell_type") != "code" {
            return None;
        }
        let tags = match &value(&fields, "metadata")["tags"] {
            Value::String(tag) => vec![tag.clone()],
            Value::Array(tags) => tags.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            _ => Vec::new(),
        };
        // A source is a string, or a list of lines.
        let source = match fields.get("source").map(|source| serde_json::from_str(source.get())) {
            None | Some(Ok(Value::Null)) => Some(String::new()),
            Some(Ok(Value::String(text))) => Some(text),
            Some(Ok(Value::Array(lines))) => Some(lines.iter().filter_map(Value::as_str).collect()),
            Some(_) => None,
        };
        Some(NotebookCell { tags, source })
    }

    fn is_tagged(&self, tag: &str) -> bool {
        self.tags.iter().any(|found| found == tag)
    }

    fn is_injection(&self) -> bool {
        self.source.as_deref().is_some_and(|source| source.trim_start().starts_with(FIRST_LINE_OF_INJECTION))
    }

    fn declared(&self) -> Cell {
        let unreadable = || Cell { parameters: Vec::new(), complete: false };
        self.source.as_deref().map_or_else(unreadable, python_cell::read)
    }
}

/// The field's value; null where there is none that can be read.
fn value(fields: &Fields, name: &str) -> Value {
    fields.get(name).and_then(|value| serde_json::from_str(value.get()).ok()).unwrap_or(Value::Null)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn cell(tags: &[&str], source: Value) -> Value {
        json!({"cell_type": "code", "metadata": {"tags": tags}, "source": source, "outputs": []})
    }

    fn names(data: &[u8]) -> (Vec<String>, Option<&'static str>) {
        let declared = notebook_parameters(data).expect("a notebook");
        (declared.parameters.into_iter().map(|one| one.name).collect(), declared.incomplete)
    }

    fn of(notebook: &Value) -> (Vec<String>, Option<&'static str>) {
        names(notebook.to_string().as_bytes())
    }

    #[test]
    fn the_cell_tagged_parameters_declares_them() {
        let notebook = json!({"cells": [
            {"cell_type": "markdown", "metadata": {"tags": ["parameters"]}, "source": "m = 1"},
            cell(&["injected-parameters"], json!("# Parameters\ni = 1")),
            cell(&["x", "parameters"], json!(["n = 1\n", "label = 'a'"])),
            cell(&["parameters"], json!("second = 1")),
        ], "metadata": {"kernelspec": null}, "nbformat": 4, "nbformat_minor": 5});
        let with_mark = [b"\xef\xbb\xbf".as_slice(), notebook.to_string().as_bytes()].concat();
        assert_eq!(names(&with_mark), (vec!["n".to_owned(), "label".to_owned()], None));
        let other = json!({"cells": [cell(&["parameters"], json!("n <- 1"))],
            "metadata": {"kernelspec": {"language": "R"}}});
        assert!(of(&other).1.is_some_and(|why| why.contains("Python")));
        let a_tag =
            json!({"cells": [{"cell_type": "code", "metadata": {"tags": "parameters"}, "source": "n = 1"}]});
        assert_eq!(of(&a_tag), (vec!["n".to_owned()], None));
    }

    #[test]
    fn an_authors_own_cell_of_injected_parameters_counts_too() {
        let own = cell(&["injected-parameters"], json!("m = 2"));
        let both = json!({"cells": [cell(&["parameters"], json!("n = 1")), own]});
        assert_eq!(of(&both), (vec!["n".to_owned(), "m".to_owned()], None));
        let alone = json!({"cells": [own]});
        assert!(of(&alone).1.is_some(), "without a cell of defaults any name may be given");
    }

    #[test]
    fn the_pane_goes_before_the_cell() {
        let pane = json!({"inputParameters": [{"variableName": "n", "dataType": "Double"},
                                              {"variableName": "area", "dataType": "String"}],
                          "outputParameters": [{"variableName": "total", "dataType": "Long"}]});
        let both = json!({"cells": [cell(&["parameters"], json!("n = 1"))], "metadata": {"arcgis": pane}});
        assert_eq!(of(&both), (vec!["n".to_owned(), "area".to_owned()], None));
        let declared = notebook_parameters(both.to_string().as_bytes()).expect("a notebook");
        assert_eq!(declared.parameters[0].type_name.as_deref(), Some("Double"));
        assert_eq!(notebook_outputs(both.to_string().as_bytes()), ["total"]);
        assert!(notebook_outputs(b"{").is_empty());
    }

    #[test]
    fn what_only_python_reads_elsewhere_hides_nothing() {
        let notebook = r#"{"cells": [
            {"cell_type": "code", "metadata": {"x": 1e999}, "source": "", "outputs": [{"text": "\ud800"}, NaN]},
            {"cell_type": "code", "metadata": {"tags": ["parameters"]}, "source": "n = 1", "outputs": [-Infinity]},
            {"cell_type": "code", "metadata": {"tags": ["x"]}, "source": "'\ud83d'"}], "metadata": {}}"#;
        assert_eq!(names(notebook.as_bytes()), (vec!["n".to_owned()], None));
        let unreadable = notebook.replace("n = 1", r"n = '\ud800'");
        assert!(names(unreadable.as_bytes()).1.is_some());
    }

    #[test]
    fn where_nothing_declares_them_it_says_so() {
        for nothing in [r#"{"cells":[]}"#, r#"{"cells":[{"cell_type":"code","metadata":{"tags":null}},7]}"#] {
            let (names, incomplete) = names(nothing.as_bytes());
            assert!(
                names.is_empty() && incomplete.is_some_and(|why| why.contains("no cell tagged")),
                "{nothing}"
            );
        }
        for no_notebook in ["", "[]", "{}", "<html>"] {
            assert_eq!(notebook_parameters(no_notebook.as_bytes()), None, "{no_notebook}");
        }
    }
}
