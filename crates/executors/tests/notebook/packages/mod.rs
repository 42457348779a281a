//! Packages of notebooks: environments that are really built, with wheels of the tests' own making.

mod fixture;
mod hostile;
mod installers;

use std::fs;
use std::time::Instant;

use isochrone_domain::{AttemptEnd, Reason};
use isochrone_executors::notebook::{Config, PythonEnvironment};
use serde_json::json;

use self::fixture::{Fixture, bench, cells, logged, other_worker, output, wait_until, with_requirements};
use crate::bench::{Bench, alive};

#[tokio::test]
async fn the_operators_packages_are_there_and_cant_be_changed() {
    let fixture = Fixture::new();
    fixture.wheel("maps", "1.2", "", "WORD = 'maps 1.2'\ndef main(): print('program of ' + WORD)\n");
    fixture.wheel("maps", "2.0", "", "WORD = 'maps 2.0'\n");
    fixture.wheel("rasters", "3", "maps<2", "import maps\nWORD = 'rasters with ' + maps.WORD\n");
    fs::write(fixture.path("requirements.txt"), "# more\nrasters == 3\n").unwrap();
    let config = Config {
        packages: vec!["Maps".to_owned()],
        requirements: Some(fixture.path("requirements.txt")),
        ..fixture.config()
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
    let [built] = &fixture.environments()[..] else {
        panic!("one environment: {:?}", fixture.environments())
    };
    assert!(fs::read_to_string(built.join("environment.json")).unwrap().contains("rasters==3"));
    let name = &built.file_name().unwrap().to_str().unwrap()[..12];
    assert!(logged(&outcome, &["Python environment ", name, "maps, rasters==3"]), "{:?}", outcome.log);

    // Another spelling of the same is the same, and another worker of the machine has it, too.
    let config = Config { packages: vec![" maps ".to_owned(), "MAPS".to_owned()], ..config };
    let again = bench(&config, source).run().await;
    again.result();
    assert!(!logged(&again, &["creating the Python environment"]), "{:?}", again.log);
    assert_eq!(fixture.environments(), std::slice::from_ref(built));
    a_notebook_asks_for_packages(&fixture, &config).await;
}

/// Of those in `config` it may have what is there already; more where that is allowed.
async fn a_notebook_asks_for_packages(fixture: &Fixture, config: &Config) {
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
    assert_eq!(fixture.environments().len(), 1);

    let allowed =
        Config { item_requirements: true, packages: Vec::new(), requirements: None, ..config.clone() };
    let outcome = bench(&allowed, with_requirements(&json!(["maps==2.0"]), &[cell])).run().await;
    outcome.result();
    assert!(outcome.printed("maps 2.0"), "{:?}", outcome.log);
    assert_eq!(fixture.environments().len(), 2);
}

#[tokio::test]
async fn a_killed_build_is_never_used_and_two_workers_build_one() {
    let fixture = Fixture::new();
    fixture.wheel("maps", "1.2", "", "WORD = 'maps 1.2'\n");
    let config = Config { packages: vec!["maps".to_owned()], ..fixture.config() };
    let cell = "import maps\nprint(maps.WORD)";
    let mut killed = other_worker(&config, cell, None);
    let begun = || fixture.builds().iter().any(|run| run.join("own/env/bin/pip").exists());
    wait_until("it builds", begun).await;
    killed.kill().unwrap();
    killed.wait().unwrap();
    assert!(fixture.environments().is_empty());
    let folder = fixture.path("environments").display().to_string();
    wait_until("nothing of it is alive", || alive(&folder).is_empty()).await;

    let other = other_worker(&config, cell, None);
    let environment = PythonEnvironment::new("unused", &config);
    let mut lines = environment.progress();
    let python = environment.ready().await.unwrap();
    let told = output(other);
    assert!(told.contains("maps 1.2") && told.contains("ended: Succeeded"), "{told}");
    let own: Vec<String> = std::iter::from_fn(|| lines.try_recv().ok()).collect();
    let builds = told.matches("creating the Python environment in").count()
        + own.iter().filter(|line| line.starts_with("creating the Python environment in")).count();
    assert_eq!(builds, 1, "{told} {own:?}");
    let [built] = &fixture.environments()[..] else { panic!("one: {:?}", fixture.environments()) };
    assert!(python.starts_with(built));
    assert!(fixture.builds().is_empty(), "{:?}", fixture.builds());
    let outcome = bench(&config, cells(&[cell])).run().await;
    outcome.result();
    assert!(outcome.printed("maps 1.2"));
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
    let fixture = Fixture::new();
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
            environments_dir: Some(fixture.path("environments")),
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
