//! Steps that are asked for at the same time go to Redis together, as one of its transactions: it syncs
//! its disk once for them all. Sent one by one it would sync after every few, as it reads them.

use std::sync::Arc;

use tokio::sync::{Semaphore, mpsc, oneshot};

use super::commit::{Commit, commit_together};
use super::durability::Durability;
use super::link::Link;
use crate::{Result, StoreError};

/// Steps in one transaction at most: Redis does nothing else meanwhile.
const GROUP: usize = 128;

/// Steps that wait at most; further callers wait to get in line.
const LINE: usize = 4_096;

/// Groups under way: while Redis syncs one, the next is on its way.
const UNDER_WAY: usize = 2;

struct Waiting {
    commit: Commit,
    caller: oneshot::Sender<Result<i64>>,
}

/// The line of steps.
pub(super) struct Gather(mpsc::Sender<Waiting>);

impl Gather {
    /// Serves the line until this is dropped. `durability`: what is waited for before a step is said to be done.
    pub(super) fn start(link: Arc<Link>, durability: Option<Arc<Durability>>) -> Gather {
        let (line, waiting) = mpsc::channel(LINE);
        tokio::spawn(serve(link, durability, waiting));
        Gather(line)
    }

    /// 0: the step is done. Else the number of the first of its checks that did not hold.
    pub(super) async fn commit(&self, commit: Commit) -> Result<i64> {
        let gone = || StoreError::Unavailable("the line to Redis has ended".to_owned());
        let (caller, answer) = oneshot::channel();
        self.0.send(Waiting { commit, caller }).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

async fn serve(link: Arc<Link>, durability: Option<Arc<Durability>>, mut line: mpsc::Receiver<Waiting>) {
    let under_way = Arc::new(Semaphore::new(UNDER_WAY));
    loop {
        let turn = Arc::clone(&under_way).acquire_owned().await;
        let mut group = Vec::with_capacity(GROUP);
        if line.recv_many(&mut group, GROUP).await == 0 {
            return;
        }
        let (link, durability) = (Arc::clone(&link), durability.clone());
        tokio::spawn(async move {
            let (commits, callers): (Vec<Commit>, Vec<_>) =
                group.into_iter().map(|Waiting { commit, caller }| (commit, caller)).unzip();
            let answers = match commit_together(&link, durability.as_ref(), &commits).await {
                Ok(answers) => answers,
                Err(error) => callers.iter().map(|_| Err(error.clone())).collect(),
            };
            // The others need not wait for what the callers do.
            drop(turn);
            for (caller, answer) in callers.into_iter().zip(answers) {
                // One that went away needs no answer.
                drop(caller.send(answer));
            }
        });
    }
}
