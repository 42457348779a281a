//! What isolated notebooks can't do, and what they still can. Both tiers must be real where the tests run: a
//! notebook that is refused fails its test with the reason, and what to install.

use std::fs;
use std::time::{Duration, Instant};

use isochrone_domain::{AttemptEnd, Reason};
use isochrone_executors::notebook::{Config, Isolation, Isolator, Tier};
use isochrone_worker::StopReason;

use crate::bench::{Bench, Outcome, alive, environment, unique};

const TIERS: [Isolation; 2] = [Isolation::Bwrap, Isolation::Landlock];

const SECRET: &str = "isochrone-test-secret";

/// Runs it in each tier beside a secret file, with `OUTSIDE` for the worker's folder and `WORKER` for its process.
async fn in_each_tier(source: &str, check: impl Fn(Isolation, &Outcome)) {
    for isolation in TIERS {
        let bench = Bench::cells(&[]).isolated(isolation);
        let outside = bench.data_dir();
        fs::create_dir(outside.join("tls")).unwrap();
        fs::write(outside.join("tls/key.pem"), SECRET).unwrap();
        let setting = format!("OUTSIDE, WORKER = {:?}, {}", outside.to_str().unwrap(), std::process::id());
        let outcome = bench.with_cells(&[&setting, source]).run().await;
        println!("{isolation:?}: {:?}", outcome.log);
        check(isolation, &outcome);
    }
}

/// Defines `tried`, which prints how each attempt at something ended.
const TRIED: &str = "def tried(name, act):\n    \
                         try:\n        print(name, 'could', act())\n    \
                         except OSError as error:\n        print(name, 'refused')\n";

#[tokio::test]
async fn an_isolated_notebook_runs_and_is_kept() {
    let source = "import os, sys, tempfile, subprocess, socket, multiprocessing\n\
                  open('own', 'w').write('x'); os.makedirs('a/b'); os.rename('own', 'a/b/own')\n\
                  print('temporary', tempfile.TemporaryFile().write(b'xyz'))\n\
                  print('child', subprocess.run(['sh', '-c', 'echo $((6*7))'], capture_output=True, text=True).stdout)\n\
                  print('pool', multiprocessing.get_context('fork').Pool(2).map(abs, [-1, -2]))\n\
                  print('home', os.listdir(os.path.expanduser('~')) is not None)\n\
                  server = socket.create_server(('127.0.0.1', 0))\n\
                  client = socket.create_connection(server.getsockname())\n\
                  server.accept()[0].sendall(b'over the network')\n\
                  print(client.recv(100).decode())";
    in_each_tier(source, |_, outcome| {
        assert_eq!(outcome.result()["executedCells"], 2);
        for line in ["temporary 3", "child 42", "pool [1, 2]", "home True", "over the network"] {
            assert!(outcome.printed(line), "{line}: {:?}", outcome.log);
        }
        // The executed notebook, and the file that it wrote.
        assert_eq!(outcome.artifacts.len(), 2);
    })
    .await;
}

#[tokio::test]
async fn the_workers_files_are_out_of_reach() {
    let source = TRIED.to_owned()
        + "import os, pathlib\n\
           key = f'{OUTSIDE}/tls/key.pem'\n\
           tried('read', lambda: open(key).read())\n\
           tried('list', lambda: os.listdir(f'{OUTSIDE}/tls'))\n\
           tried('append', lambda: open(key, 'a').write('!'))\n\
           tried('new', lambda: open(f'{OUTSIDE}/new', 'w').write('!'))\n\
           tried('truncate', lambda: os.truncate(key, 0))\n\
           tried('remove', lambda: os.remove(key))\n\
           tried('link', lambda: os.link(key, 'link'))\n\
           os.symlink(key, 'symlink')\n\
           tried('through a link', lambda: open('symlink').read())\n\
           tried('through a process', lambda: open(f'/proc/{WORKER}/root{key}').read())\n\
           tried('program', lambda: open('/usr/new', 'w'))\n\
           tried('environment', lambda: open(os.path.join(__import__('sys').prefix, 'new'), 'w'))\n\
           tried('passwords', lambda: open('/etc/shadow').read())\n\
           tried('setting', lambda: open('/proc/sys/kernel/core_pattern', 'w'))";
    for isolation in TIERS {
        let bench = Bench::cells(&[]).isolated(isolation);
        let outside = bench.data_dir();
        let key = outside.join("tls/key.pem");
        fs::create_dir(outside.join("tls")).unwrap();
        fs::write(&key, SECRET).unwrap();
        let setting = format!("OUTSIDE, WORKER = {:?}, {}", outside.to_str().unwrap(), std::process::id());
        let execution = bench.with_cells(&[&setting, &source, "import time; time.sleep(1000)"]).start();
        execution.printed("setting").await;
        assert_eq!(fs::read_to_string(&key).unwrap(), SECRET);
        assert!(!outside.join("new").exists());
        execution.stop(StopReason::Cancelled);
        let outcome = execution.outcome().await;
        let could: Vec<_> = outcome.log.iter().filter(|(_, line)| line.contains("could")).collect();
        let refused = outcome.log.iter().filter(|(_, line)| line.ends_with("refused")).count();
        // There, what looks like the folder outside may be an empty one of the attempt's own.
        let allowed = usize::from(isolation == Isolation::Bwrap);
        assert!(could.len() <= allowed && could.iter().all(|(_, line)| line.starts_with("new")), "{could:?}");
        assert_eq!(could.len() + refused, 13, "{isolation:?}: {:?}", outcome.log);
    }
}

