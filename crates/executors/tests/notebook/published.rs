//! The notebooks with which nbclient and papermill test themselves, from their published sources (both under BSD
//! licenses): each ends here as its authors mean it to end without further options.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use isochrone_domain::Reason;
use isochrone_worker::StopReason;

use crate::bench::{Bench, environment_folder};
use crate::table::{End, Row, check};

const SOURCES: &str = "\
nbclient==0.11.0 --hash=sha256:04a134a5b087f2c5887f228aca155db50169b8cd9334dee6942c8e927e56081a
papermill==2.7.0 --hash=sha256:ec10b37594a060662f57269e1ebd108c209d204450f00fdfeb70a1c7cfb7fbc8
";

/// Takes the notebooks out of the archives in its first argument.
const UNPACK: &str = "
import glob, os, sys, tarfile
for archive in glob.glob(sys.argv[1] + '/*.tar.gz'):
    for member in tarfile.open(archive):
        if member.isfile() and member.name.endswith('.ipynb'):
            with open(os.path.join(sys.argv[1], os.path.basename(member.name)), 'wb') as file:
                file.write(tarfile.open(archive).extractfile(member.name).read())
";

/// The folder with all of them; kept from one test run to the next.
fn notebooks() -> PathBuf {
    let folder = environment_folder().parent().unwrap().join("published-notebooks-1");
    if folder.exists() {
        return folder;
    }
    fs::create_dir_all(folder.parent().unwrap()).unwrap();
    let new = tempfile::tempdir_in(folder.parent().unwrap()).unwrap();
    fs::write(new.path().join("sources.txt"), SOURCES).unwrap();
    let run = |arguments: &[&str]| {
        let status = Command::new("python3").args(arguments).current_dir(new.path()).status().unwrap();
        assert!(status.success(), "python3 {arguments:?}");
    };
    run(&[
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--no-binary",
        "nbclient,papermill",
        "--require-hashes",
        "--dest",
        ".",
        "--requirement",
        "sources.txt",
    ]);
    run(&["-c", UNPACK, "."]);
    // Another test run may have been quicker.
    let _ = fs::rename(new.keep(), &folder);
    folder
}

fn published(folder: &Path, name: &str) -> Bench {
    Bench::new(
        fs::read(folder.join(format!("{name}.ipynb"))).unwrap_or_else(|error| panic!("{name}: {error}")),
    )
}

