//! The page on which a program's user signs in, and the one that shows a code.
//!
//! Programs read them too: they look for a line that begins with `var oAuthInfo`, and for the title. No script
//! runs on them.

use axum::http::header::{self, HeaderValue};
use axum::response::Response;
use serde_json::Value;

use super::html::{STYLE, escape, nonce};
use super::with_headers;
use crate::request::Place;

/// What the page shows and says.
pub(crate) struct SignInPage {
    /// What programs read: an object without objects in it.
    pub info: Value,
    /// What the form carries on.
    pub state: String,
    /// The program that asks, in its own words.
    pub client: String,
    /// Where the form's answer may lead, as a source of a Content-Security-Policy.
    pub leads_to: String,
    /// What was wrong with the last try.
    pub problem: Option<&'static str>,
}

impl SignInPage {
    pub(super) fn respond(&self, place: &Place) -> Response {
        let nonce = nonce();
        // In a script element nothing but its end is markup.
        let info = self.info.to_string().replace('<', "\\u003c");
        let problem = self
            .problem
            .map_or_else(String::new, |problem| format!("<p><strong>{}</strong></p>", escape(problem)));
        let html = format!(
            "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width\"><title>Sign in</title>\
             <script type=\"text/plain\">\nvar oAuthInfo = {info};\n</script>\n\
             <style nonce=\"{nonce}\">{STYLE}</style></head><body><main><h1>Sign in</h1>\
             <p>The program that calls itself {client} asks to act for you.</p>{problem}\
             <form method=\"post\" action=\"{action}\"><input type=\"hidden\" name=\"oauth_state\" value=\"{state}\">\
             <p><label>User name <input name=\"username\" autocomplete=\"username\" required></label></p>\
             <p><label>Password <input name=\"password\" type=\"password\" autocomplete=\"current-password\" required>\
             </label></p><p><button>Sign in</button></p></form></main></body></html>\n",
            client = escape(&self.client),
            action = escape(&format!("{}/oauth2/signin", place.root)),
            state = escape(&self.state),
        );
        page(html, &nonce, &format!("'self' {}", self.leads_to))
    }
}

/// The page that shows a code.
pub(super) fn approval(title: &str, code: &str) -> Response {
    let nonce = nonce();
    let html = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\n\
         <style nonce=\"{nonce}\">{STYLE}</style></head><body><main><h1>You are signed in</h1>\
         <p>Go back to the program. If it asks for a code:</p><p><code>{code}</code></p></main></body></html>\n",
        title = escape(title),
        code = escape(code),
    );
    page(html, &nonce, "'none'")
}

fn page(html: String, nonce: &str, form: &str) -> Response {
    let policy = format!(
        "default-src 'none'; style-src 'nonce-{nonce}'; base-uri 'none'; form-action {form}; frame-ancestors 'none'"
    );
    let policy = HeaderValue::try_from(policy).unwrap_or(HeaderValue::from_static("default-src 'none'"));
    with_headers(
        html.into(),
        [
            (header::CONTENT_TYPE, HeaderValue::from_static("text/html;charset=utf-8")),
            (header::CONTENT_SECURITY_POLICY, policy),
        ],
    )
}
