//! Notebooks as people and programs write them, and what comes of each.

use isochrone_domain::Reason;
use serde_json::{Value, json};

use crate::bench::{Bench, cell, notebook, tagged};
use crate::table::{End, Row, check};

macro_rules! case {
    ($name:literal) => {
        Bench::new(include_bytes!(concat!("cases/", $name, ".ipynb")).to_vec())
    };
}

fn failed(words: &'static str) -> End {
    End::Fails(Reason::ExecutionError, words)
}

fn refused(words: &'static str) -> End {
    End::Fails(Reason::BadInput, words)
}

#[tokio::test]
async fn notebooks_that_were_sent_in() {
    let parameters = |bench: Bench, text| bench.parameters(text);
    check(vec![
        Row::new("chatty_fail", case!("chatty_fail"), failed("THE REASON: disk full at parcel 2999")),
        Row::new("exit_slow", case!("exit_slow"), End::Succeeds)
            .logs("nothing new")
            .never_logs("AFTER exit()"),
        Row::new("ks_arcgispro", case!("ks_arcgispro"), End::Succeeds)
            .logs("'ArcGISPro', which is not installed"),
        Row::new("ks_nullks", case!("ks_nullks"), End::Succeeds).logs("names no kernel"),
        Row::new("nan_in_output", case!("nan_in_output"), End::Succeeds).logs("ran"),
        Row::new("params_inj", parameters(case!("params_inj"), r#"{"a": 5}"#), End::Succeeds).logs("5 mine"),
        Row::new("params_inj without", case!("params_inj"), End::Succeeds).logs("1 mine"),
        Row::new("stale", case!("stale"), failed("ValueError: stop (cell 2 of 3)")),
        Row::new("surrogate_src", case!("surrogate_src"), End::Succeeds).logs("surrogate"),
        Row::new("tags_null", case!("tags_null"), End::Succeeds).logs("1"),
        Row::new("tqdm", case!("tqdm"), End::Succeeds).logs("1000/1000").never_logs(" 999/1000"),
    ])
    .await;
}

fn document(changes: &Value) -> Bench {
    let mut notebook = json!({"nbformat": 4, "nbformat_minor": 5, "cells": [cell("print('ran', 6 * 7)")],
        "metadata": {"kernelspec": {"name": "python3", "language": "python", "display_name": "Python 3"}}});
    for (name, value) in changes.as_object().unwrap() {
        notebook[name] = value.clone();
    }
    Bench::new(notebook.to_string().into_bytes())
}

fn code(changes: &Value) -> Value {
    let mut cell = cell("print('ran', 6 * 7)");
    for (name, value) in changes.as_object().unwrap() {
        cell[name] = value.clone();
    }
    cell
}

#[tokio::test]
async fn notebooks_that_no_editor_would_write_are_executed_or_refused_by_what_is_wrong() {
    let cells = |cells: &[Value]| document(&json!({"cells": cells}));
    let without = |name: &str| {
        let mut cell = cell("print('ran', 6 * 7)");
        cell.as_object_mut().unwrap().remove(name);
        document(&json!({"cells": [cell]}))
    };
    let v3 = json!({"nbformat": 3, "nbformat_minor": 0, "metadata": {"name": "old"}, "worksheets": [{"cells": [
        {"cell_type": "heading", "level": 1, "source": "Title"},
        {"cell_type": "code", "input": ["print('ran', 6 * 7)"], "language": "python", "collapsed": false,
         "outputs": [{"output_type": "pyout", "text": ["old"], "prompt_number": 1}]}]}]});
    let bare_v3 = json!({"nbformat": 3, "worksheets": [{"cells": [{"cell_type": "code", "input": "print('ran', 42)"}]}]});
    let v2 = json!({"nbformat": 2, "metadata": {}, "worksheets": [{"cells": [
        {"cell_type": "code", "input": "print('ran', 42)", "language": "python", "outputs": []}]}]});
    let bytes = |value: &Value| Bench::new(value.to_string().into_bytes());
    let with_bom = |text: String| Bench::new([b"\xef\xbb\xbf", text.as_bytes()].concat());
    let huge = format!(
        r#"{{"nbformat": 4, "nbformat_minor": 4, "metadata": {{"n": {}, "f": -1e999, "x": -Infinity}}, "cells": [{}]}}"#,
        "9".repeat(10_000),
        cell("print('ran', 6 * 7)")
    );
    let fine = vec![
        ("metadata null", document(&json!({"metadata": null}))),
        ("metadata a list", document(&json!({"metadata": []}))),
        ("minor missing", document(&json!({"nbformat_minor": null}))),
        ("minor of the future", document(&json!({"nbformat_minor": 99}))),
        ("format in words", document(&json!({"nbformat": "4"}))),
        ("4.0", document(&json!({"nbformat_minor": 0}))),
        ("cell without metadata", without("metadata")),
        ("cell without outputs", without("outputs")),
        ("cell without count", without("execution_count")),
        ("cell metadata null", cells(&[code(&json!({"metadata": null}))])),
        ("tags a text", cells(&[code(&json!({"metadata": {"tags": "x"}}))])),
        ("tags of numbers", cells(&[code(&json!({"metadata": {"tags": [1, null, "y"]}}))])),
        ("source in lines", cells(&[code(&json!({"source": ["print('ran',\n", " 6 * 7)"]}))])),
        ("source null beside", cells(&[code(&json!({"source": null})), code(&json!({}))])),
        ("outputs null", cells(&[code(&json!({"outputs": null}))])),
        ("outputs no outputs", cells(&[code(&json!({"outputs": [7, null, {"output_type": "what"}, {}]}))])),
        ("stream without text", cells(&[code(&json!({"outputs": [{"output_type": "stream"}]}))])),
        ("same ids", cells(&[code(&json!({"id": "a"})), code(&json!({"id": "a"}))])),
        (
            "odd ids",
            cells(&[code(&json!({"id": "not valid!"})), code(&json!({"id": 7})), code(&json!({"id": ""}))]),
        ),
        ("unknown kind of cell", cells(&[json!({"cell_type": "heading", "source": "x"}), code(&json!({}))])),
        (
            "attachments null",
            cells(&[json!({"cell_type": "markdown", "source": "x", "attachments": null}), code(&json!({}))]),
        ),
        (
            "widget state",
            document(&json!({"metadata": {"widgets": {"application/vnd.jupyter.widget-state+json": 7}}})),
        ),
        ("nbformat 3", bytes(&v3)),
        ("nbformat 3, bare", bytes(&bare_v3)),
        ("nbformat 2", bytes(&v2)),
        (
            "byte order mark",
            with_bom(json!({"nbformat": 4, "metadata": {}, "cells": [code(&json!({}))]}).to_string()),
        ),
        ("huge numbers", Bench::new(huge.into_bytes())),
    ];
    let rows = fine.into_iter().map(|(name, bench)| Row::new(name, bench, End::Succeeds).logs("ran 42"));
    let broken = [
        ("no cells", document(&json!({"cells": null})), refused("no list of cells")),
        ("cell a number", cells(&[json!(7)]), refused("its cell 1 has no type")),
        (
            "source a number",
            cells(&[code(&json!({"source": 7}))]),
            refused("its cell 1 has a source that is no text"),
        ),
        ("nbformat 5", document(&json!({"nbformat": 5})), refused("nbformat is 5")),
        ("nbformat null", document(&json!({"nbformat": null})), refused("nbformat is None")),
        (
            "Latin-1",
            Bench::new(b"{\"nbformat\": 4, \"cells\": [], \"x\": \"\xe9\"}".to_vec()),
            refused("not a notebook"),
        ),
    ];
    check(rows.chain(broken.into_iter().map(|(name, bench, end)| Row::new(name, bench, end))).collect())
        .await;
}

#[tokio::test]
async fn reasons_and_logs_are_plain_words() {
    let cells = |sources: &[&str]| {
        Bench::new(notebook(&sources.iter().map(|source| cell(source)).collect::<Vec<_>>()))
    };
    check(vec![
        Row::new(
            "colours",
            cells(&["print('\\x1b[31mred\\x1b[0m end')\nraise ValueError('\\x1b[1mbold\\x1b[0m')"]),
            failed("ValueError: bold (cell 1 of 1)"),
        )
        .logs("red end")
        .never_logs("\x1b"),
        Row::new("no words", cells(&["raise ValueError"]), failed("ValueError (cell 1 of 1)")),
        Row::new(
            "half an emoji",
            cells(&["print('\\ud83d')\nraise ValueError('\\ud83d')"]),
            failed("ValueError: \u{fffd}"),
        ),
        Row::new(
            "no str",
            cells(&["class E(Exception):\n    def __str__(self): raise KeyError(1)\nraise E"]),
            failed("E"),
        ),
        Row::new(
            "many lines",
            cells(&["raise ValueError('first\\nsecond')"]),
            failed("ValueError: first\nsecond"),
        ),
        Row::new("syntax", cells(&["def"]), failed("SyntaxError")),
        Row::new(
            "a group",
            cells(&["raise BaseExceptionGroup('several', [ValueError(1)])"]),
            failed("several"),
        ),
        Row::new("shell", cells(&["%%bash\necho to the log\nexit 3"]), failed("exit status 3"))
            .logs("to the log"),
        Row::new(
            "a thread's",
            cells(&["import threading\nt = threading.Thread(target=lambda: 1 / 0)\nt.start(); t.join()"]),
            End::Succeeds,
        )
        .logs("ZeroDivisionError"),
        Row::new(
            "tolerated",
            Bench::new(notebook(&[tagged(&["raises-exception"], "1 / 0"), cell("print('on')")])),
            End::Succeeds,
        )
        .logs("on"),
        Row::new(
            "words to the terminal",
            cells(&["import os\nos.system('echo from a shell')\nos.write(1, b'raw\\n')"]),
            End::Succeeds,
        )
        .logs("from a shell")
        .logs("raw"),
    ])
    .await;
}

#[tokio::test]
async fn what_an_earlier_execution_printed_is_not_there() {
    let outcome = case!("stale").run().await;
    outcome.failure();
    let executed = outcome.executed().await;
    assert!(!executed.to_string().contains("OLD RESULT"), "{executed}");
    assert!(executed["cells"][0]["outputs"].to_string().contains("new"));
    assert_eq!(
        (&executed["cells"][2]["outputs"], &executed["cells"][2]["execution_count"]),
        (&json!([]), &Value::Null)
    );
}

#[tokio::test]
async fn progress_bars_leave_their_last_state() {
    let outcome = case!("tqdm").run().await;
    outcome.result();
    let bars: Vec<_> = outcome.log.iter().filter(|(_, line)| line.contains("it/s")).collect();
    assert_eq!(bars.len(), 1, "{bars:?}");
    let executed = outcome.executed().await["cells"][0]["outputs"].to_string();
    assert!(executed.contains("1000/1000") && !executed.contains(" 999/1000"), "{executed}");
}

/// More messages than ZeroMQ's high-water marks have room for.
#[tokio::test]
async fn no_output_is_lost_in_a_flood() {
    let outcome = case!("flood_flush").run().await;
    outcome.result();
    let executed = outcome.executed().await;
    let outputs = executed["cells"][0]["outputs"].as_array().unwrap();
    assert_eq!(outputs.len(), 1, "one stream");
    let lines: Vec<&str> = outputs[0]["text"].as_str().unwrap().lines().collect();
    assert_eq!(lines.len(), 60_001);
    assert!((0..60_000).all(|number| lines[number] == format!("line {number} of the flood")));
    assert_eq!(lines[60_000], "END-OF-1");
    assert_eq!(executed["cells"][1]["outputs"][0]["text"], "CELL-2\n");

    let then_an_error = "for number in range(20_000): print(number, flush=True)\nraise ValueError('the end')";
    let outcome = Bench::cells(&[then_an_error]).run().await;
    assert_eq!(outcome.failure().1, "ValueError: the end (cell 1 of 1)");
    let outputs = outcome.executed().await["cells"][0]["outputs"].clone();
    assert_eq!(outputs[0]["text"].as_str().unwrap().lines().count(), 20_000);
    assert_eq!(outputs[1]["ename"], "ValueError");
}
