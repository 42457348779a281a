//! Where tokens and codes may be sent: to this machine, to this portal, to the page that shows a code, or where
//! the operator says.

use serde::{Deserialize, Serialize};

use crate::request::Call;
use crate::serve::Served;

/// For programs without an address of their own.
const OUT_OF_BAND: &str = "urn:ietf:wg:oauth:2.0:oob";

/// An address that may be sent tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Redirect(String);

impl Redirect {
    /// The address, if it may.
    pub(super) fn allowed(text: &str, portal: &Served, call: &Call) -> Option<Redirect> {
        let told = portal.config.redirect_uris.iter().any(|uri| uri == text);
        let own = origin(text).is_some_and(|origin| Some(origin) == self::origin(&call.place.base));
        let fine = text == OUT_OF_BAND || told || own || origin(text).is_some_and(is_loopback);
        fine.then(|| Redirect(text.to_owned()))
    }

    /// The same for an address that came back: who sent it may have changed it.
    pub(super) fn still_allowed(self, portal: &Served, call: &Call) -> Option<Redirect> {
        Redirect::allowed(&self.0, portal, call)
    }

    /// Whether a person carries the answer to the program.
    pub(super) fn is_out_of_band(&self) -> bool {
        self.0 == OUT_OF_BAND
    }

    pub(super) fn is(&self, text: &str) -> bool {
        self.0 == text
    }

    /// Where a browser is sent with `answer`, which stands behind `mark`: `?` or `#`.
    pub(super) fn with(&self, mark: char, answer: &str, call: &Call) -> String {
        let address = if self.0 == OUT_OF_BAND {
            format!("{}/sharing/oauth2/approval", call.place.base)
        } else {
            self.0.clone()
        };
        let mark = if mark == '?' && address.contains('?') { '&' } else { mark };
        format!("{address}{mark}{answer}")
    }

    /// As a source in a Content-Security-Policy: a form that leads there is stopped otherwise.
    pub(super) fn source(&self) -> &str {
        origin(&self.0).unwrap_or("'self'")
    }
}

/// `scheme://host[:port]` of an http address without a user name, a fragment or anything that readers of
/// addresses take in different ways.
fn origin(text: &str) -> Option<&str> {
    let plain = |letter: u8| letter.is_ascii_graphic() && !b"\\#\"'<>;,".contains(&letter);
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"))?;
    let length = rest.find(['/', '?']).unwrap_or(rest.len());
    let host = &rest[..length];
    let good = !host.is_empty()
        && host.bytes().all(|letter| letter.is_ascii_alphanumeric() || b"-.:[]".contains(&letter));
    (good && text.bytes().all(plain)).then(|| &text[..text.len() - rest.len() + length])
}

fn is_loopback(origin: &str) -> bool {
    let host = origin.split_once("://").map_or("", |(_, host)| host);
    let rest = ["127.0.0.1", "localhost", "[::1]"].iter().find_map(|name| host.strip_prefix(name));
    rest.is_some_and(|rest| {
        let port = rest.strip_prefix(':');
        rest.is_empty() || port.is_some_and(|port| port.bytes().all(|digit| digit.is_ascii_digit()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_loopback() {
        for good in ["http://127.0.0.1", "https://localhost:7443/a?b=c", "http://[::1]:8080/"] {
            assert!(origin(good).is_some_and(is_loopback), "{good}");
        }
        for bad in [
            "http://127.0.0.1.evil.example/",
            "http://localhost@evil.example/",
            "http://localhost:80@evil.example/",
            "http://localhost\\@evil.example/",
            "http://localhost1/",
            "http://127.0.0.11/",
            "http://127.0.0.123:80/",
            "ftp://localhost/",
            "javascript:alert(1)//localhost",
            "http://localhost/#x",
            "http://localhost/\nSet-Cookie: a",
            "//localhost/",
            "http:///localhost",
        ] {
            assert!(!origin(bad).is_some_and(is_loopback), "{bad}");
        }
    }
}
