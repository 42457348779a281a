//! What the two APIs are, as OpenAPI 3.1, and a page to read and try them.

mod sharing;

use std::collections::BTreeMap;
use std::sync::{LazyLock, Mutex, PoisonError};

use axum::Router;
use axum::extract::OriginalUri;
use axum::http::header::{self, HeaderValue};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;
use utoipa::openapi::{OpenApi, RefOr, Schema};

use crate::{answer, items, native, signin, tasks};

/// The page's parts: nothing is loaded from elsewhere.
const PAGE: &str = include_str!("page.html");
const SCRIPT: &str = include_str!("page.js");
const STYLE: &str = include_str!("../answer/page.css");

/// The page may run this portal's script and ask this portal, and nothing else.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The description, where the portal is at the root.
static DOCUMENT: LazyLock<Value> = LazyLock::new(|| document(native::routes().1));

/// `/openapi.json`, and the page `/openapi`.
pub(crate) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new()
        .route("/openapi.json", get(described))
        .route("/openapi", get(async || part("text/html;charset=utf-8", PAGE)))
        .route("/openapi.js", get(async || part("text/javascript;charset=utf-8", SCRIPT)))
        .route("/openapi.css", get(async || part("text/css;charset=utf-8", STYLE)))
}

/// The description, as it is true where it is asked for.
async fn described(OriginalUri(uri): OriginalUri) -> Response {
    part("application/json", text(uri.path().trim_end_matches("/openapi.json")))
}

/// The description below this context. It is long, and anybody may ask for it: all who do share it.
fn text(context: &str) -> Bytes {
    static TEXTS: Mutex<BTreeMap<String, Bytes>> = Mutex::new(BTreeMap::new());
    let mut texts = TEXTS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(text) = texts.get(context) {
        return text.clone();
    }
    let mut document = DOCUMENT.clone();
    document["servers"] = json!([{"url": if context.is_empty() { "/" } else { context }}]);
    let text = Bytes::from(document.to_string());
    // A process has one context beside the root.
    if texts.len() < 8 {
        texts.insert(context.to_owned(), text.clone());
    }
    text
}

fn part(media: &'static str, text: impl Into<axum::body::Body>) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(media)),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    ];
    (headers, text.into()).into_response()
}

/// Both APIs in one description.
fn document(native: OpenApi) -> Value {
    let mut document = serde_json::to_value(native).expect("a description is JSON");
    document["info"] = json!({
        "title": "Isochrone",
        "version": env!("CARGO_PKG_VERSION"),
        "description": "ArcGIS's scheduled-task REST API (`/sharing/rest`) and Isochrone's own (`/api/v1`).",
        "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
    });
    let native_paths = document["paths"].take();
    let mut paths = sharing::paths();
    for (path, item) in native_paths.as_object().into_iter().flatten() {
        let mut item = item.clone();
        for operation in item.as_object_mut().into_iter().flat_map(Map::values_mut) {
            // Handlers of several things have the same name.
            let name = [&operation["tags"][0], &operation["operationId"]].map(Value::as_str);
            operation["operationId"] = name.map(Option::unwrap_or_default).join("_").into();
        }
        paths.insert(format!("{}{path}", native::ROOT), item);
    }
    document["paths"] = paths.into();
    let mut shapes = Vec::new();
    collect::<answer::Shape>(&mut shapes);
    collect::<signin::Given>(&mut shapes);
    collect::<tasks::TaskDocument>(&mut shapes);
    collect::<tasks::TaskList>(&mut shapes);
    collect::<tasks::RunDocument>(&mut shapes);
    collect::<tasks::RunList>(&mut shapes);
    collect::<tasks::Changed>(&mut shapes);
    collect::<tasks::Log>(&mut shapes);
    collect::<items::ItemDocument>(&mut shapes);
    for (name, shape) in shapes {
        document["components"]["schemas"][name] = serde_json::to_value(shape).expect("a schema is JSON");
    }
    document["components"]["securitySchemes"] = json!({"token": {"type": "http", "scheme": "bearer"}});
    document["security"] = json!([{"token": []}]);
    document
}

/// A type's shape, and those that it refers to.
fn collect<T: ToSchema>(shapes: &mut Vec<(String, RefOr<Schema>)>) {
    shapes.push((T::name().into_owned(), T::schema()));
    T::schemas(shapes);
}
