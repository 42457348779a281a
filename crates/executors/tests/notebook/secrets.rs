//! `[notebook.secrets]`: they reach the owner's notebooks, and nothing that is kept of a run.

use std::collections::BTreeMap;

use isochrone_domain::Reason;
use isochrone_executors::notebook::Secret;

use crate::bench::{Bench, Outcome};

const SECRET: &str = "canary-Zo\"rk-3f0a-täst";
/// What a mask could leave over: its beginning and its end.
const PARTS: [&str; 2] = ["canary-Zo", "3f0a-täst"];

fn bench(owner: &str, cells: &[&str]) -> Bench {
    let mut bench = Bench::cells(cells);
    let own = BTreeMap::from([("DB_PASSWORD".to_owned(), Secret::Value(SECRET.to_owned()))]);
    bench.config.secrets = BTreeMap::from([(owner.to_owned(), own)]);
    bench
}

async fn check_hidden(outcome: &Outcome) {
    let kept = [
        format!("{:?}", outcome.end),
        outcome.log.iter().map(|(_, line)| line.as_str()).collect::<Vec<_>>().join("\n"),
        format!("{:?}", outcome.progress),
        outcome.executed().await.to_string(),
    ];
    for (place, text) in ["end", "log", "progress", "executed notebook"].into_iter().zip(kept) {
        for part in PARTS {
            assert!(!text.contains(part), "{part} in the {place}: {text}");
        }
    }
}

#[tokio::test]
async fn a_secret_is_in_the_environment_and_masked_in_logs_outputs_and_results() {
    let outcome = bench(
        "ANNA",
        &[
            "import os, sys, time\nsecret = os.environ['DB_PASSWORD']\nprint(len(secret), secret)",
            "print('it is', secret, file=sys.stderr)",
            // In pieces, each a message of its own.
            "for part in (secret[:9], secret[9:12], secret[12:]):\n    print(part, end='', flush=True)\n    time.sleep(0.3)",
            // Where a long line is cut for the log.
            "print('x' * 8185, end='', flush=True); time.sleep(0.3); print(secret + 'y' * 9000)",
            "from IPython.display import HTML, display\ndisplay({'application/json': {'a': [secret]}}, raw=True)\nHTML(secret)",
            "{'here': secret}",
        ],
    )
    .run()
    .await;
    assert_eq!(outcome.result()["executedCells"], 6);
    assert!(outcome.printed(&format!("{} ***", SECRET.chars().count())), "{:?}", outcome.log);
    assert!(outcome.printed("it is ***"), "{:?}", outcome.log);
    let injected = outcome.executed().await["cells"].as_array().unwrap().len();
    assert_eq!(injected, 6, "no cell is put in");
    check_hidden(&outcome).await;
}

#[tokio::test]
async fn a_secret_is_masked_in_errors_and_in_a_dying_kernels_last_words() {
    let raised = bench("anna", &["import os\nraise ValueError('bad login: ' + os.environ['DB_PASSWORD'])"])
        .run()
        .await;
    let (reason, text) = raised.failure();
    assert_eq!((reason, text), (Reason::ExecutionError, "ValueError: bad login: *** (cell 1 of 1)"));
    check_hidden(&raised).await;
    // An error's text is cut.
    let cut = "import os\nraise ValueError('x' * 3990 + os.environ['DB_PASSWORD'])";
    check_hidden(&bench("anna", &[cut]).run().await).await;
    let died = bench("anna", &["import os\nos.write(2, os.environ['DB_PASSWORD'].encode())\nos._exit(3)"])
        .run()
        .await;
    assert_eq!(died.failure().0, Reason::ProcessDied);
    check_hidden(&died).await;
}

#[tokio::test]
async fn what_is_logged_beside_the_cells_passes_the_same_mask() {
    let mut bench = bench(
        "anna",
        &[
            // What the network refuses is in the log, with the name of the server.
            "import os, base64, json, urllib.parse, urllib.request\nsecret = os.environ['DB_PASSWORD']\n\
             host = secret.split('\"')[0].lower() + '.example.com'\n\
             try:\n    urllib.request.urlopen('http://' + os.environ['HOST_SECRET'] + '.localhost:81/', timeout=5)\n\
             except OSError as error:\n    print(error)",
            "print(json.dumps({'a': secret}), repr(secret.encode()), urllib.parse.quote(secret))",
            "print(base64.b64encode(secret.encode()).decode(), base64.b64encode(b'ann:' + secret.encode()).decode())",
            "print(os.environ['SERVICE_TOKEN'], os.environ['GDAL_DATA'])",
            "print('see https://ann:pass-in-a-url@h.example.com/?f=json&token=token-in-a-url')",
            "open('/tmp/' + secret.replace('/', '_'), 'w').close(); print(os.listdir('/tmp'))",
        ],
    );
    let own = bench.config.secrets.get_mut("anna").unwrap();
    own.insert("HOST_SECRET".to_owned(), Secret::Value("canary-Host-5b1d".to_owned()));
    bench.config.environment = BTreeMap::from([
        ("SERVICE_TOKEN".to_owned(), "canary-service-77aa".to_owned()),
        ("GDAL_DATA".to_owned(), "/usr/share/gdal".to_owned()),
    ]);
    let outcome = bench.run().await;
    assert_eq!(outcome.result()["executedCells"], 6, "{:?}", outcome.log);
    check_hidden(&outcome).await;
    assert!(outcome.printed("*** /usr/share/gdal"), "{:?}", outcome.log);
    assert!(outcome.printed("see https://***@h.example.com/?f=json&token=***"), "{:?}", outcome.log);
    let kept = format!("{:?} {}", outcome.log, outcome.executed().await);
    for part in [
        "canary-host-5b1d",
        "canary-Host-5b1d",
        "canary-service-77aa",
        "Y2FuYXJ5LVp",
        "Zo%22rk",
        "t\\u00e4st",
    ] {
        assert!(!kept.contains(part), "{part}: {kept}");
    }
}

#[tokio::test]
async fn other_owners_notebooks_do_not_have_it_and_a_missing_file_is_named() {
    let outcome = bench("bob", &["import os\nprint('DB_PASSWORD' in os.environ)"]).run().await;
    assert!(outcome.printed("False"), "{:?}", outcome.log);
    let mut bench = Bench::cells(&["1"]);
    let missing = Secret::File("/nonexistent/db".into());
    bench.config.secrets =
        BTreeMap::from([("anna".to_owned(), BTreeMap::from([("DB_PASSWORD".to_owned(), missing)]))]);
    let end = format!("{:?}", bench.run().await.end);
    assert!(
        end.contains("BackendNotConfigured") && end.contains("notebook.secrets.anna.DB_PASSWORD"),
        "{end}"
    );
}