#[tokio::test]
async fn the_workers_secrets_and_processes_are_out_of_reach() {
    // Cargo gives this to the test's process, as an operator gives secrets to the worker's.
    assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some());
    let environment = fs::read(format!("/proc/{}/environ", std::process::id())).unwrap();
    assert!(String::from_utf8_lossy(&environment).contains("CARGO_MANIFEST_DIR"));
    let source = TRIED.to_owned()
        + "import ctypes, glob, os, signal\n\
           found = 0\n\
           for name in glob.glob('/proc/[0-9]*/environ'):\n    \
               try: found += b'CARGO_MANIFEST_DIR' in open(name, 'rb').read()\n    \
               except OSError: pass\n\
           print('secrets', found, 'CARGO_MANIFEST_DIR' in os.environ)\n\
           tried('signal', lambda: os.kill(WORKER, 0))\n\
           tried('memory', lambda: open(f'/proc/{WORKER}/mem', 'rb'))\n\
           tried('files', lambda: os.readlink(f'/proc/{WORKER}/fd/0'))\n\
           system = ctypes.CDLL(None, use_errno=True)\n\
           print('namespace', system.unshare(0x10000000), system.mount(b'/', b'/', None, 4096, None))\n\
           print('trace', system.ptrace(16, os.getppid(), 0, 0))\n\
           print('privileges', [line.split()[1] for line in open('/proc/self/status') if line.startswith('CapEff')])\n\
           print('terminal', system.ioctl(0, 0x5412, b'x'), ctypes.get_errno())";
    in_each_tier(&source, |isolation, outcome| {
        outcome.result();
        let lines = [
            "secrets 0 False",
            "signal refused",
            "memory refused",
            "files refused",
            "namespace -1 -1",
            "trace -1",
            "privileges ['0000000000000000']",
            "terminal -1 1",
        ];
        for line in lines {
            assert!(outcome.printed(line), "{isolation:?}: {line}: {:?}", outcome.log);
        }
    })
    .await;
}

/// What stays of a run, in a folder that it may write in, must be no program for others that is run as the worker.
#[tokio::test]
async fn programs_that_are_run_as_their_owner_cant_be_made() {
    let source = TRIED.to_owned()
        + "import ctypes, os\n\
           os.chmod(os.open('plain', os.O_CREAT | os.O_WRONLY, 0o700), 0o755)\n\
           make = os.O_CREAT | os.O_WRONLY\n\
           system = ctypes.CDLL(None, use_errno=True)\n\
           def call(number, *arguments):\n    \
               if system.syscall(number, *arguments) < 0: raise OSError(ctypes.get_errno(), 'refused')\n\
           tried('chmod', lambda: os.chmod('plain', 0o4755))\n\
           tried('fchmod', lambda: os.chmod(os.open('plain', os.O_RDONLY), 0o4755))\n\
           tried('fchmodat', lambda: os.chmod('plain', 0o4755, dir_fd=os.open('.', os.O_RDONLY)))\n\
           tried('fchmodat2', lambda: call(452, -100, b'plain', 0o4755, 0))\n\
           tried('open', lambda: os.open('made', make, 0o4755))\n\
           tried('without a name', lambda: os.open('.', os.O_TMPFILE | os.O_RDWR, 0o4755))\n\
           tried('node', lambda: os.mknod('node', 0o104755))\n\
           how = (ctypes.c_uint64 * 3)(make, 0o4755, 0)\n\
           tried('openat2', lambda: call(437, -100, b'another', how, 24))\n\
           print('found', [name for name in os.listdir() if os.stat(name).st_mode & 0o4000])\n\
           os.open('usual', make, 0o755)";
    in_each_tier(&source, |isolation, outcome| {
        outcome.result();
        for name in ["chmod", "fchmod", "fchmodat", "fchmodat2", "open", "without a name", "node", "openat2"]
        {
            assert!(outcome.printed(&format!("{name} refused")), "{isolation:?}: {name}: {:?}", outcome.log);
        }
        assert!(outcome.printed("found []"), "{isolation:?}: {:?}", outcome.log);
    })
    .await;
}

