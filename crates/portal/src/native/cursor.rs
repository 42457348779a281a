//! Where a list goes on.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use isochrone_store::{Place, Stretch};
use serde::Serialize;
use utoipa::ToSchema;

use super::problem::Problem;

/// Rows of a list, and where it goes on.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct List<T> {
    /// The rows.
    items: Vec<T>,
    /// To be sent as `cursor` for the rows behind these. Not there: there are no more.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

impl<T> List<T> {
    pub(super) fn of<R>(stretch: Stretch<R>, row: impl FnMut(R) -> T) -> List<T> {
        List { items: stretch.rows.into_iter().map(row).collect(), next_cursor: stretch.next.map(encode) }
    }

    /// A list that is there as a whole.
    pub(super) fn whole(items: Vec<T>) -> List<T> {
        List { items, next_cursor: None }
    }
}

/// How many rows: 1 to 100.
pub(super) fn limit(asked: Option<u64>) -> Result<u64, Problem> {
    match asked.unwrap_or(50) {
        limit @ 1..=100 => Ok(limit),
        other => Err(Problem::field("limit", format!("is {other}; expected 1 to 100"))),
    }
}

/// The place that a cursor names.
pub(super) fn place(cursor: Option<&str>) -> Result<Option<Place>, Problem> {
    let Some(cursor) = cursor else { return Ok(None) };
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(cursor).ok();
    let bytes: Option<[u8; 24]> = bytes.and_then(|bytes| bytes.try_into().ok());
    let Some(bytes) = bytes else {
        return Err(Problem::field("cursor", "is none that a list gave"));
    };
    let (first, then) = bytes.split_first_chunk::<8>().expect("24 bytes begin with 8");
    let then: [u8; 16] = then.try_into().expect("and go on with 16");
    Ok(Some(Place { first: i64::from_be_bytes(*first), then: u128::from_be_bytes(then) }))
}

fn encode(place: Place) -> String {
    let mut bytes = [0; 24];
    bytes[..8].copy_from_slice(&place.first.to_be_bytes());
    bytes[8..].copy_from_slice(&place.then.to_be_bytes());
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_was_given() {
        let given = Place { first: -7, then: u128::MAX - 1 };
        assert_eq!(place(Some(&encode(given))).expect("it is one"), Some(given));
        for wrong in ["", "a", "AAAA", &"A".repeat(33), "ä"] {
            assert!(place(Some(wrong)).is_err(), "{wrong}");
        }
    }
}
