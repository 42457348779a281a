//! uv and pip: whichever installs, the same comes of it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use isochrone_executors::notebook::Config;
use serde_json::Value;

use super::fixture::{Fixture, LOOPBACK, other_worker, output, uv};

/// The search path with this folder first, and without any other uv.
fn path_with(folder: &Path) -> String {
    let all = std::env::var_os("PATH").unwrap();
    let others = std::env::split_paths(&all).filter(|folder| !folder.join("uv").exists());
    let path = std::env::join_paths(std::iter::once(folder.to_owned()).chain(others));
    path.unwrap().into_string().unwrap()
}

/// A folder with a program of uv's name that does this.
fn called_uv(fixture: &Fixture, script: &str) -> std::path::PathBuf {
    let folder = fixture.path("programs");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("uv"), format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(folder.join("uv"), fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

/// A server of packages; ends when dropped.
struct Index {
    server: Child,
    url: String,
}

impl Index {
    /// Of what is in `folder`, in a folder for each package.
    fn of(folder: &Path) -> Index {
        let port = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
        let server = Command::new("python3")
            .args(["-m", "http.server", "--bind", "127.0.0.1", &port.to_string(), "--directory"])
            .arg(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let until = std::time::Instant::now() + std::time::Duration::from_mins(1);
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(std::time::Instant::now() < until, "the index does not come up");
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        Index { server, url: format!("http://{LOOPBACK}:{port}/") }
    }
}

impl Drop for Index {
    fn drop(&mut self) {
        drop(self.server.kill());
        drop(self.server.wait());
    }
}

fn manifest(fixture: &Fixture) -> Value {
    let [built] = &fixture.environments()[..] else { panic!("one: {:?}", fixture.environments()) };
    serde_json::from_slice(&fs::read(built.join("environment.json")).unwrap()).unwrap()
}

/// In two indexes and a folder, some of them in several versions.
fn packages_in_several_places(fixture: &Fixture) -> (Config, [Index; 2]) {
    fixture.wheel_in(
        "first/maps",
        "maps",
        "2.0",
        "",
        "WORD = 'maps 2.0'\ndef main(): print('program of ' + WORD)\n",
    );
    fixture.wheel_in("second/maps", "maps", "1.2", "", "WORD = 'maps 1.2'\n");
    fixture.wheel_in(
        "second/rasters",
        "rasters",
        "3",
        "maps>=1",
        "import maps\nWORD = 'rasters with ' + maps.WORD\n",
    );
    // It is new, and nobody has asked for what is not finished.
    fixture.wheel_in("second/rasters", "rasters", "4rc1", "", "WORD = 'too new'\n");
    let indexes = ["first", "second"].map(|name| Index::of(&fixture.path(name)));
    let mut config = Config { packages: vec!["rasters".to_owned(), "maps".to_owned()], ..fixture.config() };
    config.environment.remove("PIP_NO_INDEX");
    for (name, value) in [
        ("PIP_INDEX_URL", indexes[0].url.as_str()),
        ("PIP_EXTRA_INDEX_URL", &indexes[1].url),
        ("PIP_TRUSTED_HOST", LOOPBACK),
    ] {
        config.environment.insert(name.to_owned(), value.to_owned());
    }
    (config, indexes)
}

#[test]
fn uv_and_pip_build_the_same() {
    let cell = "import rasters, subprocess\nprint(rasters.WORD)\n\
                print(subprocess.run(['maps-program'], capture_output=True, text=True).stdout.strip())";
    let built = [true, false].map(|with_uv| {
        let fixture = Fixture::new();
        let (config, _indexes) = packages_in_several_places(&fixture);
        let folder = if with_uv {
            uv().parent().unwrap().to_owned()
        } else {
            called_uv(&fixture, "echo broken on purpose >&2; exit 3")
        };
        let told = output(other_worker(&config, cell, Some(&path_with(&folder))));
        for words in ["rasters with maps 2.0\n", "program of maps 2.0\n", "ended: Succeeded"] {
            assert!(told.contains(words), "{words}: {told}");
        }
        let says = if with_uv {
            "uv 0."
        } else {
            "uv does not work (broken on purpose; it ended with 3): pip installs"
        };
        assert!(told.lines().any(|line| line.starts_with(says)), "{told}");
        assert_eq!(told.contains("Successfully installed"), !with_uv, "{told}");
        assert!(!told.contains("uv can't install"), "{told}");
        manifest(&fixture)
    });
    let packages = |manifest: &Value| manifest["packages"].clone();
    assert_eq!(packages(&built[0]), packages(&built[1]));
    let sizes = built.each_ref().map(|manifest| manifest["bytes"].as_u64().unwrap());
    assert!(sizes[0] < sizes[1] * 2, "what uv keeps beside is not in the environment: {sizes:?}");
}

/// pip wants the hash of all that a package with a hash depends on.
#[test]
fn with_uv_no_file_without_a_hash_comes_in_beside_those_with_hashes() {
    let fixture = Fixture::new();
    fixture.wheel("maps", "1.2", "", "");
    fixture.wheel("rasters", "3", "maps", "");
    let digest = Command::new("sha256sum").arg(fixture.path("wheels/rasters-3-py3-none-any.whl")).output();
    let digest = String::from_utf8(digest.unwrap().stdout).unwrap();
    let requirement = format!("rasters==3 --hash=sha256:{}", digest.split_whitespace().next().unwrap());
    let config = Config { packages: vec![requirement], ..fixture.config() };
    let told = output(other_worker(&config, "1", Some(&path_with(uv().parent().unwrap()))));
    assert!(told.lines().any(|line| line.starts_with("uv 0.")), "{told}");
    assert!(told.contains("ended: SubmitFailed") && told.contains("--hash, too"), "{told}");
    assert!(fixture.environments().is_empty());
}

/// pip's word counts, whatever is on the search path.
#[test]
fn what_uv_cant_install_pip_tries() {
    let fixture = Fixture::new();
    let half =
        called_uv(&fixture, "[ \"$1\" = --version ] && echo uv 0.1 || { echo no such command >&2; exit 2; }");
    // That there is an index does not help: none is to be looked at.
    fixture.wheel_in("index/forbidden", "forbidden", "1", "", "");
    let index = Index::of(&fixture.path("index"));
    let uv = uv();
    for (package, folder, words) in [
        ("nosuch==9", half.as_path(), "nosuch==9 has no version"),
        ("nosuch==9", uv.parent().unwrap(), "nosuch==9 has no version"),
        ("forbidden", uv.parent().unwrap(), "forbidden has no version"),
        ("nbclient==0.5", uv.parent().unwrap(), "nbclient"),
    ] {
        let mut config = Config { packages: vec![package.to_owned()], ..fixture.config() };
        for (name, value) in [("PIP_INDEX_URL", index.url.as_str()), ("PIP_TRUSTED_HOST", LOOPBACK)] {
            config.environment.insert(name.to_owned(), value.to_owned());
        }
        let told = output(other_worker(&config, "1", Some(&path_with(folder))));
        assert!(told.contains("uv can't install this (") && told.contains("): pip tries"), "{told}");
        assert!(told.contains("ended: SubmitFailed") && told.contains(words), "{told}");
        assert!(told.contains("[notebook] packages can't be installed"), "{told}");
    }
    assert!(fixture.environments().is_empty());
}
