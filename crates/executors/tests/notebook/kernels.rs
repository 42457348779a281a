//! Which notebooks are executed, whatever kernel they name.

use isochrone_domain::Reason;
use serde_json::{Value, json};

use crate::bench::{Bench, cell};
use crate::table::{End, Row, check};

fn notebook(metadata: &Value) -> Vec<u8> {
    let cells = [cell("print('executed by', __import__('sys').version_info[0])")];
    json!({"nbformat": 4, "nbformat_minor": 4, "metadata": metadata, "cells": cells}).to_string().into_bytes()
}

#[tokio::test]
async fn python_notebooks_are_executed_whatever_their_kernel_is_called() {
    let python = [
        json!({"kernelspec": {"name": "ArcGISPro", "language": "Python", "display_name": "ArcGISPro"}}),
        json!({"kernelspec": {"name": "conda-env-arcgispro-py3-clone-py", "language": "python"}}),
        json!({"kernelspec": {"name": "python2", "language": "python"}, "language_info": {"name": "python", "version": "2.7.1"}}),
        json!({"kernelspec": {"name": "python"}}),
        json!({"kernelspec": {"name": "arcgis"}, "language_info": {"name": "ipython"}}),
        json!({"kernelspec": {"name": "My Project (3.9)", "language": "Python3"}}),
        json!({"kernelspec": {"name": "../../etc", "language": "ipython"}}),
        json!({"kernelspec": {"name": null, "language": null}}),
        json!({"kernelspec": null}),
        json!({"kernelspec": "ArcGISPro", "language_info": null}),
        json!(null),
    ];
    let rows = python.into_iter().map(|metadata| {
        let bench = Bench::new(notebook(&metadata));
        Row::new(metadata.to_string(), bench, End::Succeeds)
            .logs("executed by 3")
            .logs("it is executed with Python 3.")
    });
    let usual = ["python3", "Python3"].map(|name| {
        let bench = Bench::new(notebook(&json!({"kernelspec": {"name": name, "language": "python"}})));
        Row::new(name, bench, End::Succeeds).logs("executed by 3").never_logs("it is executed with Python")
    });
    check(rows.chain(usual).collect()).await;
}

#[tokio::test]
async fn other_languages_are_refused_by_their_names() {
    let refused = [
        (
            json!({"kernelspec": {"name": "ir", "language": "R"}}),
            "'ir', for R, is not installed (installed: python3)",
        ),
        (json!({"kernelspec": {"name": "ir"}}), "'ir' is not installed"),
        (json!({"kernelspec": {"name": "julia-1.10"}}), "'julia-1.10' is not installed"),
        (json!({"kernelspec": null, "language_info": {"name": "julia"}}), "julia"),
        (json!({"kernelspec": {"name": "python3-like", "language": "scala"}}), "for scala"),
    ];
    let rows = refused.into_iter().map(|(metadata, words)| {
        let bench = Bench::new(notebook(&metadata));
        Row::new(metadata.to_string(), bench, End::Fails(Reason::BadInput, words)).never_logs("executed by")
    });
    check(rows.collect()).await;
}
