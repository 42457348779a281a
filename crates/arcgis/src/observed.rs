//! Tells whoever wants to know of each request that is sent.

use std::sync::OnceLock;

use reqwest::{RequestBuilder, Response, Url};

type Observer = Box<dyn Fn(&'static str, Option<u16>) + Send + Sync>;

/// One a process: requests are sent from many places, and counted in one.
static OBSERVER: OnceLock<Observer> = OnceLock::new();

/// What was asked: `portal`, `server` (of ArcGIS) or `other`.
pub const KINDS: [&str; 3] = ["portal", "server", "other"];

/// From now on each request is told: what was asked, and the HTTP status of the answer; none: there was none. Only
/// the first observer counts.
pub fn observe_requests(observer: impl Fn(&'static str, Option<u16>) + Send + Sync + 'static) {
    drop(OBSERVER.set(Box::new(observer)));
}

/// Sends a request, and tells of it.
pub(crate) async fn sent(request: RequestBuilder) -> reqwest::Result<Response> {
    let answer = request.send().await;
    if let Some(observer) = OBSERVER.get() {
        match &answer {
            Ok(response) => observer(kind(Some(response.url())), Some(response.status().as_u16())),
            Err(error) => observer(kind(error.url()), None),
        }
    }
    answer
}

/// By ArcGIS's paths: a URL itself never leaves here.
fn kind(url: Option<&Url>) -> &'static str {
    let path = url.map_or("", Url::path);
    let below = |root: &str| path.split('/').any(|segment| segment == root);
    if below("sharing") || below("portaladmin") {
        "portal"
    } else if below("rest") || below("admin") {
        "server"
    } else {
        "other"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_tells_what_is_asked() {
        for (url, expected) in [
            ("https://gis.example.com/portal/sharing/rest/generateToken", "portal"),
            ("https://gis.example.com/server/rest/services/X/GPServer/X/submitJob", "server"),
            ("https://gis.example.com/notebooks/admin/notebooks", "server"),
            ("https://jobs.example.com/begin", "other"),
        ] {
            assert_eq!(kind(Url::parse(url).ok().as_ref()), expected, "{url}");
        }
        assert_eq!(kind(None), "other");
    }
}
