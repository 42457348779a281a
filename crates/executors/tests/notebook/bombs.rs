//! Notebooks that try to take the machine: each ends with its reason within ten seconds and leaves nothing, while
//! another one beside it goes on. What is not held on a stage is what the worker says there.

use std::time::{Duration, Instant};

use isochrone_domain::{AttemptEnd, Reason};
use isochrone_executors::notebook::{Config, Held, Isolation, Isolator, Limited, LimitsFound};

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

const BOMBS: [Bomb; 20] = [
    Bomb {
        name: "2,000 processes of one parent",
        on: Limited::Processes,
        source: "for n in range(2000):\n    if os.fork() == 0: time.sleep(100); os._exit(0)\ntime.sleep(100)",
        reason: Reason::ProcessLimit,
    },
    Bomb {
        name: "processes that double to 4,096",
        on: Limited::Processes,
        source: "for n in range(12): os.fork()\ntime.sleep(100)",
        reason: Reason::ProcessLimit,
    },
    Bomb {
        name: "processes that double, in sessions of their own",
        on: Limited::Processes,
        source: "for n in range(12):\n    if os.fork() == 0: os.setsid()\ntime.sleep(100)",
        reason: Reason::ProcessLimit,
    },
    Bomb {
        name: "5,000 threads",
        on: Limited::Processes,
        source: "import threading; threading.stack_size(64 << 10)\n\
                 for n in range(5000): threading.Thread(target=time.sleep, args=(300,), daemon=True).start()\n\
                 time.sleep(100)",
        reason: Reason::ProcessLimit,
    },
    Bomb {
        name: "memory of its own",
        on: Limited::Memory,
        source: "hoard = [bytearray(b'x') * (64 << 20) for n in range(128)]\ntime.sleep(100)",
        reason: Reason::MemoryLimit,
    },
    Bomb {
        name: "memory of its children's",
        on: Limited::Memory,
        source: "for n in range(64):\n    \
                     if os.fork() == 0: data = bytearray(b'x') * (128 << 20); time.sleep(100); os._exit(0)\n\
                 time.sleep(100)",
        reason: Reason::MemoryLimit,
    },
    Bomb {
        name: "memory, after its driver was stopped",
        on: Limited::Memory,
        // Its own limit of data may come before the look at it: then it keeps what it has.
        source: "import signal\nos.kill(os.getppid(), signal.SIGSTOP)\nhoard = []\ntry:\n    \
                     for n in range(128): hoard.append(bytearray(b'x') * (64 << 20))\n\
                 except MemoryError: pass\ntime.sleep(100)",
        reason: Reason::MemoryLimit,
    },
    Bomb {
        name: "page tables of what it has not",
        on: Limited::Memory,
        // MAP_NORESERVE is in Python's mmap since 3.13.
        source: "empty = mmap.mmap(-1, 1 << 42, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000,\n                  \
                 prot=mmap.PROT_READ)\n\
                 empty.madvise(mmap.MADV_NOHUGEPAGE)\n\
                 for at in range(0, 1 << 42, 1 << 21): empty[at]\n\
                 time.sleep(100)",
        reason: Reason::MemoryLimit,
    },
    Bomb {
        name: "shared memory that is not mapped in",
        on: Limited::SharedMemory,
        source: "hoard = []\n\
                 for n in range(128):\n    \
                     hoard.append(mmap.mmap(-1, 64 << 20))\n    \
                     for m in range(64): hoard[-1].write(block)\n    \
                     hoard[-1].madvise(mmap.MADV_DONTNEED)\n\
                 time.sleep(100)",
        reason: Reason::MemoryLimit,
    },
    Bomb {
        name: "files without content in /dev/shm",
        on: Limited::SharedMemory,
        source: "for n in range(2_000_000): os.close(os.open(f'/dev/shm/bomb-{os.getpid()}-{n}', os.O_CREAT))\n\
                 time.sleep(100)",
        reason: Reason::MemoryLimit,
    },
    Bomb {
        name: "/dev/shm",
        on: Limited::SharedMemory,
        source: "for n in range(16):\n    \
                     with open(f'/dev/shm/bomb-{os.getpid()}-{n}', 'wb') as file:\n        \
                         for m in range(512): file.write(block)\n\
                 time.sleep(100)",
        reason: Reason::MemoryLimit,
    },
    Bomb {
        name: "memfd",
        on: Limited::SharedMemory,
        source: "hoard = []\n\
                 for n in range(16):\n    \
                     hoard.append(os.memfd_create('bomb'))\n    \
                     for m in range(512): os.write(hoard[-1], block)\n\
                 time.sleep(100)",
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
                 time.sleep(100)",
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
                 time.sleep(100)",
        reason: Reason::MemoryLimit,
    },
    Bomb {
        name: "buffers of connections over TCP",
        on: Limited::KernelMemory,
        // About 1 MiB each, 1.5 GiB should nobody end it.
        source: "import socket\n\
                 def fill():\n    \
                     server, hoard = socket.create_server(('127.0.0.1', 0), backlog=64), []\n    \
                     for n in range(100):\n        \
                         client = socket.create_connection(server.getsockname())\n        \
                         client.setblocking(False)\n        \
                         hoard.append((client, server.accept()))\n        \
                         try:\n            \
                             for n in range(8): client.send(block)\n        \
                         except BlockingIOError: pass\n    \
                     time.sleep(100)\n\
                 for child in range(5):\n    \
                     if os.fork() == 0: fill()\n\
                 time.sleep(100)",
        reason: Reason::MemoryLimit,
    },
    Bomb {
        name: "unread answers of the kernel",
        on: Limited::KernelMemory,
        // RTM_GETLINK of the first device. 1.5 GiB, should nobody end it.
        source: "import socket, struct\n\
                 ask = struct.pack('=IHHIIBBHiII', 32, 18, 1, 1, 0, 0, 0, 0, 1, 0, 0)\n\
                 for child in range(8):\n    \
                     if os.fork() == 0:\n        \
                         hoard = [socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) for n in range(900)]\n        \
                         for one in hoard:\n            \
                             one.setblocking(False)\n            \
                             try:\n                \
                                 for n in range(200): one.send(ask)\n            \
                             except OSError: pass\n        \
                         time.sleep(100)\n\
                 time.sleep(100)",
        reason: Reason::MemoryLimit,
    },
    Bomb {
        name: "files without content",
        on: Limited::Disk,
        source: "for n in range(400_000): os.close(os.open(f'bomb-{n}', os.O_CREAT))\ntime.sleep(100)",
        reason: Reason::DiskLimit,
    },
    Bomb {
        name: "removed files of who would not be looked at",
        on: Limited::Disk,
        source: "hoard = []\n\
                 print('hidden', ctypes.CDLL(None).prctl(4, 0, 0, 0, 0))\n\
                 for n in range(160):\n    \
                     hoard.append(open('bomb', 'wb'))\n    \
                     os.unlink('bomb')\n    \
                     for m in range(64): hoard[-1].write(block)\n    \
                     assert os.statvfs('.').f_bavail * os.statvfs('.').f_frsize > 8 << 30\n\
                 time.sleep(100)",
        reason: Reason::DiskLimit,
    },
    Bomb {
        name: "10 GiB of files",
        on: Limited::Disk,
        source: "for n in range(160):\n    \
                     with open(f'bomb-{n}', 'wb') as file:\n        \
                         for m in range(64): file.write(block)\n    \
                     assert os.statvfs('.').f_bavail * os.statvfs('.').f_frsize > 8 << 30\n\
                 time.sleep(100)",
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
                 time.sleep(100)",
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
    for isolation in [Isolation::Bwrap, Isolation::Landlock, Isolation::None] {
        let config = Config { isolation, ..Config::default() };
        let isolator = Isolator::new(std::env::temp_dir(), &config);
        let found = isolator.limits(&python).await.unwrap();
        only_where_all_is_held(isolation, &found).await;
        let held = found.limits;
        println!("{stage:?}, {isolation:?}: {held:?}");
        if stage.cgroups {
            let missing = |limit: &&Held| limit.by.is_err();
            let expected = if isolation == Isolation::None { &[Limited::Disk][..] } else { &[] };
            assert_eq!(held.iter().filter(missing).map(|limit| limit.on).collect::<Vec<_>>(), expected);
        }
        let beside = bench(isolation, &["import time\nfor n in range(100): time.sleep(0.1)"]);
        let beside = beside.start();
        let only = std::env::var("ISOCHRONE_TEST_BOMBS").unwrap_or_default();
        let mut tried = Vec::new();
        for bomb in BOMBS.iter().filter(|bomb| only.split(',').any(|part| bomb.name.contains(part))) {
            // Without isolation the same holds them as under Landlock.
            if isolation == Isolation::None && tried.contains(&bomb.on) {
                continue;
            }
            tried.push(bomb.on);
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

/// Where all limits are required, a notebook runs if they hold, and is refused with the setting's name and what is missing
/// if not. The first line of a run's log says the same as the doctor.
async fn only_where_all_is_held(isolation: Isolation, found: &LimitsFound) {
    let mut bench = bench(isolation, &["print('ran')"]);
    bench.config.require_limits = true;
    let outcome = bench.run().await;
    match (found.missing(), &outcome.end) {
        (None, AttemptEnd::Succeeded { .. }) => {
            let first = &outcome.log[0].1;
            assert!(first.ends_with(&format!("limits: {found}")), "{first}: {found}");
        }
        (Some(missing), AttemptEnd::SubmitFailed { reason: Reason::BackendNotConfigured, result }) => {
            assert!(result.contains("[notebook] require_limits = true"), "{result}");
            assert!(result.contains(&missing), "{result}: {missing}");
        }
        (missing, end) => panic!("{isolation:?}: {missing:?}: {end:?}"),
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
