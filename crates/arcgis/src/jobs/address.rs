//! Where a job is, as its server says so, and as it can be reached from here.
//!
//! A server behind a proxy tells the address that it has inside: another scheme, host, port or path. What it tells is
//! used at the origin that was asked, so that neither a token nor a request goes to where a server points.

use reqwest::Url;

/// Of an address that is read.
const LONGEST: usize = 8 << 10;

/// The server that was asked, as it is reached from here.
pub(crate) struct Origin<'a> {
    /// What was asked there.
    pub(crate) asked: &'a Url,
    /// The path above the server's jobs, without a slash at its end.
    pub(crate) root: &'a str,
    /// How the path of a job goes on from there, with slashes around it (`/jobs/`).
    pub(crate) below: &'a str,
    /// Whether requests may go to an address of this server.
    pub(crate) admits: &'a (dyn Fn(&Url) -> bool + Sync),
}

impl Origin<'_> {
    /// What the server tells as an address, relative or whole, at its own origin. None: it can't be used.
    pub(crate) fn own(&self, told: &str) -> Option<Url> {
        let told = told.trim();
        let odd = |letter: char| letter.is_control() || letter.is_whitespace() || letter == '\\';
        if told.is_empty() || told.len() > LONGEST || told.contains(odd) {
            return None;
        }
        let mut url = self.asked.join(told).ok()?;
        if !matches!(url.scheme(), "https" | "http") {
            return None;
        }
        url.set_fragment(None);
        let path = url.path().to_owned();
        let below_root = path.strip_prefix(self.root).is_some_and(|rest| rest.starts_with('/'));
        let moved = path.find(self.below).map(|at| format!("{}{}", self.root, &path[at..]));
        // An address of this origin is right as it is, unless requests may not go there.
        let as_it_is = (url.origin() == self.asked.origin() || below_root).then_some(path.clone());
        [as_it_is, moved, Some(path)].into_iter().flatten().find_map(|path| self.at(&path, url.query()))
    }

    /// The job with this id. None: it is no id that can be part of a path.
    pub(crate) fn job(&self, id: &str) -> Option<Url> {
        self.at(&format!("{}{}{}", self.root, self.below, segment(id)?), None)
    }

    /// A path and a query of this origin, if requests may go there.
    fn at(&self, path: &str, query: Option<&str>) -> Option<Url> {
        let mut url = self.asked.clone();
        url.set_path(path);
        url.set_query(query);
        (self.admits)(&url).then_some(url)
    }
}

/// Whether an address is one of results by its words.
pub(crate) fn has_results(url: &Url) -> bool {
    let words = ["result", "results", "output", "outputs"];
    url.path().split('/').any(|segment| words.iter().any(|word| segment.eq_ignore_ascii_case(word)))
}

/// An id as a segment of a path; none: it would lead elsewhere.
pub(crate) fn segment(id: &str) -> Option<String> {
    let odd = |letter: char| letter.is_control() || "/\\;%".contains(letter);
    if id.is_empty() || id.len() > 500 || id.contains(odd) || id.chars().all(|letter| letter == '.') {
        return None;
    }
    Some(id.chars().map(encoded).collect())
}

fn encoded(letter: char) -> String {
    if letter.is_ascii_alphanumeric() || "-_.~{}:@".contains(letter) {
        return letter.to_string();
    }
    percent_encoding::utf8_percent_encode(&letter.to_string(), percent_encoding::NON_ALPHANUMERIC).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_tells_is_used_at_its_own_origin() {
        let asked = Url::parse("https://gis.example.com/ogc/processes/buffer/execution").expect("a URL");
        let below_ogc = |url: &Url| {
            url.origin().ascii_serialization() == "https://gis.example.com" && url.path().starts_with("/ogc/")
        };
        let origin = Origin { asked: &asked, root: "/ogc", below: "/jobs/", admits: &below_ogc };
        for (told, expected) in [
            ("https://gis.example.com/ogc/jobs/7?f=json", Some("https://gis.example.com/ogc/jobs/7?f=json")),
            ("/ogc/jobs/7", Some("https://gis.example.com/ogc/jobs/7")),
            ("../../jobs/7", Some("https://gis.example.com/ogc/jobs/7")),
            // Behind a proxy.
            ("http://gis.example.com/ogc/jobs/7", Some("https://gis.example.com/ogc/jobs/7")),
            ("http://10.0.0.7:5000/jobs/7#x", Some("https://gis.example.com/ogc/jobs/7")),
            ("http://user:secret@10.0.0.7/api/v1/jobs/7", Some("https://gis.example.com/ogc/jobs/7")),
            ("/jobs/7", Some("https://gis.example.com/ogc/jobs/7")),
            ("//evil.example.net/ogc/jobs/7", Some("https://gis.example.com/ogc/jobs/7")),
            // Nowhere.
            ("http://169.254.169.254/latest/meta-data", None),
            ("file:///etc/passwd", None),
            ("javascript:alert(1)", None),
            ("https://gis.example.com/admin", None),
            ("", None),
            ("http://[", None),
        ] {
            let own = origin.own(told);
            assert_eq!(own.as_ref().map(Url::as_str), expected, "{told}");
        }
        assert_eq!(
            origin.job("a b").as_ref().map(Url::as_str),
            Some("https://gis.example.com/ogc/jobs/a%20b")
        );
        for odd in ["", "..", "a/../b", "%2e%2e", "a;b", "a\\b"] {
            assert_eq!(origin.job(odd), None, "{odd}");
        }
    }
}
