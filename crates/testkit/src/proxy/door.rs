//! Where the proxy takes connections, or refuses them.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::connection;
use super::{Ending, Faults, Order};

/// A listener twice: tokio waits for connections, the standard library says at once that there is none.
struct Door {
    tokio: TcpListener,
    std: std::net::TcpListener,
}

/// Takes connections and orders until the proxy is dropped.
pub(super) async fn serve(
    target: SocketAddr,
    mut orders: mpsc::UnboundedReceiver<Order>,
    faults: Arc<Faults>,
) {
    let mut door: Option<Door> = None;
    loop {
        tokio::select! {
            order = orders.recv() => {
                let Some(order) = order else { return };
                carry_out(order, &mut door, &faults);
            }
            Ok(client) = accept(door.as_ref()) => {
                let number = faults.accepted.fetch_add(1, Ordering::Relaxed) + 1;
                tokio::spawn(connection::carry(number, client, target, Arc::clone(&faults)));
            }
        }
    }
}

fn carry_out(order: Order, door: &mut Option<Door>, faults: &Faults) {
    let done = match order {
        Order::Listen { listener, done } => {
            *door = Door::open(listener).ok();
            done
        }
        Order::Refuse { done } => {
            // Whoever is connected already but not yet taken is reset with it.
            *door = None;
            end_all(faults, Ending::Reset);
            done
        }
        Order::Drop { done } => {
            if let Some(door) = door {
                door.turn_away();
            }
            end_all(faults, Ending::Close);
            done
        }
    };
    done.send(()).expect("the caller waits until its order is carried out");
}

fn end_all(faults: &Faults, ending: Ending) {
    let last = faults.accepted.load(Ordering::Relaxed);
    faults.rules.send_modify(|rules| rules.ended = Some((last, ending)));
}

async fn accept(door: Option<&Door>) -> io::Result<TcpStream> {
    match door {
        Some(door) => door.tokio.accept().await.map(|(client, _)| client),
        None => std::future::pending().await,
    }
}

impl Door {
    fn open(listener: std::net::TcpListener) -> io::Result<Door> {
        Ok(Door { std: listener.try_clone()?, tokio: TcpListener::from_std(listener)? })
    }

    /// Closes the connections that wait to be taken.
    fn turn_away(&self) {
        while let Ok((client, _)) = self.std.accept() {
            drop(client);
        }
    }
}
