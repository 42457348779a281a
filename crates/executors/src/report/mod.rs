//! ExecuteReport: a portal's administrative reports, or those of this server on itself, as CSV artifacts.

mod at_portal;
mod parameters;
mod period;
mod portal_parameters;
mod records;
mod rows;
mod table;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use isochrone_arcgis::reports::Reports;
use isochrone_domain::{AttemptEnd, EpochMillis, Reason, Role, TaskType};
use isochrone_worker::{Attempt, Executor};
use serde_json::json;

pub use period::{Duration, Span};
pub use records::{FireRecord, Records, UserRecord};

use parameters::Subject;
use table::Table;

/// Carries out ExecuteReport.
pub struct ExecuteReport {
    records: Arc<dyn Records>,
    portal: Option<Reports>,
}

impl ExecuteReport {
    /// Reports on what `records` has, and on the portal, where there is one.
    pub fn new(records: Arc<dyn Records>, portal: Option<Reports>) -> ExecuteReport {
        ExecuteReport { records, portal }
    }

    async fn carry_out(&self, attempt: &Attempt) -> Result<AttemptEnd, AttemptEnd> {
        let text = attempt.task().parameters.as_deref();
        match &self.portal {
            Some(portal) if portal_parameters::is_of_portal(text)? => {
                let report = portal_parameters::read(text, attempt.run().planned)?;
                self.allow(&attempt.task().owner).await?;
                at_portal::carry_out(portal, attempt, &report).await
            }
            _ => tokio::select! {
                biased;
                reason = attempt.stopped() => Err(AttemptEnd::Failed {
                    reason: Reason::Cancelled,
                    result: format!("the report was stopped ({reason:?})"),
                }),
                end = self.report_on_itself(attempt) => end,
            },
        }
    }

    async fn report_on_itself(&self, attempt: &Attempt) -> Result<AttemptEnd, AttemptEnd> {
        let planned = attempt.run().planned;
        let subject = parameters::read(attempt.task().parameters.as_deref(), planned)?;
        self.allow(&attempt.task().owner).await?;
        let table = self.table(subject).await.map_err(internal)?;
        let data = table.to_csv().map_err(internal)?;
        let name = file_name(subject.name(), subject.span(), planned);
        attempt.keep(&name, "text/csv; charset=utf-8", Bytes::from(data)).await.map_err(internal)?;
        let mut result = json!({
            "backend": "standalone",
            "status": "succeeded",
            "reportSubType": subject.name(),
            "report": name,
            "rows": table.rows.len(),
        });
        if let Some(span) = subject.span() {
            result["from"] = json!(span.from);
            result["to"] = json!(span.to);
        }
        Ok(AttemptEnd::Succeeded { result: result.to_string() })
    }

    /// A report tells of everybody. The owner's role is asked at each run: it may have changed.
    async fn allow(&self, owner: &str) -> Result<(), AttemptEnd> {
        match self.records.role(owner).await.map_err(internal)? {
            Some(Role::Admin) => Ok(()),
            _ => Err(AttemptEnd::SubmitFailed {
                reason: Reason::NotAllowed,
                result: format!("administrative reports are for administrators; {owner} is none"),
            }),
        }
    }

    async fn table(&self, subject: Subject) -> Result<Table, String> {
        let records = &self.records;
        Ok(match subject {
            Subject::Activity(span) => {
                rows::activity(&records.audit(span).await?, &records.fires(span).await?)
            }
            Subject::Content => rows::content(records.tasks().await?),
            Subject::Users => rows::users(records.users().await?, &records.tasks().await?),
            Subject::ServiceUsages(span) => rows::service_usages(&records.fires(span).await?),
        })
    }
}

#[async_trait]
impl Executor for ExecuteReport {
    fn kind(&self) -> TaskType {
        TaskType::ExecuteReport
    }

    fn default_timeout(&self) -> std::time::Duration {
        std::time::Duration::from_mins(10)
    }

    async fn execute(&self, attempt: &Attempt) -> AttemptEnd {
        self.carry_out(attempt).await.unwrap_or_else(|end| end)
    }
}

fn internal(error: impl std::fmt::Display) -> AttemptEnd {
    AttemptEnd::Failed { reason: Reason::Internal, result: format!("report: {error}") }
}

/// The same for each attempt: a report made again replaces itself. The span's last day is named, not
/// the day after it.
fn file_name(name: &str, span: Option<Span>, planned: EpochMillis) -> String {
    let date = |moment: EpochMillis| {
        let (year, month, day, ..) = moment.civil();
        format!("{year:04}-{month:02}-{day:02}")
    };
    match span {
        None => {
            let (.., hour, minute, _, _) = planned.civil();
            format!("{name}_{}T{hour:02}{minute:02}Z.csv", date(planned))
        }
        Some(span) => {
            let (first, last) = (date(span.from), date(EpochMillis(span.to.0 - 1)));
            if first == last { format!("{name}_{first}.csv") } else { format!("{name}_{first}_{last}.csv") }
        }
    }
}

#[cfg(test)]
mod tests {
    use isochrone_domain::{
        AuditEntry, FireId, Nonce, Run, RunStatus, Task, TaskId, TaskState, Trigger, UnknownFields,
    };
    use isochrone_worker::Report;
    use object_store::{ObjectStoreExt, memory::InMemory, path::Path};
    use tokio::sync::{mpsc, watch};

    use super::*;
    use crate::Unconfigured;
    use crate::report::rows::tests::task;

    struct OneTask;

    #[async_trait]
    impl Records for OneTask {
        async fn audit(&self, _: Span) -> Result<Vec<AuditEntry>, String> {
            Err("the store is away".to_owned())
        }

        async fn fires(&self, _: Span) -> Result<Vec<FireRecord>, String> {
            Ok(Vec::new())
        }

