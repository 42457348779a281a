//! Packages of notebooks: environments that are really built, with wheels of the tests' own making.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use isochrone_domain::{AttemptEnd, Reason};
use isochrone_executors::notebook::{Config, PythonEnvironment};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::bench::{Bench, Outcome, alive, environment_folder, notebook};

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
    path: PathBuf,
    _folder: Option<TempDir>,
}

impl Ground {
    fn new() -> Ground {
        let folder = tempfile::tempdir().unwrap();
        for name in ["wheels", "environments"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        Ground { path: folder.path().to_owned(), _folder: Some(folder) }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
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

/// Makes a source distribution; its arguments are the folder and the text of what builds it.
const MAKE_SOURCES: &str = "import io, sys, tarfile\n\
    folder, backend = sys.argv[1:]\n\
    project = '[build-system]\\nrequires = []\\nbuild-backend = \"backend\"\\nbackend-path = [\".\"]\\n'\n\
    info = 'Metadata-Version: 2.1\\nName: prober\\nVersion: 1\\n'\n\
    with tarfile.open(f'{folder}/prober-1.tar.gz', 'w:gz') as archive:\n    \
        for name, text in (('pyproject.toml', project), ('PKG-INFO', info), ('backend.py', backend)):\n        \
            member = tarfile.TarInfo(f'prober-1/{name}')\n        \
            member.size = len(text)\n        \
            archive.addfile(member, io.BytesIO(text.encode()))\n";

/// Tries what a build must not do, and builds a wheel that tells how it went.
const PROBER: &str = "import os, socket, zipfile\n\
    def attempt(act):\n    \
        try: act(); return 'done'\n    \
        except OSError: return 'refused'\n\
    def connect(host, port): socket.create_connection((host, port), 10).recv(10) or fail()\n\
    def fail(): raise OSError\n\
    def build_wheel(folder, settings=None, metadata=None):\n    \
        found = {'loopback': attempt(lambda: connect('127.0.0.1', PORT)),\n             \
            'a name of it': attempt(lambda: connect('localhost', PORT)),\n             \
            'metadata': attempt(lambda: connect('169.254.169.254', 80)),\n             \
            'read': attempt(lambda: open('GROUND/canary').read()),\n             \
            'write': attempt(lambda: open('GROUND/wheels/evil-1-py3-none-any.whl', 'w')),\n             \
            'environment': 'done' if 'CARGO_MANIFEST_DIR' in os.environ or 'CANARY' in os.environ else 'refused'}\n    \
        info = 'prober-1.dist-info/'\n    \
        with zipfile.ZipFile(f'{folder}/prober-1-py3-none-any.whl', 'w') as wheel:\n        \
            wheel.writestr('prober.py', f'FOUND = {found!r}')\n        \
            wheel.writestr(info + 'METADATA', 'Metadata-Version: 2.1\\nName: prober\\nVersion: 1\\n')\n        \
            wheel.writestr(info + 'WHEEL', 'Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')\n        \
            wheel.writestr(info + 'RECORD', '')\n    \
        return 'prober-1-py3-none-any.whl'\n";

#[tokio::test]
async fn a_build_reaches_no_more_than_a_notebook() {
    let ground = Ground::new();
    let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = server.local_addr().unwrap().port();
    let connections = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&connections);
    std::thread::spawn(move || {
        for mut stream in server.incoming().flatten() {
            count.fetch_add(1, Ordering::SeqCst);
            drop(stream.write_all(b"reached"));
        }
    });
    fs::write(ground.path("canary"), "secret").unwrap();
    let backend = PROBER.replace("PORT", &port.to_string()).replace("GROUND", ground.path.to_str().unwrap());
    let made =
        Command::new("python3").args(["-c", MAKE_SOURCES]).arg(ground.path("wheels")).arg(backend).status();
    assert!(made.unwrap().success());
    let mut config = Config { packages: vec!["prober".to_owned()], ..ground.config() };
    // What all notebooks have is no business of a build's.
    config.environment.insert("CANARY".to_owned(), "a notebook's".to_owned());

    let refused = bench(&config, cells(&["1"])).run().await;
    let AttemptEnd::SubmitFailed { result, .. } = &refused.end else { panic!("{:?}", refused.end) };
    assert!(result.contains("prober") && result.contains("[notebook] allow_source_builds"), "{result}");
    assert!(ground.environments().is_empty());

    config.allow_source_builds = true;
    let outcome = bench(&config, cells(&["import prober\nprint(prober.FOUND)"])).run().await;
    outcome.result();
    let told = outcome.log.iter().find(|(_, line)| line.starts_with("{'loopback'")).unwrap();
    assert_eq!((told.1.matches("refused").count(), told.1.contains("done")), (6, false), "{told:?}");
    assert_eq!(connections.load(Ordering::SeqCst), 0);
    assert_eq!(ground.environments().len(), 1);
}

/// Where the process that a test starts builds an environment.
const BUILD_IN: &str = "TEST_BUILD_IN";

/// Another worker.
#[tokio::test]
#[ignore = "is what `a_killed_build_is_never_used` starts"]
async fn another_worker_builds() {
    let Some(path) = std::env::var_os(BUILD_IN) else { return };
    let ground = Ground { path: path.into(), _folder: None };
    let environment =
        PythonEnvironment::new("unused", &Config { packages: vec!["maps".to_owned()], ..ground.config() });
    let mut lines = environment.progress();
    let made = environment.ready().await;
    while let Ok(line) = lines.try_recv() {
        println!("{line}");
    }
    println!("built {}", made.unwrap().display());
}

fn another_worker(ground: &Ground) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "packages::another_worker_builds", "--ignored", "--nocapture"])
        .env(BUILD_IN, &ground.path)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

