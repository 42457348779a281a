//! A portal, asked with a token.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{RequestBuilder, Url};
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use crate::documents::Sharing;
use crate::federated::Info;
use crate::http::{self, Http};
use crate::{Connection, Item, Result, TaskPage, User, answer};

/// The site that our own tokens are bound to: it must only be the same each time.
const REFERER: &str = "https://isochrone";
/// Of an item's data: it is held in memory, of which a worker may take 300 MiB.
const LARGEST_FILE: usize = 128 << 20;

/// A token and where it holds.
#[derive(Clone, PartialEq, Eq)]
pub struct Bearer {
    /// The token.
    pub token: String,
    /// The `Referer` with which it was made or sent, where there was one.
    pub referer: Option<String>,
}

impl Bearer {
    /// In headers: addresses end up in logs.
    pub(crate) fn carried_by(&self, request: RequestBuilder) -> RequestBuilder {
        let request = request.header("X-Esri-Authorization", format!("Bearer {}", self.token));
        match &self.referer {
            Some(referer) => request.header(reqwest::header::REFERER, referer),
            None => request,
        }
    }
}

impl fmt::Debug for Bearer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bearer").field("referer", &self.referer).finish_non_exhaustive()
    }
}

/// A token that a portal gave.
#[derive(Clone, Deserialize)]
pub struct Issued {
    /// The token.
    pub token: String,
    /// Epoch ms, by the portal's clock.
    pub expires: i64,
}

/// The same in OAuth's words.
#[derive(Deserialize)]
struct Granted {
    access_token: String,
    /// Seconds.
    expires_in: u32,
}

impl Issued {
    /// As a bearer's: our tokens are bound to our own site.
    pub fn bearer(&self) -> Bearer {
        Bearer { token: self.token.clone(), referer: Some(REFERER.to_owned()) }
    }
}

impl fmt::Debug for Issued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issued").field("expires", &self.expires).finish_non_exhaustive()
    }
}

/// A portal. A clone is the same one.
#[derive(Clone, Debug)]
pub struct Portal {
    http: Http,
}

impl Portal {
    /// The portal there. It is not asked yet.
    pub fn new(connection: &Connection) -> Result<Portal> {
        Ok(Portal { http: Http::new(connection)? })
    }

    /// Its address, as `https://host[:port][/context]`.
    pub fn url(&self) -> &str {
        self.http.base()
    }

    /// A token for a user, good for about so many minutes.
    pub async fn generate_token(&self, username: &str, password: &str, minutes: u32) -> Result<Issued> {
        let minutes = minutes.to_string();
        let form = [
            ("username", username),
            ("password", password),
            ("client", "referer"),
            ("referer", REFERER),
            ("expiration", &minutes),
        ];
        self.generate_token_for(&form).await
    }

    /// A token for a user, as these parameters of generateToken ask for it.
    pub async fn generate_token_for(&self, form: &[(&str, &str)]) -> Result<Issued> {
        let request = self.http.post("/sharing/rest/generateToken").query(&[("f", "json")]).form(form);
        answer::parse(&http::document(request).await?)
    }

    /// A token for an app, good for about so many minutes.
    pub async fn client_credentials(&self, id: &str, secret: &str, minutes: u32) -> Result<Issued> {
        let minutes = minutes.to_string();
        let form = [
            ("client_id", id),
            ("client_secret", secret),
            ("grant_type", "client_credentials"),
            ("expiration", &minutes),
            ("f", "json"),
        ];
        let request = self.http.post("/sharing/rest/oauth2/token").form(&form);
        let Granted { access_token: token, expires_in } = answer::parse(&http::document(request).await?)?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = i64::try_from(now.as_millis()).unwrap_or(i64::MAX);
        Ok(Issued { token, expires: now.saturating_add(i64::from(expires_in) * 1_000) })
    }

    /// What the portal says of itself to everybody.
    pub(crate) async fn info(&self) -> Result<Info> {
        let request = self.http.post("/sharing/rest/info").query(&[("f", "json")]);
        answer::parse(&http::document(request).await?)
    }

    /// The URL, if it leads to where the portal is.
    pub(crate) fn own(&self, url: &str) -> Option<Url> {
        let own = Url::parse(self.url()).ok()?.origin();
        Url::parse(url).ok().filter(|url| url.origin() == own)
    }

