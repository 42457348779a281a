//! The metrics are those that dashboards and alerts are written against.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use isochrone_domain::{
    Decision, EpochMillis, FireId, Nonce, Outcome, Reason, Run, RunId, RunStatus, TaskId, TaskType, Trigger,
    UnknownFields,
};
use isochrone_telemetry::{AttemptResult, Metrics};

const KIND: TaskType = TaskType::GPService;

/// Name and type of each, as dashboards and alerts are written against them.
const CONTRACT: [(&str, &str); 39] = [
    ("fires_total", "counter"),
    ("runs_total", "counter"),
    ("run_attempts_total", "counter"),
    ("run_retries_total", "counter"),
    ("dead_letters_total", "counter"),
    ("publish_total", "counter"),
    ("broker_reconnects_total", "counter"),
    ("redelivered_total", "counter"),
    ("leases_lost_total", "counter"),
    ("duties_failed_total", "counter"),
    ("items_deferred_total", "counter"),
    ("fenced_writes_total", "counter"),
    ("http_requests_total", "counter"),
    ("auth_failures_total", "counter"),
    ("connections_refused_total", "counter"),
    ("upstream_requests_total", "counter"),
    ("fire_lateness_seconds", "histogram"),
    ("run_queue_wait_seconds", "histogram"),
    ("run_duration_seconds", "histogram"),
    ("publish_confirm_seconds", "histogram"),
    ("lease_renew_seconds", "histogram"),
    ("store_operation_seconds", "histogram"),
    ("http_request_duration_seconds", "histogram"),
    ("build_info", "gauge"),
    ("runs_in_progress", "gauge"),
    ("runs_queued", "gauge"),
    ("worker_slots", "gauge"),
    ("consumers", "gauge"),
    ("last_success_timestamp_seconds", "gauge"),
    ("outbox_pending", "gauge"),
    ("outbox_oldest_seconds", "gauge"),
    ("broker_connected", "gauge"),
    ("broker_blocked", "gauge"),
    ("scheduler_leader", "gauge"),
    ("clock_offset_seconds", "gauge"),
    ("clocks_agree", "gauge"),
    ("store_up", "gauge"),
    ("heartbeat_age_seconds", "gauge"),
    ("certificate_expiry_timestamp_seconds", "gauge"),
];

fn run(status: RunStatus) -> Run {
    Run {
        id: RunId::from_bytes([7; 16]),
        task: TaskId::from_bytes([8; 16]),
        fire: FireId::from_bytes([9; 16]),
        kind: KIND,
        trigger: Trigger::Request { by: "ann".to_owned() },
        planned: EpochMillis(1_000),
        fired: Reason::Requested,
        status,
        attempt: 1,
        nonce: Nonce::NONE,
        expired: false,
        finished: Vec::new(),
        failures: 0,
        crashes: 0,
        cancel: None,
        created: EpochMillis(1_000),
        started: Some(EpochMillis(3_000)),
        progress: None,
        handle: None,
        item: None,
        result: None,
        artifacts: Vec::new(),
        unknown: UnknownFields::NONE,
    }
}

fn ended(outcome: Outcome) -> Run {
    run(RunStatus::Ended { outcome, reason: Reason::Done, at: EpochMillis(5_500) })
}

/// One of everything.
fn busy() -> Metrics {
    let metrics = Metrics::new();
    metrics.begin("1.2.3");
    metrics.begin_queue();
    metrics.begin_scheduler();
    metrics.begin_worker(&BTreeMap::from([(KIND, 3)]));
    metrics.begin_portal();
    metrics.begin_upstream(&["portal"]);
    metrics.leads(true);
    metrics.fire_decided(KIND, Decision::Run, Reason::OnTime, 250);
    metrics.fire_decided(KIND, Decision::Skip, Reason::SkippedOverlap, 250);
    metrics.run_started(&ended(Outcome::Succeeded));
    metrics.attempt_ended(&run(RunStatus::Queued { due: EpochMillis(9_000) }), AttemptResult::Failed);
    metrics.attempt_ended(&ended(Outcome::Succeeded), AttemptResult::Succeeded);
    metrics.runs_queued(&BTreeMap::from([(KIND, 4)]));
    metrics.outbox(2, 1_500);
    metrics.heartbeat_age(Duration::from_secs(61));
    metrics.broker(true, false);
    metrics.consumers(KIND, 1);
    metrics.store_operation("claim", Duration::from_millis(3));
    metrics.store_up(true);
    metrics.clock_offset(-40);
    metrics.clocks_agree(true);
    metrics.request_answered("/api/v1/tasks", "GET", 200, Duration::from_millis(3));
    metrics.upstream_answered("portal", None);
    metrics.certificate_expires(2_000_000_000);
    metrics
}

