//! What a crash may tell: this process has passwords, keys and tokens in its memory.

use std::any::Any;
use std::backtrace::{Backtrace, BacktraceStatus};

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

/// Set by whoever wants core dumps all the same.
const CORE_DUMPS: &str = "ISOCHRONE_CORE_DUMPS";

/// No core dump is written of this process, and others of its user can read neither its memory nor its environment.
/// Its children decide for themselves.
pub(crate) fn keep_memory_private() {
    if std::env::var_os(CORE_DUMPS).is_some() {
        return;
    }
    // Limits can always be lowered, and the kernel has known this since before Linux 6.
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
}

/// Panics tell where they are, and what they say without what was formatted into it. Written as it is, because whatever
/// logs may be what panics.
pub(crate) fn report_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let thread = std::thread::current();
        let thread = thread.name().unwrap_or("?");
        let at = panic.location().map(ToString::to_string).unwrap_or_default();
        eprintln!("isochrone: panic in thread {thread} at {at}: {}", message(panic.payload()));
        let backtrace = Backtrace::capture();
        if backtrace.status() == BacktraceStatus::Captured {
            eprintln!("{backtrace}");
        }
    }));
}

/// What a panic says: what stands in the program as it is, and of what was formatted the beginning. Behind the first
/// colon or quotation mark stand values: an error's text, or the string that was cut in the wrong place.
fn message(payload: &(dyn Any + Send)) -> String {
    if let Some(text) = payload.downcast_ref::<&str>() {
        return (*text).to_owned();
    }
    let text = payload.downcast_ref::<String>().map_or("", String::as_str);
    let end = text.find([':', '`', '"', '\'']).unwrap_or(text.len());
    if end == text.len() { text.to_owned() } else { format!("{} ...", &text[..end]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn panic_of(work: impl FnOnce() + std::panic::UnwindSafe) -> String {
        message(&*std::panic::catch_unwind(work).expect_err("a panic"))
    }

    #[test]
    fn a_panics_values_are_left_out() {
        let secret = std::hint::black_box("canary-panic-9f31-ä".to_owned());
        let (cut, not_a_number) = (secret.clone(), secret.clone());
        for said in [
            panic_of(move || drop(cut[..19].to_owned())),
            panic_of(move || {
                not_a_number.parse::<u8>().map_err(|_| not_a_number).expect("texts are numbers");
            }),
            panic_of(move || panic!("what is \"{secret}\"?")),
        ] {
            assert!(!said.contains("canary") && said.len() > 10, "{said}");
        }
        assert_eq!(panic_of(|| panic!("it: stands in the program")), "it: stands in the program");
        let index = std::hint::black_box(7);
        assert_eq!(
            panic_of(move || {
                std::hint::black_box([1, 2, 3][index]);
            }),
            "index out of bounds ..."
        );
    }
}
