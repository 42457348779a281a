//! Refused sign-ins in the audit log, with the names as they were sent.
//!
//! Anybody can cause them, so their number is bounded: in a quarter of an hour each name and address together has an
//! entry at once and one more at the end, which says how many came after; the names beyond the first hundred share one.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use isochrone_domain::{Action, AuditEntry};
use isochrone_store::{Store, StoreError};

/// How long entries are counted together.
const WINDOW: Duration = Duration::from_mins(15);

/// Names and addresses that have entries of their own in that time.
const ENTRIES: usize = 100;

/// Characters of a name that are kept.
const LONGEST: usize = 64;

/// Why a sign-in is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// There is no such user, or the password is another one.
    Wrong,
    /// Too many were wrong; whether this one was is not looked at.
    Throttled,
    /// The password is right, and the user disabled.
    Disabled,
}

impl Refused {
    fn reason(self) -> &'static str {
        match self {
            Refused::Wrong => "wrong name or password",
            Refused::Throttled => "too many wrong ones",
            Refused::Disabled => "the user is disabled",
        }
    }
}

type Key = (String, Option<IpAddr>);

/// Notes refused sign-ins.
pub(crate) struct Refusals {
    store: Arc<dyn Store>,
    window: Duration,
    counts: Arc<Mutex<Option<Counts>>>,
}

/// Those of a window, beyond the ones that have entries.
#[derive(Default)]
struct Counts {
    known: HashMap<Key, u64>,
    others: u64,
}

impl Refusals {
    pub(crate) fn new(store: Arc<dyn Store>) -> Refusals {
        Refusals { store, window: WINDOW, counts: Arc::default() }
    }

    /// Notes one.
    pub(crate) async fn note(&self, name: &str, ip: Option<IpAddr>, why: Refused) {
        let name = shown(name);
        tracing::info!(name, ?ip, why = why.reason(), "a sign-in was refused");
        let key = (name, ip);
        let (first, entry) = {
            let mut counts = lock(&self.counts);
            let first = counts.is_none();
            let counts = counts.get_or_insert_default();
            (first, counts.add(&key))
        };
        if first {
            let (store, window, counts) = (Arc::clone(&self.store), self.window, Arc::clone(&self.counts));
            tokio::spawn(async move {
                tokio::time::sleep(window).await;
                let counted = lock(&counts).take().unwrap_or_default();
                for ((name, ip), text) in counted.summary() {
                    keep(&*store, &name, ip, text).await;
                }
            });
        }
        if entry {
            keep(&*self.store, &key.0, ip, why.reason().to_owned()).await;
        }
    }
}

impl Counts {
    /// Whether it gets an entry of its own.
    fn add(&mut self, key: &Key) -> bool {
        if let Some(further) = self.known.get_mut(key) {
            *further += 1;
            return false;
        }
        let has_room = self.known.len() < ENTRIES;
        if has_room {
            self.known.insert(key.clone(), 0);
        } else {
            self.others += 1;
        }
        has_room
    }

    fn summary(self) -> Vec<(Key, String)> {
        let further = self.known.into_iter().filter(|(_, further)| *further > 0);
        let mut entries: Vec<_> =
            further.map(|(key, further)| (key, format!("{further} further refused sign-ins"))).collect();
        if self.others > 0 {
            let text = format!("{} refused sign-ins with further names or from elsewhere", self.others);
            entries.push(((String::new(), None), text));
        }
        entries
    }
}

fn lock(counts: &Mutex<Option<Counts>>) -> MutexGuard<'_, Option<Counts>> {
    counts.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn keep(store: &dyn Store, name: &str, ip: Option<IpAddr>, text: String) {
    let noted = async {
        let entry = AuditEntry::new(store.now().await?, name, Action::RefuseSignIn, name, &text);
        store.note(AuditEntry { ip: ip.map(|ip| ip.to_string()), ..entry }).await
    };
    let noted: Result<(), StoreError> = noted.await;
    if let Err(error) = noted {
        tracing::warn!(%error, "a refused sign-in is not in the audit log");
    }
}

/// A name that anybody may have sent, so that it can stand in a log and on a page.
fn shown(name: &str) -> String {
    let mut shown: String = name.chars().take(LONGEST).flat_map(char::escape_debug).collect();
    if name.chars().nth(LONGEST).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use isochrone_domain::EpochMillis;
    use isochrone_store::Clock;
    use isochrone_store::sqlite::SqliteStore;

    use super::*;

    const HERE: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1)));

    #[test]
    fn a_name_is_short_and_has_no_control_characters() {
        assert_eq!(shown("ann"), "ann");
        assert_eq!(shown("a\nb\u{1b}[31m\u{202e}"), "a\\nb\\u{1b}[31m\\u{202e}");
        assert_eq!(shown(&"x".repeat(1_000_000)), "x".repeat(LONGEST) + "…");
    }

    #[tokio::test]
    async fn a_thousand_names_and_a_thousand_guesses_leave_a_bounded_number_of_entries() {
        let dir = tempfile::TempDir::new().expect("a folder");
        let store = Arc::new(SqliteStore::open(dir.path(), Clock::SYSTEM).expect("a store"));
        let mut refusals = Refusals::new(store.clone());
        refusals.window = Duration::from_millis(500);
        for _ in 0..1_000 {
            refusals.note("ann", HERE, Refused::Wrong).await;
        }
        for number in 0..1_000 {
            refusals.note(&format!("user{number}"), HERE, Refused::Throttled).await;
        }
        let store: &dyn Store = &*store;
        let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
        loop {
            let entries = store.audit(EpochMillis(0)..EpochMillis::MAX).await.expect("a log");
            // The window may have ended in between, and another have begun.
            assert!(entries.len() <= 3 * (ENTRIES + 2), "{}", entries.len());
            let of_ann =
                entries.iter().filter(|entry| entry.actor == "ann").map(|entry| entry.title.as_str());
            if of_ann.clone().any(|title| title.contains("further refused sign-ins")) {
                assert!(of_ann.clone().any(|title| title == "wrong name or password"));
                assert!(entries.iter().any(|entry| entry.actor == "user0" && entry.ip.is_some()));
                assert!(entries.iter().all(|entry| entry.action == Action::RefuseSignIn));
                break;
            }
            assert!(tokio::time::Instant::now() < deadline, "the window ends");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}
