//! Which pages a token belongs to that is bound to a referer.

use reqwest::Url;

/// Whether a request's `Referer` is what the token was made for: a site or a part of it, as a URL or as
/// `host[:port]`, in any case of letters. Browsers tell other sites no more than the origin of a page, so that a path
/// is compared only where one was sent. What is no site (`http`, as ArcGIS's Python client says) is compared as it is.
pub(super) fn is_of(sent: &str, bound: &str) -> bool {
    if sent.eq_ignore_ascii_case(bound) {
        return true;
    }
    let Some(sent) = site(sent) else { return false };
    let named = bound.contains("://");
    let Some(bound) = site(bound).or_else(|| site(&format!("{}://{bound}", sent.scheme()))) else {
        return false;
    };
    let same_site = sent.host_str() == bound.host_str()
        && sent.port_or_known_default() == bound.port_or_known_default()
        && (!named || sent.scheme() == bound.scheme());
    let below = sent.path().strip_prefix(bound.path().trim_end_matches('/'));
    same_site && (sent.path() == "/" || below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
}

/// A URL of the web; hosts and schemes come out in small letters.
fn site(text: &str) -> Option<Url> {
    Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}

#[cfg(test)]
mod tests {
    use super::is_of;

    #[test]
    fn a_site_is_the_same_however_it_is_written() {
        for (bound, sent) in [
            ("https://app.example.com", "https://app.example.com/"),
            ("https://app.example.com/", "https://app.example.com"),
            ("https://APP.example.com", "https://app.example.com/viewer/index.html?a=1"),
            ("HTTPS://App.Example.com/", "https://app.example.com/"),
            ("https://app.example.com:443", "https://app.example.com/"),
            ("app.example.com", "https://app.example.com/viewer"),
            ("APP.EXAMPLE.COM", "http://app.example.com/"),
            ("app.example.com:8443", "https://app.example.com:8443/x"),
            ("localhost:3000", "http://LOCALHOST:3000/"),
            ("https://app.example.com/viewer", "https://app.example.com/viewer/x"),
            ("https://app.example.com/viewer", "https://app.example.com/"),
            ("https://app.example.com/viewer/", "https://app.example.com/viewer"),
            ("http", "http"),
            ("http", "HTTP"),
            ("https://[2001:DB8::1]/", "https://[2001:db8::1]/a"),
        ] {
            assert!(is_of(sent, bound), "{sent} is of {bound}");
        }
    }

    #[test]
    fn another_site_is_another_one() {
        for (bound, sent) in [
            ("https://app.example.com", "http://app.example.com/"),
            ("https://app.example.com", "https://app.example.com:8443/"),
            ("https://app.example.com", "https://app.example.com.evil.example/"),
            ("https://app.example.com", "https://app.example.com@evil.example/"),
            ("https://app.example.com", "https://evil.example/https://app.example.com"),
            ("https://app.example.com", "https://evil.example\\@app.example.com/"),
            ("https://app.example.com/viewer", "https://app.example.com/viewers"),
            ("https://app.example.com/viewer", "https://app.example.com/other"),
            ("app.example.com", "https://app.example.com:8443/"),
            ("app.example.com", "https://www.app.example.com/"),
            ("http", "https://evil.example"),
            ("http", "httpx"),
            ("http", "http.evil"),
            ("https://app.example.com", "app.example.com"),
            ("https://app.example.com", ""),
            ("", "https://app.example.com/"),
            ("/", "https://app.example.com/"),
            ("ftp://app.example.com", "https://app.example.com/"),
        ] {
            assert!(!is_of(sent, bound), "{sent} is not of {bound}");
        }
    }
}
