//! What lies in deploy/ fits together, and fits Isochrone: see deploy/check.py.

use std::path::Path;

use isochrone_testkit::{NodeClient, PythonClient};

fn check(what: &str) {
    ask(what, &[]);
}

/// Grafana's schema and the operators' are packages for Node.js.
fn check_with_schemas(what: &str) {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/schemas"));
    let schemas = NodeClient::install_locked("deploy-schemas", folder).expect("Node's packages").packages();
    ask(what, &["--packages", schemas.to_str().expect("the cache's path is text")]);
}

fn ask(what: &str, more: &[&str]) {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let requirements = root.join("deploy/requirements.txt");
    let requirements = requirements.to_str().expect("the checkout's path is text");
    let python = PythonClient::install("deploy", &[&["-r", requirements]]).expect("Python's packages");
    let told = python.run_program("python", root, &[&["deploy/check.py", what], more].concat()).expect(what);
    assert!(told.contains(what), "{told}");
}

#[test]
fn each_alert_fires_where_it_should_and_nowhere_else() {
    check("rules");
}

#[test]
fn no_rule_and_no_dashboard_asks_for_a_metric_that_there_is_not() {
    check("names");
}

#[test]
fn dashboards_are_what_their_source_makes_and_grafana_knows_them() {
    check_with_schemas("dashboards");
}

#[test]
fn containers_have_versions_limits_and_secrets_as_files() {
    check("containers");
}

#[test]
fn systemd_understands_the_units() {
    check("units");
}

#[test]
fn the_chart_makes_the_manifests_and_kubernetes_and_its_operators_know_them() {
    check_with_schemas("chart");
}
