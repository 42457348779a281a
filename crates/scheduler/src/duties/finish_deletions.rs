//! Goes on with deletions of tasks that were cut short.

use std::time::Duration;

use isochrone_store::StoreError;

use super::{Context, Duty, Look, SaidDeferred};

const LOOK: Duration = Duration::from_secs(30);

pub(super) struct FinishDeletions {
    context: Context,
    deferred: SaidDeferred,
}

impl FinishDeletions {
    pub(super) fn new(context: Context) -> FinishDeletions {
        FinishDeletions { context, deferred: SaidDeferred::default() }
    }
}

impl Duty for FinishDeletions {
    fn name(&self) -> &'static str {
        "finish_deletions"
    }

    async fn look(&mut self) -> Result<Look, StoreError> {
        let Context { store, metrics, .. } = &self.context;
        let done = store.finish_deletions().await;
        self.deferred.say(metrics, "finish_deletions", store.deferred().deletions);
        done?;
        Ok(Look { did: false, until: None, within: LOOK })
    }
}
