//! Packages of notebooks: environments that are really built, with wheels of the tests' own making.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use isochrone_domain::{AttemptEnd, Reason};
use isochrone_executors::notebook::Config;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::bench::{Bench, Outcome, environment_folder, notebook};

/// Makes a wheel; its arguments are the folder, the name, the version, what it requires, and its module's text.
const MAKE_WHEEL: &str = "import sys, zipfile\n\
    folder, name, version, requires, text = sys.argv[1:]\n\
    info = f'{name}-{version}.dist-info/'\n\
    with zipfile.ZipFile(f'{folder}/{name}-{version}-py3-none-any.whl', 'w') as wheel:\n    \
        wheel.writestr(f'{name}.py', text)\n    \
        needs = f'Requires-Dist: {requires}\\n' if requires else ''\n    \
        wheel.writestr(info + 'METADATA', f'Metadata-Version: 2.1\\nName: {name}\\nVersion: {version}\\n{needs}')\n    \
        wheel.writestr(info + 'WHEEL', 'Wheel-Version: 1.0\\nGenerator: test\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')\n    \
        wheel.writestr(info + 'entry_points.txt', f'[console_scripts]\\n{name}-program = {name}:main\\n')\n    \
        wheel.writestr(info + 'RECORD', '')\n";

/// The pinned packages' wheels, kept from one test run to the next: environments are built without the network.
fn pinned_wheels() -> PathBuf {
    static WHEELS: OnceLock<PathBuf> = OnceLock::new();
    let download = || {
        let pins = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/notebook/requirements.txt");
        let cache = environment_folder().parent().unwrap().join("wheels");
        fs::create_dir_all(&cache).unwrap();
        let status = Command::new("python3")
            .args(["-m", "pip", "download", "--quiet", "--only-binary", ":all:", "--requirement"])
            .arg(&pins)
            .arg("--dest")
            .arg(&cache)
            .stdin(Stdio::null())
            .status();
        assert!(status.unwrap().success(), "the pinned packages can be downloaded");
        cache
    };
    WHEELS.get_or_init(download).clone()
}

/// Where environments are built, and what packages there are.
struct Ground {
    folder: TempDir,
}

