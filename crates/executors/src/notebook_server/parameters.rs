//! What a notebook task's parameters say to a Notebook Server.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

/// What createTask's parameters say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Parameters {
    /// The notebook's, a JSON object.
    pub(super) own: Option<String>,
    /// Whether they stay in the notebook.
    pub(super) save: bool,
    /// Whether the item becomes the executed notebook.
    pub(super) update_item: bool,
}

impl Parameters {
    /// Clients wrap the notebook's parameters when they create a task, and send them bare when they update one.
    pub(super) fn read(text: Option<&str>) -> Result<Parameters, String> {
        let text = text.unwrap_or("{}");
        let fields: BTreeMap<String, Box<RawValue>> =
            serde_json::from_str(text).map_err(|error| format!("expected a JSON object: {error}"))?;
        let flag = |name: &str, otherwise: bool| match fields.get(name).map(|value| value.get()) {
            None | Some("null") => Ok(otherwise),
            Some("true" | "\"true\"") => Ok(true),
            Some("false" | "\"false\"") => Ok(false),
            Some(other) => Err(format!("{name}: expected true or false, not {other}")),
        };
        match fields.get("notebookParameters") {
            None => Ok(Parameters { own: Some(text.to_owned()), save: false, update_item: true }),
            Some(own) => Ok(Parameters {
                own: (own.get() != "null").then(|| own.get().to_owned()),
                save: flag("saveInjectedParameters", false)?,
                // ArcGIS's default.
                update_item: flag("updatePortalItem", true)?,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrapped_and_bare_parameters_are_read() {
        let of = |text| Parameters::read(Some(text));
        let wrapped = of(
            r#"{"notebookParameters":{"n":1.50},"saveInjectedParameters":true,"updatePortalItem":"false"}"#,
        );
        let expected = Parameters { own: Some(r#"{"n":1.50}"#.to_owned()), save: true, update_item: false };
        assert_eq!(wrapped, Ok(expected));
        let bare = Parameters { own: Some(r#"{"n":1}"#.to_owned()), save: false, update_item: true };
        assert_eq!(of(r#"{"n":1}"#), Ok(bare));
        let wrong = of(r#"{"notebookParameters":{},"updatePortalItem":7}"#);
        assert!(wrong.is_err_and(|why| why.contains("updatePortalItem")));
    }
}
