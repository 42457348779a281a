//! `/api/v1/runs/{run}/log`: a run's log in pages, or as it is written.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::header::{self, HeaderMap, HeaderName};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::Stream;
use isochrone_domain::RunId;
use isochrone_store::{Page, StoreError};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::asked::Asked;
use super::problem::Problem;
use super::runs;
use super::signed_in::{LongSignedIn, text};
use super::views::{LineView, RunView};
use crate::lasting_access::LastingAccess;
use crate::places::TakenPlace;
use crate::serve::Served;

/// How often the store is asked for new lines.
const EVERY: Duration = Duration::from_millis(500);

/// Lines that are read at once.
const LINES: u64 = 500;

/// A part of a run's log.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct LogPage {
    lines: Vec<LineView>,
    /// How many lines there are so far.
    total: u64,
}

#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// Lines to skip.
    offset: Option<u64>,
    /// How many at most.
    #[param(minimum = 1, maximum = 10000)]
    limit: Option<u64>,
}

/// Reads a run's log, all attempts.
///
/// With `Accept: text/event-stream` it comes as server-sent events while the run goes on: `line` for each line, whose id
/// is its number (`Last-Event-ID` goes on behind it), and `end` with the run when it has ended. Who loses access meanwhile
/// (the token ends, the user may read it no more) gets `access-lost`, and no more.
#[utoipa::path(get, path = "/runs/{run}/log", tag = "runs",
    params(("run" = String, Path, description = "32 hex digits"), Which),
    responses(
        (status = 200, description = "Done", content((LogPage = "application/json"), (String = "text/event-stream"))),
        (status = "default", description = "What is wrong", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn read(
    State(served): State<Arc<Served>>,
    LongSignedIn(caller, credentials): LongSignedIn,
    Path(run): Path<String>,
    headers: HeaderMap,
    Asked(which): Asked<Which>,
) -> Result<Response, Problem> {
    let run = runs::found(&served, &caller, &run).await?.id;
    let offset = which.offset.unwrap_or(0).min(u64::from(u32::MAX));
    if text(&headers, header::ACCEPT).is_some_and(|accept| accept.contains("text/event-stream")) {
        let seen = text(&headers, HeaderName::from_static("last-event-id"));
        let seen = seen.and_then(|number| number.trim().parse().ok()).unwrap_or(offset);
        let place = served.followers.take(caller.user.name.clone());
        let place =
            place.ok_or_else(|| Problem::new(503, "Too many logs are followed at once. Try again."))?;
        let access = LastingAccess::new(&served, credentials, run);
        let events = events(Following {
            served,
            access,
            _place: place,
            run,
            seen,
            lines: VecDeque::new(),
            over: false,
        });
        return Ok(Sse::new(events).keep_alive(KeepAlive::default()).into_response());
    }
    let limit = which.limit.unwrap_or(1_000);
    if !(1..=10_000).contains(&limit) {
        return Err(Problem::field("limit", format!("is {limit}; expected 1 to 10000")));
    }
    let page = served.store.log(run, Page { offset, limit }).await?;
    let lines = page.rows.into_iter().map(LineView::from).collect();
    Ok(Json(LogPage { lines, total: page.total }).into_response())
}

/// Somebody who follows a run's log.
struct Following {
    served: Arc<Served>,
    access: LastingAccess,
    _place: TakenPlace<String>,
    run: RunId,
    /// Lines that were sent.
    seen: u64,
    /// Lines to be sent.
    lines: VecDeque<LineView>,
    over: bool,
}

fn events(following: Following) -> impl Stream<Item = Result<Event, Infallible>> {
    futures::stream::unfold(following, async |mut following| {
        let event = following.next().await?;
        Some((Ok(event), following))
    })
}

impl Following {
    /// The next event. None: the log has ended.
    async fn next(&mut self) -> Option<Event> {
        while !self.over {
            if !self.access.holds().await {
                self.over = true;
                return Some(Event::default().event("access-lost").data("{}"));
            }
            if let Some(line) = self.lines.pop_front() {
                self.seen += 1;
                return Some(event("line", &line).id(self.seen.to_string()));
            }
            match self.look().await {
                Ok(Some(end)) => {
                    self.over = true;
                    return Some(end);
                }
                Ok(None) => {}
                // It stays connected, and asks again.
                Err(error) => {
                    tracing::debug!(%error, run_id = %self.run, "a log could not be followed further");
                }
            }
            if self.lines.is_empty() {
                tokio::time::sleep(EVERY).await;
            }
        }
        None
    }

    /// Reads new lines; the end, if the run had ended before there were none.
    async fn look(&mut self) -> Result<Option<Event>, StoreError> {
        let run = self.served.store.run(self.run).await?;
        let page = Page { offset: self.seen, limit: LINES };
        let found = self.served.store.log(self.run, page).await?;
        self.lines.extend(found.rows.into_iter().map(LineView::from));
        if !self.lines.is_empty() {
            return Ok(None);
        }
        Ok(match run {
            None => Some(Event::default().event("end").data("{}")),
            Some(run) if run.status.ended() => Some(event("end", &RunView::from(run))),
            Some(_) => None,
        })
    }
}

fn event<T: Serialize>(name: &str, data: &T) -> Event {
    let json = serde_json::to_string(data).expect("its keys are text");
    Event::default().event(name).data(json)
}
