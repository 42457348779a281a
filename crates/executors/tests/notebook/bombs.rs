//! Notebooks that try to take the machine: each ends with its reason within ten seconds and leaves nothing, while
//! another one beside it goes on. What is not held on a stage is what the worker says there.

use std::time::{Duration, Instant};

use isochrone_domain::Reason;
use isochrone_executors::notebook::{Config, Isolation, Isolator, Limited};

use crate::bench::{Bench, alive, environment};
use crate::stages::Stage;

/// Ten seconds are promised, of a machine that has nothing else to do; here other tests run beside it. What a limit
/// does not hold goes on for minutes.
const PATIENCE: Duration = Duration::from_mins(1);

struct Bomb {
    name: &'static str,
    /// What it would exhaust.
    on: Limited,
    source: &'static str,
    reason: Reason,
}

const BOMBS: [Bomb; 12] = [
    Bomb {
        name: "2,000 processes of one parent",
        on: Limited::Processes,
        source: "for n in range(2000):\n    if os.fork() == 0: time.sleep(300); os._exit(0)\ntime.sleep(300)",
        reason: Reason::ProcessLimit,
    },
    Bomb {
        name: "processes that double to 4,096",
        on: Limited::Processes,
        source: "for n in range(12): os.fork()\ntime.sleep(300)",
        reason: Reason::ProcessLimit,
    },
    Bomb {
        name: "processes that double, in sessions of their own",
        on: Limited::Processes,
        source: "for n in range(12):\n    if os.fork() == 0: os.setsid()\ntime.sleep(300)",
        reason: Reason::ProcessLimit,
    },
    Bomb {
        name: "5,000 threads",
        on: Limited::Processes,
        source: "import threading; threading.stack_size(64 << 10)\n\
                 for n in range(5000): threading.Thread(target=time.sleep, args=(300,), daemon=True).start()\n\
                 time.sleep(300)",
        reason: Reason::ProcessLimit,
    },
    Bomb {
        name: "memory of its own",
        on: Limited::Memory,
        source: "hoard = [bytearray(b'x') * (64 << 20) for n in range(128)]\ntime.sleep(300)",
        reason: Reason::MemoryLimit,
    },
    Bomb {
        name: "memory of its children's",
        on: Limited::Memory,
        source: "for n in range(64):\n    \
                     if os.fork() == 0: data = bytearray(b'x') * (128 << 20); time.sleep(300); os._exit(0)\n\
                 time.sleep(300)",
        reason: Reason::MemoryLimit,
    },
    Bomb {
        name: "/dev/shm",
        on: Limited::SharedMemory,
        source: "for n in range(16):\n    \
                     with open(f'/dev/shm/bomb-{os.getpid()}-{n}', 'wb') as file:\n        \
                         for m in range(512): file.write(block)\n\
                 time.sleep(300)",
        reason: Reason::MemoryLimit,
    },
    Bomb {
        name: "memfd",
        on: Limited::SharedMemory,
        source: "hoard = []\n\
                 for n in range(16):\n    \
                     hoard.append(os.memfd_create('bomb'))\n    \
                     for m in range(512): os.write(hoard[-1], block)\n\
                 time.sleep(300)",
        reason: Reason::MemoryLimit,
    },
    Bomb {
        name: "segments of System V",
        on: Limited::SharedMemory,
        source: "system = ctypes.CDLL(None, use_errno=True)\n\
                 system.shmat.restype = ctypes.c_void_p\n\
                 for n in range(16):\n    \
                     segment = system.shmget(0, ctypes.c_size_t(512 << 20), 0o1600)\n    \
                     if segment < 0: raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))\n    \
                     at = system.shmat(segment, None, 0)\n    \
                     system.shmctl(segment, 0, None)\n    \
                     ctypes.memset(ctypes.c_void_p(at), 1, 512 << 20)\n\
                 time.sleep(300)",
        reason: Reason::MemoryLimit,
    },
    Bomb {
        name: "buffers of sockets",
        on: Limited::KernelMemory,
        source: "import socket\n\
                 hoard, held = [], 0\n\
                 while held < 8 << 30:\n    \
                     hoard.append(socket.socketpair())\n    \
                     hoard[-1][0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 30)\n    \
                     hoard[-1][0].setblocking(False)\n    \
                     try:\n        \
                         while held < 8 << 30: held += hoard[-1][0].send(block)\n    \
                     except BlockingIOError: pass\n\
                 time.sleep(300)",
        reason: Reason::MemoryLimit,
    },
    Bomb {
        name: "10 GiB of files",
        on: Limited::Disk,
        source: "for n in range(160):\n    \
                     with open(f'bomb-{n}', 'wb') as file:\n        \
                         for m in range(64): file.write(block)\n    \
                     assert os.statvfs('.').f_bavail * os.statvfs('.').f_frsize > 8 << 30\n\
                 time.sleep(300)",
        reason: Reason::DiskLimit,
    },
    Bomb {
        name: "removed files that are open",
        on: Limited::Disk,
        source: "hoard = []\n\
                 for n in range(160):\n    \
                     hoard.append(open('bomb', 'wb'))\n    \
                     os.unlink('bomb')\n    \
                     for m in range(64): hoard[-1].write(block)\n    \
                     assert os.statvfs('.').f_bavail * os.statvfs('.').f_frsize > 8 << 30\n\
                 time.sleep(300)",
        reason: Reason::DiskLimit,
    },
];