impl Ground {
    fn new() -> Ground {
        let folder = tempfile::tempdir().unwrap();
        for name in ["wheels", "environments"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        Ground { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn wheel(&self, name: &str, version: &str, requires: &str, text: &str) {
        let made = Command::new("python3")
            .args(["-c", MAKE_WHEEL])
            .arg(self.path("wheels"))
            .args([name, version, requires, text])
            .status();
        assert!(made.unwrap().success());
    }

    /// Of notebooks that find packages here and nowhere else.
    fn config(&self) -> Config {
        let links = format!("{} {}", pinned_wheels().display(), self.path("wheels").display());
        let environment = [("PIP_FIND_LINKS", links), ("PIP_NO_INDEX", "1".to_owned())];
        Config {
            environments_dir: Some(self.path("environments")),
            environment: BTreeMap::from(environment.map(|(name, value)| (name.to_owned(), value))),
            ..Config::default()
        }
    }

    /// The environments that are complete.
    fn environments(&self) -> Vec<PathBuf> {
        let all = fs::read_dir(self.path("environments")).unwrap().flatten().map(|entry| entry.path());
        all.filter(|folder| folder.join("environment.json").exists()).collect()
    }
}

fn bench(config: &Config, notebook: Vec<u8>) -> Bench {
    let mut bench = Bench::new(notebook);
    bench.config = config.clone();
    bench
}

fn cells(sources: &[&str]) -> Vec<u8> {
    notebook(&sources.iter().map(|source| crate::bench::cell(source)).collect::<Vec<_>>())
}

fn with_requirements(requirements: &Value, sources: &[&str]) -> Vec<u8> {
    let mut notebook: Value = serde_json::from_slice(&cells(sources)).unwrap();
    notebook["metadata"]["isochrone"] = json!({ "requirements": requirements });
    notebook.to_string().into_bytes()
}

fn logged(outcome: &Outcome, words: &[&str]) -> bool {
    outcome.log.iter().any(|(_, line)| words.iter().all(|word| line.contains(word)))
}

#[tokio::test]
async fn the_operators_packages_are_there_and_cant_be_changed() {
    let ground = Ground::new();
    ground.wheel("maps", "1.2", "", "WORD = 'maps 1.2'\ndef main(): print('program of ' + WORD)\n");
    ground.wheel("maps", "2.0", "", "WORD = 'maps 2.0'\n");
    ground.wheel("rasters", "3", "maps<2", "import maps\nWORD = 'rasters with ' + maps.WORD\n");
    fs::write(ground.path("requirements.txt"), "# more\nrasters == 3\n").unwrap();
    let config = Config {
        packages: vec!["Maps".to_owned()],
        requirements: Some(ground.path("requirements.txt")),
        ..ground.config()
    };
    let source = cells(&[
        "import rasters, subprocess, sys\nprint(rasters.WORD)",
        "print(subprocess.run(['maps-program'], capture_output=True, text=True).stdout.strip())",
        "import os\ndef attempt(act):\n    try: act(); return 'done'\n    except OSError as error: return 'refused'\n\
         folder = os.path.dirname(rasters.__file__)\n\
         print('write', attempt(lambda: open(rasters.__file__, 'a')))\n\
         print('new', attempt(lambda: open(folder + '/new.pth', 'w')))\n\
         print('remove', attempt(lambda: os.remove(rasters.__file__)))\n\
         print('mode', attempt(lambda: os.chmod(folder, 0o777) or open(folder + '/new.pth', 'w')))\n\
         print('beside', attempt(lambda: open(sys.prefix + '/../environment.json', 'w').write('{}')) and 'tried')",
    ]);
    let outcome = bench(&config, source.clone()).run().await;
    outcome.result();
    assert!(outcome.printed("rasters with maps 1.2"), "{:?}", outcome.log);
    assert!(outcome.printed("program of maps 1.2"), "{:?}", outcome.log);
    for line in ["write refused", "new refused", "remove refused", "mode refused", "beside tried"] {
        assert!(outcome.printed(line), "{line}: {:?}", outcome.log);
    }
    assert!(logged(
        &outcome,
        &["creating the Python environment", "[notebook] packages and [notebook] requirements"]
    ));
    let [built] = &ground.environments()[..] else { panic!("one environment: {:?}", ground.environments()) };
    assert!(fs::read_to_string(built.join("environment.json")).unwrap().contains("rasters==3"));
    let name = &built.file_name().unwrap().to_str().unwrap()[..12];
    assert!(logged(&outcome, &["Python environment ", name, "maps, rasters==3"]), "{:?}", outcome.log);

    // Another spelling of the same is the same, and another worker of the machine has it, too.
    let config = Config { packages: vec![" maps ".to_owned(), "MAPS".to_owned()], ..config };
    let again = bench(&config, source).run().await;
    again.result();
    assert!(!logged(&again, &["creating the Python environment"]), "{:?}", again.log);
    assert_eq!(ground.environments(), std::slice::from_ref(built));
    a_notebook_asks_for_packages(&ground, &config).await;
}

/// Of those in `config` it may have what is there already; more where that is allowed.
async fn a_notebook_asks_for_packages(ground: &Ground, config: &Config) {
    let cell = "import maps\nprint(maps.WORD)";
    let met = bench(config, with_requirements(&json!(["maps>=1.2", "Rasters"]), &[cell])).run().await;
    met.result();
    assert!(met.printed("maps 1.2"), "{:?}", met.log);
    let script = "# /// script\n# requires-python = '>=3.9'\n# dependencies = ['maps']\n# ///\n";
    bench(config, cells(&[script, cell])).run().await.result();

    let wanting = with_requirements(&json!(["rasters", "maps==2.0"]), &[cell]);
    let refused = bench(config, wanting.clone()).run().await;
    let AttemptEnd::SubmitFailed { reason: Reason::NotAllowed, result } = &refused.end else {
        panic!("{:?}", refused.end);
    };
    for words in ["maps==2.0", "metadata.isochrone.requirements", "[notebook] item_requirements"] {
        assert!(result.contains(words), "{result}");
    }
    for (requirements, field) in [
        (json!(["maps", "--index-url=https://evil.example.com"]), "metadata.isochrone.requirements[1]: "),
        (json!("-r /etc/passwd"), "metadata.isochrone.requirements, line 1: "),
    ] {
        let refused = bench(config, with_requirements(&requirements, &[cell])).run().await;
        let (reason, told) = refused.failure();
        assert_eq!(reason, Reason::BadInput);
        assert!(told.starts_with(field), "{told}");
    }
    let newer = "# /// script\n# requires-python = '>=99'\n# ///";
    let refused = bench(config, cells(&[newer])).run().await;
    assert!(refused.failure().1.contains("requires-python"), "{:?}", refused.end);
    assert_eq!(ground.environments().len(), 1);

    let allowed =
        Config { item_requirements: true, packages: Vec::new(), requirements: None, ..config.clone() };
    let outcome = bench(&allowed, with_requirements(&json!(["maps==2.0"]), &[cell])).run().await;
    outcome.result();
    assert!(outcome.printed("maps 2.0"), "{:?}", outcome.log);
    assert_eq!(ground.environments().len(), 2);
}
