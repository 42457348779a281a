//! Bytes from one connection to another, in both directions.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split};
use tokio::time::{Instant, sleep_until};

/// Bytes in flight of a connection, in each direction.
const BUFFER: usize = 16 << 10;

/// Passes on what comes until both have ended, or nothing has moved for so long.
pub(super) async fn splice(
    one: impl AsyncRead + AsyncWrite + Unpin,
    other: impl AsyncRead + AsyncWrite + Unpin,
    idle: Duration,
) -> io::Result<()> {
    let (mut one_reads, mut one_writes) = split(one);
    let (mut other_reads, mut other_writes) = split(other);
    let moved = Moment::now();
    let both = async {
        tokio::try_join!(
            pass(&mut one_reads, &mut other_writes, &moved),
            pass(&mut other_reads, &mut one_writes, &moved)
        )
    };
    let idles = async {
        while moved.get().elapsed() < idle {
            sleep_until(moved.get() + idle).await;
        }
    };
    tokio::select! {
        done = both => done.map(drop),
        () = idles => Err(io::ErrorKind::TimedOut.into()),
    }
}

async fn pass(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    moved: &Moment,
) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        let length = from.read(&mut buffer).await?;
        moved.set_now();
        if length == 0 {
            return to.shutdown().await;
        }
        to.write_all(&buffer[..length]).await?;
        moved.set_now();
    }
}

/// When something last moved; both directions tell it.
struct Moment {
    began: Instant,
    milliseconds: AtomicU64,
}

impl Moment {
    fn now() -> Moment {
        Moment { began: Instant::now(), milliseconds: AtomicU64::new(0) }
    }

    fn set_now(&self) {
        self.milliseconds.store(self.began.elapsed().as_millis() as u64, Ordering::Relaxed);
    }

    fn get(&self) -> Instant {
        self.began + Duration::from_millis(self.milliseconds.load(Ordering::Relaxed))
    }
}
