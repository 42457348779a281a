//! What changes a task: create, update, enable, disable, delete, run now.

use isochrone_domain::{RunId, TaskId};

use super::wire::Changed;
use super::{Admitted, Of, fields};
use crate::answer::{Answer, Document, Failure};

/// `POST createTask`
pub(crate) async fn create(of: Of<'_>) -> Result<Answer, Failure> {
    let admitted = of.changer().await?;
    let submission = fields::submission(&admitted.call.parameters, &admitted.portal.config.policies)?;
    let stored = admitted.portal.submissions.create(&admitted.caller, &admitted.owner, submission).await?;
    let path = admitted.path(stored.task.id);
    Ok(Document::new("Task created", Changed::stored(stored)).link("Task", path).into())
}

/// `POST tasks/<id>/update`
pub(crate) async fn update(of: Of<'_>, id: &str) -> Result<Answer, Failure> {
    let admitted = of.changer().await?;
    let task = admitted.task(id).await?;
    let change = fields::change(&admitted.call.parameters)?;
    let stored = admitted.portal.submissions.update(&admitted.caller, task.id, change).await?;
    let path = admitted.path(task.id);
    Ok(Document::new("Task updated", Changed::stored(stored)).link("Task", path).into())
}

/// `POST tasks/<id>/enable`
pub(crate) async fn enable(of: Of<'_>, id: &str) -> Result<Answer, Failure> {
    let admitted = of.changer().await?;
    let task = admitted.task(id).await?;
    admitted.portal.submissions.enable(&admitted.caller, task.id).await?;
    Ok(changed(&admitted, "Task enabled", task.id))
}

/// `POST tasks/<id>/restart`: what ArcGIS Notebooks calls so in its list of tasks.
pub(crate) async fn restart(of: Of<'_>, id: &str) -> Result<Answer, Failure> {
    let admitted = of.changer().await?;
    let task = admitted.task(id).await?;
    admitted.portal.submissions.restart(&admitted.caller, task.id).await?;
    Ok(changed(&admitted, "Task restarted", task.id))
}

/// `POST tasks/<id>/disable`
pub(crate) async fn disable(of: Of<'_>, id: &str) -> Result<Answer, Failure> {
    let admitted = of.changer().await?;
    let task = admitted.task(id).await?;
    admitted.portal.submissions.disable(&admitted.caller, task.id).await?;
    Ok(changed(&admitted, "Task disabled", task.id))
}

/// `POST tasks/<id>/accept`: Isochrone's own. With a `digest` only if the item still has it.
pub(crate) async fn accept(of: Of<'_>, id: &str) -> Result<Answer, Failure> {
    let admitted = of.changer().await?;
    let task = admitted.task(id).await?;
    let digest = admitted.call.parameters.given("digest").map(str::to_owned);
    admitted.portal.submissions.accept_item(&admitted.caller, task.id, digest).await?;
    Ok(changed(&admitted, "Item accepted", task.id))
}

/// `POST tasks/<id>/reassign`: Isochrone's own, with the parameter of ArcGIS's operation on items. For administrators.
pub(crate) async fn reassign(of: Of<'_>, id: &str) -> Result<Answer, Failure> {
    let admitted = of.changer().await?;
    let task = admitted.task(id).await?;
    let to = admitted.call.parameters.required("targetUsername")?;
    let task = admitted.portal.submissions.hand_over(&admitted.caller, task.id, to).await?;
    let path = super::wire::task_path(&task.owner, task.id);
    Ok(Document::new("Task reassigned", Changed::task(task.id)).link("Task", path).into())
}

/// `POST tasks/<id>/delete`
pub(crate) async fn delete(of: Of<'_>, id: &str) -> Result<Answer, Failure> {
    let admitted = of.changer().await?;
    let task = admitted.task(id).await?;
    admitted.portal.submissions.delete(&admitted.caller, task.id).await?;
    Ok(Document::new("Task deleted", Changed::task(task.id)).into())
}

/// `POST tasks/<id>/run`: Isochrone's own. The same `requestId` (32 hex digits) makes the same run.
pub(crate) async fn run_now(of: Of<'_>, id: &str) -> Result<Answer, Failure> {
    let admitted = of.changer().await?;
    let task = admitted.task(id).await?;
    // Any 128 bits will do; an id type reads and draws them.
    let request = admitted.call.parameters.id::<RunId>("requestId")?.unwrap_or_else(RunId::random);
    let run = admitted.portal.submissions.run_now(&admitted.caller, task.id, *request.as_bytes()).await?;
    let path = format!("{}/runs/{}", admitted.path(task.id), run.id);
    Ok(Document::new("Run asked for", Changed::run(&run)).link("Run", path).into())
}

fn changed(admitted: &Admitted<'_>, title: &str, task: TaskId) -> Answer {
    Document::new(title, Changed::task(task)).link("Task", admitted.path(task)).into()
}
