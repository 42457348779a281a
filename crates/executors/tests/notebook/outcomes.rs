//! How executions end.

use isochrone_domain::{AttemptEnd, ItemId, LogStream, Reason};
use serde_json::json;

use crate::bench::{Bench, cell, notebook, notebook_for, tagged};

#[tokio::test]
async fn a_notebook_succeeds_and_is_kept_with_its_outputs() {
    let cells = [
        tagged(&["parameters"], "city = 'nowhere'\nyears = []"),
        cell("print('hello', city)\nprint('half', end='')"),
        cell("sum(years)"),
        tagged(&["skip-execution"], "1 / 0"),
        tagged(&["raises-exception"], "1 / 0"),
        cell("import sys; print('to stderr', file=sys.stderr)"),
        cell("import os; print(os.environ['ISOCHRONE_PLANNED'])"),
    ];
    let wrapped =
        r#"{"notebookParameters": {"city": "Zürich", "years": [2024, 1]}, "saveInjectedParameters": true}"#;
    let outcome = Bench::new(notebook(&cells)).parameters(wrapped).run().await;

    let result = outcome.result();
    assert_eq!(result["backend"], "local");
    assert_eq!((&result["executedCells"], &result["totalCells"]), (&json!(8), &json!(8)));
    assert_eq!(result["outputNotebook"], "Daily chart.ipynb");
    assert!(result["durationMs"].as_u64().unwrap() > 100);
    for line in ["hello Zürich", "half", "2025", "2026-01-01T00:00:00Z"] {
        assert!(outcome.printed(line), "{line}: {:?}", outcome.log);
    }
    assert!(outcome.log.contains(&(LogStream::Stderr, "to stderr".to_owned())));
    assert!(outcome.progress.contains(&"cell 3 of 8".to_owned()), "{:?}", outcome.progress);

    let executed = outcome.executed().await;
    let injected = &executed["cells"][1];
    assert_eq!(injected["metadata"]["tags"], json!(["injected-parameters"]));
    assert!(executed["cells"][2]["outputs"].to_string().contains("hello Zürich"));
}

#[tokio::test]
async fn a_cells_error_fails_the_run_and_the_notebook_is_kept_so_far() {
    let outcome = Bench::cells(&["print('before')", "{}['missing']", "print('after')"]).run().await;
    assert_eq!(outcome.failure(), (Reason::ExecutionError, "KeyError: 'missing' (cell 2 of 3)"));
    assert!(outcome.printed("before") && !outcome.printed("after"));
    assert!(outcome.executed().await["cells"][1]["outputs"].to_string().contains("KeyError"));
}

#[tokio::test]
async fn leaving_early_is_success_with_code_0_only() {
    let outcome = Bench::cells(&["import sys", "sys.exit(0)", "print('after')"]).run().await;
    assert_eq!(outcome.result()["executedCells"], 1);
    assert!(!outcome.printed("after"));

    let outcome = Bench::cells(&["import sys", "sys.exit(3)"]).run().await;
    assert_eq!(outcome.failure(), (Reason::ExecutionError, "SystemExit: 3 (cell 2 of 2)"));
}

#[tokio::test]
async fn a_missing_kernel_is_bad_input() {
    let outcome = Bench::new(notebook_for("cobol", &[cell("1")])).run().await;
    let (reason, text) = outcome.failure();
    assert_eq!(reason, Reason::BadInput);
    assert!(text.contains("'cobol'") && text.contains("python3"), "{text}");
}

#[tokio::test]
async fn what_is_no_notebook_is_bad_input() {
    for bytes in [&b"%PDF-1.7"[..], b"", b"{\"nbformat\": 99}", b"{\"nbformat\": 4, \"cells\": [7]}"] {
        let outcome = Bench::new(bytes.to_vec()).run().await;
        let (reason, text) = outcome.failure();
        assert_eq!(reason, Reason::BadInput);
        assert!(text.contains("not a notebook"), "{text}");
    }
}

#[tokio::test]
async fn a_missing_item_is_told() {
    let mut bench = Bench::cells(&["1"]);
    bench.task.item_id = Some(ItemId::from_bytes([9; 16]));
    let end = bench.run().await.end;
    assert!(matches!(end, AttemptEnd::SubmitFailed { reason: Reason::ItemMissing, .. }), "{end:?}");
}

#[tokio::test]
async fn a_kernel_that_dies_fails_the_run_at_once() {
    let outcome = Bench::cells(&["1", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"]).run().await;
    let (reason, text) = outcome.failure();
    assert_eq!(reason, Reason::ProcessDied);
    assert!(text.contains("cell 2 of 2"), "{text}");
    assert!(outcome.took.as_secs() < 20);
}

#[tokio::test]
async fn the_workers_environment_and_home_stay_outside() {
    // Cargo gives these to the test's process, as an operator gives secrets to the worker's.
    assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some());
    let source = "import os, pathlib\n\
                  print('names', sorted(name for name in os.environ if 'CARGO' in name))\n\
                  print('zone', os.environ['TZ'])\n\
                  print('home', pathlib.Path.home().parent == pathlib.Path.cwd().parent and os.listdir() == [])";
    let outcome = Bench::cells(&[source]).run().await;
    outcome.result();
    for line in ["names []", "zone UTC", "home True"] {
        assert!(outcome.printed(line), "{line}: {:?}", outcome.log);
    }
}

#[tokio::test]
async fn a_configured_python_must_have_jupyter() {
    let mut bench = Bench::cells(&["1"]);
    bench.config.python = Some("/bin/false".into());
    match bench.run().await.end {
        AttemptEnd::SubmitFailed { reason: Reason::Internal, result } => {
            assert!(result.contains("/bin/false") && result.contains("nbclient"), "{result}");
        }
        other => panic!("{other:?}"),
    }
}
