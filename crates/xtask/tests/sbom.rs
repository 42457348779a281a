//! The bill of materials is what CycloneDX's schema allows.

use std::path::Path;
use std::process::Command;

use isochrone_testkit::PythonClient;

#[test]
fn the_bill_of_materials_is_valid_cyclonedx() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("sbom.json");
    let status = Command::new(env!("CARGO_BIN_EXE_xtask")).args(["sbom", "--output"]).arg(&file).status();
    assert!(status.expect("it runs").success());
    let library = ["cyclonedx-python-lib[json-validation]==11.12.0"];
    let python = PythonClient::install("cyclonedx", &[&library]).expect("Python's packages");
    let script = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/validate_sbom.py"));
    let file = file.to_str().expect("a path of text");
    let told = python.run(script, &[("SBOM", file)]).expect("valid");
    assert!(told.contains("valid"), "{told}");
}
