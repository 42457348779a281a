//! The places where a secret may not stand.

use std::path::{Path, PathBuf};

use anyhow::Result;

/// The files below a folder that hold this text, and files beside it of the same name (its log).
pub(crate) fn files_with(dir: &Path, text: &str) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            // A link is another's: the environment that all tests share.
            let kind = entry.file_type()?;
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() && holds(&std::fs::read(entry.path())?, text) {
                found.push(entry.path());
            }
        }
    }
    Ok(found)
}

/// Whether bytes hold a text.
pub(crate) fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

/// Every key of a Redis with what it holds, as bytes: hashes, sets and texts in their own words.
pub(crate) async fn redis_contents(url: &str) -> Result<Vec<(String, Vec<u8>)>> {
    let client = redis::Client::open(url)?;
    let mut connection = client.get_multiplexed_async_connection().await?;
    let keys: Vec<String> = redis::cmd("KEYS").arg("*").query_async(&mut connection).await?;
    let mut contents = Vec::with_capacity(keys.len());
    for key in keys {
        let kind: String = redis::cmd("TYPE").arg(&key).query_async(&mut connection).await?;
        let mut read = match kind.as_str() {
            "hash" => redis::cmd("HGETALL"),
            "zset" => redis::cmd("ZRANGE"),
            "string" => redis::cmd("GET"),
            // It went meanwhile.
            "none" => continue,
            other => anyhow::bail!("{key} is a {other}: teach this test to read it"),
        };
        read.arg(&key);
        if kind == "zset" {
            read.arg(0).arg(-1);
        }
        let value: redis::Value = read.query_async(&mut connection).await?;
        let mut bytes = key.clone().into_bytes();
        flatten(value, &mut bytes);
        contents.push((key, bytes));
    }
    Ok(contents)
}

fn flatten(value: redis::Value, bytes: &mut Vec<u8>) {
    bytes.push(b'\n');
    match value {
        redis::Value::BulkString(text) => bytes.extend(text),
        redis::Value::SimpleString(text) => bytes.extend(text.into_bytes()),
        redis::Value::Array(values) => values.into_iter().for_each(|value| flatten(value, bytes)),
        _ => {}
    }
}
