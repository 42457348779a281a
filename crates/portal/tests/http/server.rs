//! A portal that listens on a free port of its own, and two ways to talk to it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use isochrone_domain::{Action, AuditEntry, EpochMillis, Limits, Role, UnknownFields, User, UserChange};
use isochrone_portal::{Config, Portal, router};
use isochrone_scheduler::{Quotas, Submissions, Wake};
use isochrone_store::sqlite::SqliteStore;
use isochrone_store::{
    AccountStore, AuditStore, Clock, Page, TaskFilter, TaskStore, Token, TokenBinding, TokenHash,
    TokenPurpose, UserChanged,
};
use isochrone_telemetry::Metrics;
use object_store::memory::InMemory;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

pub(crate) struct Server {
    pub address: SocketAddr,
    pub store: Arc<SqliteStore>,
    pub artifacts: Arc<InMemory>,
    pub client: reqwest::Client,
    _data: TempDir,
}

impl Server {
    pub(crate) async fn start() -> Server {
        Self::with(Config::default()).await
    }

    /// A portal with the users NBadmin and GPadmin (administrators), bob and carol (publishers), victor (viewer).
    pub(crate) async fn with(config: Config) -> Server {
        Self::with_quotas(config, Quotas::default()).await
    }

    /// The same, with limits on active tasks.
    pub(crate) async fn with_quotas(config: Config, quotas: Quotas) -> Server {
        let data = TempDir::new().expect("a folder");
        let store = Arc::new(SqliteStore::open(data.path(), Clock::SYSTEM).expect("a store"));
        let artifacts = Arc::new(InMemory::new());
        let submissions = Submissions::new(store.clone(), Limits::default(), quotas, Wake::new());
        let portal = Portal {
            store: store.clone(),
            submissions: Arc::new(submissions),
            artifacts: artifacts.clone(),
            front: None,
            config,
            metrics: Metrics::new(),
            passwords: Arc::default(),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let service = router(portal).into_make_service_with_connect_info::<SocketAddr>();
        tokio::spawn(async move { axum::serve(listener, service).await });
        // reqwest wants to be told. An error: it was told before.
        drop(rustls::crypto::ring::default_provider().install_default());
        let client = reqwest::Client::builder().timeout(Duration::from_secs(20)).build().expect("a client");
        let server = Server { address, store, artifacts, client, _data: data };
        for (name, role) in [
            ("NBadmin", Role::Admin),
            ("GPadmin", Role::Admin),
            ("bob", Role::Publisher),
            ("carol", Role::Publisher),
            ("victor", Role::Viewer),
        ] {
            server.add_user(name, role, "no hash").await;
            server.put_token(name, name, Duration::from_hours(1), TokenBinding::None).await;
        }
        server
    }

    pub(crate) async fn add_user(&self, name: &str, role: Role, password_hash: &str) {
        let created = self.store.now().await.expect("a clock");
        let password_hash = password_hash.to_owned();
        let user = User {
            name: name.to_owned(),
            role,
            password_hash: password_hash.clone(),
            created,
            last_login: None,
            disabled: None,
            epoch: 0,
            unknown: UnknownFields::NONE,
        };
        if !self.store.add_user(&user, audit(Action::SetUser, name)).await.expect("kept") {
            let change = UserChange { password_hash: Some(password_hash), ..UserChange::default() };
            self.change_user(name, change).await;
        }
    }

    pub(crate) async fn change_user(&self, name: &str, change: UserChange) {
        let changed = self.store.change_user(name, &change, audit(Action::SetUser, name)).await;
        assert!(matches!(changed, Ok(UserChanged::Done(_))), "{changed:?}");
    }

    /// Makes `token` one of `user`. The users' own names are tokens from the start, to keep tests short.
    pub(crate) async fn put_token(&self, token: &str, user: &str, life: Duration, binding: TokenBinding) {
        let expires = self.store.now().await.expect("a clock") + life;
        let kept = Token { user: user.to_owned(), expires, binding, purpose: TokenPurpose::SignIn };
        let hash = TokenHash(Sha256::digest(token).into());
        self.keep_token(hash, &kept, audit(Action::SignIn, user)).await;
    }

    /// Makes an API key for `user`; gives it and its id.
    pub(crate) async fn add_key(&self, user: &str, life: Duration) -> (String, String) {
        let now = self.store.now().await.expect("a clock");
        let (key, hash) = isochrone_portal::keys::draw();
        let purpose = TokenPurpose::Key { title: "nightly".to_owned(), created: now };
        let kept = Token { user: user.to_owned(), expires: now + life, binding: TokenBinding::None, purpose };
        self.keep_token(hash, &kept, audit(Action::CreateKey, user)).await;
        (key, isochrone_portal::keys::id(hash))
    }

    async fn keep_token(&self, hash: TokenHash, token: &Token, audit: AuditEntry) {
        let user = self.store.user(&token.user).await.expect("a store").expect("the user is there");
        assert!(self.store.put_token(hash, token, &user, audit).await.expect("a store"), "kept");
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}/sharing/rest{path}", self.address)
    }

