//! What a notebook sends to its worker, for the fuzz targets.

use tokio::io::AsyncRead;

use super::events::Event;
use super::lines::LineReader;
pub use super::network::fuzzing::{name_query, proxy_target};

/// The longest line that these bytes may have.
const LONGEST: usize = 1 << 20;

/// What the driver sends: the same, whatever pieces of it come together.
pub fn driver_events(bytes: &[u8]) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let Some((size, bytes)) = bytes.split_first() else { return };
    runtime.block_on(async {
        let whole = frames(bytes).await;
        assert_eq!(frames(Pieces(bytes, usize::from(*size).max(1))).await, whole);
    });
}

/// Events and documents in the order in which they came.
async fn frames(input: impl AsyncRead + Unpin) -> Vec<String> {
    let mut lines = LineReader::new(input, LONGEST);
    let mut frames = Vec::new();
    while let Some(line) = lines.next().await {
        let event = serde_json::from_slice::<Event>(&line).ok();
        frames.push(format!("{event:?}"));
        let Some(Event::Document { bytes }) = event else { continue };
        let (mut left, mut document) = (usize::try_from(bytes).unwrap_or(usize::MAX), Vec::new());
        while left > 0 {
            let Some(piece) = lines.bytes(left).await else { return frames };
            left -= piece.len();
            document.extend(piece);
        }
        frames.push(format!("{document:?}"));
    }
    frames
}

/// Bytes of which so many at most come at a time.
struct Pieces<'a>(&'a [u8], usize);

impl AsyncRead for Pieces<'_> {
    fn poll_read(
        mut self: std::pin::Pin<&mut Self>,
        _cx: &mut std::task::Context<'_>,
        buffer: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        let most = self.1.min(buffer.remaining()).min(self.0.len());
        let (now, later) = self.0.split_at(most);
        buffer.put_slice(now);
        self.0 = later;
        std::task::Poll::Ready(Ok(()))
    }
}
