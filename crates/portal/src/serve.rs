//! Carries a request from the wire to its handler and the answer back.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use isochrone_arcgis::Bearer;
use isochrone_domain::{Role, User};
use isochrone_scheduler::Submissions;
use isochrone_store::Store;
use isochrone_telemetry::Metrics;
use object_store::ObjectStore;

use crate::answer::{Answer, Failure, Format};
use crate::budget::Budget;
use crate::front::Front;
use crate::items::quota::ItemIntake;
use crate::items::uploads::Uploads;
use crate::places::Places;
use crate::request::{Call, Intake, Place, Sender, Unread};
use crate::signin::SignIn;
use crate::{Config, Portal, routes};

/// What the handlers work with.
pub(crate) struct Served {
    pub store: Arc<dyn Store>,
    pub submissions: Arc<Submissions>,
    pub artifacts: Arc<dyn ObjectStore>,
    pub config: Config,
    pub sign_in: Arc<SignIn>,
    pub front: Option<Arc<Front>>,
    pub metrics: Metrics,
    pub budget: Budget,
    pub items: ItemIntake,
    /// For logs that are followed, by their readers' names.
    pub followers: Places<String>,
}

/// Logs that are followed at once, in all and by one user.
const FOLLOWERS: usize = 512;
const FOLLOWED_BY_EACH: usize = 32;

impl Served {
    pub(crate) fn new(portal: Portal) -> Served {
        let Portal { store, submissions, artifacts, config, front, metrics, passwords } = portal;
        let front = front.map(Arc::new);
        let proxies = config.trusted_proxies.clone();
        let sign_in = SignIn::new(Arc::clone(&store), front.clone(), metrics.clone(), passwords, proxies);
        let sign_in = Arc::new(sign_in);
        let items = ItemIntake::new(Uploads::new(Arc::clone(&artifacts)), config.item_quotas);
        let budget = Budget::default();
        let followers = Places::new(FOLLOWERS, FOLLOWED_BY_EACH);
        Served { store, submissions, artifacts, config, sign_in, front, metrics, budget, items, followers }
    }

    /// The user of this name. A real portal behind this one may know somebody who was never here.
    pub(crate) async fn user(&self, call: &Call, name: &str) -> Result<Option<User>, Failure> {
        let known = self.store.user(name).await?;
        match (known, &self.front, &call.token) {
            (None, Some(front), Some(token)) => {
                let bearer = Bearer { token: token.clone(), referer: call.referer.clone() };
                front.user(&*self.store, &bearer, name).await
            }
            (known, ..) => Ok(known),
        }
    }
}

/// Answers any request.
pub(crate) async fn handle(State(served): State<Arc<Served>>, request: Request) -> Response {
    if request.method() == Method::CONNECT {
        // ArcGIS's 200 would say that there is a tunnel now.
        return StatusCode::METHOD_NOT_ALLOWED.into_response();
    }
    let request = match pass_on(&served, request).await {
        Ok(request) => request,
        Err(answer) => return answer,
    };
    let sender = async |call: &Call| match served.sign_in.caller(call).await {
        Err(_) => Sender::Stranger,
        Ok(caller) if caller.user.role != Role::Viewer && routes::takes_file(call) => Sender::Uploader,
        Ok(_) => Sender::User,
    };
    let intake = Intake { budget: &served.budget, uploads: &served.items.uploads };
    let (mut call, format) = match Call::read(request, &served.config, intake, sender).await {
        Ok(read) => read,
        Err(Unread { failure, format, place }) => return failure.respond(format, &place),
    };
    let format = if routes::has_no_page(&call) { format.or_json(&call.parameters) } else { format };
    let held = std::mem::take(&mut call.held);
    // On the heap: a connection whose request is still to be read does not need its room.
    let response = match survive(Box::pin(routes::answer(&served, &call))).await {
        Ok(answer) => answer.respond(format, &call.place),
        Err(failure) => with_hint(failure, &call).respond(format, &call.place),
    };
    held.by(response)
}

/// Passes on what is a real portal's; gives back what is ours.
async fn pass_on(served: &Served, request: Request) -> Result<Request, Response> {
    let Some(front) = &served.front else { return Ok(request) };
    let (parts, body) = request.into_parts();
    let place = Place::of(&parts, &served.config);
    let request = Request::from_parts(parts, body);
    match front.address(request.uri(), &place) {
        Ok(Some(address)) => Err(front.pass(request, &place, &address).await),
        Ok(None) => Ok(request),
        Err(failure) => Err(failure.respond(Format::Json, &place)),
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
