//! One connection through the proxy: two streams of bytes, and the faults that befall them.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::redis_time::RedisTimes;
use super::{Direction, Ending, Faults, Flow, Rules};

/// What may be under way in one direction, in pieces: beyond it the sender has to wait.
const PIECES_UNDER_WAY: usize = 256;
const PIECE_BYTES: usize = 16 * 1024;

/// Carries a client's connection to the server until either ends it or a fault does.
pub(super) async fn carry(number: u64, mut client: TcpStream, target: SocketAddr, faults: Arc<Faults>) {
    let Ok(mut server) = TcpStream::connect(target).await else {
        end(&client, Ending::Reset);
        return;
    };
    // A delay is what the test asks for, not what the kernel adds; without it the connection works too.
    drop(client.set_nodelay(true));
    drop(server.set_nodelay(true));
    let ending = {
        let connection = Connection {
            number,
            faults: &faults,
            lost: AtomicU64::new(NOTHING_LOST),
            fatal: OnceLock::new(),
        };
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        let both_ways = async {
            tokio::try_join!(
                connection.pass(Direction::ToServer, from_client, to_server),
                connection.pass(Direction::ToClient, from_server, to_client),
            )
        };
        tokio::select! {
            ending = connection.until_ended() => ending,
            ended = both_ways => ended.err().unwrap_or(Ending::Close),
        }
    };
    end(&client, ending);
    end(&server, ending);
}

/// How a stream ends when it is dropped.
fn end(stream: &TcpStream, ending: Ending) {
    if ending == Ending::Reset {
        // On a stream that is gone already it fails.
        drop(stream.set_zero_linger());
    }
}

const NOTHING_LOST: u64 = u64::MAX;

struct Connection<'a> {
    number: u64,
    faults: &'a Faults,
    /// How often everything had been healed when this connection last lost bytes.
    lost: AtomicU64,
    /// The server's answer that is lost, and the connection with it.
    fatal: OnceLock<Vec<u8>>,
}

/// What is under way in one direction.
struct Piece {
    due: Instant,
    what: What,
}

enum What {
    Bytes(Vec<u8>),
    /// The sender closed its side.
    End,
    /// The allowance is used up.
    Close,
}

impl Connection<'_> {
    /// Waits until a fault, or the end of one, ends this connection.
    async fn until_ended(&self) -> Ending {
        let mut rules = self.faults.rules.subscribe();
        let ending = rules.wait_for(|rules| self.ending(rules).is_some()).await;
        ending.ok().and_then(|rules| self.ending(&rules)).unwrap_or(Ending::Reset)
    }

    fn ending(&self, rules: &Rules) -> Option<Ending> {
        if self.lost.load(Ordering::Relaxed) < rules.heals {
            return Some(Ending::Reset);
        }
        rules.ended.filter(|(last, _)| self.number <= *last).map(|(_, ending)| ending)
    }

    /// Passes the bytes of one direction on. Ends well when the sender closes its side.
    async fn pass(&self, direction: Direction, from: ReadHalf<'_>, to: WriteHalf<'_>) -> Result<(), Ending> {
        let (sender, pieces) = mpsc::channel(PIECES_UNDER_WAY);
        tokio::try_join!(self.read(direction, from, sender), write(to, pieces)).map(|_| ())
    }

    async fn read(
        &self,
        direction: Direction,
        mut from: ReadHalf<'_>,
        pieces: mpsc::Sender<Piece>,
    ) -> Result<(), Ending> {
        let mut buffer = vec![0; PIECE_BYTES];
        let mut times = RedisTimes::default();
        loop {
            let read = from.read(&mut buffer).await.map_err(|_| Ending::Reset)?;
            let rules = *self.faults.rules.borrow();
            if let Some(ending) = self.ending(&rules) {
                return Err(ending);
            }
            if rules.flow(direction) == Flow::Swallow {
                self.lost.store(rules.heals, Ordering::Relaxed);
                if read == 0 {
                    // The end is swallowed as well: the other side learns of it when all is healed.
                    std::future::pending::<()>().await;
                }
                continue;
            }
            let due = Instant::now() + rules.delay;
            let bytes = match direction {
                Direction::ToClient => times.shifted(&buffer[..read], rules.redis_time_ahead),
                Direction::ToServer => buffer[..read].to_vec(),
            };
            if bytes.is_empty() && read > 0 {
                continue;
            }
            for what in self.admit(direction, &bytes) {
                let last = !matches!(what, What::Bytes(_));
                if matches!(what, What::Close) {
                    self.faults.closed.fetch_add(1, Ordering::Relaxed);
                }
                pieces.send(Piece { due, what }).await.map_err(|_| Ending::Reset)?;
                if last {
                    return Ok(());
                }
            }
        }
    }
}

impl Connection<'_> {
    /// What goes on of the bytes that came; none means that the sender closed its side.
    fn admit(&self, direction: Direction, bytes: &[u8]) -> Vec<What> {
        match direction {
            Direction::ToClient if self.fatal.get().is_some_and(|answer| contain(bytes, answer)) => {
                return vec![What::Close];
            }
            Direction::ToServer => {
                if let Some(answer) = self.faults.answer_to_lose(bytes) {
                    // Asked for twice on one connection, the first one ends it.
                    drop(self.fatal.set(answer));
                }
            }
            Direction::ToClient => {}
        }
        self.faults.admit(direction, bytes)
    }
}

impl Faults {
    /// What is to be lost, if the request is in these bytes whose answer that is. It is asked for once.
    fn answer_to_lose(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        self.exchange().take_if(|exchange| contain(bytes, &exchange.request)).map(|exchange| exchange.answer)
    }

    /// What goes on of the bytes that came; none means that the sender closed its side.
    fn admit(&self, direction: Direction, bytes: &[u8]) -> Vec<What> {
        if bytes.is_empty() {
            return vec![What::End];
        }
        let mut allowance = self.allowance();
        let Some(limit) = allowance.as_mut().filter(|limit| limit.direction == direction) else {
            return vec![What::Bytes(bytes.to_vec())];
        };
        if let Some(left) = limit.bytes.checked_sub(bytes.len() as u64) {
            limit.bytes = left;
            return vec![What::Bytes(bytes.to_vec())];
        }
        let allowed = bytes[..limit.bytes as usize].to_vec();
        *allowance = None;
        vec![What::Bytes(allowed), What::Close]
    }
}

fn contain(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len().max(1)).any(|window| window == wanted)
}

async fn write(mut to: WriteHalf<'_>, mut pieces: mpsc::Receiver<Piece>) -> Result<(), Ending> {
    while let Some(piece) = pieces.recv().await {
        sleep_until(piece.due).await;
        match piece.what {
            What::Bytes(bytes) => to.write_all(&bytes).await.map_err(|_| Ending::Reset)?,
            What::End => to.shutdown().await.map_err(|_| Ending::Reset)?,
            What::Close => return Err(Ending::Close),
        }
    }
    Ok(())
}
