//! Whether a run's parameters are still those that its program declares: the notebook or the geoprocessing task may have
//! changed since they were checked as the task was made, or could not be read then.

use isochrone_domain::{
    AttemptEnd, DeclaredParameters, LogStream, Reason, check_parameters, given_parameters,
    notebook_parameters,
};
use isochrone_worker::Attempt;

/// Checks them again. What can't be checked, and what the task allows, is logged.
///
/// # Errors
/// The end of the attempt and of its run: another try would find the same.
pub(crate) async fn check(attempt: &Attempt, declared: &DeclaredParameters) -> Result<(), AttemptEnd> {
    let warnings = check_parameters(attempt.task(), declared).map_err(|problem| {
        AttemptEnd::SubmitFailed { reason: Reason::BadInput, result: problem.to_string() }
    })?;
    for warning in warnings {
        attempt.log(LogStream::System, format!("warning: {warning}")).await;
    }
    Ok(())
}

/// The same for a notebook, of which these are the bytes.
pub(crate) async fn check_notebook(attempt: &Attempt, notebook: &[u8]) -> Result<(), AttemptEnd> {
    if let Some(declared) = notebook_parameters(notebook) {
        return check(attempt, &declared).await;
    }
    not_checked(attempt, "the item is no notebook of the present format").await;
    Ok(())
}

/// Logs why what the task gives is not checked, if it gives anything.
pub(crate) async fn not_checked(attempt: &Attempt, why: &str) {
    if given_parameters(attempt.task()).is_some_and(|given| !given.is_empty()) {
        let line = format!("warning: 'parameters' could not be checked: {why}");
        attempt.log(LogStream::System, line).await;
    }
}
