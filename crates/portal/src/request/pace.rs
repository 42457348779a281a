//! How fast a body has to come. What counts is progress: a large file may take as long as it must.

use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use bytes::Bytes;
use futures::{Stream, StreamExt};
use tokio::time::Instant;

/// What is asked of whoever sends a body.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// The longest time without a byte.
    silence: Duration,
    /// Within this, the average does not count.
    grace: Duration,
    /// The least bytes in a second, on average.
    rate: u64,
}

impl Pace {
    /// For a body that is read here.
    pub(crate) const READ: Pace =
        Pace { silence: Duration::from_secs(10), grace: Duration::from_secs(20), rate: 4 << 10 };

    /// For one that is passed on: the server behind has its own opinion.
    pub(crate) const RELAYED: Pace = Pace { silence: Duration::from_mins(1), grace: Duration::MAX, rate: 0 };
}

/// Why a body ended before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BrokenBody {
    #[error("the body could not be read to its end")]
    CutOff,
    #[error("the body took too long to arrive")]
    Slow,
}

/// A body that ends with an error if it does not keep its pace.
#[derive(Debug)]
pub(crate) struct PacedBody {
    inner: BodyDataStream,
    pace: Pace,
    /// How long its sender was waited for.
    waited: Duration,
    received: u64,
}

impl PacedBody {
    pub(crate) fn new(body: Body, pace: Pace) -> PacedBody {
        PacedBody { inner: body.into_data_stream(), pace, waited: Duration::ZERO, received: 0 }
    }

    /// What comes next. None: the body is complete.
    pub(crate) async fn next(&mut self) -> Option<Result<Bytes, BrokenBody>> {
        let began = Instant::now();
        let next = tokio::time::timeout(self.pace.silence, self.inner.next()).await;
        self.waited += began.elapsed();
        match next {
            Err(_) => Some(Err(BrokenBody::Slow)),
            Ok(None) => None,
            Ok(Some(Err(_))) => Some(Err(BrokenBody::CutOff)),
            Ok(Some(Ok(bytes))) => {
                self.received += bytes.len() as u64;
                let due = u128::from(self.pace.rate) * self.waited.as_millis() / 1_000;
                let slow = self.waited > self.pace.grace && u128::from(self.received) < due;
                Some(if slow { Err(BrokenBody::Slow) } else { Ok(bytes) })
            }
        }
    }

    /// The same as a stream.
    pub(crate) fn into_stream(self) -> impl Stream<Item = Result<Bytes, BrokenBody>> + Send {
        futures::stream::unfold(Some(self), async |body| {
            let mut body = body?;
            let next = body.next().await?;
            let rest = next.is_ok().then_some(body);
            Some((next, rest))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    /// A body of so many chunks, one at each interval.
    fn body(chunks: usize, size: usize, every: Duration) -> Body {
        let chunks = futures::stream::iter(0..chunks).then(move |_| async move {
            tokio::time::sleep(every).await;
            Ok::<_, Infallible>(Bytes::from(vec![b'x'; size]))
        });
        Body::from_stream(chunks)
    }

    async fn end(body: Body, pace: Pace) -> Result<u64, BrokenBody> {
        let mut body = PacedBody::new(body, pace);
        while let Some(chunk) = body.next().await {
            chunk?;
        }
        Ok(body.received)
    }

    #[tokio::test]
    async fn a_large_body_may_take_long_and_a_silent_or_dripping_one_not() {
        let ms = Duration::from_millis;
        let pace = Pace { silence: ms(500), grace: ms(100), rate: 10_000 };
        assert_eq!(end(body(100, 10_000, ms(5)), pace).await, Ok(1_000_000));
        assert_eq!(end(body(2, 10_000, ms(600)), pace).await, Err(BrokenBody::Slow), "silent");
        assert_eq!(end(body(100, 1, ms(5)), pace).await, Err(BrokenBody::Slow), "dripping");
        assert_eq!(end(body(5, 1, ms(1)), pace).await, Ok(5), "a short one has some time");
        let relayed = Pace { grace: Duration::MAX, rate: 0, ..pace };
        assert_eq!(end(body(40, 1, ms(5)), relayed).await, Ok(40));
    }
}
