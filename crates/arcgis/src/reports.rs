//! Administrative reports, which a portal makes as items.

use crate::jobs::{JobState, SubmitOutcome, fields, shown_text, status, submit};
use crate::portal::segment;
use crate::{Bearer, Error, Portal, Result, SignedIn, http};

/// The reports of a portal, which belong to whom it is asked as.
#[derive(Clone, Debug)]
pub struct Reports {
    portal: SignedIn,
}

/// What a report's item does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportState {
    /// What it does.
    pub state: JobState,
    /// The portal's word for that.
    pub word: String,
    /// Why it failed.
    pub message: Option<String>,
}

impl Reports {
    /// Of this portal.
    pub fn new(portal: SignedIn) -> Reports {
        Reports { portal }
    }

    /// Whose the reports are.
    pub async fn owner(&self) -> Result<String> {
        self.portal
            .ask(|portal, bearer| async move { Ok(portal.community_self(&bearer).await?.username) })
            .await
    }

    /// Begins a report, and gives its item's id. It is sent once: a portal that did not answer may have begun it.
    pub async fn begin(&self, owner: &str, form: &[(&str, String)]) -> SubmitOutcome<String> {
        let path = format!("/community/users/{}/report", segment(owner));
        match self.portal.ask(|portal, bearer| begin(portal, bearer, path.clone(), form)).await {
            Ok(outcome) => outcome,
            Err(error) => SubmitOutcome::NotBegun { retryable: error.may_pass(), error },
        }
    }

    /// How far a report is.
    pub async fn state(&self, owner: &str, item: &str) -> Result<ReportState> {
        let path = format!("/content/users/{}/items/{}/status", segment(owner), segment(item));
        self.portal.ask(|portal, bearer| state(portal, bearer, path.clone())).await
    }

    /// A finished report, as CSV.
    pub async fn data(&self, item: &str) -> Result<Vec<u8>> {
        self.portal
            .ask(|portal, bearer| async move { portal.item_data(&bearer, item).await })
            .await
            // An empty report is none.
            .and_then(|data| {
                if data.is_empty() { Err(Error::Unreadable("it is empty".to_owned())) } else { Ok(data) }
            })
    }

    /// Removes a report: a portal has no other way to end one.
    pub async fn delete(&self, owner: &str, item: &str) -> Result<()> {
        let path = format!("/content/users/{}/items/{}/delete", segment(owner), segment(item));
        self.portal.ask(|portal, bearer| delete(portal, bearer, path.clone())).await
    }

    /// Where a report is, for people.
    pub fn url(&self, item: &str) -> String {
        format!("{}/home/item.html?id={item}", self.portal.portal().url())
    }
}

async fn begin(
    portal: Portal,
    bearer: Bearer,
    path: String,
    form: &[(&str, String)],
) -> Result<SubmitOutcome<String>> {
    let request = portal.submission(&bearer, &path).form(form).query(&[("f", "json")]);
    http::token_refused(submit::arcgis::report(http::exchanged(request, http::LARGEST_DOCUMENT).await))
}

async fn state(portal: Portal, bearer: Bearer, path: String) -> Result<ReportState> {
    let request = portal.get(&bearer, &path).query(&[("f", "json")]);
    let response = http::token_accepted(http::response(request, http::LARGEST_DOCUMENT).await?)?;
    let (state, document) = status::document(&response)?;
    let word = fields::unwrapped(&document, &|inner| fields::field(inner, "status").and_then(shown_text));
    Ok(ReportState { state, word: word.unwrap_or_default(), message: status::message(&document) })
}

async fn delete(portal: Portal, bearer: Bearer, path: String) -> Result<()> {
    http::document(portal.post(&bearer, &path).form(&[("f", "json")])).await.map(drop)
}