/// Who is the same user may set limits and priorities of the worker, and of other runs.
#[tokio::test]
async fn the_workers_limits_and_priority_are_out_of_reach() {
    let source = TRIED.to_owned()
        + "import os, resource\n\
           tried('limit', lambda: resource.prlimit(WORKER, resource.RLIMIT_CPU))\n\
           tried('scheduler', lambda: os.sched_setscheduler(WORKER, os.SCHED_OTHER, os.sched_param(0)))\n\
           tried('priority', lambda: os.setpriority(os.PRIO_PROCESS, WORKER, 0))\n\
           tried('priority of all', lambda: os.setpriority(os.PRIO_USER, 0, 19))\n\
           print('own', resource.getrlimit(resource.RLIMIT_CORE)[0] < 2, os.nice(0) >= 0)";
    in_each_tier(&source, |isolation, outcome| {
        outcome.result();
        let refused = |name: &str| outcome.printed(&format!("{name} refused"));
        for name in ["limit", "scheduler", "priority"] {
            assert!(refused(name), "{isolation:?}: {name}: {:?}", outcome.log);
        }
        // There all of its user's processes are the notebook's own.
        assert!(isolation == Isolation::Bwrap || refused("priority of all"), "{:?}", outcome.log);
        assert!(outcome.printed("own True True"), "{isolation:?}: {:?}", outcome.log);
    })
    .await;
}

/// What is the machine's and is counted by nobody.
#[tokio::test]
async fn messages_and_segments_of_the_machine_are_out_of_reach() {
    let source = TRIED.to_owned()
        + "import ctypes, os\n\
           system = ctypes.CDLL(None, use_errno=True)\n\
           def made(name, *arguments):\n    \
               if getattr(system, name)(*arguments) < 0: raise OSError(ctypes.get_errno(), name)\n\
           tried('mq_open', lambda: made('mq_open', b'/isochrone-test', os.O_CREAT | os.O_RDWR, 0o600, None))\n\
           tried('msgget', lambda: made('msgget', 0, 0o1600))\n\
           tried('semget', lambda: made('semget', 0, 1, 0o1600))\n\
           tried('shmget', lambda: made('shmget', 0, 4096, 0o1600))";
    let outcome = Bench::cells(&[&source]).isolated(Isolation::Landlock).run().await;
    outcome.result();
    for name in ["mq_open", "msgget", "semget", "shmget"] {
        assert!(outcome.printed(&format!("{name} refused")), "{name}: {:?}", outcome.log);
    }
}

#[tokio::test]
async fn what_the_operator_lists_is_there() {
    for isolation in TIERS {
        let data = tempfile::tempdir().unwrap();
        let (given, kept) = (data.path().join("given"), data.path().join("kept"));
        fs::create_dir(&kept).unwrap();
        fs::write(&given, "rivers").unwrap();
        let source = format!(
            "print(open({given:?}).read())\nopen('{}/new', 'w').write('lakes')\ntry: open({given:?}, 'w')\n\
             except OSError: print('kept as it is')",
            kept.display()
        );
        let mut bench = Bench::cells(&[&source]).isolated(isolation);
        bench.config.readable = vec![given];
        bench.config.writable = vec![kept.clone()];
        let outcome = bench.run().await;
        outcome.result();
        assert!(outcome.printed("rivers") && outcome.printed("kept as it is"), "{:?}", outcome.log);
        assert_eq!(fs::read_to_string(kept.join("new")).unwrap(), "lakes");
    }
}

