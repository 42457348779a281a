//! `/arcgis/home`, and output parameters of ArcGIS's Parameters pane.

use isochrone_domain::Reason;
use isochrone_executors::notebook::Isolation;
use serde_json::json;

use crate::bench::{Bench, cell};

const READ: &str = "import os\nos.makedirs('/arcgis/home/data', exist_ok=True)\npath = '/arcgis/home/data/count.txt'\n\
                    count = int(open(path).read()) + 1 if os.path.exists(path) else 1\nopen(path, 'w').write(str(count))\n\
                    print('execution', count)";

#[tokio::test]
async fn the_owners_folder_stays_from_run_to_run() {
    let homes = tempfile::tempdir().unwrap();
    for count in 1..=2 {
        let mut bench = Bench::cells(&[READ]).isolated(Isolation::Bwrap);
        bench.config.homes = Some(homes.path().to_path_buf());
        let outcome = bench.run().await;
        outcome.result();
        assert!(outcome.printed(&format!("execution {count}")), "{:?}", outcome.log);
        assert_eq!(outcome.artifacts.len(), 1, "what stays is no artifact");
    }
    assert_eq!(std::fs::read_to_string(homes.path().join("anna/data/count.txt")).unwrap(), "2");
    let mut bench = Bench::cells(&[READ]).isolated(Isolation::Bwrap);
    bench.config.homes = Some(homes.path().to_path_buf());
    bench.task.owner = "../bert".to_owned();
    let outcome = bench.run().await;
    assert!(outcome.printed("execution 1"), "another owner's: {:?}", outcome.log);
    assert!(homes.path().join("%2e./bert").exists() || homes.path().join("%2e.%2fbert").exists());
}

#[tokio::test]
async fn the_owners_folder_is_bounded() {
    let homes = tempfile::tempdir().unwrap();
    let source = "import time\nopen('/arcgis/home/large', 'wb').write(b'x' * (3 << 20))\ntime.sleep(60)";
    let mut bench = Bench::cells(&[source]).isolated(Isolation::Bwrap);
    (bench.config.homes, bench.config.home_mib) = (Some(homes.path().to_path_buf()), 1);
    let (outcome, limit) = (bench.run().await, "[notebook] home_mib");
    let (reason, words) = outcome.failure();
    assert!(reason == Reason::DiskLimit && words.contains(limit), "{reason:?}: {words}");
    // Whoever wants to make room may.
    let source = "import os, time\nos.remove('/arcgis/home/large'); time.sleep(2); print('removed')";
    let mut bench = Bench::cells(&[source]).isolated(Isolation::Bwrap);
    (bench.config.homes, bench.config.home_mib) = (Some(homes.path().to_path_buf()), 1);
    let outcome = bench.run().await;
    outcome.result();
    assert!(outcome.printed("removed"));
}

#[tokio::test]
async fn without_homes_it_is_the_runs_own_folder() {
    let outcome = Bench::cells(&[READ]).isolated(Isolation::Bwrap).run().await;
    outcome.result();
    assert_eq!(outcome.content("data/count.txt").await, b"1");
    let line = "/arcgis/home: [notebook] homes is not set: it is the run's own folder, and goes with it";
    assert!(outcome.printed(line), "{:?}", outcome.log);

    let mut bench = Bench::cells(&["print('on')"]).isolated(Isolation::None);
    bench.config.homes = Some("/var/empty".into());
    let outcome = bench.run().await;
    outcome.result();
    let line = "/arcgis/home: it is not the owner's folder, as only bubblewrap can put it there";
    assert!(outcome.printed(line), "{:?}", outcome.log);
}

#[tokio::test]
async fn output_parameters_are_the_runs_result() {
    let metadata = json!({
        "kernelspec": {"name": "python3", "language": "python", "display_name": "Python 3"},
        "esriNotebookRuntime": {"notebookRuntimeName": "ArcGIS Notebook Python 3 Standard", "notebookRuntimeVersion": "9.0"},
        "parameters": {
            "input": [{"name": "city", "dataType": "GPString", "defaultValue": "Bern"}],
            "output": [
                {"name": "features", "dataType": "GPFeatureRecordSetLayer"}, {"name": "total", "dataType": "GPLong"},
                {"name": "share", "dataType": "GPDouble"}, {"name": "forgotten", "dataType": "GPString"},
            ],
        },
    });
    let source = "total, share = len(city), float('nan')\nclass Set:\n    def to_dict(self): return {'features': []}\n\
                  features = Set()";
    let notebook = json!({"nbformat": 4, "nbformat_minor": 5, "metadata": metadata,
                          "cells": [cell("city = 'Bern'"), cell(source)]});
    let bench = || Bench::new(notebook.to_string().into_bytes()).parameters(r#"{"citi": "Basel"}"#);
    let told = "'parameters' have 'citi', which is not declared; there are city";
    let (reason, words) = bench().run().await.refusal();
    assert!(reason == Reason::BadInput && words.starts_with(told), "{reason:?}: {words}");
    let mut bench = bench();
    bench.task.policies.allow_unknown_parameters = true;
    let outcome = bench.run().await;
    let outputs = &outcome.result()["outputs"];
    assert_eq!(*outputs, json!({"features": {"features": []}, "total": 4, "share": null}));
    let logged = |words: &str| outcome.log.iter().any(|(_, line)| line.contains(words));
    assert!(logged(&format!("warning: {told}")), "{:?}", outcome.log);
    assert!(logged("the output parameter 'forgotten' has no value: NameError"), "{:?}", outcome.log);
}
