//! Media types: which a body has, and how a file of it is named.

/// The endings of files, by their media types.
const ENDINGS: &[(&str, &str)] = &[
    ("application/json", "json"),
    ("application/geo+json", "geojson"),
    ("application/vnd.geo+json", "geojson"),
    ("application/ld+json", "jsonld"),
    ("application/prs.coverage+json", "covjson"),
    ("application/fg+json", "json"),
    ("application/vnd.ogc.fg+json", "json"),
    ("application/topo+json", "topojson"),
    ("image/tiff", "tif"),
    ("image/geotiff", "tif"),
    ("image/x-geotiff", "tif"),
    ("application/geotiff", "tif"),
    ("image/png", "png"),
    ("image/jpeg", "jpg"),
    ("image/gif", "gif"),
    ("image/webp", "webp"),
    ("image/jp2", "jp2"),
    ("image/svg+xml", "svg"),
    ("image/bmp", "bmp"),
    ("text/csv", "csv"),
    ("application/csv", "csv"),
    ("text/tab-separated-values", "tsv"),
    ("text/plain", "txt"),
    ("text/html", "html"),
    ("application/xhtml+xml", "html"),
    ("text/markdown", "md"),
    ("text/xml", "xml"),
    ("application/xml", "xml"),
    ("application/gml+xml", "gml"),
    ("text/gml", "gml"),
    ("application/vnd.google-earth.kml+xml", "kml"),
    ("application/vnd.google-earth.kmz", "kmz"),
    ("application/gpx+xml", "gpx"),
    ("application/pdf", "pdf"),
    ("application/zip", "zip"),
    ("application/x-zip-compressed", "zip"),
    ("application/x-zip", "zip"),
    ("application/gzip", "gz"),
    ("application/x-gzip", "gz"),
    ("application/x-tar", "tar"),
    ("application/x-7z-compressed", "7z"),
    ("application/netcdf", "nc"),
    ("application/x-netcdf", "nc"),
    ("application/x-netcdf4", "nc"),
    ("image/netcdf", "nc"),
    ("application/x-hdf", "hdf"),
    ("application/x-hdf5", "h5"),
    ("application/hdf5", "h5"),
    ("application/x-grib", "grib"),
    ("application/x-grib2", "grib2"),
    ("application/wmo-grib", "grib"),
    ("application/wmo-grib2", "grib2"),
    ("application/geopackage+sqlite3", "gpkg"),
    ("application/x-sqlite3", "gpkg"),
    ("application/vnd.sqlite3", "sqlite"),
    ("application/flatgeobuf", "fgb"),
    ("application/vnd.apache.parquet", "parquet"),
    ("application/x-parquet", "parquet"),
    ("application/vnd.apache.arrow.file", "arrow"),
    ("application/vnd.apache.arrow.stream", "arrows"),
    ("application/vnd.laszip", "laz"),
    ("application/vnd.las", "las"),
    ("application/x-shapefile", "zip"),
    ("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "xlsx"),
    ("application/vnd.ms-excel", "xls"),
    ("application/msword", "doc"),
    ("application/rtf", "rtf"),
    ("application/x-ipynb+json", "ipynb"),
    ("video/mp4", "mp4"),
    ("application/x-yaml", "yaml"),
    ("application/yaml", "yaml"),
    ("text/yaml", "yaml"),
    ("application/vnd.mapbox-vector-tile", "mvt"),
];
/// Files, by how they begin.
const SIGNATURES: &[(&[u8], &str)] = &[
    (b"II*\0", "image/tiff"),
    (b"MM\0*", "image/tiff"),
    (b"II+\0", "image/tiff"),
    (b"MM\0+", "image/tiff"),
    (b"\x89PNG\r\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"%PDF-", "application/pdf"),
    (b"PK\x03\x04", "application/zip"),
    (b"PK\x05\x06", "application/zip"),
    (b"\x1f\x8b", "application/gzip"),
    (b"CDF\x01", "application/netcdf"),
    (b"CDF\x02", "application/netcdf"),
    (b"CDF\x05", "application/netcdf"),
    (b"\x89HDF", "application/x-hdf5"),
    (b"GRIB", "application/x-grib"),
    (b"SQLite format 3\0", "application/geopackage+sqlite3"),
    (b"fgb\x03", "application/flatgeobuf"),
    (b"PAR1", "application/vnd.apache.parquet"),
    (b"\0\0\0\x0cjP", "image/jp2"),
];

/// Whether bytes are a file of a kind that is known by how it begins.
pub(crate) fn is_a_file(bytes: &[u8]) -> bool {
    SIGNATURES.iter().any(|(start, _)| bytes.starts_with(start))
}

/// The media type of bytes that a server declares so (with parameters; it may be empty or say nothing).
pub(crate) fn media_type(declared: &str, bytes: &[u8]) -> String {
    let essence = declared.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let says_nothing = ["", "application/octet-stream", "binary/octet-stream", "application/binary", "*/*"];
    let signature = SIGNATURES.iter().find(|(start, _)| bytes.starts_with(start)).map(|(_, kind)| *kind);
    // Bytes of a known kind are no text, whatever is declared.
    let is_textual = essence.starts_with("text/") || essence.ends_with("json") || essence.ends_with("xml");
    match signature {
        Some(kind) if says_nothing.contains(&essence.as_str()) || is_textual => return kind.to_owned(),
        _ => {}
    }
    if !says_nothing.contains(&essence.as_str()) {
        return declared.trim().to_owned();
    }
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes).trim_ascii_start();
    let kind = match text.first() {
        Some(b'{' | b'[') => "application/json",
        Some(b'<') if text.len() > 5 && text[..5].eq_ignore_ascii_case(b"<html") => "text/html",
        Some(b'<') if text.len() > 9 && text[..9].eq_ignore_ascii_case(b"<!doctype") => "text/html",
        Some(b'<') => "application/xml",
        _ if !essence.is_empty() || std::str::from_utf8(bytes).is_err() => "application/octet-stream",
        _ => "text/plain",
    };
    kind.to_owned()
}

/// The ending of a file of this type, without a dot.
pub(crate) fn ending(media_type: &str) -> &'static str {
    let essence = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let known = ENDINGS.iter().find(|(name, _)| *name == essence).map(|(_, ending)| *ending);
    known.unwrap_or(match essence {
        _ if essence.ends_with("+json") || essence.ends_with("/json") => "json",
        _ if essence.contains("gml") => "gml",
        _ if essence.ends_with("+xml") || essence.ends_with("/xml") => "xml",
        _ if essence.contains("netcdf") => "nc",
        _ if essence.contains("geotiff") || essence.contains("tiff") => "tif",
        _ if essence.ends_with("+zip") => "zip",
        _ if essence.starts_with("text/") => "txt",
        _ => "bin",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_named_by_their_type() {
        for (declared, bytes, kind, expected) in [
            ("image/tiff; application=geotiff", &b"II*\0..."[..], "image/tiff; application=geotiff", "tif"),
            ("", b"II*\0", "image/tiff", "tif"),
            ("application/json", b"\x89PNG\r\n\x1a\n", "image/png", "png"),
            ("application/octet-stream", b"CDF\x01", "application/netcdf", "nc"),
            ("application/octet-stream", b"\x00\x01", "application/octet-stream", "bin"),
            ("application/geo+json", b"{}", "application/geo+json", "geojson"),
            ("application/gml+xml; version=3.2", b"<a/>", "application/gml+xml; version=3.2", "gml"),
            ("text/csv; charset=ISO-8859-1", b"a;\xe4", "text/csv; charset=ISO-8859-1", "csv"),
            ("application/vnd.something+json", b"{}", "application/vnd.something+json", "json"),
            ("", b" {\"a\": 1}", "application/json", "json"),
            ("", b"<!DOCTYPE html>", "text/html", "html"),
            ("", b"words", "text/plain", "txt"),
            ("", b"\xff\x00", "application/octet-stream", "bin"),
        ] {
            let found = media_type(declared, bytes);
            assert_eq!((found.as_str(), ending(&found)), (kind, expected), "{declared}");
        }
    }
}
