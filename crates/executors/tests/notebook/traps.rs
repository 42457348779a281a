//! What notebooks put where the worker may look: links, FIFOs, devices, files without end and folders without rights.
//! Nothing of what lies outside gets out, nothing is waited for, and nothing is left.

use std::fs;
use std::time::Duration;

use isochrone_domain::Reason;
use isochrone_executors::notebook::Isolation;

use crate::bench::{Bench, Outcome, own_memory};

const TIERS: [Isolation; 3] = [Isolation::Bwrap, Isolation::Landlock, Isolation::None];

const SECRET: &str = "isochrone-test-canary";

/// Cargo gives it to this process, as an operator gives secrets to the worker's.
const OF_THE_ENVIRONMENT: &str = "CARGO_MANIFEST_DIR";

/// Puts a trap under each name that the worker ever used, in each folder that can be written to or be thought to be
/// the worker's. `SECRET` is a file outside, `SHIFT` which trap comes first.
const TRAPS: &str = r#"
import os, shutil, socket, stat

here = os.getcwd()
top = os.path.dirname(here)
folders = [here, top, os.path.dirname(top), os.path.expanduser("~"), os.path.join(top, "tmp"),
           os.path.join(top, "runtime"), os.path.join(os.path.dirname(top), "input")]
names = ["output.ipynb", "output.ipynb.new", "lock", "kernel.log", "input.ipynb", "driver.py", "nb_auth.json",
         "probe.py", "user.json", "executed.ipynb", "own", "input"]

trees = 0

def deep(path):
    global trees
    os.mkdir(path)
    trees += 1
    if trees > 2:
        return
    # Longer than a path may be, and less deep than a run's folder may be.
    name = "d" * 60
    folder = os.open(path, os.O_RDONLY)
    for _ in range(90):
        os.mkdir(name, dir_fd=folder)
        inner = os.open(name, os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = inner
    os.close(folder)

def closed(path):
    os.makedirs(path + "/inner/innermost")
    open(path + "/inner/file", "w").close()
    for name in ["/inner/innermost", "/inner", ""]:
        os.chmod(path + name, 0)

def bound(path):
    # A socket's path may have no more than 107 bytes.
    os.chdir(os.path.dirname(path))
    socket.socket(socket.AF_UNIX).bind(os.path.basename(path))

def sparse(path):
    with open(path, "w") as file:
        file.truncate(1 << 30)

kinds = [
    lambda path: os.symlink(SECRET, path),
    lambda path: os.symlink("/proc/self/environ", path),
    lambda path: os.mkfifo(path),
    lambda path: os.symlink("/dev/zero", path),
    sparse,
    lambda path: os.link(SECRET, path),
    bound,
    lambda path: os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(1, 5)),
    closed,
    deep,
    lambda path: os.symlink(os.path.dirname(SECRET), path),
    lambda path: os.mkdir(path),
]

made = set()
for at, folder in enumerate(folders):
    for number, name in enumerate(names):
        path, kind = os.path.join(folder, name), (at + number + SHIFT) % len(kinds)
        # Of the worker's own folders an unconfined notebook could remove all; it is a trap among others here.
        try:
            if os.path.lexists(path):
                if os.path.basename(folder) != "input" and name in ("own", "input"):
                    continue
                os.remove(path)
            kinds[kind](path)
            made.add(kind)
        except OSError:
            pass
# What Jupyter uses while the kernel runs.
for name in os.listdir(folders[5]):
    path = os.path.join(folders[5], name)
    if name.startswith("kernel") and name.endswith(".json"):
        os.remove(path)
        os.mkfifo(path)
os.chdir(here)
print("made", len(made) >= 9, sorted(made))
"#;

/// The last cell takes all rights away; by handles, as the way to one may lead through another.
const CLOSE: &str = "handles = [os.open(folder, os.O_RDONLY) for folder in [*folders[3:6], here, top]]\n\
                     for handle in handles:\n    os.fchmod(handle, 0)\nprint('closed')";

fn check(isolation: Isolation, outcome: &Outcome, text: &str) {
    for (_, line) in &outcome.log {
        assert!(!line.contains(SECRET) && !line.contains(OF_THE_ENVIRONMENT), "{isolation:?}: {line}");
    }
    assert!(!text.contains(SECRET) && !text.contains(OF_THE_ENVIRONMENT), "{isolation:?}: {text}");
    // Whatever waits for a FIFO waits for ever; the machine may have much else to do.
    assert!(outcome.took < Duration::from_mins(5), "{isolation:?}: {:?}", outcome.took);
}

