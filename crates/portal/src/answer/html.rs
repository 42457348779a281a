//! The html format: a page with the document's fields, the way to it and the ways on.
//!
//! Nothing on a page comes from the request unescaped; the page runs no script and loads nothing, and its
//! Content-Security-Policy holds it to that.

use std::fmt::Write;

use axum::http::header::{self, HeaderValue};
use axum::response::Response;
use isochrone_domain::EpochMillis;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::{Does, Link, form, with_headers};
use crate::request::Place;
use crate::routes;

pub(super) const STYLE: &str = include_str!("page.css");

/// What stays as it is in a path's segment.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'@');

/// Fields whose numbers are moments.
const MOMENTS: [&str; 14] = [
    "created",
    "updated",
    "modified",
    "startDate",
    "endDate",
    "nextStart",
    "lastLogin",
    "startTime",
    "endTime",
    "planned",
    "due",
    "expires",
    "leaseUntil",
    "time",
];

/// The page of a document.
pub(super) fn page(place: &Place, title: &str, links: &[Link], does: Does, json: &str) -> Response {
    let nonce = nonce();
    // A page that asks for a token has none that is worth carrying on.
    let query = if does == Does::SignIn { String::new() } else { token_query(place) };
    let path: Vec<&str> = place.segments.iter().flatten().map(String::as_str).collect();
    let forms = match does {
        Does::SignIn => sign_in_form(place),
        Does::Operations => form::forms(place, &path),
        Does::Nothing => String::new(),
    };
    let value = serde_json::from_str(json).unwrap_or(Value::String(json.to_owned()));
    let html = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>{title}</title>\
         <style nonce=\"{nonce}\">{STYLE}</style></head><body>{crumbs}<main><h1>{title}</h1>{above}{links}{fields}{below}</main>\
         </body></html>\n",
        title = escape(title),
        crumbs = crumbs(place, &query),
        above = if does == Does::SignIn { &forms } else { "" },
        below = if does == Does::Operations { &forms } else { "" },
        links = link_list(place, links, &query),
        fields = show(&value, ""),
    );
    let policy = format!(
        "default-src 'none'; style-src 'nonce-{nonce}'; base-uri 'none'; form-action {form}; frame-ancestors 'none'",
        form = if forms.is_empty() { "'none'" } else { "'self'" },
    );
    let policy = HeaderValue::try_from(policy).expect("hex digits and ASCII");
    with_headers(
        html.into(),
        [
            (header::CONTENT_TYPE, HeaderValue::from_static("text/html;charset=utf-8")),
            (header::CONTENT_SECURITY_POLICY, policy),
        ],
    )
}

/// Allows one page's own style.
pub(super) fn nonce() -> String {
    let mut nonce = [0; 16];
    getrandom::fill(&mut nonce).expect("the operating system gives random bytes");
    hex::encode(nonce)
}

/// User name and password. The token is bound to the address: a browser sends no `Referer` from here.
fn sign_in_form(place: &Place) -> String {
    format!(
        "<form method=\"post\" action=\"{root}/generateToken\"><input type=\"hidden\" name=\"f\" value=\"html\">\
         <input type=\"hidden\" name=\"client\" value=\"requestip\">\
         <p><label>User name <input name=\"username\" autocomplete=\"username\" required></label></p>\
         <p><label>Password <input name=\"password\" type=\"password\" autocomplete=\"current-password\" required>\
         </label></p><p><button>Sign in</button></p></form>",
        root = escape(&place.root)
    )
}

/// A segment of a path, encoded.
pub(super) fn segment(segment: &str) -> String {
    utf8_percent_encode(segment, SEGMENT).to_string()
}

/// The query that carries the browser's token on.
fn token_query(place: &Place) -> String {
    place
        .token
        .as_ref()
        .map_or_else(String::new, |token| format!("?token={}", utf8_percent_encode(token, NON_ALPHANUMERIC)))
}

/// The way to this page, as links to those of its parents that are pages.
fn crumbs(place: &Place, query: &str) -> String {
    let mut html = format!("<nav><a href=\"{}{query}\">REST</a>", escape(&place.root));
    let segments = place.segments.as_deref().unwrap_or_default();
    let mut path = place.root.clone();
    for (index, segment) in segments.iter().enumerate() {
        let _ = write!(path, "/{}", self::segment(segment));
        let label = escape(segment);
        let parents: Vec<&str> = segments[..=index].iter().map(String::as_str).collect();
        let _ = if index + 1 < segments.len() && routes::is_page(&parents) {
            write!(html, "<a href=\"{}{query}\">{label}</a>", escape(&path))
        } else {
            write!(html, "<span>{label}</span>")
        };
    }
    html + "</nav>"
}

fn link_list(place: &Place, links: &[Link], query: &str) -> String {
    let items = links.iter().fold(String::new(), |mut items, link| {
        let href = escape(&format!("{}{}{query}", place.root, link.path));
        let _ = write!(items, "<li><a href=\"{href}\">{}</a></li>", escape(&link.label));
        items
    });
    if items.is_empty() { items } else { format!("<ul>{items}</ul>") }
}

/// A value as html; `name` is its field's.
fn show(value: &Value, name: &str) -> String {
    match value {
        Value::Object(fields) => {
            let rows = fields.iter().fold(String::new(), |mut rows, (name, value)| {
                let _ = write!(rows, "<tr><th>{}</th><td>{}</td></tr>", escape(name), show(value, name));
                rows
            });
            format!("<table>{rows}</table>")
        }
        Value::Array(values) => {
            let items = values.iter().fold(String::new(), |mut items, value| {
                let _ = write!(items, "<li>{}</li>", show(value, name));
                items
            });
            format!("<ul>{items}</ul>")
        }
        Value::String(text) => escape(text),
        Value::Null => "<small>none</small>".to_owned(),
        Value::Number(number) => match number.as_i64() {
            Some(ms) if MOMENTS.contains(&name) && ms > 0 && EpochMillis(ms) <= EpochMillis::MAX => {
                format!("{number} <small>{}</small>", EpochMillis(ms))
            }
            _ => number.to_string(),
        },
        Value::Bool(flag) => flag.to_string(),
    }
}

/// Text as html. Characters that change the direction of what stands around them are shown by their number.
pub(super) fn escape(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                let _ = write!(html, "[U+{:04X}]", u32::from(letter));
            }
            _ => html.push(letter),
        }
    }
    html
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_text_is_markup() {
        assert_eq!(
            escape("<script>alert(\"1\" + '2' & 3)</script>\u{202e}"),
            "&lt;script&gt;alert(&quot;1&quot; + &#39;2&#39; &amp; 3)&lt;/script&gt;[U+202E]"
        );
    }
}
