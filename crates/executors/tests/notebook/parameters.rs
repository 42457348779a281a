//! Where parameters go, and which are refused.

use isochrone_domain::Reason;
use serde_json::Value;

use crate::bench::{Bench, cell, notebook, tagged};

fn sources(executed: &Value) -> Vec<String> {
    let lines = |source: &Value| match source {
        Value::Array(lines) => lines.iter().filter_map(Value::as_str).collect(),
        other => other.as_str().unwrap_or_default().to_owned(),
    };
    executed["cells"].as_array().unwrap().iter().map(|cell| lines(&cell["source"])).collect()
}

#[tokio::test]
async fn an_earlier_injection_is_replaced() {
    let cells = [
        tagged(&["parameters"], "n = 1"),
        cell("n += 1"),
        tagged(&["injected-parameters"], "n = 5"),
        cell("n"),
    ];
    let outcome = Bench::new(notebook(&cells)).parameters(r#"{"n": 8}"#).run().await;
    assert!(outcome.printed("8"), "{:?}", outcome.log);
    assert_eq!(sources(&outcome.executed().await), ["n = 1", "n += 1", "# Parameters\nn = 8", "n"]);
}

#[tokio::test]
async fn without_any_tag_they_come_first_and_every_json_value_survives() {
    let parameters =
        r#"{"a": null, "b": [true, -0.5, 1e400, 9223372036854775808], "c": {"k\n'": "é\u0000\ud800"}}"#;
    let check = "assert a is None and b == [True, -0.5, float('inf'), 2**63], b\n\
                 assert c == {\"k\\n'\": 'é\\0\\ud800'}";
    let outcome = Bench::new(notebook(&[cell(check)])).parameters(parameters).run().await;
    assert_eq!(outcome.result()["executedCells"], 2);
    assert!(sources(&outcome.executed().await)[0].starts_with("# Parameters\na = None\n"));
}

#[tokio::test]
async fn no_parameters_no_cell() {
    let outcome = Bench::new(notebook(&[cell("1")])).parameters(r#"{"notebookParameters": {}}"#).run().await;
    assert_eq!(sources(&outcome.executed().await), ["1"]);
}

#[tokio::test]
async fn what_python_cannot_take_is_bad_input() {
    for (parameters, word) in
        [(r#"{"no name": 1}"#, "'no name'"), (r#"{"class": 1}"#, "'class'"), ("[1]", "object"), ("{", "JSON")]
    {
        let outcome = Bench::cells(&["1"]).parameters(parameters).run().await;
        let (reason, text) = outcome.failure();
        assert_eq!(reason, Reason::BadInput);
        assert!(text.contains(word), "{text}");
    }
}

#[tokio::test]
async fn what_the_notebook_does_not_declare_is_refused_before_it_runs() {
    let defaults = "buffer = 10\nlayers = ['roads']\nlabel = None";
    let bench = |tag: &'static str, source: &str, parameters: &str| {
        Bench::new(notebook(&[tagged(&[tag], source), cell("print('ran')")])).parameters(parameters)
    };
    for (parameters, words) in [
        (
            r#"{"buffre": 5}"#,
            "'parameters' have 'buffre', which is not declared; there are buffer, layers, label. allow",
        ),
        (r#"{"notebookParameters": {"Buffer": 5}}"#, "have 'Buffer', which is not declared"),
        (r#"{"buffre": 1e999}"#, "have 'buffre', which is not declared"),
        (r#"{"buffer": "wide"}"#, "have 'buffer' as \"wide\"; expected integer"),
        (r#"{"layers": 5}"#, "have 'layers' as 5; expected array"),
    ] {
        let outcome = bench("parameters", defaults, parameters).run().await;
        let (reason, text) = outcome.refusal();
        assert!(reason == Reason::BadInput && text.contains(words), "{parameters}: {reason:?}: {text}");
        assert!(!outcome.printed("ran") && outcome.artifacts.is_empty(), "{parameters}");
        let mut allowed = bench("parameters", defaults, parameters);
        allowed.task.policies.allow_unknown_parameters = true;
        let outcome = allowed.run().await;
        outcome.result();
        let warned = outcome.log.iter().any(|(_, line)| line.starts_with("warning: 'parameters' have '"));
        assert!(warned && outcome.printed("ran"), "{parameters}: {:?}", outcome.log);
    }
    for (tag, source, warning) in [
        (
            "parameters",
            "from os import *",
            "the notebook's cell tagged 'parameters' does more than set values",
        ),
        ("other", "buffer = 10", "the notebook has no cell tagged 'parameters'"),
    ] {
        let outcome = bench(tag, source, r#"{"buffre": 5}"#).run().await;
        outcome.result();
        let line = format!("warning: 'parameters' were not checked for 'buffre': {warning}");
        assert!(outcome.printed(&line) && outcome.printed("ran"), "{:?}", outcome.log);
    }
    let outcome =
        bench("parameters", defaults, r#"{"buffer": "5", "layers": null, "label": [1]}"#).run().await;
    outcome.result();
    assert!(!outcome.log.iter().any(|(_, line)| line.contains("warning")), "{:?}", outcome.log);
}
