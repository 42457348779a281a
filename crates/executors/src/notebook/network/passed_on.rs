//! What of the worker's surroundings notebooks get: where pip finds packages, whose certificates are believed, and
//! what the operator sets for them.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::PROXY_ADDRESS;

/// Variables of the worker's own environment that notebooks get as they are.
const PASSED_ON: [&str; 24] = [
    "AWS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "GIT_SSL_CAINFO",
    "HTTPLIB2_CA_CERTS",
    "NODE_EXTRA_CA_CERTS",
    "PIP_CERT",
    "PIP_CONFIG_FILE",
    "PIP_CONSTRAINT",
    "PIP_DEFAULT_TIMEOUT",
    "PIP_DISABLE_PIP_VERSION_CHECK",
    "PIP_EXTRA_INDEX_URL",
    "PIP_FIND_LINKS",
    "PIP_INDEX_URL",
    "PIP_NO_BINARY",
    "PIP_NO_INDEX",
    "PIP_ONLY_BINARY",
    "PIP_PREFER_BINARY",
    "PIP_RETRIES",
    "PIP_TRUSTED_HOST",
    "REQUESTS_CA_BUNDLE",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "UV_DEFAULT_INDEX",
    "UV_INDEX",
];

/// pip's own settings, for the machine and for the worker's user.
const MACHINE: &str = "/etc/pip.conf";
const USER: [&str; 2] = [".config/pip/pip.conf", ".pip/pip.conf"];
/// Settings that say where packages are.
const INDEXES: [&str; 3] = ["index-url", "extra-index-url", "find-links"];

/// The variables that notebooks get: the operator's own go before the worker's.
pub(in super::super) fn variables(own: &BTreeMap<String, String>) -> BTreeMap<OsString, OsString> {
    let passed = PASSED_ON.iter().filter_map(|name| Some((OsString::from(name), env::var_os(name)?)));
    let settings = users_settings().map(|file| ("PIP_CONFIG_FILE".into(), file.into_os_string()));
    let own = own.iter().map(|(name, value)| (name.into(), value.into()));
    settings.into_iter().chain(passed).chain(own).collect()
}

/// Where clients that know proxies find the notebook's.
pub(in super::super) fn proxies(port: u16) -> impl Iterator<Item = (&'static str, String)> {
    let proxy = format!("http://{PROXY_ADDRESS}:{port}");
    let proxied =
        ["http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"].map(|name| (name, proxy.clone()));
    let own = ["no_proxy", "NO_PROXY"].map(|name| (name, "localhost,127.0.0.1,::1".to_owned()));
    proxied.into_iter().chain(own)
}

/// The files and folders that these variables name, such as are there. (Of devices, notebooks have their own.)
/// `own`: the operator's variables.
pub(in super::super) fn files(own: &BTreeMap<String, String>) -> impl Iterator<Item = PathBuf> {
    let named = PASSED_ON.iter().filter_map(|name| value(own, name)).flat_map(|value| paths(&value));
    let files = named.chain([MACHINE.into()]).chain(users_settings());
    files.filter(|path| !path.starts_with("/dev") && (path.is_file() || path.is_dir()))
}

/// One path, or several with spaces between them, as pip takes them.
fn paths(value: &str) -> Vec<PathBuf> {
    let all = Some(value).filter(|value| Path::new(value).exists()).map(|value| vec![value]);
    let all = all.unwrap_or_else(|| value.split_whitespace().collect());
    all.into_iter().map(PathBuf::from).filter(|path| path.is_absolute()).collect()
}

/// Where packages are if nobody says otherwise. A company's resolver may lead to a mirror of its own.
pub(in super::super) const DEFAULT_INDEX: [&str; 2] =
    ["https://pypi.org/", "https://files.pythonhosted.org/"];

