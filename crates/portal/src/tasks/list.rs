//! The task resource and the lists of tasks.

use isochrone_domain::{ItemId, TaskType};
use isochrone_scheduler::Caller;
use isochrone_store::TaskFilter;
use serde::Serialize;
use utoipa::ToSchema;

use super::wire::TaskDocument;
use super::{Admitted, Of};
use crate::answer::{Answer, Document, Failure};
use crate::request::Call;
use crate::serve::Served;

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TaskList {
    total: u64,
    start: u64,
    num: u64,
    next_start: i64,
    tasks: Vec<TaskDocument>,
    /// Of one user's list, where a limit holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    active_tasks_available: Option<u64>,
}

impl TaskList {
    fn document(self, title: String) -> Document {
        let links: Vec<_> = self.tasks.iter().map(TaskDocument::link).collect();
        links.into_iter().fold(Document::new(title, self), |page, (label, path)| page.link(label, path))
    }
}

/// A task and, where a client pages through the URL of a task instead of the list's, the list too.
#[derive(Serialize)]
struct TaskAndList {
    #[serde(flatten)]
    task: TaskDocument,
    #[serde(flatten)]
    list: TaskList,
}

/// `GET tasks`
pub(crate) async fn list(of: Of<'_>) -> Result<Answer, Failure> {
    let admitted = of.reader().await?;
    let list = page_of(&admitted).await?;
    Ok(list.document(format!("Tasks of {}", admitted.owner)).into())
}

/// `GET tasks/<id>`
pub(crate) async fn show(of: Of<'_>, id: &str) -> Result<Answer, Failure> {
    let admitted = of.reader().await?;
    let task = admitted.task(id).await?;
    let title = if task.title.is_empty() { "Task".to_owned() } else { task.title.clone() };
    let runs = format!("{}/runs", admitted.path(task.id));
    let paged = ["start", "num"].iter().all(|name| admitted.call.parameters.given(name).is_some());
    let document = if paged {
        let list = page_of(&admitted).await?;
        Document::new(title, TaskAndList { task: task.into(), list })
    } else {
        Document::new(title, TaskDocument::from(task))
    };
    Ok(document.link("Runs", runs).into())
}

/// `GET portals/self/allScheduledTasks`
pub(crate) async fn list_all(portal: &Served, call: &Call) -> Result<Answer, Failure> {
    let caller = portal.sign_in.caller(call).await?;
    if caller.user.role != isochrone_domain::Role::Admin {
        return Err(Failure::forbidden());
    }
    let owner = call.parameters.given("userFilter").map(str::to_owned);
    let list = page(portal, call, &caller, owner).await?;
    Ok(list.document("All tasks".to_owned()).into())
}

async fn page_of(admitted: &Admitted<'_>) -> Result<TaskList, Failure> {
    page(admitted.portal, admitted.call, &admitted.caller, Some(admitted.owner.clone())).await
}

async fn page(
    portal: &Served,
    call: &Call,
    caller: &Caller,
    owner: Option<String>,
) -> Result<TaskList, Failure> {
    let paging = call.parameters.paging(10, 100)?;
    let filter = TaskFilter {
        owner,
        item: call.parameters.id::<ItemId>("itemId")?,
        active: call.parameters.flag("active")?,
        kinds: kinds(call)?,
    };
    let room = async {
        match &filter.owner {
            Some(owner) => portal.submissions.room(caller, owner, &filter.kinds).await,
            None => Ok(None),
        }
    };
    let tasks = portal.submissions.tasks(caller, &filter, paging.page());
    let (found, active_tasks_available) = futures::try_join!(tasks, room)?;
    Ok(TaskList {
        total: found.total,
        start: paging.start,
        num: paging.num,
        next_start: paging.next_start(found.rows.len(), found.total),
        tasks: found.rows.into_iter().map(TaskDocument::from).collect(),
        active_tasks_available,
    })
}

fn kinds(call: &Call) -> Result<Vec<TaskType>, Failure> {
    let names = call.parameters.given("types").unwrap_or("").split(',').map(str::trim);
    let parse = |name: &str| {
        name.parse().map_err(|_| {
            let name: String = name.chars().take(40).collect();
            Failure::parameter("types", format!("has the unknown type '{name}'"))
        })
    };
    names.filter(|name| !name.is_empty()).map(parse).collect()
}
