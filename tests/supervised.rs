//! What supervisors see: systemd is told when it is ready and when it stops, containers ask `isochrone healthcheck`.

use std::net::TcpListener;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use anyhow::{Result, ensure};
use isochrone_testkit::{Server, ServerOptions};

const BINARY: &str = env!("CARGO_BIN_EXE_isochrone");

/// The next that systemd is told.
fn told(socket: &UnixDatagram) -> Result<String> {
    let mut message = [0; 256];
    let length = socket.recv(&mut message)?;
    Ok(String::from_utf8_lossy(&message[..length]).trim().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_supervisor_is_told_and_may_ask() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("notify");
    let socket = UnixDatagram::bind(&path)?;
    socket.set_read_timeout(Some(Duration::from_secs(30)))?;
    let admin = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let options = ServerOptions::new(BINARY, dir.path().join("data"))
        .env("ISOCHRONE__ADMIN__LISTEN", admin)
        .env("NOTIFY_SOCKET", path.display());

    let server = Server::start(&options).await?;
    assert_eq!(told(&socket)?, "READY=1");
    let asked = options.cli(&["healthcheck"], "")?;
    ensure!(asked.status.success(), "{asked:?}");
    assert_eq!(asked.stdout, b"ok\n");
    let asked = options.cli(&["healthcheck", "--ready"], "")?;
    ensure!(asked.status.success(), "{asked:?}");
    assert_eq!(asked.stdout, b"store: ok\nqueue: ok\nprocess: ok\n");

    ensure!(server.terminate().await?, "it ends well");
    assert_eq!(told(&socket)?, "STOPPING=1");
    let asked = options.cli(&["healthcheck"], "")?;
    ensure!(!asked.status.success(), "nobody is there: {asked:?}");
    Ok(())
}