    /// A token for the server with this root, in exchange for one of the portal. `service`: the portal's
    /// [`own`](Self::own).
    pub(crate) async fn exchange(
        &self,
        bearer: &Bearer,
        service: Url,
        server: &str,
        minutes: u32,
    ) -> Result<Issued> {
        let minutes = minutes.to_string();
        let form = [
            ("token", bearer.token.as_str()),
            ("serverUrl", server),
            ("expiration", &minutes),
            ("f", "json"),
        ];
        let request = self.http.post_to(service).form(&form);
        let request = match &bearer.referer {
            Some(referer) => request.header(reqwest::header::REFERER, referer),
            None => request,
        };
        answer::parse(&http::document(request).await?)
    }

    /// Whose token it is.
    pub async fn community_self(&self, bearer: &Bearer) -> Result<User> {
        self.ask("/community/self", bearer, &[]).await
    }

    /// Whether the token holds, whoever has it: an app has no user.
    pub async fn portal_self(&self, bearer: &Bearer) -> Result<()> {
        self.ask("/portals/self", bearer, &[]).await.map(|_: IgnoredAny| ())
    }

    /// The user with this name.
    pub async fn user(&self, bearer: &Bearer, name: &str) -> Result<User> {
        self.ask(&format!("/community/users/{}", segment(name)), bearer, &[]).await
    }

    /// The item with this id.
    pub async fn item(&self, bearer: &Bearer, id: &str) -> Result<Item> {
        self.ask(&format!("/content/items/{}", segment(id)), bearer, &[]).await
    }

    /// The same, as the portal wrote it.
    pub async fn item_document(&self, bearer: &Bearer, id: &str) -> Result<String> {
        let request = self.get(bearer, &format!("/content/items/{}", segment(id)));
        http::document(request.query(&[("f", "json")])).await
    }

    /// An item's bytes.
    pub async fn item_data(&self, bearer: &Bearer, id: &str) -> Result<Vec<u8>> {
        let request = self.get(bearer, &format!("/content/items/{}/data", segment(id)));
        // For its failures: without it, they are pages.
        http::file(request.query(&[("f", "json")]), LARGEST_FILE).await
    }

    /// The ids of the groups that an item is shared with.
    pub async fn item_groups(&self, bearer: &Bearer, id: &str) -> Result<Vec<String>> {
        let Sharing { admin, member, other } =
            self.ask(&format!("/content/items/{}/groups", segment(id)), bearer, &[]).await?;
        Ok([admin, member, other].into_iter().flatten().map(|group| group.id).collect())
    }

    /// A part of everybody's tasks; for administrators. `start`: the first one's number, from 1 on.
    pub async fn all_scheduled_tasks(&self, bearer: &Bearer, start: i64, num: u32) -> Result<TaskPage> {
        self.tasks("/portals/self/allScheduledTasks", bearer, start, num).await
    }

    /// A part of a user's tasks.
    pub async fn tasks_of(&self, bearer: &Bearer, user: &str, start: i64, num: u32) -> Result<TaskPage> {
        self.tasks(&format!("/community/users/{}/tasks", segment(user)), bearer, start, num).await
    }

    async fn tasks(&self, path: &str, bearer: &Bearer, start: i64, num: u32) -> Result<TaskPage> {
        let page = [("start", start.to_string()), ("num", num.to_string())];
        self.ask(path, bearer, &page.each_ref().map(|(name, text)| (*name, text.as_str()))).await
    }

    /// Makes a user's task plan no runs.
    pub async fn disable_task(&self, bearer: &Bearer, user: &str, id: &str) -> Result<()> {
        let path = format!("/community/users/{}/tasks/{}/disable", segment(user), segment(id));
        http::document(self.post(bearer, &path).form(&[("f", "json")])).await.map(drop)
    }

    /// A request for what is there of the sharing API.
    pub(crate) fn get(&self, bearer: &Bearer, path: &str) -> RequestBuilder {
        bearer.carried_by(self.http.get(&format!("/sharing/rest{path}")))
    }

    /// The same as a POST.
    pub(crate) fn post(&self, bearer: &Bearer, path: &str) -> RequestBuilder {
        bearer.carried_by(self.http.post(&format!("/sharing/rest{path}")))
    }

    /// A POST that begins something.
    pub(crate) fn submission(&self, bearer: &Bearer, path: &str) -> RequestBuilder {
        bearer.carried_by(self.http.post_here(&format!("/sharing/rest{path}")))
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        path: &str,
        bearer: &Bearer,
        query: &[(&str, &str)],
    ) -> Result<T> {
        let request = self.get(bearer, path).query(query).query(&[("f", "json")]);
        answer::parse(&http::document(request).await?)
    }
}

pub(crate) fn segment(text: &str) -> impl fmt::Display + '_ {
    utf8_percent_encode(text, NON_ALPHANUMERIC)
}
