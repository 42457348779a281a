//! Notebooks that say themselves that they are done.

use isochrone_domain::Reason;

use crate::table::{End, Row, check};

#[tokio::test]
async fn a_notebook_that_leaves_is_done_with_code_0_only() {
    let failed = |words| End::Fails(Reason::ExecutionError, words);
    let died = |words| End::Fails(Reason::ProcessDied, words);
    let rows = [
        ("exit()", End::Succeeds),
        ("quit()", End::Succeeds),
        ("exit", End::Succeeds),
        ("exit(0)", End::Succeeds),
        ("if True:\n    exit()\n    import time; time.sleep(1); print('rest of the cell')", End::Succeeds),
        ("get_ipython().ask_exit()", End::Succeeds),
        (
            "import sys\ndef leave():\n    try: sys.exit()\n    finally: print('cleaned up')\nleave()",
            End::Succeeds,
        ),
        ("raise SystemExit", End::Succeeds),
        ("raise SystemExit(0)", End::Succeeds),
        ("exit(3)", failed("SystemExit: 3 (cell 2 of 3)")),
        ("quit(-1)", failed("SystemExit: -1 (cell 2 of 3)")),
        (
            "import sys; sys.exit('no features were found')",
            failed("SystemExit: no features were found (cell 2 of 3)"),
        ),
        ("raise SystemExit(2)", failed("SystemExit: 2 (cell 2 of 3)")),
        ("import os; os._exit(3)", died("exit code 3")),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", died("SIGSEGV")),
    ];
    let row = |(source, end)| {
        Row::cells(source, &["print('before')", source, "print('after')"], end)
            .logs("before")
            .never_logs("after")
    };
    check(rows.into_iter().map(row).collect()).await;
}
