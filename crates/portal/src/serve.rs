//! Carries a request from the wire to its handler and the answer back.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use futures::FutureExt;
use isochrone_domain::Role;
use isochrone_scheduler::Submissions;
use isochrone_store::Store;
use object_store::ObjectStore;

use crate::answer::{Answer, Failure};
use crate::request::{Call, Unread};
use crate::signin::SignIn;
use crate::{Config, Portal, routes};

/// What the handlers work with.
pub(crate) struct Served {
    pub store: Arc<dyn Store>,
    pub submissions: Arc<Submissions>,
    pub artifacts: Arc<dyn ObjectStore>,
    pub config: Config,
    pub sign_in: SignIn,
}

impl Served {
    pub(crate) fn new(portal: Portal) -> Served {
        let Portal { store, submissions, artifacts, config } = portal;
        Served { sign_in: SignIn::new(Arc::clone(&store)), store, submissions, artifacts, config }
    }
}

/// Answers any request.
pub(crate) async fn handle(State(served): State<Arc<Served>>, request: Request) -> Response {
    let may_upload = async |call: &Call| {
        routes::takes_file(call)
            && served.sign_in.caller(call).await.is_ok_and(|caller| caller.user.role != Role::Viewer)
    };
    let (call, format) = match Call::read(request, &served.config, may_upload).await {
        Ok(read) => read,
        Err(Unread { failure, format, place }) => return failure.respond(format, &place),
    };
    let format = if routes::has_no_page(&call) { format.or_json(&call.parameters) } else { format };
    match survive(routes::answer(&served, &call)).await {
        Ok(answer) => answer.respond(format, &call.place),
        Err(failure) => with_hint(failure, &call).respond(format, &call.place),
    }
}

/// A handler that panics fails its own request and nothing else.
async fn survive(work: impl Future<Output = Result<Answer, Failure>>) -> Result<Answer, Failure> {
    AssertUnwindSafe(work).catch_unwind().await.unwrap_or_else(|panic| {
        tracing::error!(panic = panic_text(&*panic), "a request's handler panicked");
        Err(Failure::internal())
    })
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no text")
}

/// Where a parameter is missed that was sent in another case, says so.
fn with_hint(failure: Failure, call: &Call) -> Failure {
    let missed = failure.parameter_name().filter(|name| call.parameters.get(name).is_none());
    match missed.and_then(|name| Some((name, call.parameters.miscased(name)?))) {
        Some((name, sent)) => {
            let hint = format!("'{sent}' was sent; names are case-sensitive, this one is '{name}'.");
            failure.with_detail(hint)
        }
        None => failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_becomes_a_failure() {
        let failure = survive(async { panic!("secret") }).await.err().expect("it fails");
        assert!(!failure.message().contains("secret"));
    }
}