#[tokio::test]
async fn traps_everywhere_catch_nobody() {
    assert!(std::env::var_os(OF_THE_ENVIRONMENT).is_some());
    for (shift, isolation) in TIERS.into_iter().enumerate() {
        let bench = Bench::cells(&[]).isolated(isolation);
        let secrets = bench.data_dir().join("secrets");
        fs::create_dir(&secrets).unwrap();
        fs::write(secrets.join("key.pem"), SECRET).unwrap();
        let setting = format!("SECRET, SHIFT = '{}/key.pem', {shift}", secrets.display());
        let before = own_memory();
        let execution = bench.with_cells(&[&setting, TRAPS, "print('on')", CLOSE]).start();
        let outcome = execution.outcome().await;
        let grown = own_memory().saturating_sub(before);
        assert_eq!(outcome.result()["executedCells"], 4, "{isolation:?}: {:?}", outcome.log);
        assert!(outcome.log.iter().any(|(_, line)| line.starts_with("made True")), "{:?}", outcome.log);
        assert_eq!(outcome.artifacts.len(), 1);
        let executed = outcome.executed().await.to_string();
        assert!(executed.contains("closed"), "{executed}");
        check(isolation, &outcome, &executed);
        // Other tests run beside this one.
        assert!(grown < 200 << 20, "{isolation:?}: {grown}");
    }
}

/// To look through it would take for ever, and a file for each level.
#[tokio::test]
async fn a_folder_that_is_too_deep_to_be_looked_through_ends_the_run() {
    let source = "import os, time\n\
                  folder = os.open('.', os.O_RDONLY)\n\
                  for _ in range(3000):\n    \
                      os.mkdir('d', dir_fd=folder)\n    \
                      folder, outer = os.open('d', os.O_RDONLY, dir_fd=folder), folder\n    \
                      os.close(outer)\n\
                  time.sleep(60)";
    for isolation in TIERS {
        let outcome = Bench::cells(&[source]).isolated(isolation).start().outcome().await;
        let (reason, words) = outcome.failure();
        assert_eq!(reason, Reason::DiskLimit, "{isolation:?}: {words}");
        assert!(words.contains("too deep"), "{isolation:?}: {words}");
    }
}

/// As it got out: a folder where the driver wanted to write, and a link where the worker read.
#[tokio::test]
async fn a_link_in_the_place_of_the_executed_notebook_is_not_followed() {
    let source = "import os\n\
                  for folder in ['..', '../..', '.', '../input']:\n    \
                      for name in ['output.ipynb', 'executed.ipynb', 'document']:\n        \
                          path = f'{folder}/{name}'\n        \
                          try:\n            \
                              os.path.lexists(path) and os.remove(path)\n            \
                              os.symlink(SECRET, path)\n            \
                              os.mkdir(path + '.new')\n        \
                          except OSError: pass\n\
                  print('set', os.path.lexists('../output.ipynb'))";
    for (isolation, of_the_worker) in TIERS.into_iter().zip([true, false, true]) {
        let bench = Bench::cells(&[]).isolated(isolation);
        let secret = bench.data_dir().join("key.pem");
        fs::write(&secret, SECRET).unwrap();
        let target = if of_the_worker { "/proc/self/environ" } else { secret.to_str().unwrap() };
        let outcome = bench.with_cells(&[&format!("SECRET = {target:?}"), source, "6 * 7"]).run().await;
        outcome.result();
        assert!(outcome.printed("set True"), "{isolation:?}: {:?}", outcome.log);
        let executed = outcome.executed().await;
        assert!(executed["cells"][2]["outputs"].to_string().contains("42"), "{isolation:?}: {executed}");
        check(isolation, &outcome, &executed.to_string());
    }
}

/// Its pipes are the driver's alone: who held its standard input open would outlive the worker, and who wrote
/// into its output would speak for it.
#[tokio::test]
async fn the_drivers_pipes_are_out_of_reach() {
    let source = "import os\nopened = []\n\
                  for number in range(64):\n    \
                      for flags in (os.O_RDONLY, os.O_WRONLY):\n        \
                          try: opened.append(os.open(f'/proc/{os.getppid()}/fd/{number}', flags | os.O_NONBLOCK))\n        \
                          except OSError: pass\n\
                  print('opened', len(opened))";
    for isolation in [Isolation::Bwrap, Isolation::Landlock] {
        let outcome = Bench::cells(&[source]).isolated(isolation).run().await;
        outcome.result();
        assert!(outcome.printed("opened 0"), "{isolation:?}: {:?}", outcome.log);
    }
}

/// What was executed until then is kept.
#[tokio::test]
async fn a_driver_that_is_killed_leaves_what_was_executed() {
    let kill = "import os, signal; os.kill(os.getppid(), signal.SIGKILL)";
    let outcome = Bench::cells(&["6 * 7", kill]).isolated(Isolation::Landlock).run().await;
    assert_eq!(outcome.failure().0, Reason::ProcessDied);
    let executed = outcome.executed().await;
    assert!(executed["cells"][0]["outputs"].to_string().contains("42"), "{executed}");
}

/// Many small files, which take long to remove: the worker does other things meanwhile.
#[tokio::test]
async fn many_files_are_removed() {
    let source = "for number in range(30_000): open(f'file {number}', 'w').close()";
    Bench::cells(&[source]).run().await.result();
}
