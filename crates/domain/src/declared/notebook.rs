//! The parameters of a notebook: its cell tagged `parameters`, as papermill and ArcGIS read it, and ArcGIS's pane.

use serde_json::Value;

use super::pane;
use super::python_cell::{self, Cell};
use super::{DeclaredParameters, Dialect};
use crate::notebook_text::read_notebook;

/// What the notebook declares. None: nothing (then any value may be given), or it is no notebook.
pub fn notebook_parameters(data: &[u8]) -> Option<DeclaredParameters> {
    let notebook = read_notebook(data).ok()?;
    let cells = notebook["cells"].as_array()?;
    let cell = cells.iter().find(|cell| cell["cell_type"] == "code" && is_tagged(cell, "parameters"));
    let in_pane = pane::inputs(&notebook["metadata"]);
    if cell.is_none() && in_pane.is_empty() {
        return None;
    }
    let none = Cell { parameters: Vec::new(), complete: true };
    let Cell { mut parameters, complete } = cell.map_or(none, |cell| python_cell::read(&source(cell)));
    for parameter in in_pane {
        match parameters.iter_mut().find(|known| known.name == parameter.name) {
            // The pane's author has said more than the cell's literal does.
            Some(known) => *known = parameter,
            None => parameters.push(parameter),
        }
    }
    Some(DeclaredParameters {
        parameters,
        complete: complete && is_python(&notebook),
        dialect: Dialect::Python,
    })
}

fn is_tagged(cell: &Value, tag: &str) -> bool {
    cell["metadata"]["tags"].as_array().is_some_and(|tags| tags.iter().any(|found| found == tag))
}

/// A source is a string, or a list of lines.
fn source(cell: &Value) -> String {
    match &cell["source"] {
        Value::String(text) => text.clone(),
        Value::Array(lines) => lines.iter().filter_map(Value::as_str).collect(),
        _ => String::new(),
    }
}

fn is_python(notebook: &Value) -> bool {
    let metadata = &notebook["metadata"];
    let language = metadata["kernelspec"]["language"].as_str().or(metadata["language_info"]["name"].as_str());
    language.is_none_or(|language| language.to_ascii_lowercase().contains("python"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_cell_tagged_parameters_declares_them() {
        let cell = |tags: &[&str], source: Value| json!({"cell_type": "code", "metadata": {"tags": tags}, "source": source, "outputs": []});
        let notebook = json!({"cells": [
            {"cell_type": "markdown", "metadata": {"tags": ["parameters"]}, "source": "m = 1"},
            cell(&["injected-parameters"], json!("i = 1")),
            cell(&["x", "parameters"], json!(["n = 1\n", "label = 'a'"])),
            cell(&["parameters"], json!("second = 1")),
        ], "metadata": {"kernelspec": null}, "nbformat": 4, "nbformat_minor": 5});
        let with_mark = [b"\xef\xbb\xbf".as_slice(), notebook.to_string().as_bytes()].concat();
        let declared = notebook_parameters(&with_mark).expect("declared");
        let names: Vec<&str> = declared.parameters.iter().map(|one| one.name.as_str()).collect();
        assert_eq!((names, declared.complete), (vec!["n", "label"], true));
        for nothing in ["", "[]", "{}", r#"{"cells":[{"cell_type":"code","metadata":{"tags":null}}]}"#] {
            assert_eq!(notebook_parameters(nothing.as_bytes()), None, "{nothing}");
        }
        let pane = json!({"inputParameters": [{"variableName": "n", "dataType": "Double"},
                                              {"variableName": "area", "dataType": "String"}]});
        let both = json!({"cells": [cell(&["parameters"], json!("n = 1"))], "metadata": {"arcgis": pane}});
        let both = notebook_parameters(both.to_string().as_bytes()).expect("declared");
        let names: Vec<&str> = both.parameters.iter().map(|one| one.name.as_str()).collect();
        assert_eq!((names, both.complete), (vec!["n", "area"], true));
        let other = json!({"cells": [cell(&["parameters"], json!("n <- 1"))],
            "metadata": {"kernelspec": {"language": "R"}}});
        assert!(!notebook_parameters(other.to_string().as_bytes()).expect("declared").complete);
    }
}