#[tokio::test]
async fn a_killed_build_is_never_used_and_two_workers_build_one() {
    let ground = Ground::new();
    ground.wheel("maps", "1.2", "", "WORD = 'maps 1.2'\n");
    let config = Config { packages: vec!["maps".to_owned()], ..ground.config() };
    let mut killed = another_worker(&ground);
    let begun = || {
        let runs = fs::read_dir(ground.path("environments")).unwrap().flatten();
        runs.into_iter().any(|run| run.path().join("own/env/bin/pip").exists())
    };
    wait_until("it builds", begun).await;
    killed.kill().unwrap();
    killed.wait().unwrap();
    assert!(ground.environments().is_empty());
    let folder = ground.path("environments").display().to_string();
    wait_until("nothing of it is alive", || alive(&folder).is_empty()).await;

    let other = another_worker(&ground);
    let environment = PythonEnvironment::new("unused", &config);
    let mut lines = environment.progress();
    let python = environment.ready().await.unwrap();
    let output = other.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(told.contains(&format!("built {}", python.display())), "{told}");
    let own: Vec<String> = std::iter::from_fn(|| lines.try_recv().ok()).collect();
    let builds = told.matches("creating the Python environment in").count()
        + own.iter().filter(|line| line.starts_with("creating the Python environment in")).count();
    assert_eq!(builds, 1, "{told} {own:?}");
    assert_eq!(ground.environments().len(), 1);
    let left: Vec<_> =
        fs::read_dir(ground.path("environments")).unwrap().flatten().map(|one| one.file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().starts_with("run-")), "{left:?}");
    let outcome = bench(&config, cells(&["import maps\nprint(maps.WORD)"])).run().await;
    outcome.result();
    assert!(outcome.printed("maps 1.2"));
}

async fn wait_until(what: &str, holds: impl Fn() -> bool) {
    let until = Instant::now() + Duration::from_mins(2);
    while !holds() {
        assert!(Instant::now() < until, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_missing_module_tells_what_to_install() {
    for (cell, words) in [
        (
            "import cv2",
            &["No module named 'cv2' (cell 1 of 1)", "opencv-python-headless", "[notebook] packages"][..],
        ),
        ("from osgeo import gdal", &["osgeo", "rasterio", "python3-gdal"]),
        ("import arcpy", &["can't be installed from the package index", "ArcGIS Pro"]),
    ] {
        let outcome = Bench::cells(&[cell]).run().await;
        let (reason, told) = outcome.failure();
        assert_eq!(reason, Reason::ExecutionError);
        assert!(words.iter().all(|word| told.contains(word)), "{told}");
    }
}

/// Real packages of the field, from the package index: what they cost, and that they work.
#[tokio::test]
#[ignore = "measures, and needs the package index; run it alone, with --nocapture"]
async fn what_gis_packages_cost() {
    let ground = Ground::new();
    for (packages, sources) in [
        (
            &["geopandas", "rasterio"][..],
            &["import geopandas, rasterio, pyproj\nfrom shapely.geometry import Point\n\
               frame = geopandas.GeoDataFrame(geometry=[Point(8.54, 47.38)], crs=4326).to_crs(2056)\n\
               print(round(frame.geometry[0].x), geopandas.__version__, rasterio.__version__)\n\
               import numpy\n\
               with rasterio.open('one.tif', 'w', driver='GTiff', width=2, height=2, count=1, dtype='uint8') as file:\n    \
                   file.write(numpy.ones((1, 2, 2), 'uint8'))\n\
               print(rasterio.open('one.tif').read().sum())"][..],
        ),
        (
            &["arcgis"],
            &["import arcgis\nfrom arcgis.gis import GIS\nfrom arcgis.geometry import Point\n\
               print(arcgis.__version__, Point({'x': 1, 'y': 2, 'spatialReference': {'wkid': 4326}}).is_valid())"],
        ),
    ] {
        let config = Config {
            environments_dir: Some(ground.path("environments")),
            packages: packages.iter().map(ToString::to_string).collect(),
            ..Config::default()
        };
        let began = Instant::now();
        let outcome = bench(&config, cells(sources)).run().await;
        println!("{packages:?}: {:?} in all; {:?}", began.elapsed(), outcome.end);
        let told = outcome.log.iter().filter(|(_, line)| !line.starts_with("Collecting"));
        told.for_each(|(stream, line)| println!("  {stream:?} {line}"));
        outcome.result();
    }
}
