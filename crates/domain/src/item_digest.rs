//! What an item's data does, as a digest.

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::notebook_text::read_notebook;

/// Names what an item's data does, in 64 hex digits. Of a notebook that is its kernel, its code cells' sources in
/// their order, and the tags of its cells, by which parameters are put in and errors let pass: outputs, execution
/// counts and texts between the cells can be saved anew without a change. Of anything else, and of a notebook whose
/// form is not understood to the last, it is every byte.
pub fn item_digest(data: &[u8]) -> String {
    let mut hash = Sha256::new();
    if let Some(parts) = code(data) {
        hash.update(b"notebook\0");
        for part in parts {
            // With its length, so that no two sequences of parts are written alike.
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
    } else {
        hash.update(b"bytes\0");
        hash.update(data);
    }
    hex::encode(hash.finalize())
}

/// What of a notebook is carried out. None: it is no notebook of the fourth format, or has something in it that
/// another reader could understand otherwise.
fn code(data: &[u8]) -> Option<Vec<String>> {
    let notebook = read_notebook(data).ok()?;
    if notebook.get("nbformat")?.as_u64()? != 4 {
        return None;
    }
    let mut parts = vec![kernel(notebook.get("metadata"))?];
    for cell in notebook.get("cells")?.as_array()? {
        let cell = cell.as_object()?;
        let kind = cell.get("cell_type")?.as_str()?;
        let tags = match cell.get("metadata") {
            None => None,
            Some(Value::Object(metadata)) => metadata.get("tags"),
            Some(_) => return None,
        };
        let tags = tags.filter(|tags| !matches!(tags, Value::Array(tags) if tags.is_empty()));
        if kind == "code" {
            parts.extend(["code".to_owned(), source(cell.get("source")?)?]);
        }
        if let Some(tags) = tags {
            parts.extend(["tags".to_owned(), kind.to_owned(), tags.to_string()]);
        }
    }
    Some(parts)
}

/// The kernel's name; `python3` where the notebook names none, as the one who carries it out has it.
fn kernel(metadata: Option<&Value>) -> Option<String> {
    let named = match metadata {
        None => None,
        Some(Value::Object(metadata)) => match metadata.get("kernelspec") {
            None => None,
            Some(Value::Object(spec)) => spec.get("name"),
            Some(_) => return None,
        },
        Some(_) => return None,
    };
    let name = match named {
        None | Some(Value::Null) => "",
        Some(name) => name.as_str()?,
    };
    Some(if name.is_empty() { "python3" } else { name }.to_owned())
}

/// A text, or its lines.
fn source(source: &Value) -> Option<String> {
    match source {
        Value::String(text) => Some(text.clone()),
        Value::Array(lines) => lines.iter().map(Value::as_str).collect(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn notebook() -> Value {
        json!({
            "cells": [
                {"cell_type": "markdown", "metadata": {}, "source": "# Title"},
                {"cell_type": "code", "metadata": {}, "execution_count": 1, "source": ["a = 1\n", "b = 2"],
                 "outputs": [{"output_type": "stream", "name": "stdout", "text": "one"}]},
                {"cell_type": "code", "metadata": {"tags": ["parameters"]}, "source": "c = 3", "outputs": []},
            ],
            "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3"}},
            "nbformat": 4, "nbformat_minor": 5,
        })
    }

    fn digest(change: impl FnOnce(&mut Value)) -> String {
        let mut notebook = notebook();
        change(&mut notebook);
        item_digest(serde_json::to_string_pretty(&notebook).expect("text keys").as_bytes())
    }

    #[test]
    fn saving_outputs_changes_nothing() {
        type Change = fn(&mut Value);
        let same: [Change; 8] = [
            |n| n["cells"][1]["outputs"] = json!([{"output_type": "error", "ename": "E"}]),
            |n| n["cells"][1]["execution_count"] = json!(7),
            |n| n["cells"][1]["source"] = json!("a = 1\nb = 2"),
            |n| n["cells"][1]["metadata"] = json!({"execution": {"iopub.execute_input": "2026"}, "tags": []}),
            |n| n["cells"][0]["source"] = json!("# Another title"),
            |n| n["metadata"]["language_info"] = json!({"name": "python", "version": "3.12"}),
            |n| n["metadata"] = json!({}),
            |n| n["nbformat_minor"] = json!(4),
        ];
        for (number, change) in same.into_iter().enumerate() {
            assert_eq!(digest(change), digest(|_| {}), "{number}");
        }
        let with_nan = serde_json::to_string(&notebook()).expect("text keys").replace("\"one\"", "NaN");
        assert_eq!(item_digest(with_nan.as_bytes()), digest(|_| {}));
        assert_eq!(item_digest(format!("\u{feff}{}", notebook()).as_bytes()), digest(|_| {}));
    }

    #[test]
    fn what_is_carried_out_changes_it() {
        type Change = fn(&mut Value);
        let others: [Change; 10] = [
            |n| n["cells"][1]["source"] = json!("a = 1\nb = 3"),
            |n| n["cells"][1]["source"] = json!("a = 1\nb = 2\nc = 3"),
            |n| n["metadata"]["kernelspec"]["name"] = json!("other"),
            |n| n["cells"][0]["cell_type"] = json!("code"),
            |n| n["cells"][2]["cell_type"] = json!("raw"),
            |n| n["cells"][2]["metadata"]["tags"] = json!([]),
            |n| n["cells"][0]["metadata"]["tags"] = json!(["parameters"]),
            |n| n["cells"][1]["metadata"]["tags"] = json!(["raises-exception"]),
            |n| n["cells"].as_array_mut().expect("cells").swap(1, 2),
            |n| n["nbformat"] = json!(3),
        ];
        let mut seen = std::collections::BTreeSet::from([digest(|_| {})]);
        for (number, change) in others.into_iter().enumerate() {
            assert!(seen.insert(digest(change)), "{number}");
        }
    }

    #[test]
    fn what_is_not_understood_counts_byte_by_byte() {
        for (one, other) in [
            (r#"{"nbformat": 4, "cells": [5]}"#, r#"{"nbformat": 4, "cells": [6]}"#),
            (
                r#"{"nbformat": 4, "cells": [{"cell_type": "code", "source": "\ud800"}], "x": 1}"#,
                r#"{"nbformat": 4, "cells": [{"cell_type": "code", "source": "\ud800"}], "x": 2}"#,
            ),
            (
                r#"{"nbformat": 4, "cells": [{"cell_type": "code", "source": "a", "metadata": []}]}"#,
                r#"{"nbformat": 4, "cells": [{"cell_type": "code", "source": "a", "metadata": [1]}]}"#,
            ),
            ("print(1)", "print(2)"),
            ("", " "),
        ] {
            assert_ne!(item_digest(one.as_bytes()), item_digest(other.as_bytes()), "{one}");
        }
        // A source that has the words which the lexer looks for stays what it is.
        let named = |word: &str| {
            format!(r#"{{"nbformat": 4, "x": NaN, "cells": [{{"cell_type": "code", "source": "{word}"}}]}}"#)
        };
        assert_ne!(item_digest(named("NaN").as_bytes()), item_digest(named("null").as_bytes()));
    }
}
