use std::fs;
use std::os::unix::fs::symlink;

use tempfile::TempDir;

use super::super::config::Isolation;
use super::*;

/// Linked to, not copied: a file that was just written can't always be executed where other threads fork.
const STAND_IN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/notebook/environment/stand-in.sh");

struct Stage {
    folder: TempDir,
}

impl Stage {
    fn new() -> Stage {
        let folder = tempfile::tempdir().unwrap();
        symlink(STAND_IN, folder.path().join("python3")).unwrap();
        Stage { folder }
    }

    fn environment(&self) -> PythonEnvironment {
        let (base, folder) = (self.folder.path().join("python3"), self.folder.path().join("made"));
        // The stand-in is not what can be isolated.
        let config = Config { isolation: Isolation::None, ..Config::default() };
        PythonEnvironment::from_base(folder, base, &config)
    }

    fn flag(&self, name: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, "").unwrap();
        path
    }

    fn calls(&self) -> String {
        fs::read_to_string(self.folder.path().join("calls")).unwrap_or_default()
    }
}

#[tokio::test]
async fn it_is_made_once_and_says_what_it_does() {
    let stage = Stage::new();
    let environment = stage.environment();
    assert!(!environment.is_made().await);
    // This one stands for another process: it knows nothing of the first but the folder.
    let other = stage.environment();
    let mut progress = [environment.progress(), other.progress()];
    let (first, second, third) = tokio::join!(environment.ready(), environment.ready(), other.ready());
    assert!(first.as_ref().unwrap().ends_with("bin/python"));
    assert_eq!((&first, &first), (&second, &third));
    assert_eq!(stage.calls(), "venv\npip\n");
    let lines: Vec<_> =
        progress.iter_mut().flat_map(|lines| std::iter::from_fn(|| lines.try_recv().ok())).collect();
    for expected in ["creating the Python environment", "Collecting nbclient", "is ready"] {
        assert!(lines.iter().any(|line| line.contains(expected)), "{expected}: {lines:?}");
    }
    assert!(stage.environment().is_made().await);
    stage.environment().ready().await.unwrap();
    assert_eq!(stage.calls(), "venv\npip\n");
}

#[tokio::test]
async fn an_interrupted_making_begins_anew() {
    let stage = Stage::new();
    let python = stage.environment().ready().await.unwrap();
    let made = python.ancestors().nth(2).unwrap();
    fs::remove_file(made.parent().unwrap().join("environment.json")).unwrap();
    fs::write(made.join("half"), "").unwrap();
    assert_eq!(stage.environment().ready().await, Ok(python.clone()));
    assert_eq!(stage.calls(), "venv\npip\nvenv\npip\n");
    assert!(!made.join("half").exists());
}

#[tokio::test]
async fn one_that_went_away_is_made_again() {
    let stage = Stage::new();
    let environment = stage.environment();
    let python = environment.ready().await.unwrap();
    fs::remove_dir_all(stage.folder.path().join("made")).unwrap();
    assert_eq!(environment.ready().await, Ok(python.clone()));
    assert!(python.exists());
}

#[tokio::test]
async fn a_making_goes_on_when_its_caller_goes_away() {
    let stage = Stage::new();
    let environment = stage.environment();
    let asked = tokio::spawn({
        let environment = environment.clone();
        async move { environment.ready().await }
    });
    let mut progress = environment.progress();
    progress.recv().await.unwrap();
    asked.abort();
    environment.ready().await.unwrap();
    assert_eq!(stage.calls(), "venv\npip\n");
}

#[tokio::test]
async fn without_an_index_pips_words_are_passed_on_and_it_is_tried_again() {
    let stage = Stage::new();
    let environment = stage.environment();
    let no_index = stage.flag("no-index");
    let (first, second) = tokio::join!(environment.ready(), environment.ready());
    let message = first.clone().unwrap_err().to_string();
    assert!(
        message.contains("No matching distribution") && message.contains("[notebook] python"),
        "{message}"
    );
    assert_eq!((first, stage.calls().as_str()), (second, "venv\npip\n"));
    fs::remove_file(no_index).unwrap();
    environment.ready().await.unwrap();
}

#[tokio::test]
async fn what_is_missing_is_named_with_its_package() {
    let stage = Stage::new();
    stage.flag("no-ensurepip");
    let message = stage.environment().ready().await.unwrap_err().to_string();
    assert!(message.contains("apt-get install python3-venv") && message.contains("ensurepip"), "{message}");

    fs::remove_file(stage.folder.path().join("python3")).unwrap();
    let message = stage.environment().ready().await.unwrap_err().to_string();
    assert!(message.contains("apt-get install python3 python3-venv"), "{message}");
}

#[test]
fn every_requirement_is_pinned() {
    let lines = PINS.lines().filter(|line| !line.starts_with('#'));
    let (pinned, other): (Vec<_>, Vec<_>) = lines.partition(|line| line.contains("=="));
    assert_eq!(other, Vec::<&str>::new());
    for name in ["nbclient==0.11.0", "ipykernel==7.4.0"] {
        assert!(pinned.iter().any(|line| line.starts_with(name)), "{name}");
    }
}
