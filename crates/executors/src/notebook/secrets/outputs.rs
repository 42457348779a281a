//! What an executed notebook may not show: secrets in its outputs.

use isochrone_domain::redact::MASKED;
use isochrone_worker::Mask;
use serde::Serialize;
use serde_json::{Map, Value};

/// The executed notebook without secrets in its outputs and metadata. Sources are the owner's own.
pub(in crate::notebook) fn masked_notebook(
    mask: &Mask,
    content: Vec<u8>,
) -> Result<Vec<u8>, serde_json::Error> {
    if mask.is_empty() {
        return Ok(content);
    }
    let mut notebook: Value = serde_json::from_slice(&content)?;
    let mut changed = false;
    if let Some(metadata) = notebook.get_mut("metadata") {
        changed |= mask_value(mask, metadata);
    }
    let cells = notebook.get_mut("cells").and_then(Value::as_array_mut);
    for cell in cells.into_iter().flatten() {
        if let Some(outputs) = cell.get_mut("outputs").and_then(Value::as_array_mut) {
            // A stream's pieces: a secret may begin in one and end in the next.
            join_streams(outputs);
            for output in outputs {
                changed |= mask_value(mask, output);
            }
        }
    }
    if !changed {
        return Ok(content);
    }
    let mut masked = Vec::with_capacity(content.len());
    let format = serde_json::ser::PrettyFormatter::with_indent(b" ");
    notebook.serialize(&mut serde_json::Serializer::with_formatter(&mut masked, format))?;
    masked.push(b'\n');
    Ok(masked)
}

/// Whether anything was masked.
fn mask_value(mask: &Mask, value: &mut Value) -> bool {
    match value {
        Value::String(text) => {
            let masked = mask.text(std::mem::take(text));
            let changed = masked.contains(MASKED);
            *text = masked;
            changed
        }
        // Lines of one text.
        Value::Array(values) if !values.is_empty() && values.iter().all(Value::is_string) => {
            let text: String = values.iter().filter_map(Value::as_str).collect();
            let masked = mask.text(text);
            if !masked.contains(MASKED) {
                return false;
            }
            *values = masked.split_inclusive('\n').map(Value::from).collect();
            true
        }
        Value::Array(values) => {
            let mut changed = false;
            for value in values {
                changed |= mask_value(mask, value);
            }
            changed
        }
        Value::Object(fields) => {
            let mut changed = false;
            let taken = std::mem::take(fields);
            *fields = taken
                .into_iter()
                .map(|(name, mut value)| {
                    changed |= mask_value(mask, &mut value);
                    let masked = mask.text(name);
                    changed |= masked.contains(MASKED);
                    (masked, value)
                })
                .collect::<Map<_, _>>();
            changed
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Makes one output of those of a stream that follow each other.
fn join_streams(outputs: &mut Vec<Value>) {
    let text = |output: &Value| match &output["text"] {
        Value::Array(lines) => lines.iter().filter_map(Value::as_str).collect(),
        text => text.as_str().unwrap_or_default().to_owned(),
    };
    let mut joined: Vec<Value> = Vec::with_capacity(outputs.len());
    for output in outputs.drain(..) {
        match joined.last_mut() {
            Some(last)
                if output["output_type"] == "stream"
                    && last["output_type"] == "stream"
                    && last["name"] == output["name"] =>
            {
                let whole: String = text(last) + &text(&output);
                last["text"] = whole.split_inclusive('\n').map(Value::from).collect();
            }
            _ => joined.push(output),
        }
    }
    *outputs = joined;
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_executed_notebook_keeps_its_sources_and_loses_secrets_in_its_outputs() {
        let mask = Mask::new(["s3cret-word"]);
        let stream = |text: Value| json!({"output_type": "stream", "name": "stdout", "text": text});
        let notebook = json!({
            "cells": [{
                "cell_type": "code", "source": ["print(1) # s3cret-word is what I wrote myself"],
                "outputs": [
                    stream(json!(["a line\n", "s3cr"])), stream(json!("et-word\n")),
                    {"output_type": "error", "ename": "E", "evalue": "s3cret-word", "traceback": ["x s3cret-word"]},
                    {"output_type": "display_data", "data": {"application/json": {"s3cret-word": [1, "s3cret-word"]}}},
                ],
            }],
            "metadata": {"widgets": {"state": "s3cret-word"}}, "nbformat": 4, "nbformat_minor": 5,
        });
        let masked = masked_notebook(&mask, notebook.to_string().into_bytes()).unwrap();
        let masked: Value = serde_json::from_slice(&masked).unwrap();
        let cell = &masked["cells"][0];
        assert_eq!(cell["source"], notebook["cells"][0]["source"]);
        assert_eq!(cell["outputs"][0]["text"], json!(["a line\n", "***\n"]));
        assert!(!cell["outputs"].to_string().contains("s3cret"), "{cell}");
        assert!(!masked["metadata"].to_string().contains("s3cret"));
        let clean = json!({"cells": [], "metadata": {}, "nbformat": 4}).to_string().into_bytes();
        assert_eq!(masked_notebook(&mask, clean.clone()).unwrap(), clean);
    }
}
