//! What a notebook leaves in its working folder.

use isochrone_worker::StopReason;

use crate::bench::{Bench, cell, notebook};

fn names(outcome: &crate::bench::Outcome) -> Vec<&str> {
    outcome.artifacts.iter().map(|artifact| artifact.name.as_str()).collect()
}

#[tokio::test]
async fn files_in_the_working_folder_become_artifacts() {
    let given = include_bytes!("cases/writefile.ipynb").to_vec();
    let outcome = Bench::new(given).run().await;
    outcome.result();
    assert_eq!(names(&outcome), ["Daily chart.ipynb", "out/deep/x.txt", "result.csv"]);
    assert_eq!(outcome.content("result.csv").await, b"a,b\n1,2\n");
    assert_eq!(outcome.content("out/deep/x.txt").await, b"x");
    let csv = &outcome.artifacts[2];
    assert_eq!((csv.content_type.as_str(), csv.size), ("text/csv; charset=utf-8", 8));
    assert!(outcome.printed("files: kept result.csv (8 bytes)"), "{:?}", outcome.log);
    assert!(outcome.printed("files: kept out/deep/x.txt (1 bytes)"), "{:?}", outcome.log);
}

#[tokio::test]
async fn what_is_left_out_is_named_with_the_reason() {
    let source = "import os\n\
        for name in ['__pycache__', '.ipynb_checkpoints', 'out/.git', 'closed']: os.makedirs(name)\n\
        for name in ['__pycache__/a.pyc', '.ipynb_checkpoints/x.ipynb', 'out/.git/HEAD', '.hidden', 'closed/x',\n             \
                     'Daily chart.ipynb', 'log.txt', 'größe\\n\\x1b[31m.txt', 'a', 'b', 'c', 'd']:\n    \
            open(name, 'w').write('x')\n\
        os.symlink('/etc/passwd', 'link'); os.mkfifo('fifo'); os.link('a', 'hard')\n\
        open('large', 'wb').write(b'x' * (1 << 21))\n\
        open('hole', 'wb').truncate(1 << 20)\n\
        os.chmod('closed', 0); os.chmod('b', 0)";
    let mut bench = Bench::cells(&[source]);
    (bench.config.artifact_files, bench.config.artifact_mib) = (5, 1);
    let outcome = bench.run().await;
    outcome.result();
    let kept = ["Daily chart.ipynb", "files/Daily chart.ipynb", "c", "d", "größe .txt", "files/log.txt"];
    let mut found = names(&outcome);
    let mut expected = kept.to_vec();
    found.sort_unstable();
    expected.sort_unstable();
    assert_eq!(found, expected, "{:?}", outcome.log);
    for line in [
        "left out __pycache__/: it is a cache",
        "left out .ipynb_checkpoints/: its name begins with a dot",
        "left out out/.git/: its name begins with a dot",
        "left out .hidden: its name begins with a dot",
        "left out closed/: its permissions keep its owner out",
        "left out link: it is a link",
        "left out fifo: it is a FIFO",
        "left out a: it has 2 links",
        "left out hard: it has 2 links",
        "left out large: it has more than 1 MiB, which a file may have ([notebook] artifact_mib)",
        "left out hole: it has no content: it is one hole",
    ] {
        assert!(outcome.printed(&format!("files: {line}")), "{line}: {:?}", outcome.log);
    }
    assert!(outcome.log.iter().any(|(_, line)| line.starts_with("files: left out b: ")), "{:?}", outcome.log);

    let many = "for number in range(7): open(f'file {number}', 'w').write('x' * 400_000)";
    let mut bench = Bench::cells(&[many]);
    (bench.config.artifact_files, bench.config.artifacts_mib) = (2, 2_000);
    let outcome = bench.run().await;
    assert_eq!(names(&outcome), ["Daily chart.ipynb", "file 0", "file 1"]);
    let line = "files: left out file 2: a run may leave 2 files ([notebook] artifact_files)";
    assert!(outcome.printed(line), "{:?}", outcome.log);
    let mut bench = Bench::cells(&[many]);
    bench.config.artifacts_mib = 1;
    let outcome = bench.run().await;
    assert_eq!(names(&outcome), ["Daily chart.ipynb", "file 0", "file 1"]);
    let line =
        "files: left out file 6: the run's files would have more than 1 MiB ([notebook] artifacts_mib)";
    assert!(outcome.printed(line), "{:?}", outcome.log);
}

#[tokio::test]
async fn failed_and_cancelled_runs_leave_theirs_too() {
    let outcome = Bench::cells(&["open('partial.csv', 'w').write('1')", "1 / 0"]).run().await;
    outcome.failure();
    assert_eq!(names(&outcome), ["Daily chart.ipynb", "partial.csv"]);

    let source =
        "import time\nopen('so far.csv', 'w').write('1')\nprint('ready', flush=True)\ntime.sleep(1000)";
    let execution = Bench::new(notebook(&[cell(source)])).start();
    execution.printed("ready").await;
    execution.stop(StopReason::Cancelled);
    let outcome = execution.outcome().await;
    outcome.failure();
    assert_eq!(names(&outcome), ["Daily chart.ipynb", "so far.csv"]);
}

/// A file of many pieces comes whole, and not through memory.
#[tokio::test]
async fn large_files_are_kept_in_pieces() {
    let source = "import hashlib\ndata = bytes(range(256)) * 4096 * 20 + b'end'\nopen('large.bin', 'wb').write(data)\n\
                  print('digest', hashlib.sha256(data).hexdigest())";
    let outcome = Bench::cells(&[source]).run().await;
    outcome.result();
    let content = outcome.content("large.bin").await;
    assert_eq!(content.len(), 20 * (1 << 20) + 3);
    assert!(content.ends_with(b"end") && content[(9 << 20)..].starts_with(&[0, 1, 2]));
    assert_eq!(outcome.artifacts[1].size, 20 * (1 << 20) + 3);
}
