//! A connection's bytes, as they come and go: what ends it when its client keeps it waiting.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};

use super::connection::{Connection, Evicted};
use super::registry::Admitted;

/// A stream that ends when its client lets a timeout pass, or when it has to make room for others.
#[derive(Debug)]
pub(crate) struct WatchedStream {
    io: TcpStream,
    admitted: Admitted,
    timer: Option<Pin<Box<Sleep>>>,
}

impl WatchedStream {
    pub(super) fn new(io: TcpStream, admitted: Admitted) -> WatchedStream {
        WatchedStream { io, admitted, timer: None }
    }

    pub(super) fn connection(&self) -> &Arc<Connection> {
        &self.admitted.connection
    }

    /// An error if it has to end now; else the task is woken when it may have to.
    fn watch(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let deadline = match self.admitted.connection.watch(cx.waker()) {
            Ok(Some(deadline)) => deadline,
            Ok(None) => return Ok(()),
            Err(Evicted) => {
                return Err(io::Error::new(io::ErrorKind::ConnectionAborted, "made room for others"));
            }
        };
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if timer.deadline() != deadline {
            timer.as_mut().reset(deadline);
        }
        match timer.as_mut().poll(cx) {
            Poll::Ready(()) => Err(io::Error::new(io::ErrorKind::TimedOut, "the client took too long")),
            Poll::Pending => Ok(()),
        }
    }

    fn written(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        self.admitted.connection.wrote(written.is_pending(), Instant::now());
        if written.is_pending() {
            self.watch(cx)?;
        }
        written
    }
}

impl AsyncRead for WatchedStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        // First: bytes that come one by one must not put the end off.
        this.watch(cx)?;
        let read = Pin::new(&mut this.io).poll_read(cx, buf);
        let came = buf.filled().len() - before;
        if came > 0 {
            this.admitted.connection.received(came, Instant::now());
        }
        read
    }
}

impl AsyncWrite for WatchedStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.io).poll_write(cx, buf);
        this.written(cx, written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.io).poll_write_vectored(cx, bufs);
        this.written(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }
}
