//! What of a text is a secret by its form: passwords and tokens in URLs, and values whose name says so.

use std::borrow::Cow;

/// What stands in a secret's place.
pub const MASKED: &str = "***";

/// Words in the names of what is secret.
const SECRET_WORDS: [&str; 9] = [
    "token",
    "password",
    "passwd",
    "passphrase",
    "secret",
    "apikey",
    "credential",
    "signature",
    "privatekey",
];

/// Names that are secret as a whole, and say little within others: a signature of Azure's, a password.
const SECRET_NAMES: [&str; 4] = ["sig", "pwd", "pat", "auth"];

/// Whether a variable, a setting or a URL's parameter of this name is likely to hold a secret.
pub fn is_secret_name(name: &str) -> bool {
    let plain: String =
        name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    let mut parts = name.split(|c: char| !c.is_ascii_alphanumeric()).map(str::to_ascii_lowercase);
    SECRET_WORDS.iter().any(|word| plain.contains(word)) || parts.any(|part| SECRET_NAMES.contains(&&*part))
}

/// A text whose URLs have neither a user nor values of secret parameters: what stands in a log or an error may be read by
/// more people than the URL was meant for.
pub fn urls(text: &str) -> Cow<'_, str> {
    if !text.contains("://") && !text.contains('=') {
        return Cow::Borrowed(text);
    }
    without_users(text).map_or_else(
        || without_parameters(text).map_or(Cow::Borrowed(text), Cow::Owned),
        |text| Cow::Owned(without_parameters(&text).unwrap_or(text)),
    )
}

/// Without what stands before `@` in a URL's authority. None: there is nothing.
fn without_users(text: &str) -> Option<String> {
    let mut kept = String::new();
    let mut rest = text;
    let mut changed = false;
    while let Some(at) = rest.find("://") {
        let (before, behind) = rest.split_at(at + 3);
        kept.push_str(before);
        let end = behind.find(ends_authority).unwrap_or(behind.len());
        rest = behind;
        if let Some(user) = behind[..end].rfind('@') {
            kept.push_str(MASKED);
            rest = &behind[user..];
            changed = true;
        }
    }
    kept.push_str(rest);
    changed.then_some(kept)
}

fn ends_authority(c: char) -> bool {
    // A password may have other characters than it should.
    c.is_whitespace() || matches!(c, '/' | '"' | '\'' | '<' | '>' | '`')
}

/// Without the values of secret parameters (`?token=...`, `&sig=...`). None: there are none.
fn without_parameters(text: &str) -> Option<String> {
    let mut kept = String::new();
    let mut rest = text;
    let mut changed = false;
    while let Some(at) = rest.find('=') {
        let (before, behind) = rest.split_at(at + 1);
        kept.push_str(before);
        rest = behind;
        let name = &before[..at];
        let begin = name.rfind(|c: char| !c.is_ascii_alphanumeric() && !"-_.%".contains(c));
        // Of a URL, of a form, or of a fragment: elsewhere `=` says little.
        let Some(begin) = begin.filter(|begin| matches!(name.as_bytes()[*begin], b'?' | b'&' | b'#' | b';'))
        else {
            continue;
        };
        let end = behind.find(ends_value).unwrap_or(behind.len());
        if end > 0 && is_secret_name(&name[begin + 1..]) {
            kept.push_str(MASKED);
            rest = &behind[end..];
            changed = true;
        }
    }
    kept.push_str(rest);
    changed.then_some(kept)
}

fn ends_value(c: char) -> bool {
    c.is_whitespace() || matches!(c, '&' | '#' | ';' | '"' | '\'' | '<' | '>' | '`' | ')' | '\\')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_is_secret() {
        for name in [
            "DB_PASSWORD",
            "AWS_SECRET_ACCESS_KEY",
            "githubToken",
            "X-Amz-Signature",
            "api_key",
            "API-KEY",
            "sig",
            "PGPWD_",
            "MY_PAT",
            "PWD_OLD",
            "client_secret",
            "X-Amz-Credential",
            "SSH_PRIVATE_KEY",
        ] {
            assert_eq!(is_secret_name(name), name != "PGPWD_", "{name}");
        }
        for name in ["PATH", "GDAL_DATA", "design", "PATTERN", "f", "where", "author", "key"] {
            assert!(!is_secret_name(name), "{name}");
        }
    }

    #[test]
    fn urls_lose_users_and_secret_values() {
        for (text, shown) in [
            ("http://ann:pw@gis.example.com/a", "http://***@gis.example.com/a"),
            ("redis://:p@ss@h:1/0 is away", "redis://***@h:1/0 is away"),
            (
                "see https://ghp_abc@github.com and 'http://u:p@h'",
                "see https://***@github.com and 'http://***@h'",
            ),
            (
                "Looking in https://u:p@a.example.com/x and http://t@b/",
                "Looking in https://***@a.example.com/x and http://***@b/",
            ),
            ("https://u:p#ss?@a.example.com", "https://***@a.example.com"),
            ("https://h/a?f=json&token=abc.d-e&x=1", "https://h/a?f=json&token=***&x=1"),
            ("(https://h/a?sig=a%2Fb)", "(https://h/a?sig=***)"),
            ("GET /a?access_token=abc HTTP/1.1", "GET /a?access_token=*** HTTP/1.1"),
            ("https://h/cb#access_token=abc&expires_in=2", "https://h/cb#access_token=***&expires_in=2"),
            ("Location: /jobs/1?X-Amz-Signature=ff", "Location: /jobs/1?X-Amz-Signature=***"),
        ] {
            assert_eq!(urls(text), shown);
            assert_eq!(urls(shown), shown, "once more changes nothing");
        }
        for text in [
            "mail ann@example.com",
            "https://h/a@b?x=1",
            "a = b",
            "token = none",
            "https://h/?where=1=1",
            "://@",
            "=",
            "?=",
        ] {
            let shown = urls(text);
            assert!(text == "://@" || shown == text, "{text}: {shown}");
        }
    }
}
