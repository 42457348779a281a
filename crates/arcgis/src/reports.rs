//! Administrative reports, which a portal makes as items.

use serde::Deserialize;

use crate::gp::NotSubmitted;
use crate::portal::segment;
use crate::{Bearer, Error, Portal, Result, SignedIn, answer, http};

/// The reports of a portal, which belong to whom it is asked as.
#[derive(Clone, Debug)]
pub struct Reports {
    portal: SignedIn,
}

/// What a report's item does.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReportState {
    /// `processing`, `partial`, `completed` or `failed`.
    pub status: String,
    /// Why it failed.
    #[serde(default)]
    pub status_message: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Begun {
    item_id: String,
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
    pub async fn begin(
        &self,
        owner: &str,
        form: &[(&str, String)],
    ) -> std::result::Result<String, NotSubmitted> {
        let path = format!("/community/users/{}/report", segment(owner));
        let sent = self.portal.ask(|portal, bearer| begin(portal, bearer, path.clone(), form)).await?;
        let begun: Begun =
            answer::parse(&sent.map_err(NotSubmitted::Unknown)?).map_err(NotSubmitted::Unknown)?;
        Ok(begun.item_id)
    }

    /// How far a report is.
    pub async fn state(&self, owner: &str, item: &str) -> Result<ReportState> {
        let path = format!("/content/users/{}/items/{}/status", segment(owner), segment(item));
        let state = self.portal.ask(|portal, bearer| state(portal, bearer, path.clone())).await?;
        answer::parse(&state)
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
) -> Result<Result<String>> {
    http::begun(portal.post(&bearer, &path).form(form).query(&[("f", "json")])).await
}

async fn state(portal: Portal, bearer: Bearer, path: String) -> Result<String> {
    http::state(portal.get(&bearer, &path).query(&[("f", "json")])).await
}

async fn delete(portal: Portal, bearer: Bearer, path: String) -> Result<()> {
    http::document(portal.post(&bearer, &path).form(&[("f", "json")])).await.map(drop)
}
