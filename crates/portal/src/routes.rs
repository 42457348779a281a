//! Which path is whose: the whole API on one screen.

use crate::answer::{Answer, Failure};
use crate::request::Call;
use crate::serve::Served;
use crate::{identity, items, signin, tasks};

/// Finds the handler of a request and calls it.
pub(crate) async fn answer(portal: &Served, call: &Call) -> Result<Answer, Failure> {
    let Some(segments) = &call.place.segments else { return Err(unknown()) };
    let path: Vec<&str> = segments.iter().map(String::as_str).collect();
    match path[..] {
        [] => Ok(identity::root()),
        ["info"] => Ok(identity::info(call)),
        ["generateToken"] => signin::generate_token(portal, call).await,
        ["oauth2", "authorize"] => signin::oauth::authorize(portal, call),
        ["oauth2", "signin"] => signin::oauth::sign_in(portal, call).await,
        ["oauth2", "approval"] => signin::oauth::approval(call),
        ["oauth2", "revokeToken"] => signin::oauth::revoke_token(portal, call).await,
        ["oauth2", "token"] => signin::oauth::token(portal, call).await,
        ["portaladmin"] => Ok(identity::admin()),
        ["portals", "self" | identity::PORTAL_ID, "roles"] => identity::roles(portal, call).await,
        ["portals", "self" | identity::PORTAL_ID, "users", "counts"] => {
            identity::user_counts(portal, call).await
        }
        ["portals", "self" | identity::PORTAL_ID, "users"] => identity::users(portal, call).await,
        ["portals", "self"] => identity::portal_self(portal, call).await,
        ["portals", "self" | identity::PORTAL_ID, "allScheduledTasks"] => tasks::list_all(portal, call).await,
        ["community", "self"] => identity::community_self(portal, call).await,
        ["community", "users", user] => identity::user(portal, call, user).await,
        ["community", "users", user, ref below @ ..] => of_user(portal, call, user, below).await,
        ["content", "items", id] => items::item(portal, call, id).await,
        ["content", "items", id, "data"] => items::data(portal, call, id).await,
        ["content", "users", user, ref below @ ..] => content_of(portal, call, user, below).await,
        ["search"] => items::search(portal, call).await,
        _ => Err(unknown()),
    }
}

/// Whether a path is answered here even where this portal stands in front of a real one; in any case of letters.
pub(crate) fn stays_in_front(path: &[&str]) -> bool {
    let path: Vec<String> = path.iter().map(|segment| segment.to_ascii_lowercase()).collect();
    matches!(
        path.iter().map(String::as_str).collect::<Vec<_>>()[..],
        ["generatetoken"]
            | ["portals", _, "allscheduledtasks"]
            | ["community", "users", _, "createtask" | "tasks", ..]
    )
}

/// What belongs to a user: tasks and their runs.
async fn of_user(portal: &Served, call: &Call, user: &str, below: &[&str]) -> Result<Answer, Failure> {
    let of = tasks::Of { portal, call, user };
    match *below {
        // Three spellings: the reference's two, and its clients'.
        ["createTask"] | ["tasks", "createTask"] | ["tasks", _, "createTask"] => tasks::create(of).await,
        ["tasks"] => tasks::list(of).await,
        ["tasks", task] => tasks::show(of, task).await,
        ["tasks", task, "update"] => tasks::update(of, task).await,
        ["tasks", task, "enable"] => tasks::enable(of, task).await,
        ["tasks", task, "restart"] => tasks::restart(of, task).await,
        ["tasks", task, "disable"] => tasks::disable(of, task).await,
        ["tasks", task, "accept"] => tasks::accept(of, task).await,
        ["tasks", task, "reassign"] => tasks::reassign(of, task).await,
        ["tasks", task, "delete"] => tasks::delete(of, task).await,
        ["tasks", task, "run"] => tasks::run_now(of, task).await,
        ["tasks", task, "runs"] => tasks::runs(of, task).await,
        ["tasks", task, "runs", run] => tasks::run(of, task, run).await,
        ["tasks", task, "runs", run, "update"] => tasks::update_run(of, task, run).await,
        ["tasks", task, "runs", run, "delete"] => tasks::delete_run(of, task, run).await,
        ["tasks", task, "runs", run, "cancel"] => tasks::cancel(of, task, run).await,
        ["tasks", task, "runs", run, "retry"] => tasks::retry(of, task, run).await,
        ["tasks", task, "runs", run, "log"] => tasks::log(of, task, run).await,
        // A name may have folders: their slashes come encoded or, as proxies like it better, as they are.
        ["tasks", task, "runs", run, "artifacts", ref name @ ..] if !name.is_empty() => {
            tasks::artifact(of, task, run, &name.join("/")).await
        }
        _ => Err(unknown()),
    }
}

/// A user's items. Folders are read and ignored: each item is in the one that a client names.
async fn content_of(portal: &Served, call: &Call, user: &str, below: &[&str]) -> Result<Answer, Failure> {
    let of = items::Of { portal, call, user };
    match *below {
        ["addItem"] | [_, "addItem"] => items::add(of).await,
        ["items", id] | [_, "items", id] => items::own(of, id).await,
        ["items", id, operation] | [_, "items", id, operation] => match operation {
            "update" => items::update(of, id).await,
            "delete" => items::delete(of, id).await,
            "addPart" => items::add_part(of, id).await,
            "commit" => items::commit(of, id).await,
            "status" => items::status(of, id).await,
            _ => Err(unknown()),
        },
        [] | [_] => items::list(of).await,
        _ => Err(unknown()),
    }
}

/// Whether a request there may bring a file.
pub(crate) fn takes_file(call: &Call) -> bool {
    let path: Vec<&str> = call.place.segments.iter().flatten().map(String::as_str).collect();
    let operation = matches!(path.last(), Some(&("addItem" | "update" | "addPart")));
    call.post && operation && path.starts_with(&["content", "users"])
}

/// Whether a GET of the path gives a page; for the way to a page.
pub(crate) fn is_page(path: &[&str]) -> bool {
    match path {
        ["community", "users", _, below @ ..] => {
            matches!(below, [] | ["tasks"] | ["tasks", _] | ["tasks", _, "runs"] | ["tasks", _, "runs", _])
        }
        ["portals" | "community", "self"] | ["content", "items" | "users", _] => true,
        _ => false,
    }
}

/// Whether only programs ask here, and by standards that know no `f`.
pub(crate) fn has_no_page(call: &Call) -> bool {
    call.place.segments.as_deref().is_some_and(|path| {
        matches!(path.iter().map(String::as_str).collect::<Vec<_>>()[..], ["oauth2", "token" | "revokeToken"])
    })
}

pub(crate) fn unknown() -> Failure {
    Failure::new(404, "There is no such resource or operation.")
}
