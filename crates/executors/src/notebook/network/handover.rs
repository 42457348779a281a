//! Sockets that are made inside a notebook's network namespace come to the worker over a Unix socket.

use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use tokio::io::Interest;
use tokio::net::{TcpListener, UdpSocket};
use tokio::time::timeout;

/// How long the namespace's first program may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// What it says has no more bytes.
const LONGEST: usize = 64 << 10;

/// What was made in the namespace.
pub(super) struct Sockets {
    pub(super) proxy: TcpListener,
    pub(super) names: Option<UdpSocket>,
    pub(super) names_tcp: Option<TcpListener>,
    /// Packets that say that nobody listens.
    pub(super) refused: Option<UdpSocket>,
    pub(super) ports: Vec<TcpListener>,
    /// What could not be made, for people.
    pub(super) missing: Vec<String>,
}

/// The worker's end of the Unix socket.
pub(in super::super) struct Handover(UnixStream);

impl Handover {
    /// With the end for the namespace's first program.
    pub(in super::super) fn new() -> io::Result<(Handover, OwnedFd)> {
        let (ours, theirs) = UnixStream::pair()?;
        Ok((Handover(ours), theirs.into()))
    }

    /// Waits for what was made.
    pub(super) async fn sockets(self) -> io::Result<Sockets> {
        timeout(PATIENCE, self.received())
            .await
            .unwrap_or_else(|_| Err(io::Error::other("its network takes too long to be made")))
    }

    async fn received(self) -> io::Result<Sockets> {
        self.0.set_nonblocking(true)?;
        let stream = tokio::net::UnixStream::from_std(self.0)?;
        let (mut text, mut files) = (Vec::new(), Vec::new());
        while !text.ends_with(b"end\n") {
            stream.readable().await?;
            let received = stream.try_io(Interest::READABLE, || receive(&stream, &mut text, &mut files));
            match received {
                Ok(0) => return Err(io::Error::other("its network could not be made; its log may say why")),
                Ok(_) if text.len() > LONGEST => return Err(io::ErrorKind::InvalidData.into()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        sorted(&String::from_utf8_lossy(&text), files)
    }
}

fn receive(
    stream: &tokio::net::UnixStream,
    text: &mut Vec<u8>,
    files: &mut Vec<OwnedFd>,
) -> io::Result<usize> {
    let mut bytes = [0; 1024];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC;
    let message = recvmsg(stream, &mut [IoSliceMut::new(&mut bytes)], &mut control, flags)?;
    for ancillary in control.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = ancillary {
            files.extend(received);
        }
    }
    text.extend_from_slice(&bytes[..message.bytes]);
    Ok(message.bytes)
}

/// Each line names one file, or says what is missing.
fn sorted(text: &str, files: Vec<OwnedFd>) -> io::Result<Sockets> {
    let mut files = files.into_iter();
    let (mut proxy, mut names, mut names_tcp, mut refused) = (None, None, None, None);
    let (mut ports, mut missing) = (Vec::new(), Vec::new());
    for line in text.lines().filter(|line| *line != "end") {
        if let Some(what) = line.strip_prefix("missing ") {
            missing.push(what.to_owned());
            continue;
        }
        let file = files.next().ok_or(io::ErrorKind::InvalidData)?;
        match line {
            "proxy" => proxy = Some(listener(file)?),
            "names" => names = Some(datagrams(file)?),
            "names-tcp" => names_tcp = Some(listener(file)?),
            "refused" => refused = Some(datagrams(file)?),
            _ => ports.push(listener(file)?),
        }
    }
    let proxy = proxy.ok_or(io::ErrorKind::InvalidData)?;
    Ok(Sockets { proxy, names, names_tcp, refused, ports, missing })
}

fn listener(file: OwnedFd) -> io::Result<TcpListener> {
    let listener = std::net::TcpListener::from(file);
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

/// A socket that receives packet by packet.
fn datagrams(file: OwnedFd) -> io::Result<UdpSocket> {
    let socket = std::net::UdpSocket::from(file);
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket)
}
