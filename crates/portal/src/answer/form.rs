//! Forms on pages: each operation below a page's resource, and the filters of a list.
//!
//! There are no cookies, so that no other site's page can use a sign-in: a form carries the token of the page
//! that it stands on.

use std::fmt::Write;

use super::html::escape;
use crate::operations::Kind::{self, Choice, File, Flag, Id, Json, Text, Whole};
use crate::operations::{Method, OPERATIONS, Operation, Parameter};
use crate::request::Place;

/// The forms of a page whose path below the API's root this is.
pub(super) fn forms(place: &Place, path: &[&str]) -> String {
    let filters = OPERATIONS.iter().filter(|operation| {
        operation.method == Method::Get && operation.is_at(path) && operation.parameters().next().is_some()
    });
    let changes = OPERATIONS.iter().filter(|operation| {
        // Nobody who is not signed in can make a change.
        let changes = operation.method == Method::Post && !operation.gives_tokens();
        changes && place.token.is_some() && below(operation, path)
    });
    filters.chain(changes).fold(String::new(), |mut html, operation| {
        html.push_str(&form(place, path, operation));
        html
    })
}

/// Whether an operation is one of the resource at this path.
fn below(operation: &Operation, path: &[&str]) -> bool {
    let Some((_, verb)) = operation.path.rsplit_once('/') else { return false };
    operation.is_at(&[path, &[verb]].concat())
}

fn form(place: &Place, path: &[&str], operation: &Operation) -> String {
    let verb = operation.path.rsplit('/').next().unwrap_or_default();
    let mut action = place.root.clone();
    for segment in path {
        let _ = write!(action, "/{}", super::html::segment(segment));
    }
    let (method, title) = match operation.method {
        Method::Get => ("get", "Filter"),
        Method::Post => {
            let _ = write!(action, "/{verb}");
            ("post", operation.summary)
        }
    };
    let has_file = operation.parameters().any(|((_, kind, _), _)| matches!(kind, File));
    let encoding = if has_file { " enctype=\"multipart/form-data\"" } else { "" };
    let token = place.token.as_ref().map_or_else(String::new, |token| {
        format!("<input type=\"hidden\" name=\"token\" value=\"{}\">", escape(token))
    });
    let fields = operation.parameters().fold(String::new(), |mut rows, (parameter, required)| {
        rows.push_str(&row(parameter, required));
        rows
    });
    format!(
        "<details><summary>{title}</summary><form method=\"{method}\" action=\"{action}\"{encoding}>{token}\
         <input type=\"hidden\" name=\"f\" value=\"html\"><table>{fields}</table><p><button>{verb}</button></p>\
         </form></details>",
        title = escape(title),
        action = escape(&action),
        verb = if operation.method == Method::Get { "Show" } else { verb },
    )
}

fn row((name, kind, about): &Parameter, required: bool) -> String {
    let star = if required { " *" } else { "" };
    let input = input(name, *kind, required);
    let about = escape(about);
    format!(
        "<tr><th><label for=\"{name}\">{name}{star}</label></th><td>{input} <small>{about}</small></td></tr>"
    )
}

fn input(name: &str, kind: Kind, required: bool) -> String {
    let required = if required { " required" } else { "" };
    let choice = |choices: &[&str]| {
        let options = choices.iter().fold(String::from("<option></option>"), |mut options, choice| {
            let _ = write!(options, "<option>{choice}</option>");
            options
        });
        format!("<select name=\"{name}\"{required}>{options}</select>")
    };
    match kind {
        Choice(choices) => choice(choices),
        Flag => choice(&["true", "false"]),
        Json => format!("<textarea name=\"{name}\" rows=\"4\" cols=\"60\"{required}></textarea>"),
        File => format!("<input name=\"{name}\" type=\"file\"{required}>"),
        Whole => format!("<input name=\"{name}\" inputmode=\"numeric\"{required}>"),
        Text | Id => format!("<input name=\"{name}\" size=\"40\"{required}>"),
    }
}