#[tokio::test]
async fn notebooks_of_nbclient_and_papermill_end_as_their_authors_mean() {
    let folder = notebooks();
    let failed = |words| End::Fails(Reason::ExecutionError, words);
    let rows = [
        // nbclient's.
        ("Autokill", End::Fails(Reason::ProcessDied, "SIGTERM"), ""),
        ("Check History in Memory", End::Succeeds, ""),
        ("Clear Output", End::Succeeds, "Hello world"),
        ("Disable Stdin", failed("StdinNotImplementedError"), ""),
        ("Empty Cell", End::Succeeds, "Code 2"),
        ("Error", failed("ZeroDivisionError: division by zero (cell 1 of 1)"), ""),
        ("Factorials", End::Succeeds, "144"),
        ("HelloWorld", End::Succeeds, "Hello World"),
        ("Inline Image", failed("python.png"), ""),
        ("JupyterWidgets", failed("ipywidgets"), ""),
        ("Other Comms", End::Succeeds, ""),
        ("Output", failed("ipywidgets"), ""),
        ("SVG", End::Succeeds, "SVG object"),
        ("Skip Exceptions with Cell Tags", End::Succeeds, "ok"),
        ("Skip Exceptions", failed("Exception: message"), ""),
        ("Skip Execution with Cell Tag", End::Succeeds, "ok"),
        ("Sleep1s", End::Succeeds, ""),
        ("Unicode", End::Succeeds, "\u{2603}"),
        ("UnicodePy3", End::Succeeds, "\u{2603}"),
        ("update-display-id", End::Succeeds, "above"),
        // papermill's.
        ("binder", failed("CalledProcessError"), ""),
        ("blank-vscode", End::Succeeds, ""),
        ("broken", failed("SyntaxError"), ""),
        ("broken1", failed("AssertionError (cell 2 of 3)"), "We're good."),
        ("broken2", failed("cell 2 of 3"), "We're good."),
        ("complex_parameters", failed("SyntaxError"), ""),
        // Takes 14 s: it sleeps, to show how output comes.
        ("gcs-simple_notebook", End::Succeeds, "hi, stdout"),
        ("line_magic_error", failed("UsageError"), "not found"),
        ("nb_version_4.4", End::Succeeds, "1"),
        ("no_parameters", End::Succeeds, "None"),
        ("notimplemented_translator", End::Fails(Reason::BadInput, "for R"), ""),
        ("read_check", failed("AssertionError"), "NB_CWD"),
        ("report_mode_test", End::Succeeds, "2"),
        ("result_no_exec", End::Succeeds, ""),
        ("s3-simple_notebook", End::Succeeds, "None"),
        ("simple_execute", End::Succeeds, "None"),
        ("sysexit", End::Succeeds, ""),
        ("sysexit0", End::Succeeds, ""),
        ("sysexit1", failed("SystemExit: 1 (cell 2 of 3)"), ""),
        ("systemexit", End::Succeeds, ""),
        ("test_autosave", End::Succeeds, "24"),
        ("test_logging", failed("ggplot"), "hello world"),
        ("test_notebooknode_io", End::Succeeds, "Hello World"),
    ];
    let row = |(name, end, logged)| {
        let row = Row::new(name, published(&folder, name), end);
        row.logs(logged).never_logs("Cell should not execute").never_logs("Shouldn't get here")
    };
    let parameters = |name: &str, text| published(&folder, name).parameters(text);
    let given = [
        Row::new("simple_execute, msg", parameters("simple_execute", r#"{"msg": "Hello"}"#), End::Succeeds)
            .logs("Hello"),
        Row::new("nb_version_4.4, var", parameters("nb_version_4.4", r#"{"var": 2}"#), End::Succeeds)
            .logs("2"),
        Row::new("report_mode_test, a", parameters("report_mode_test", r#"{"a": 40}"#), End::Succeeds)
            .logs("41"),
        // As its source has it, the value is set again after the injection at the top.
        Row::new("no_parameters, msg", parameters("no_parameters", r#"{"msg": "Hello"}"#), End::Succeeds)
            .logs("None"),
    ];
    check(rows.into_iter().map(row).chain(given).collect()).await;
}

/// They run until somebody interrupts them.
#[tokio::test]
async fn notebooks_that_are_meant_to_be_interrupted_end_so() {
    let folder = notebooks();
    for (name, stop) in [("Interrupt", StopReason::Deadline), ("keyboard_interrupt", StopReason::Cancelled)] {
        let execution = published(&folder, name).start();
        execution.printed("Python environment").await;
        execution.stop(stop);
        let outcome = execution.outcome().await;
        assert_eq!(outcome.failure().0, Reason::Cancelled, "{name}");
        assert!(!outcome.printed("done"), "{name}: {:?}", outcome.log);
    }
}

/// Each waits for what the other one writes into a folder that both have.
#[tokio::test]
async fn notebooks_that_wait_for_each_other_are_executed_at_once() {
    let (folder, shared) = (notebooks(), tempfile::tempdir().unwrap());
    let start = |name: &str| {
        let text = fs::read_to_string(folder.join(name)).unwrap();
        // Their own five seconds are of a machine that has nothing else to do.
        let patient = text.replace("timeout = 5\\n", "timeout = 120\\n");
        assert_ne!(patient, text);
        let mut bench = Bench::new(patient.into_bytes());
        bench.config.writable = vec![shared.path().to_owned()];
        let shared = shared.path().to_str().unwrap().to_owned();
        bench.config.environment.insert("NBEXECUTE_TEST_PARALLEL_TMPDIR".to_owned(), shared);
        bench.start()
    };
    let both = ["Parallel Execute A.ipynb", "Parallel Execute B.ipynb"].map(start);
    for execution in both {
        execution.outcome().await.result();
    }
}
