//! A wrong setting is told at the start, in one line, without the password.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use isochrone_queue::rabbitmq::{Options, RabbitQueue};
use isochrone_queue::{Queue, QueueError, Setting};
use isochrone_testkit::RabbitServer;
use rcgen::{CertificateParams, CertifiedIssuer, KeyPair};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::time::timeout;

use crate::world::*;

const PASSWORD: &str = "hunter2hunter2";

async fn refusal(url: &str, ca_file: Option<PathBuf>) -> QueueError {
    let options = Options { ca_file, ..Options::default() };
    let connecting = timeout(DEADLINE, RabbitQueue::connect(url, options)).await.expect("it fails in time");
    let error = connecting.err().expect("it is refused");
    let shown = format!("{error} {error:?}");
    assert!(!shown.contains(PASSWORD), "{shown}");
    assert!(!error.to_string().contains('\n'), "{shown}");
    error
}

fn setting(error: &QueueError) -> Option<Setting> {
    match error {
        QueueError::Setting { setting, .. } => Some(*setting),
        _ => None,
    }
}

#[tokio::test]
async fn a_wrong_password_or_user() {
    let address = shared().await.address();
    for user in ["guest", "nobody"] {
        let error = refusal(&format!("amqp://{user}:{PASSWORD}@{address}/%2f"), None).await;
        assert_eq!(setting(&error), Some(Setting::Credentials), "{error}");
        let shown = error.to_string();
        assert!(shown.contains(user) && shown.contains(&address.to_string()), "{shown}");
    }
}

#[tokio::test]
async fn a_virtual_host_that_is_not_there_or_not_allowed() {
    let server = shared().await;
    let address = server.address();
    server.ctl(&["add_user", "visitor", PASSWORD]).await.unwrap();
    for (user, password, vhost) in [("guest", "guest", "no-such-vhost"), ("visitor", PASSWORD, "%2f")] {
        let error = refusal(&format!("amqp://{user}:{password}@{address}/{vhost}"), None).await;
        assert_eq!(setting(&error), Some(Setting::VirtualHost), "{error}");
        assert!(error.to_string().contains(&vhost.replace("%2f", "/")), "{error}");
    }
}

#[tokio::test]
async fn a_url_that_is_none() {
    for url in [format!("localhost:{PASSWORD}"), format!("http://guest:{PASSWORD}@localhost/"), String::new()]
    {
        let error = refusal(&url, None).await;
        assert_eq!(setting(&error), Some(Setting::Url), "{error}");
    }
}

#[tokio::test]
async fn nobody_at_the_address() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let error = refusal(&format!("amqp://guest:{PASSWORD}@{free}/"), None).await;
    assert!(
        matches!(&error, QueueError::Unreachable { address, .. } if *address == free.to_string()),
        "{error}"
    );
    assert!(error.to_string().contains("refused"), "{error}");
    let error = refusal(&format!("amqp://guest:{PASSWORD}@no-such-host.invalid/"), None).await;
    assert!(matches!(&error, QueueError::Unreachable { .. }), "{error}");
}

/// A thread of lapin's would wait for it as long as the connection is open.
#[tokio::test]
async fn a_broker_that_never_says_a_word_is_left() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let silent = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut heard = Vec::new();
        timeout(DEADLINE, stream.read_to_end(&mut heard)).await.expect("the connection is cut").unwrap();
        heard
    });
    let since = Instant::now();
    let error = refusal(&format!("amqp://guest:{PASSWORD}@{address}/"), None).await;
    assert!(matches!(&error, QueueError::Unreachable { .. }), "{error}");
    assert!(since.elapsed() < Duration::from_secs(15), "{:?}", since.elapsed());
    assert_eq!(silent.await.unwrap(), b"AMQP\0\0\x09\x01");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_trusts_the_given_authority_and_nobody_unknown() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let authority = || {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
    };
    let (ours, anothers) = (authority(), authority());
    let key = KeyPair::generate().unwrap();
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &ours).unwrap();
    let files = [
        write("ours.pem", &ours.pem()),
        write("server.pem", &certificate.pem()),
        write("server.key", &key.serialize_pem()),
    ];
    let [ours, server, key] = files.each_ref().map(|path| path.to_str().unwrap());
    // Asked for just before it is used: nobody else takes it meanwhile, or this test tells.
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let broker = RabbitServer::start_with(&[
        ("listeners.ssl.1", &format!("127.0.0.1:{port}")),
        ("ssl_options.cacertfile", ours),
        ("ssl_options.certfile", server),
        ("ssl_options.keyfile", key),
        ("ssl_options.verify", "verify_none"),
    ])
    .await
    .unwrap();
    let url = format!("amqps://guest:guest@127.0.0.1:{port}/%2f");

    let options = Options { ca_file: Some(files[0].clone()), ..Options::default() };
    let queue = RabbitQueue::connect(&url, options).await.unwrap();
    publish(&queue, &[wake_up(1)]).await;
    let mut consumer = queue.consume(KIND, 8).await.unwrap();
    assert_eq!(take_and_ack(&mut consumer).await, wake_up(1));

    let wrong = [None, Some(write("anothers.pem", &anothers.pem()))];
    for ca_file in wrong {
        let error = refusal(&url.replace("guest:guest", &format!("guest:{PASSWORD}")), ca_file).await;
        assert_eq!(setting(&error), Some(Setting::Certificate), "{error}");
    }
    let plain = broker.address().port();
    let error = refusal(&format!("amqps://guest:{PASSWORD}@127.0.0.1:{plain}/%2f"), None).await;
    assert_eq!(setting(&error), Some(Setting::Url), "{error}");
    let error = refusal(&format!("amqp://guest:{PASSWORD}@127.0.0.1:{port}/%2f"), None).await;
    assert!(matches!(&error, QueueError::Unreachable { .. }), "{error}");
}
