//! What it costs to execute a notebook here rather than with nbclient alone: `cargo xtask bench notebook`.

use std::fs;
use std::process::Command;
use std::time::Instant;

use crate::bench::{Bench, cell, environment_ready, notebook};

/// So often, of which the quickest counts.
const TIMES: usize = 3;

const ALONE: &str = "
import sys, nbformat
from nbclient import NotebookClient
NotebookClient(nbformat.read(sys.argv[1], as_version=4), timeout=None, kernel_name='python3').execute()
";

#[tokio::test]
#[ignore = "measures, and neither passes nor fails by its speed"]
async fn beside_nbclient_alone() {
    let small: Vec<_> = (0..2_000).map(|number| cell(&format!("x = {number}\nx"))).collect();
    let large = include_bytes!("cases/many_bigout.ipynb").to_vec();
    let python = environment_ready().await;
    for (name, content) in [("2,000 small cells", notebook(&small)), ("300 cells beside 15 MB", large)] {
        let (mut alone, mut here) = (f64::MAX, f64::MAX);
        for _ in 0..TIMES {
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("notebook.ipynb");
            fs::write(&file, &content).unwrap();
            let began = Instant::now();
            let mut command = Command::new(&python);
            command
                .args(["-c", ALONE])
                .arg(&file)
                .env("IPYTHONDIR", folder.path())
                .current_dir(folder.path());
            assert!(command.status().unwrap().success());
            alone = alone.min(began.elapsed().as_secs_f64());
            let mut bench = Bench::new(content.clone());
            bench.config.output_mib = 64;
            let outcome = bench.run().await;
            outcome.result();
            here = here.min(outcome.took.as_secs_f64());
        }
        println!("{name}: nbclient alone {alone:.2} s, Isochrone {here:.2} s, {:.2} times", here / alone);
    }
}
