//! Pages of other sites in a browser.

use isochrone_portal::Config;
use reqwest::header::HeaderMap;
use reqwest::{Method, StatusCode};

use crate::server::Server;

const SITE: &str = "https://app.example.com";

async fn ask(
    server: &Server,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
) -> (StatusCode, HeaderMap) {
    let url = format!("http://{}{path}", server.address);
    let request = server.client.request(method, url).bearer_auth("bob");
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    let answer = request.send().await.expect("an answer");
    (answer.status(), answer.headers().clone())
}

const PREFLIGHT: [(&str, &str); 3] = [
    ("Origin", SITE),
    ("Access-Control-Request-Method", "POST"),
    ("Access-Control-Request-Headers", "x-esri-authorization,content-type"),
];

const PATHS: [&str; 4] = [
    "/sharing/rest/community/users/bob/tasks?f=json",
    "/portal/sharing/rest/portals/self?f=json",
    "/sharing/rest/community/users/bob/tasks/nothing?f=json",
    "/api/v1/tasks",
];

#[tokio::test]
async fn any_site_may_ask_as_with_arcgis() {
    let server = Server::start().await;
    for path in PATHS {
        let (status, headers) = ask(&server, Method::OPTIONS, path, &PREFLIGHT).await;
        assert_eq!(status, 204, "{path}");
        assert_eq!(headers["access-control-allow-origin"], "*");
        assert_eq!(headers["access-control-allow-headers"], "x-esri-authorization, content-type");
        assert!(headers["access-control-allow-methods"].to_str().expect("text").contains("POST"));
        // Errors can be read, too.
        for origin in [SITE, "null"] {
            let (_, headers) = ask(&server, Method::GET, path, &[("Origin", origin)]).await;
            assert_eq!(headers["access-control-allow-origin"], "*", "{path}");
            assert!(!headers.contains_key("access-control-allow-credentials"));
            assert!(headers.get_all("vary").iter().any(|value| value == "Origin"));
        }
        let (_, headers) = ask(&server, Method::GET, path, &[]).await;
        assert!(!headers.contains_key("access-control-allow-origin"), "no page asks");
    }
    // Without the question it is no preflight.
    let (status, _) = ask(&server, Method::OPTIONS, PATHS[3], &[("Origin", SITE)]).await;
    assert_ne!(status, 204);
}

#[tokio::test]
async fn only_listed_sites_may_ask_where_some_are_listed() {
    let allowed_origins =
        ["HTTPS://App.Example.com:443/"].map(|text| text.parse().expect("an origin")).to_vec();
    let server = Server::with(Config { allowed_origins, ..Config::default() }).await;
    for path in PATHS {
        let (status, headers) = ask(&server, Method::OPTIONS, path, &PREFLIGHT).await;
        assert_eq!(
            (status.as_u16(), &headers["access-control-allow-origin"]),
            (204, &SITE.parse().expect("a value"))
        );
        assert_eq!(headers["access-control-allow-credentials"], "true");
        let (_, headers) = ask(&server, Method::GET, path, &[("Origin", SITE)]).await;
        assert_eq!(headers["access-control-allow-origin"], SITE);
        for foreign in [
            "https://evil.example",
            "http://app.example.com",
            "https://app.example.com.evil.example",
            "https://app.example.com:8443",
            "null",
            "*",
            "",
        ] {
            let asked = [("Origin", foreign), PREFLIGHT[1], PREFLIGHT[2]];
            let (status, headers) = ask(&server, Method::OPTIONS, path, &asked).await;
            assert_eq!(status, 403, "{foreign}");
            assert!(!headers.keys().any(|name| name.as_str().starts_with("access-control")), "{headers:?}");
            let (_, headers) = ask(&server, Method::GET, path, &[("Origin", foreign)]).await;
            assert!(!headers.contains_key("access-control-allow-origin"), "{foreign}");
        }
    }
}