/// The servers that have pip's packages. `own`: the operator's variables.
pub(in super::super) fn package_indexes(own: &BTreeMap<String, String>) -> Vec<String> {
    let variables =
        ["PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "UV_DEFAULT_INDEX", "UV_INDEX"];
    let variables = variables.iter().filter_map(|name| value(own, name));
    variables.flat_map(|value| urls(&value)).chain(in_settings_files(own)).collect()
}

/// Whether only pip finds what the operator wants: uv reads none of pip's files of settings, and does not know all of
/// its variables.
pub(in super::super) fn only_pip_finds_packages(own: &BTreeMap<String, String>) -> bool {
    settings_files(own).iter().any(|text| has_settings(text))
        || UNKNOWN_TO_UV.iter().any(|name| value(own, name).is_some())
}

fn in_settings_files(own: &BTreeMap<String, String>) -> Vec<String> {
    settings_files(own).iter().flat_map(|text| in_settings(text)).collect()
}

/// The texts of pip's files of settings.
fn settings_files(own: &BTreeMap<String, String>) -> Vec<String> {
    let files = value(own, "PIP_CONFIG_FILE").map(PathBuf::from).or_else(users_settings);
    let files = files.into_iter().chain([MACHINE.into()]);
    files.filter_map(|file| std::fs::read_to_string(file).ok()).collect()
}

/// Settings of pip that don't matter to which packages there are, and where. (uv takes the machine's certificates; where
/// they are not enough, pip tries.)
const OF_NO_MATTER: [&str; 16] = [
    "break-system-packages",
    "cache-dir",
    "cert",
    "default-timeout",
    "disable-pip-version-check",
    "no-cache-dir",
    "no-input",
    "no-warn-script-location",
    "prefer-binary",
    "progress-bar",
    "quiet",
    "require-virtualenv",
    "retries",
    "root-user-action",
    "timeout",
    "user",
];

/// Whether a file of settings sets what uv would have to know.
fn has_settings(text: &str) -> bool {
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';', '[']));
    let mut keys = lines.filter_map(|line| line.split_once(['=', ':'])).map(|(key, _)| key.trim());
    keys.any(|key| !OF_NO_MATTER.contains(&key))
}

/// What the operator sets goes before what the worker has.
fn value(own: &BTreeMap<String, String>, name: &str) -> Option<String> {
    own.get(name).cloned().or_else(|| env::var(name).ok())
}

/// What uv calls what pip calls otherwise. Where packages are must not depend on which of them is there.
const UVS_NAMES: [(&str, &str); 8] = [
    ("PIP_INDEX_URL", "UV_DEFAULT_INDEX"),
    ("PIP_EXTRA_INDEX_URL", "UV_INDEX"),
    ("PIP_FIND_LINKS", "UV_FIND_LINKS"),
    ("PIP_CONSTRAINT", "UV_CONSTRAINT"),
    ("PIP_TRUSTED_HOST", "UV_INSECURE_HOST"),
    ("PIP_CERT", "SSL_CERT_FILE"),
    ("PIP_DEFAULT_TIMEOUT", "UV_HTTP_TIMEOUT"),
    ("PIP_RETRIES", "UV_HTTP_RETRIES"),
];

/// pip's variables that mean nothing to uv.
const UNKNOWN_TO_UV: [&str; 2] = ["PIP_NO_BINARY", "PIP_ONLY_BINARY"];

/// Of these variables those that lead to packages.
pub(in super::super) fn package_variables(own: &BTreeMap<String, String>) -> BTreeMap<OsString, OsString> {
    let mut found = variables(own);
    found.retain(|name, _| PASSED_ON.iter().any(|known| name == known));
    for (pips, uvs) in UVS_NAMES {
        if let Some(value) = found.get(&OsString::from(pips)).cloned() {
            // Several are between spaces for pip, and between commas for uv.
            let value = match (uvs, value.to_str()) {
                ("UV_FIND_LINKS", Some(several)) => {
                    several.split_whitespace().collect::<Vec<_>>().join(",").into()
                }
                _ => value,
            };
            found.entry(uvs.into()).or_insert(value);
        }
    }
    // Where uv has an index that pip has not, pip must not look for the same names elsewhere.
    for (pips, uvs) in [("PIP_INDEX_URL", "UV_DEFAULT_INDEX"), ("PIP_EXTRA_INDEX_URL", "UV_INDEX")] {
        if let Some(several) = found.get(&OsString::from(uvs)).and_then(|value| value.to_str()) {
            let urls: Vec<&str> = several.split_whitespace().map(without_name).collect();
            let urls = urls.join(" ").into();
            found.entry(pips.into()).or_insert(urls);
        }
    }
    found
}

/// uv's indexes may have names: `internal=https://packages.example.com/simple`.
fn without_name(index: &str) -> &str {
    match index.split_once('=') {
        Some((name, url)) if !name.contains([':', '/']) => url,
        _ => index,
    }
}