    pub(crate) async fn get(&self, token: &str, path: &str) -> Value {
        let joint = if path.contains('?') { '&' } else { '?' };
        let request = self.client.get(self.url(&format!("{path}{joint}f=json"))).bearer_auth(token);
        read(request.send().await.expect("an answer")).await
    }

    pub(crate) async fn post(&self, token: &str, path: &str, form: &[(&str, &str)]) -> Value {
        let mut form = form.to_vec();
        form.push(("f", "json"));
        let request = self.client.post(self.url(path)).bearer_auth(token).form(&form);
        read(request.send().await.expect("an answer")).await
    }

    /// Creates a task and gives its id.
    pub(crate) async fn create(&self, owner: &str, form: &[(&str, &str)]) -> String {
        let answer = self.post(owner, &format!("/community/users/{owner}/createTask"), form).await;
        assert_eq!(answer["success"], true, "{answer}");
        answer["taskId"].as_str().expect("an id").to_owned()
    }

    /// Sends bytes as they are, and gives the head and the body of what comes back.
    pub(crate) async fn raw(&self, bytes: &[u8]) -> (String, String) {
        let mut stream = TcpStream::connect(self.address).await.expect("a connection");
        stream.write_all(bytes).await.expect("sent");
        let mut answer = Vec::new();
        let reading = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut answer));
        reading.await.expect("in time").expect("read");
        let answer = String::from_utf8(answer).expect("text");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        (head.to_owned(), body.to_owned())
    }

    /// Sends a POST with these head lines (without `Content-Length`) and this body, and gives the JSON answer.
    pub(crate) async fn raw_post(&self, head: &str, body: &[u8]) -> Value {
        let mut request = format!(
            "{}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
            head.trim_end().replace('\n', "\r\n"),
            body.len()
        )
        .into_bytes();
        request.extend_from_slice(body);
        let (head, body) = self.raw(&request).await;
        assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
        serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error}: {body}"))
    }

    pub(crate) async fn task_count(&self) -> u64 {
        let page = Page { offset: 0, limit: 1 };
        self.store.tasks(&TaskFilter::default(), page).await.expect("a list").total
    }

    /// Neither a task nor a row of the ledger is there.
    pub(crate) async fn assert_nothing_stored(&self, after: &str) {
        assert_eq!(self.task_count().await, 0, "a task was stored after {after}");
        let always = EpochMillis(0)..EpochMillis::MAX;
        assert_eq!(self.store.fires(None, always).await.expect("a ledger"), [], "a fire after {after}");
    }
}

async fn read(response: reqwest::Response) -> Value {
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "application/json;charset=utf-8");
    assert_eq!(response.headers()["x-content-type-options"], "nosniff");
    let text = response.text().await.expect("text");
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn audit(action: Action, user: &str) -> AuditEntry {
    AuditEntry {
        at: EpochMillis(0),
        actor: user.to_owned(),
        ip: None,
        action,
        task: None,
        run: None,
        item: None,
        title: user.to_owned(),
        owner: user.to_owned(),
    }
}

/// The parts of an error that clients read: code, message, and the details in one line.
pub(crate) fn error(answer: &Value) -> (i64, String, String) {
    let error = &answer["error"];
    let code = error["code"].as_i64().unwrap_or_else(|| panic!("no error: {answer}"));
    let details = error["details"].as_array().unwrap_or_else(|| panic!("no details: {answer}"));
    let details: Vec<&str> = details.iter().filter_map(Value::as_str).collect();
    (code, error["message"].as_str().unwrap_or_default().to_owned(), details.join(" | "))
}

/// A task of the least that is accepted: a notebook every hour.
pub(crate) const HOURLY: [(&str, &str); 7] = [
    ("type", "ExecuteNotebook"),
    ("itemId", "029b61ca770e428d9468a2a55f40b9fb"),
    ("minute", "0"),
    ("hour", "*"),
    ("dayOfMonth", "*"),
    ("month", "*"),
    ("dayOfWeek", "?"),
];

/// `HOURLY` with some parameters changed or added.
pub(crate) fn hourly<'a>(changes: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut form: Vec<(&str, &str)> =
        HOURLY.into_iter().filter(|(name, _)| changes.iter().all(|(changed, _)| changed != name)).collect();
    form.extend_from_slice(changes);
    form
}
