//! What reads notebooks and what notebooks send, for the fuzz targets in `crates/testkit/fuzz`.

pub use crate::notebook::fuzzing::{driver_events, name_query, proxy_target};

/// Whether these bytes are a notebook: never a panic, and said in a sentence of bounded length.
pub fn notebook(bytes: &[u8]) {
    let why = crate::notebook::no_notebook(bytes);
    assert!(why.is_none_or(|why| why.len() < 1_000), "the reason does not repeat the item");
}

#[cfg(test)]
mod tests {
    /// Every input that was kept for a target.
    fn replay(target: &str, run: impl Fn(&[u8])) {
        let corpus =
            std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../testkit/fuzz/corpus").join(target);
        let inputs: Vec<_> = std::fs::read_dir(corpus).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(!inputs.is_empty(), "{target}");
        for input in inputs {
            run(&std::fs::read(input).unwrap());
        }
    }

    #[test]
    fn the_corpora_are_read_without_a_panic() {
        replay("notebook", super::notebook);
        replay("driver_events", super::driver_events);
        replay("name_query", super::name_query);
        replay("proxy_target", super::proxy_target);
    }
}
