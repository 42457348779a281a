//! Pages: what proxies, web adaptors and servers that are not ready put in the place of a response.

use super::response::JobResponse;
use super::words::short;

/// Of the text that is looked through.
const LOOKED_THROUGH: usize = 2_000;
/// What is written on pages that are no result of anything.
const TROUBLE: &[&str] = &[
    "sign in",
    "signin",
    "log in",
    "login",
    "logon",
    "password",
    "single sign",
    "maintenance",
    "unavailable",
    "error",
    "forbidden",
    "unauthorized",
    "not found",
    "denied",
    "gateway",
    "timed out",
    "timeout",
    "redirect",
    "moved",
    "moment",
    "captcha",
    "welcome to nginx",
    "it works",
    "iis windows",
    "session",
    "starting",
    "please wait",
    "service is",
    "services directory",
    "default page",
    "bad request",
    "failed",
    "failure",
    "exception",
    "offline",
];

/// Whether the body is HTML, whatever type the server declares.
pub(crate) fn is_page(response: &JobResponse) -> bool {
    let start: Vec<u8> = response.body.iter().take(LOOKED_THROUGH).copied().collect();
    let start = String::from_utf8_lossy(&start).to_ascii_lowercase();
    let start = start.trim_start_matches(['\u{feff}', '\u{fffd}']).trim_start();
    let declared = matches!(response.media_type().as_str(), "text/html" | "application/xhtml+xml");
    (start.starts_with("<!doctype html") || start.contains("<html") && start.starts_with('<'))
        || (declared && start.starts_with('<'))
}

/// Whether a page is one of trouble, or one where people sign in, rather than what somebody computed.
pub(crate) fn tells_of_trouble(html: &str) -> bool {
    let lower = html.to_lowercase();
    let heads: Vec<String> = ["title", "h1", "h2"].iter().filter_map(|tag| element(&lower, tag)).collect();
    let said =
        if heads.is_empty() { plain(&lower).chars().take(LOOKED_THROUGH).collect() } else { heads.join(" ") };
    lower.contains("type=\"password\"")
        || lower.contains("http-equiv=\"refresh\"")
        || plain(&lower).trim().is_empty()
        || TROUBLE.iter().any(|word| said.contains(word))
}

/// What a page says, in a few words: its title, or the beginning of its text.
pub(crate) fn summary(html: &str) -> String {
    let head =
        ["title", "h1"].iter().find_map(|tag| element(html, tag)).filter(|text| !text.trim().is_empty());
    short(&head.unwrap_or_else(|| plain(html))).chars().take(300).collect()
}

/// The text of the first element of this name.
fn element(html: &str, tag: &str) -> Option<String> {
    // ASCII letters alone change, so that places are the same.
    let lower = html.to_ascii_lowercase();
    let mut from = 0;
    loop {
        let start = from + lower[from..].find(&format!("<{tag}"))? + 1 + tag.len();
        from = start;
        let open = lower[start..].chars().next()?;
        if open != '>' && !open.is_whitespace() {
            continue;
        }
        let inner = start + lower[start..].find('>')? + 1;
        let end = lower[inner..].find(&format!("</{tag}")).map_or(html.len(), |length| inner + length);
        return Some(plain(&html[inner..end]));
    }
}

/// Without tags, scripts and styles.
fn plain(html: &str) -> String {
    let lower = html.to_ascii_lowercase();
    let (mut text, mut at) = (String::new(), 0);
    while let Some(open) = html[at..].find('<').map(|offset| at + offset) {
        text.push_str(&html[at..open]);
        text.push(' ');
        let closing = ["script", "style"].iter().find(|tag| lower[open + 1..].starts_with(**tag));
        let end = match closing {
            Some(tag) => lower[open..].find(&format!("</{tag}")).map(|offset| open + offset + 2),
            None => Some(open + 1),
        };
        let after = end.and_then(|end| html[end..].find('>').map(|offset| end + offset + 1));
        let Some(after) = after else { return text };
        at = after;
    }
    text.push_str(&html[at..]);
    text.replace("&nbsp;", " ").replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">")
}

#[cfg(test)]
mod tests {
    use super::super::response::tests::response;
    use super::*;

    #[test]
    fn pages_are_known_by_their_content() {
        for (declared, body, expected) in [
            ("text/html", "<!DOCTYPE html><p>x", true),
            ("application/json", "\u{feff}<!doctype HTML><p>x", true),
            ("", "  <html lang='en'>", true),
            ("text/html", "{\"status\":\"running\"}", false),
            ("text/html", "<p>a fragment</p>", true),
            ("application/xml", "<?xml version='1.0'?><gml:x/>", false),
        ] {
            assert_eq!(is_page(&response(200, &[("content-type", declared)], body)), expected, "{body}");
        }
    }

    #[test]
    fn trouble_is_told_from_a_report() {
        for (page, expected) in [
            ("<html><title>Maintenance</title></html>", true),
            (
                "<html><head><title>Sign In</title></head><body><form><input type=\"password\"></form></html>",
                true,
            ),
            ("<html><body><h1>503 Service Unavailable</h1>No server is available.</body></html>", true),
            ("<html><script>location='/x'</script></html>", true),
            (
                "<html><head><title>Flood report</title></head><body><h1>Flood report</h1>7 ha</body></html>",
                false,
            ),
            ("<html><body><p>7 hectares</p></body></html>", false),
        ] {
            assert_eq!(tells_of_trouble(page), expected, "{page}");
        }
        assert_eq!(summary("<html><head><title>\n 502 Bad Gateway </title>"), "502 Bad Gateway");
        assert_eq!(summary("<p>It <b>broke</b>.<style>p{}</style>"), "It broke .");
    }
}
