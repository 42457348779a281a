//! The executed notebook, as the driver sends it: each time whole, between its events. The last one that came whole is
//! kept in a file without a name, so that nobody can put another in its place; a driver that is killed while it
//! sends leaves the one before.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Pieces that wait for the disk; then the driver waits.
const WAITING: usize = 4;

/// A notebook that came whole.
#[derive(Debug)]
pub(super) struct Document {
    file: File,
    bytes: u64,
}

impl Document {
    /// What is in it. Blocks.
    pub(super) fn read(mut self) -> io::Result<Vec<u8>> {
        let mut content = Vec::with_capacity(usize::try_from(self.bytes).unwrap_or_default());
        self.file.seek(SeekFrom::Start(0))?;
        self.file.take(self.bytes).read_to_end(&mut content)?;
        Ok(content)
    }
}

/// What came of a run's executed notebook.
#[derive(Debug, Default)]
pub(super) struct Received {
    /// The last one that came whole.
    pub(super) last: Option<Document>,
    /// Why a later one is not kept.
    pub(super) problem: Option<String>,
}

enum Piece {
    Begin(u64),
    Bytes(Vec<u8>),
}

/// Takes notebooks as they come. None has more than `most` bytes.
pub(super) struct Receiver {
    most: u64,
    /// Bytes of the notebook that is coming.
    left: u64,
    /// Not yet with the writer.
    pending: Option<Piece>,
    pieces: mpsc::Sender<Piece>,
    writer: JoinHandle<Received>,
}

impl Receiver {
    /// Keeps the notebook in `folder`, where only the worker can write.
    pub(super) fn new(folder: PathBuf, most: u64) -> Receiver {
        let (pieces, received) = mpsc::channel(WAITING);
        let writer = tokio::task::spawn_blocking(move || write(&folder, received, most));
        Receiver { most, left: 0, pending: None, pieces, writer }
    }

    /// A notebook of so many bytes comes next; one that is too large does not.
    pub(super) fn begin(&mut self, bytes: u64) {
        self.left = if bytes > self.most { 0 } else { bytes };
        self.pending = Some(Piece::Begin(bytes));
    }

    /// How many of its bytes are to come.
    pub(super) fn left(&self) -> u64 {
        self.left
    }

    /// Its next bytes.
    pub(super) fn take(&mut self, bytes: Vec<u8>) {
        self.left = self.left.saturating_sub(bytes.len() as u64);
        self.pending = Some(Piece::Bytes(bytes));
    }

    /// Waits until there is room for another piece. Safe to cancel.
    pub(super) async fn ready(&mut self) {
        if self.pending.is_some()
            && let Ok(room) = self.pieces.reserve().await
            && let Some(piece) = self.pending.take()
        {
            room.send(piece);
        }
        self.pending = None;
    }

    /// All that will come has come.
    pub(super) async fn finish(mut self) -> Received {
        self.ready().await;
        drop(self.pieces);
        let failed =
            |error| Received { last: None, problem: Some(format!("it could not be received: {error}")) };
        self.writer.await.unwrap_or_else(failed)
    }
}

/// Writes what comes; in a thread that may block.
fn write(folder: &std::path::Path, mut pieces: mpsc::Receiver<Piece>, most: u64) -> Received {
    let mut received = Received::default();
    let mut coming: Option<(Document, u64)> = None;
    while let Some(piece) = pieces.blocking_recv() {
        match piece {
            Piece::Begin(bytes) if bytes > most => {
                coming = None;
                received.problem = Some(format!("it has {bytes} bytes, and may have {most}"));
            }
            Piece::Begin(bytes) => {
                coming = match tempfile::tempfile_in(folder) {
                    Ok(file) => Some((Document { file, bytes }, bytes)),
                    Err(error) => {
                        received.problem = Some(error.to_string());
                        None
                    }
                };
            }
            Piece::Bytes(bytes) => {
                if let Some((document, left)) = &mut coming {
                    match document.file.write_all(&bytes) {
                        Ok(()) => *left = left.saturating_sub(bytes.len() as u64),
                        Err(error) => {
                            received.problem = Some(error.to_string());
                            coming = None;
                        }
                    }
                }
            }
        }
        if let Some((whole, _)) = coming.take_if(|(_, left)| *left == 0) {
            received = Received { last: Some(whole), problem: None };
        }
    }
    received
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn send(receiver: &mut Receiver, announced: u64, content: &[u8]) {
        receiver.ready().await;
        receiver.begin(announced);
        for piece in content.chunks(3) {
            receiver.ready().await;
            receiver.take(piece.to_vec());
        }
    }

    #[tokio::test]
    async fn keeps_the_last_one_that_came_whole() {
        let folder = tempfile::tempdir().unwrap();
        let mut receiver = Receiver::new(folder.path().to_path_buf(), 100);
        send(&mut receiver, 10, b"0123456789").await;
        send(&mut receiver, 11, b"abcdefghijk").await;
        // The driver was killed.
        send(&mut receiver, 12, b"ABC").await;
        let received = receiver.finish().await;
        assert_eq!(received.problem, None);
        assert_eq!(received.last.unwrap().read().unwrap(), b"abcdefghijk");
        assert!(std::fs::read_dir(folder.path()).unwrap().next().is_none(), "it has no name");
    }

    #[tokio::test]
    async fn leaves_out_what_is_too_large_and_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let mut receiver = Receiver::new(folder.path().to_path_buf(), 10);
        send(&mut receiver, 10, b"0123456789").await;
        send(&mut receiver, 11, b"").await;
        assert_eq!(receiver.left(), 0, "it is not sent");
        let received = receiver.finish().await;
        assert!(received.problem.unwrap().contains("11 bytes"));
        assert_eq!(received.last.unwrap().read().unwrap(), b"0123456789");
    }

    #[tokio::test]
    async fn says_why_there_is_none() {
        let mut receiver = Receiver::new("/nonexistent".into(), 10);
        send(&mut receiver, 3, b"abc").await;
        let received = receiver.finish().await;
        assert!(received.last.is_none() && received.problem.is_some());
    }
}
