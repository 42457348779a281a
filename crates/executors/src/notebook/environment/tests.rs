use std::fs;
use std::os::unix::fs::symlink;
use std::time::Duration;

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
        self.environment_of(Config::default())
    }

    fn environment_of(&self, config: Config) -> PythonEnvironment {
        let (base, folder) = (self.folder.path().join("python3"), self.folder.path().join("made"));
        // The stand-in is not what can be isolated.
        let config = Config { isolation: Isolation::None, ..config };
        PythonEnvironment::from_base(folder, base, &config)
    }

    /// How many environments are complete.
    fn complete(&self) -> usize {
        let all = fs::read_dir(self.folder.path().join("made")).unwrap().flatten();
        all.filter(|entry| entry.path().join("environment.json").exists()).count()
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

fn with_packages(packages: &[&str]) -> Config {
    Config { packages: packages.iter().map(ToString::to_string).collect(), ..Config::default() }
}

fn asking(requirement: &str) -> ItemRequirements {
    let notebook =
        serde_json::json!({"metadata": {"isochrone": {"requirements": [requirement]}}}).to_string();
    ItemRequirements::of(notebook.as_bytes()).unwrap()
}

fn used_days_ago(environment: &Environment, days: u64) {
    let lock = environment.made.as_ref().unwrap().folder.path().join("lock");
    let then = std::time::SystemTime::now() - Duration::from_hours(24 * days);
    fs::File::options().append(true).open(lock).unwrap().set_modified(then).unwrap();
}

#[tokio::test]
async fn each_set_of_packages_has_one_environment() {
    let stage = Stage::new();
    let first = stage.environment_of(with_packages(&["B==1", "a"])).ready().await.unwrap();
    assert_eq!(stage.environment_of(with_packages(&[" A ", "b == 1", "b==1"])).ready().await.unwrap(), first);
    assert_ne!(stage.environment_of(with_packages(&["a", "b==2"])).ready().await.unwrap(), first);
    let sources = Config { allow_source_builds: true, ..with_packages(&["a", "b==1"]) };
    assert_ne!(stage.environment_of(sources).ready().await.unwrap(), first);
    assert_ne!(stage.environment().ready().await.unwrap(), first);
    assert_eq!(stage.complete(), 4);
}

#[tokio::test]
async fn a_changed_file_of_requirements_is_another_set_and_a_missing_one_is_named() {
    let stage = Stage::new();
    let file = stage.folder.path().join("requirements.txt");
    let environment = stage.environment_of(Config { requirements: Some(file.clone()), ..Config::default() });
    let told = environment.ready().await.unwrap_err().to_string();
    assert!(told.contains("notebook.requirements") && told.contains("requirements.txt"), "{told}");
    fs::write(&file, "a==1\n").unwrap();
    let first = environment.ready().await.unwrap();
    fs::write(&file, "a==2\n").unwrap();
    assert_ne!(environment.ready().await.unwrap(), first);
    fs::write(&file, "a==1\n-r other.txt\n").unwrap();
    let told = environment.ready().await.unwrap_err().to_string();
    assert!(told.contains("line 2") && told.contains("-r other.txt"), "{told}");
}

#[tokio::test]
async fn a_set_that_fails_is_named_with_its_package_and_can_be_looked_at() {
    let stage = Stage::new();
    let no_packages = stage.flag("no-packages");
    let environment = stage.environment_of(with_packages(&["nosuch==9"]));
    let told = environment.ready().await.unwrap_err().to_string();
    for words in ["[notebook] packages", "nosuch==9 has no version", "allow_source_builds"] {
        assert!(told.contains(words), "{told}");
    }
    let statuses = environment.statuses().await.unwrap();
    assert!(statuses[0].is_operators && statuses[0].requirements == ["nosuch==9"], "{statuses:?}");
    assert_eq!(statuses[0].state, EnvironmentState::Failed { why: told });
    // Notebooks that another worker has are none of its business.
    stage.environment().ready().await.unwrap();
    fs::remove_file(no_packages).unwrap();
    environment.ready().await.unwrap();
    let statuses = environment.statuses().await.unwrap();
    assert!(matches!(statuses[0].state, EnvironmentState::Built { .. }), "{statuses:?}");
    assert_eq!(statuses.len(), 2);
}

#[tokio::test]
async fn a_build_is_bounded_in_time_and_size_and_leaves_nothing() {
    let stage = Stage::new();
    for (flag, config, setting) in [
        (
            "no-end",
            Config { environment_timeout_seconds: 3, ..with_packages(&["a"]) },
            "environment_timeout_seconds",
        ),
        ("no-room", Config { environment_mib: 2, ..with_packages(&["a"]) }, "environment_mib"),
    ] {
        let flag = stage.flag(flag);
        let told = stage.environment_of(config).ready().await.unwrap_err().to_string();
        assert!(told.contains(setting) && told.contains("[notebook] packages"), "{told}");
        fs::remove_file(flag).unwrap();
    }
    assert_eq!(stage.complete(), 0);
    let left = fs::read_dir(stage.folder.path().join("made")).unwrap().flatten();
    let left: Vec<_> = left.filter(|entry| entry.file_name().to_string_lossy().starts_with("run-")).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn the_unused_are_removed_and_those_in_use_are_not() {
    let stage = Stage::new();
    let config = Config { item_requirements: true, environments_unused_days: 10, ..Config::default() };
    let environments = stage.environment_of(config);
    let own = environments.for_run(&ItemRequirements::default()).await.unwrap();
    let [used, old, new] = [
        environments.for_run(&asking("used")).await.unwrap(),
        environments.for_run(&asking("old")).await.unwrap(),
        environments.for_run(&asking("new")).await.unwrap(),
    ];
    for environment in [&own, &used, &old] {
        used_days_ago(environment, 11);
    }
    used_days_ago(&new, 9);
    let pythons = [&own, &used, &old, &new].map(|environment| environment.python.clone());
    // A run holds it.
    drop((own, old, new));
    environments.remove_unused().await;
    assert_eq!(pythons.map(|python| python.exists()), [true, true, false, true]);
    drop(used);
    let again = environments.for_run(&asking("old")).await.unwrap();
    assert!(again.python.exists());
}

#[tokio::test]
async fn there_are_no_more_than_there_may_be() {
    let stage = Stage::new();
    let config = Config { item_requirements: true, environments_max: 3, ..Config::default() };
    let environments = stage.environment_of(config);
    environments.ready().await.unwrap();
    let first = environments.for_run(&asking("first")).await.unwrap();
    let second = environments.for_run(&asking("second")).await.unwrap();
    let refused = environments.for_run(&asking("third")).await.unwrap_err();
    assert_eq!(refused, EnvironmentError::TooMany { most: 3 });
    assert!(refused.to_string().contains("[notebook] environments_max"));
    used_days_ago(&second, 2);
    let (kept, removed) = (first.python.clone(), second.python.clone());
    drop((first, second));
    let third = environments.for_run(&asking("third")).await.unwrap();
    assert!(third.python.exists() && kept.exists() && !removed.exists());
    assert_eq!(stage.complete(), 3);
}

#[test]
fn packages_and_a_python_of_the_operators_own_exclude_each_other() {
    let python = Some(PathBuf::from("/usr/bin/python3"));
    let told =
        check_packages(&Config { python: python.clone(), ..with_packages(&["a"]) }).unwrap_err().to_string();
    assert!(told.contains("notebook.packages") && told.contains("notebook.python"), "{told}");
    let told = check_packages(&with_packages(&["a", "--pre"])).unwrap_err().to_string();
    assert!(told.starts_with("notebook.packages[1]: "), "{told}");
    check_packages(&Config { python, ..Config::default() }).unwrap();
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