/// The worker's own proxies, for who connects as the worker does.
pub(in super::super) fn own_proxies() -> impl Iterator<Item = (&'static str, OsString)> {
    let names = ["http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "no_proxy", "NO_PROXY"];
    names.into_iter().filter_map(|name| Some((name, env::var_os(name)?)))
}

fn users_settings() -> Option<PathBuf> {
    let home = env::var_os("HOME").filter(|home| !home.is_empty())?;
    USER.iter().map(|file| Path::new(&home).join(file)).find(|file| file.is_file())
}

fn urls(value: &str) -> Vec<String> {
    let is_url = |part: &&str| part.starts_with("http://") || part.starts_with("https://");
    value.split_whitespace().map(without_name).filter(is_url).map(str::to_owned).collect()
}

/// pip.conf is an INI file; a value goes on in lines that are indented.
fn in_settings(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut of_index = false;
    for line in text.lines() {
        let value = match line.split_once('=') {
            _ if line.starts_with([' ', '\t']) => line,
            Some((key, value)) => {
                of_index = INDEXES.contains(&key.trim());
                value
            }
            None => continue,
        };
        if of_index {
            found.extend(urls(value));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pips_settings_tell_where_packages_are() {
        let text = "[global]\nindex-url = https://packages.example.com/simple\n# http://no.example.com\n\
                    extra-index-url =\n    http://10.0.0.5:8081/simple\n    https://u:p@more.example.com/x\n\
                    proxy = http://proxy.example.com:3128\ntimeout=5\n";
        let expected = [
            "https://packages.example.com/simple",
            "http://10.0.0.5:8081/simple",
            "https://u:p@more.example.com/x",
        ];
        assert_eq!(in_settings(text), expected);
    }

    #[test]
    fn paths_may_have_spaces_or_stand_beside_each_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("with space");
        std::fs::write(&path, "").unwrap();
        assert_eq!(paths(path.to_str().unwrap()), [path]);
        let found = paths("/no/such /one https://packages.example.com relative");
        assert_eq!(found, [Path::new("/no/such"), Path::new("/one")]);
        assert!(files(&BTreeMap::new()).all(|file| !file.starts_with("/dev")));
    }

    #[test]
    fn what_the_operator_sets_goes_before_what_the_worker_has() {
        let own =
            BTreeMap::from([("PIP_RETRIES".to_owned(), "7".to_owned()), ("A".to_owned(), "b".to_owned())]);
        let given = variables(&own);
        assert_eq!(given.get(&OsString::from("PIP_RETRIES")), Some(&"7".into()));
        assert_eq!(given.get(&OsString::from("A")), Some(&"b".into()));
        assert!(!given.keys().any(|name| name == "CARGO_MANIFEST_DIR"));
    }

    fn own(variables: &[(&str, &str)]) -> BTreeMap<String, String> {
        variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn pip_and_uv_look_for_packages_in_the_same_places() {
        let found = |variables: &[(&str, &str)], name: &str| {
            package_variables(&own(variables)).get(&OsString::from(name)).cloned()
        };
        let (first, second) = ("https://a.example.com/simple", "https://b.example.com/simple");
        for (pips, uvs) in UVS_NAMES.iter().filter(|(pips, _)| !["PIP_FIND_LINKS", "PIP_CERT"].contains(pips))
        {
            assert_eq!(found(&[(pips, first)], uvs), Some(first.into()), "{uvs}");
        }
        assert_eq!(found(&[("PIP_FIND_LINKS", "/a /b")], "UV_FIND_LINKS"), Some("/a,/b".into()));
        assert_eq!(found(&[("UV_DEFAULT_INDEX", first)], "PIP_INDEX_URL"), Some(first.into()));
        let named = format!("inside={first} {second}?x=1");
        let several = Some(format!("{first} {second}?x=1").into());
        assert_eq!(found(&[("UV_INDEX", &named)], "PIP_EXTRA_INDEX_URL"), several);
        assert!(package_indexes(&own(&[("UV_INDEX", &named)])).contains(&first.to_owned()));
        let both = [("PIP_INDEX_URL", first), ("UV_DEFAULT_INDEX", second)];
        assert_eq!(found(&both, "PIP_INDEX_URL"), Some(first.into()));
        assert_eq!(found(&both, "UV_DEFAULT_INDEX"), Some(second.into()));
    }

    #[test]
    fn what_only_pip_understands_is_left_to_pip() {
        for (text, is_set) in [
            ("[global]\n# index-url = https://packages.example.com\n; cert = /x\n", false),
            // Neither of these is a URL.
            ("[global]\nno-index = true\nfind-links = /srv/wheels\n", true),
            ("[global]\ncert = /etc/company.pem\n[install]\nuser: no\n", false),
            ("[global]\ntrusted-host: packages.example.com\n", true),
            ("[global]\nextra-index-url =\n    https://packages.example.com/simple\n", true),
            ("[install]\nconstraint=/etc/constraints.txt\n", true),
        ] {
            assert_eq!(has_settings(text), is_set, "{text}");
        }
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pip.conf");
        std::fs::write(&file, "[global]\nno-index = true\nfind-links = /srv/wheels\n").unwrap();
        assert!(only_pip_finds_packages(&own(&[("PIP_CONFIG_FILE", file.to_str().unwrap())])));
        assert!(only_pip_finds_packages(&own(&[("PIP_ONLY_BINARY", ":all:")])));
    }
}
