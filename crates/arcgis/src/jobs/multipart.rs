//! `multipart/related` and its kin (RFC 2046): several results in one body.

use memchr::memmem;

/// Of a boundary (RFC 2046, 5.1.1).
const LONGEST_BOUNDARY: usize = 70;
/// Of parts.
const MOST: usize = 1_000;

/// A part: what its headers say, and its bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct BodyPart {
    pub(crate) content_type: String,
    pub(crate) encoding: String,
    /// Its `Content-ID`, name or file name, where it has one.
    pub(crate) name: Option<String>,
    pub(crate) bytes: Vec<u8>,
}

/// The parts of a body of this type; none: it has none that can be read.
pub(crate) fn parts(content_type: &str, body: &[u8]) -> Option<Vec<BodyPart>> {
    let boundary = parameter(content_type, "boundary")?;
    if boundary.is_empty() || boundary.len() > LONGEST_BOUNDARY {
        return None;
    }
    let delimiter = format!("--{boundary}").into_bytes();
    let starts: Vec<usize> = memmem::find_iter(body, &delimiter)
        .filter(|at| *at == 0 || body[at - 1] == b'\n')
        .take(MOST)
        .collect();
    let mut parts = Vec::new();
    for (number, start) in starts.iter().enumerate() {
        let after = &body[start + delimiter.len()..];
        if after.starts_with(b"--") {
            break;
        }
        let end = starts.get(number + 1).map_or(body.len(), |next| *next);
        let part = &body[start + delimiter.len()..end];
        let part = part.strip_prefix(b"\r\n").or_else(|| part.strip_prefix(b"\n")).unwrap_or(part);
        let part = part.strip_suffix(b"\n").map_or(part, |part| part.strip_suffix(b"\r").unwrap_or(part));
        parts.push(read(part));
    }
    (!parts.is_empty()).then_some(parts)
}

fn read(part: &[u8]) -> BodyPart {
    let (head, bytes) = match (memmem::find(part, b"\r\n\r\n"), memmem::find(part, b"\n\n")) {
        _ if part.starts_with(b"\r\n") => (&part[..0], &part[2..]),
        (Some(at), other) if other.is_none_or(|other| at < other) => (&part[..at], &part[at + 4..]),
        (_, Some(at)) => (&part[..at], &part[at + 2..]),
        _ => (&part[..0], part),
    };
    let mut read = BodyPart { bytes: bytes.to_vec(), ..BodyPart::default() };
    for line in String::from_utf8_lossy(head).lines() {
        let Some((name, value)) = line.split_once(':') else { continue };
        let value = value.trim();
        match name.trim().to_ascii_lowercase().as_str() {
            "content-type" => value.clone_into(&mut read.content_type),
            "content-transfer-encoding" => read.encoding = value.to_ascii_lowercase(),
            "content-id" => read.name = read.name.or_else(|| Some(value.trim_matches(['<', '>']).to_owned())),
            "content-disposition" => {
                let named = parameter(value, "filename").or_else(|| parameter(value, "name"));
                read.name = named.or(read.name);
            }
            _ => {}
        }
    }
    read
}

/// A parameter of a header's value.
fn parameter(value: &str, name: &str) -> Option<String> {
    value.split(';').skip(1).find_map(|part| {
        let (key, text) = part.split_once('=')?;
        key.trim().eq_ignore_ascii_case(name).then(|| text.trim().trim_matches('"').to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_told_apart_and_stay_bytes() {
        let body = b"preamble\r\n--x y\r\nContent-Type: image/tiff\r\nContent-ID: <dem>\r\n\r\nII*\0\r\n--\r\n--x y\r\n\r\nplain\r\n--x y--\r\n";
        let read = parts("multipart/related; boundary=\"x y\"; type=\"image/tiff\"", body).expect("parts");
        assert_eq!(read.len(), 2);
        assert_eq!((read[0].name.as_deref(), &read[0].bytes[..]), (Some("dem"), &b"II*\0\r\n--"[..]));
        assert_eq!(read[1].bytes, b"plain");
        assert_eq!(parts("multipart/related", body), None);
        assert_eq!(parts("multipart/mixed; boundary=other", body), None);
        let boundary = "-".repeat(200_000);
        assert_eq!(parts(&format!("multipart/mixed; boundary={boundary}"), body), None);
    }
}
