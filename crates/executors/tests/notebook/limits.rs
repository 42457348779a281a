//! Notebooks that want more than they may have.

use std::time::Duration;

use isochrone_domain::Reason;

use crate::bench::{Bench, alive, own_memory, unique};

#[tokio::test]
async fn endless_output_is_cut_off_and_held_nowhere() {
    let before = own_memory();
    let mut bench = Bench::cells(&["print('begun')", "while True: print('x' * 1000)"]);
    bench.config.output_mib = 4;
    let outcome = bench.run().await;
    let grown = own_memory().saturating_sub(before);
    assert_eq!(outcome.failure().0, Reason::OutputLimit);
    assert!(outcome.printed("begun"));
    assert!(outcome.took < Duration::from_secs(30), "{:?}", outcome.took);
    // The executed notebook, of some 4 MiB, is among that; other tests run beside this one.
    assert!(grown < 128 << 20, "{grown}");
    let executed = outcome.executed().await.to_string();
    assert!(executed.contains("begun") && executed.len() < 8 << 20);
}

#[tokio::test]
async fn a_process_that_wants_8_gib_is_refused() {
    let outcome = Bench::cells(&["data = bytearray(8 << 30)"]).run().await;
    assert_eq!(outcome.failure().0, Reason::MemoryLimit);
}

#[tokio::test]
async fn processes_that_use_too_much_together_are_killed() {
    let mark = unique();
    let source = format!(
        "import subprocess, sys\n\
         code = 'import time; data = bytearray(b\"x\") * (200 << 20); time.sleep(1000); \"{mark}\"'\n\
         [process.wait() for process in [subprocess.Popen([sys.executable, '-c', code]) for _ in range(4)]]"
    );
    let mut bench = Bench::cells(&[&source]);
    bench.config.memory_mib = 500;
    let outcome = bench.run().await;
    let (reason, text) = outcome.failure();
    assert_eq!(reason, Reason::MemoryLimit);
    assert!(text.contains("500 MiB"), "{text}");
    assert_eq!(alive(&mark), Vec::<String>::new());
}

#[tokio::test]
async fn a_fork_bomb_is_ended_to_the_last_process() {
    let mark = unique();
    // Doubles with each generation, in sessions of their own and without the environment's mark; the
    // tenth is the last, should nobody end it.
    let bomb = format!(
        "[ $1 -lt 10 ] && {{ setsid sh -c \"$BOMB\" b $(($1+1)) & setsid sh -c \"$BOMB\" b $(($1+1)) & }}; \
         sleep 1000; : {mark}"
    );
    let source = format!(
        "import subprocess\n\
         bomb = {bomb:?}\n\
         subprocess.run(['sh', '-c', bomb, 'b', '0'], env={{'BOMB': bomb, 'PATH': '/usr/bin:/bin'}})"
    );
    let mut bench = Bench::cells(&[&source]);
    bench.config.processes = 40;
    let outcome = bench.run().await;
    let (reason, text) = outcome.failure();
    assert_eq!(reason, Reason::ProcessLimit, "{text}");
    assert_eq!(alive(&mark), Vec::<String>::new());
}

#[tokio::test]
async fn a_file_has_a_largest_size() {
    let mut bench = Bench::cells(&["with open('big', 'wb') as file: file.truncate(1 << 30)"]);
    bench.config.file_mib = 64;
    let outcome = bench.run().await;
    let (reason, text) = outcome.failure();
    assert_eq!(reason, Reason::ExecutionError);
    assert!(text.contains("File too large"), "{text}");
}

#[tokio::test]
async fn one_print_that_is_too_large_ends_the_notebook() {
    let mut bench = Bench::cells(&["print('x' * (1 << 30))"]);
    bench.config.memory_mib = 1_024;
    let outcome = bench.run().await;
    let (reason, text) = outcome.failure();
    assert!(matches!(reason, Reason::MemoryLimit | Reason::OutputLimit), "{text}");
}