fn bench(isolation: Isolation, sources: &[&str]) -> Bench {
    let mut bench = Bench::cells(sources).isolated(isolation);
    bench.config.memory_mib = 320;
    bench.config.disk_mib = 256;
    bench
}

async fn explodes(isolation: Isolation, bomb: &Bomb) {
    let setting = "import ctypes, mmap, os, time\nblock = b'x' * (1 << 20)\nprint('ready')";
    let mut bench = bench(isolation, &[setting, bomb.source]);
    if bomb.on == Limited::Processes {
        // Each copy of a kernel has some megabytes of its own.
        bench.config.memory_mib = 2_048;
    }
    // All of its processes have a path in this folder among their arguments or in their environment.
    let folder = bench.data_dir().display().to_string();
    let execution = bench.start();
    execution.printed("ready").await;
    let began = Instant::now();
    let outcome = execution.outcome().await;
    let took = began.elapsed();
    let (reason, text) = outcome.failure();
    println!("{isolation:?}, {}: {reason} after {took:?}: {text}", bomb.name);
    // Where nothing counts it, the system does not know the call.
    let refused = bomb.on == Limited::SharedMemory && text.contains("Function not implemented");
    assert!(
        reason == bomb.reason || refused,
        "{isolation:?}, {}: {reason}: {text}; {:?}",
        bomb.name,
        outcome.log
    );
    assert!(took < PATIENCE, "{isolation:?}, {}: {took:?}", bomb.name);
    assert_eq!(alive(&folder), Vec::<String>::new(), "{isolation:?}, {}", bomb.name);
}

#[tokio::test]
#[ignore = "could fill the machine: other tests start it where it can't"]
async fn all_in_one_stage() {
    let stage = Stage::of_this_process();
    let python = environment().ready().await.unwrap();
    for isolation in [Isolation::Bwrap, Isolation::Landlock] {
        let config = Config { isolation, ..Config::default() };
        let isolator = Isolator::new(std::env::temp_dir(), &config);
        let held = isolator.limits(&python).await.unwrap().limits;
        println!("{stage:?}, {isolation:?}: {held:?}");
        if stage.cgroups {
            assert!(held.iter().all(|limit| limit.by.is_ok()), "{held:?}");
        }
        let beside = bench(isolation, &["import time\nfor n in range(100): time.sleep(0.1)"]);
        let beside = beside.start();
        let only = std::env::var("ISOCHRONE_TEST_BOMBS").unwrap_or_default();
        for bomb in BOMBS.iter().filter(|bomb| bomb.name.contains(&only)) {
            let limit = held.iter().find(|limit| limit.on == bomb.on).expect("each is told");
            match limit.by {
                Ok(_) => explodes(isolation, bomb).await,
                Err(why) => println!("{isolation:?}, {}: not held: {why}", bomb.name),
            }
        }
        beside.outcome().await.result();
        reads_and_writes_more_than_its_memory(isolation).await;
    }
}

/// What is only kept from the disk is no excess.
async fn reads_and_writes_more_than_its_memory(isolation: Isolation) {
    let source = "import mmap, os\n\
                  block, total = os.urandom(1 << 20), 0\n\
                  with open('data', 'wb') as file:\n    \
                      for n in range(MIB): file.write(block)\n\
                  with open('data', 'rb') as file:\n    \
                      while part := file.read(1 << 20): total += len(part)\n    \
                      with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:\n        \
                          total += sum(len(mapped[at:at + (1 << 20)]) for at in range(0, len(mapped), 1 << 20))\n\
                  print('read', total >> 20)";
    let mib: u64 = std::env::var("ISOCHRONE_TEST_FILE_MIB").map_or(800, |text| text.parse().unwrap());
    let mut bench = bench(isolation, &[&format!("MIB = {mib}"), source]);
    (bench.config.file_mib, bench.config.disk_mib) = (2 * mib, 2 * mib);
    let outcome = bench.run().await;
    outcome.result();
    assert!(outcome.printed(&format!("read {}", 2 * mib)), "{:?}", outcome.log);
}

const INNER: &str = "bombs::all_in_one_stage";

#[test]
fn bombs_end_as_root_in_cgroups() {
    Stage { root: true, cgroups: true }.run(INNER);
}

#[test]
fn bombs_end_as_another_user_in_cgroups() {
    Stage { root: false, cgroups: true }.run(INNER);
}

#[test]
fn bombs_end_as_root_without_cgroups() {
    Stage { root: true, cgroups: false }.run(INNER);
}

#[test]
fn bombs_end_as_another_user_without_cgroups() {
    Stage { root: false, cgroups: false }.run(INNER);
}