#[tokio::test]
async fn what_is_stopped_or_too_large_ends_in_each_tier() {
    for isolation in TIERS {
        let mark = unique();
        let source = format!(
            "import subprocess, sys, time\n\
             code = 'import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(1000); \"{mark}\"'\n\
             subprocess.Popen([sys.executable, '-c', code], start_new_session=True, env={{}})\n\
             print('ready', flush=True)\n\
             try:\n    time.sleep(1000)\nfinally:\n    print('cleaned up')"
        );
        let execution = Bench::cells(&[&source]).isolated(isolation).start();
        execution.printed("ready").await;
        let asked = Instant::now();
        execution.stop(StopReason::Cancelled);
        let outcome = execution.outcome().await;
        assert!(asked.elapsed() < Duration::from_secs(8), "{isolation:?}: {:?}", asked.elapsed());
        assert_eq!(outcome.failure().0, Reason::Cancelled);
        assert!(outcome.printed("cleaned up"), "{isolation:?}: {:?}", outcome.log);
        assert_eq!(alive(&mark), Vec::<String>::new());

        let memory = "import subprocess, sys\n\
                      code = 'import time; data = bytearray(b\"x\") * (200 << 20); time.sleep(1000)'\n\
                      [one.wait() for one in [subprocess.Popen([sys.executable, '-c', code]) for _ in range(4)]]";
        let mut bench = Bench::cells(&[memory]).isolated(isolation);
        bench.config.memory_mib = 500;
        assert_eq!(bench.run().await.failure().0, Reason::MemoryLimit);

        let mut bench = Bench::cells(&["open('big', 'wb').truncate(1 << 30)"]).isolated(isolation);
        bench.config.file_mib = 64;
        let outcome = bench.run().await;
        assert!(outcome.failure().1.contains("File too large"), "{:?}", outcome.failure());
    }
}

#[tokio::test]
async fn a_notebook_that_attacks_its_driver_leaves_nothing() {
    for isolation in [Isolation::Bwrap, Isolation::Landlock, Isolation::None] {
        let mark = unique();
        let source = format!(
            "import os, signal, subprocess\n\
             subprocess.Popen(['sh', '-c', 'sleep 1000; : {mark}'], start_new_session=True, env={{}})\n\
             os.kill(os.getppid(), signal.SIGSTOP if {stops} else signal.SIGKILL)",
            stops = if isolation == Isolation::Bwrap { "True" } else { "False" },
        );
        let outcome = Bench::cells(&[&source]).isolated(isolation).run().await;
        match isolation {
            // There the driver is the first process, which none of the others can signal.
            Isolation::Bwrap => assert_eq!(outcome.result()["executedCells"], 1),
            _ => assert_eq!(outcome.failure().0, Reason::ProcessDied),
        }
        assert_eq!(alive(&mark), Vec::<String>::new());
    }
}

#[tokio::test]
async fn what_holds_is_found_and_what_does_not_is_refused() {
    let python = environment().ready().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let tier = async |isolation, readable: &[std::path::PathBuf]| {
        let config = Config { isolation, readable: readable.to_vec(), ..Config::default() };
        Isolator::new(folder.path(), &config).tier(&python).await
    };
    assert_eq!(tier(Isolation::Auto, &[]).await, Ok(Tier::Bwrap));
    assert_eq!(tier(Isolation::Landlock, &[]).await, Ok(Tier::Landlock));
    assert_eq!(tier(Isolation::None, &[]).await, Ok(Tier::None));
    // With other runs' folders in the view there is no isolation.
    let open = [folder.path().to_path_buf()];
    for isolation in [Isolation::Auto, Isolation::Bwrap, Isolation::Landlock] {
        let text = tier(isolation, &open).await.unwrap_err().to_string();
        assert!(text.contains("[notebook] isolation") && text.contains("read files outside"), "{text}");
    }
    let mut bench = Bench::cells(&["1"]);
    bench.config.readable = vec![bench.data_dir()];
    match bench.run().await.end {
        AttemptEnd::SubmitFailed { reason: Reason::BackendNotConfigured, result } => {
            assert!(result.contains("apt-get install bubblewrap"), "{result}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_way_through_links_leads_to_the_same_folder() {
    for isolation in TIERS {
        let mut bench =
            Bench::cells(&["import os\nopen('own', 'w').write('x')\nprint('here', os.listdir())"]);
        bench.config.isolation = isolation;
        let outcome = bench.through_a_link().run().await;
        outcome.result();
        assert!(outcome.printed("here ['own']"), "{isolation:?}: {:?}", outcome.log);
    }
}

#[tokio::test]
#[ignore = "measures; run it alone, with --nocapture"]
async fn what_isolation_costs() {
    for round in 0..3 {
        for isolation in [Isolation::None, Isolation::Landlock, Isolation::Bwrap] {
            let mut took = Vec::new();
            for _ in 0..5 {
                let outcome = Bench::cells(&["1"]).isolated(isolation).run().await;
                outcome.result();
                took.push(outcome.took);
            }
            took.sort();
            println!("round {round}, {isolation:?}: median {:?}, least {:?}", took[2], took[0]);
        }
    }
}