        async fn tasks(&self) -> Result<Vec<Task>, String> {
            Ok(vec![task("=1+1", "anna", TaskState::Active)])
        }

        async fn role(&self, user: &str) -> Result<Option<Role>, String> {
            Ok(Some(if user == "anna" { Role::Admin } else { Role::Publisher }))
        }

        async fn users(&self) -> Result<Vec<UserRecord>, String> {
            Ok(Vec::new())
        }
    }

    /// The end, and what was kept as name and text.
    async fn execute(executor: &dyn Executor, parameters: &str) -> (AttemptEnd, Vec<(String, String)>) {
        execute_for("anna", executor, parameters).await
    }

    async fn execute_for(
        owner: &str,
        executor: &dyn Executor,
        parameters: &str,
    ) -> (AttemptEnd, Vec<(String, String)>) {
        let mut task = task("Report", owner, TaskState::Active);
        task.parameters = Some(parameters.to_owned());
        let fire = FireId::requested(TaskId::from_bytes([1; 16]), [2; 16]);
        let run = Run {
            id: fire.run(),
            task: task.id,
            fire,
            kind: TaskType::ExecuteReport,
            trigger: Trigger::Request { by: "anna".to_owned() },
            planned: EpochMillis(1_767_225_600_000),
            fired: Reason::Requested,
            status: RunStatus::Waiting,
            attempt: 1,
            nonce: Nonce::NONE,
            expired: false,
            finished: Vec::new(),
            failures: 0,
            crashes: 0,
            cancel: None,
            created: EpochMillis(0),
            started: None,
            progress: None,
            handle: None,
            item: None,
            result: None,
            artifacts: Vec::new(),
            unknown: UnknownFields::NONE,
        };
        let store = Arc::new(InMemory::new());
        let (reports, mut received) = mpsc::channel(8);
        let (_stop, stopped) = watch::channel(None);
        let attempt = Attempt::new(task, run, store.clone(), reports, stopped);
        let end = executor.execute(&attempt).await;
        drop(attempt);
        let mut kept = Vec::new();
        while let Some(report) = received.recv().await {
            if let Report::Artifact(artifact) = report {
                let data = store.get(&Path::from(artifact.location)).await.unwrap().bytes().await.unwrap();
                kept.push((artifact.name, String::from_utf8(data.to_vec()).unwrap()));
            }
        }
        (end, kept)
    }

    #[tokio::test]
    async fn a_report_becomes_an_artifact() {
        let reports = ExecuteReport::new(Arc::new(OneTask), None);
        let (end, kept) = execute(&reports, r#"{"reportType":"org","reportSubType":"content"}"#).await;
        let AttemptEnd::Succeeded { result } = end else { panic!("{end:?}") };
        let result: serde_json::Value = serde_json::from_str(&result).unwrap();
        assert_eq!((&result["report"], &result["rows"]), (&json!("content_2026-01-01T0000Z.csv"), &json!(1)));
        let [(name, text)] = &kept[..] else { panic!("{kept:?}") };
        assert_eq!(name, "content_2026-01-01T0000Z.csv");
        assert!(text.starts_with("Title,Item ID,") && text.contains("\r\n'=1+1,0101"), "{text}");
    }

    #[tokio::test]
    async fn a_report_is_for_administrators() {
        let reports = ExecuteReport::new(Arc::new(OneTask), None);
        let parameters = r#"{"reportType":"org","reportSubType":"content"}"#;
        let (end, kept) = execute_for("bob", &reports, parameters).await;
        assert!(matches!(end, AttemptEnd::SubmitFailed { reason: Reason::NotAllowed, .. }), "{end:?}");
        assert!(kept.is_empty());
    }

    #[tokio::test]
    async fn what_cannot_be_reported_is_told() {
        let reports = ExecuteReport::new(Arc::new(OneTask), None);
        for (parameters, expected) in [
            (r#"{"reportType":"org","reportSubType":"credits"}"#, Reason::BackendNotConfigured),
            (r#"{"reportType":"org"}"#, Reason::BadInput),
        ] {
            let (end, kept) = execute(&reports, parameters).await;
            assert!(matches!(end, AttemptEnd::SubmitFailed { reason, .. } if reason == expected), "{end:?}");
            assert_eq!(kept, []);
        }
        let activity = r#"{"reportType":"org","reportSubType":"activity","timeDuration":"daily"}"#;
        let (end, _) = execute(&reports, activity).await;
        assert!(
            matches!(&end, AttemptEnd::Failed { reason: Reason::Internal, result } if result.contains("away")),
            "{end:?}"
        );
    }

    #[tokio::test]
    async fn a_type_without_a_backend_says_which() {
        for kind in TaskType::ALL {
            let (end, _) = execute(&Unconfigured::new(kind), "{}").await;
            let AttemptEnd::SubmitFailed { reason, result } = end else { panic!("{end:?}") };
            assert_eq!(reason, Reason::BackendNotConfigured);
            assert!(result.starts_with(kind.name()) && result.contains("configured"), "{result}");
        }
    }

    #[test]
    fn a_file_is_named_for_its_period() {
        let planned = EpochMillis(EpochMillis::from_date(2026, 1, 1).0 + 34_200_000);
        let of = |duration: Duration| duration.last_whole(planned);
        for (subject, expected) in [
            (Subject::Activity(of(Duration::Daily)), "activity_2025-12-31.csv"),
            (Subject::ServiceUsages(of(Duration::Weekly)), "serviceUsages_2025-12-21_2025-12-27.csv"),
            (Subject::Users, "users_2026-01-01T0930Z.csv"),
        ] {
            assert_eq!(file_name(subject.name(), subject.span(), planned), expected);
        }
    }
}
