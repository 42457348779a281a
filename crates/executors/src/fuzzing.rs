//! What reads strangers' notebooks, for the fuzz targets in `crates/testkit/fuzz`.

/// Whether these bytes are a notebook: never a panic, and said in a sentence of bounded length.
pub fn notebook(bytes: &[u8]) {
    let why = crate::notebook::no_notebook(bytes);
    assert!(why.is_none_or(|why| why.len() < 1_000), "the reason does not repeat the item");
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_corpus_is_read_without_a_panic() {
        let corpus = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../testkit/fuzz/corpus/notebook");
        let inputs: Vec<_> = std::fs::read_dir(corpus).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(!inputs.is_empty());
        for input in inputs {
            super::notebook(&std::fs::read(input).unwrap());
        }
    }
}
