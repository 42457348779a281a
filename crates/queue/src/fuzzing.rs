//! What reads messages that anybody may have put into the broker, for the fuzz targets in `crates/testkit/fuzz`.

use isochrone_domain::TaskType;

/// A wake-up of any type, a heartbeat, and a trace header of the same bytes.
pub fn message(bytes: &[u8]) {
    crate::rabbitmq::read_anything(bytes, &TaskType::ALL);
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_corpus_is_read_without_a_panic() {
        let corpus = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../testkit/fuzz/corpus/wake_up");
        let inputs: Vec<_> = std::fs::read_dir(corpus).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(!inputs.is_empty());
        for input in inputs {
            super::message(&std::fs::read(input).unwrap());
        }
    }
}
