//! The thread that starts a confined process.

use std::convert::Infallible;
use std::io;
use std::sync::mpsc;

use tokio::process::{Child, Command};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// A thread of its own starts each process: what restricts a thread restricts what it starts, and nobody else.
/// It lives until this is dropped, because bubblewrap dies with the thread that started it.
pub(in super::super) struct Parent {
    _dropped: mpsc::Sender<Infallible>,
}

impl Parent {
    /// Prepares a new thread and starts the command there. What `prepare` owns lives until the command has
    /// been started.
    pub(super) async fn spawn(
        mut command: Command,
        prepare: impl Fn() -> io::Result<()> + Send + 'static,
    ) -> io::Result<(Child, Parent)> {
        let runtime = Handle::current();
        let (answer, answered) = oneshot::channel();
        let (sender, dropped) = mpsc::channel::<Infallible>();
        std::thread::Builder::new().name("notebook-parent".to_owned()).spawn(move || {
            let child = {
                let _runtime = runtime.enter();
                prepare().and_then(|()| command.spawn())
            };
            drop((prepare, runtime));
            if answer.send(child).is_ok() {
                let _ = dropped.recv();
            }
        })?;
        let child = answered.await.map_err(|_| io::Error::other("the thread that starts it panicked"))??;
        Ok((child, Parent { _dropped: sender }))
    }
}