#[test]
fn every_name_of_the_contract_is_there_and_no_other() {
    let text = busy().render();
    let told: BTreeSet<_> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE isochrone_")?.split_once(' ')).collect();
    assert_eq!(told, BTreeSet::from(CONTRACT), "{text}");
    assert!(text.contains("process_"), "{text}");
}

#[test]
fn no_label_grows_with_tasks_runs_or_users() {
    let text = busy().render();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let labels = line.split_once('{').map_or("", |(_, labels)| labels);
        for label in ["task=", "run=", "user=", "url=", "task_id=", "run_id=", "owner=", "worker="] {
            assert!(!labels.split([',', '{']).any(|named| named.starts_with(label)), "{line}");
        }
        assert!(!line.contains("0707") && !line.contains("0808") && !line.contains("ann"), "{line}");
    }
}

#[test]
fn what_happened_is_in_the_numbers() {
    let text = busy().render();
    for line in [
        r#"isochrone_fires_total{outcome="run",reason="on_time",type="GPService"} 1"#,
        r#"isochrone_fires_total{outcome="skipped",reason="skipped_overlap",type="GPService"} 1"#,
        r#"isochrone_fires_total{outcome="late",reason="caught_up",type="GPService"} 0"#,
        r#"isochrone_fire_lateness_seconds_sum{type="GPService"} 0.25"#,
        r#"isochrone_runs_total{outcome="succeeded",type="GPService"} 1"#,
        r#"isochrone_runs_total{outcome="skipped",type="GPService"} 1"#,
        r#"isochrone_runs_total{outcome="failed",type="GPService"} 0"#,
        r#"isochrone_run_attempts_total{result="failed",type="GPService"} 1"#,
        r#"isochrone_run_retries_total{type="GPService"} 1"#,
        r#"isochrone_run_queue_wait_seconds_sum{type="GPService"} 2"#,
        r#"isochrone_run_duration_seconds_sum{outcome="succeeded",type="GPService"} 2.5"#,
        r#"isochrone_last_success_timestamp_seconds{type="GPService"} 5.5"#,
        r#"isochrone_publish_total{result="returned"} 0"#,
        r#"isochrone_upstream_requests_total{code_class="none",kind="portal"} 1"#,
        "isochrone_outbox_oldest_seconds 1.5",
        "isochrone_clock_offset_seconds -0.04",
        "isochrone_clocks_agree 1",
    ] {
        assert!(text.lines().any(|told| told == line), "{line} is missing in\n{text}");
    }
}

#[test]
fn what_only_a_leader_knows_goes_with_the_lead() {
    let metrics = busy();
    metrics.leads(false);
    let text = metrics.render();
    assert!(text.contains("isochrone_scheduler_leader 0"), "{text}");
    for gone in ["runs_queued", "outbox_pending", "outbox_oldest_seconds", "heartbeat_age_seconds"] {
        assert!(!text.contains(gone), "{gone} is still there");
    }
}

#[test]
fn a_run_is_in_progress_until_it_is_dropped() {
    let metrics = Metrics::new();
    let carried = [metrics.run_in_progress(KIND), metrics.run_in_progress(KIND)];
    let now = |count: u32| format!("isochrone_runs_in_progress{{type=\"GPService\"}} {count}\n");
    assert!(metrics.render().contains(&now(2)));
    drop(carried);
    assert!(metrics.render().contains(&now(0)));
}
