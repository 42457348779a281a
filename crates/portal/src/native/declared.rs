//! `/api/v1/parameters`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use isochrone_domain::{DeclaredParameter, DeclaredParameters, ItemId, TaskType};
use isochrone_scheduler::Program;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::asked::Asked;
use super::problem::Problem;
use super::signed_in::SignedIn;
use super::task_body::Type;
use crate::serve::Served;

#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// Of the task that would be made.
    #[serde(rename = "type")]
    #[param(value_type = Type)]
    kind: TaskType,
    /// The notebook of an ExecuteNotebook task.
    item_id: Option<String>,
    /// Of a GPService task: a geoprocessing task or a process.
    task_url: Option<String>,
}

/// What a notebook, a geoprocessing task or a process takes.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = DeclaredParameters)]
pub(super) struct DeclaredView {
    parameters: Vec<ParameterView>,
    /// Whether it takes no others, so that createTask refuses them.
    complete: bool,
}

/// A parameter.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = DeclaredParameter)]
struct ParameterView {
    name: String,
    /// As JSON Schema calls it; left out where any value may be given.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    /// The type as the notebook or the server writes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    type_name: Option<String>,
    /// As the notebook has it, in Python; a server's as JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    default: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    help: Option<String>,
    required: bool,
    /// The only values, where there is a list of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    choices: Vec<String>,
    /// Whether a list of such values may be given, too.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    repeatable: bool,
}

impl From<DeclaredParameter> for ParameterView {
    fn from(declared: DeclaredParameter) -> ParameterView {
        let DeclaredParameter { name, kind, type_name, default, help, required, choices, repeatable } =
            declared;
        ParameterView { name, kind: kind.name(), type_name, default, help, required, choices, repeatable }
    }
}

/// Shows the parameters that a task could give to what it runs, so that a form can be made of them.
#[utoipa::path(get, path = "/parameters", tag = "tasks", params(Which), responses(
    (status = 200, description = "Done", body = DeclaredView), (status = "default", description = "What is wrong", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn show(
    State(served): State<Arc<Served>>,
    SignedIn(caller): SignedIn,
    Asked(which): Asked<Which>,
) -> Result<Json<DeclaredView>, Problem> {
    let item = which.item_id.map(|text| text.parse::<ItemId>()).transpose();
    let item = item.map_err(|_| Problem::field("itemId", "has 32 hex digits"))?;
    let program =
        Program { kind: which.kind, item, task_url: which.task_url.as_deref(), owner: &caller.user.name };
    let declared = served.submissions.declared(program).await;
    let field = if which.kind == TaskType::GPService { "taskUrl" } else { "itemId" };
    let declared = declared.map_err(|why| Problem::field(field, format!("can't be read: {why}")))?;
    Ok(Json(match declared {
        Some(DeclaredParameters { parameters, incomplete, .. }) => DeclaredView {
            parameters: parameters.into_iter().map(Into::into).collect(),
            complete: incomplete.is_none(),
        },
        None => DeclaredView { parameters: Vec::new(), complete: false },
    }))
}
