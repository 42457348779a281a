//! Every metric, by name.

use std::sync::Arc;

use prometheus::core::Collector;
use prometheus::process_collector::ProcessCollector;
use prometheus::{
    GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry, TextEncoder,
};

const LATENESS: &[f64] = &[0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0];
const QUEUE_WAIT: &[f64] = &[0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3_600.0];
const DURATION: &[f64] = &[
    0.5, 1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1_800.0, 3_600.0, 7_200.0, 14_400.0, 28_800.0,
    86_400.0,
];
const HTTP: &[f64] = &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// Of a step of the store or the broker.
const STEP: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// The metrics of one process. A clone is the same ones.
///
/// A process shows what its roles have: a gauge that is somebody else's is missing rather than 0.
#[derive(Clone)]
pub struct Metrics(pub(crate) Arc<Catalogue>);

pub(crate) struct Catalogue {
    registry: Registry,
    pub(crate) fires: IntCounterVec,
    pub(crate) runs: IntCounterVec,
    pub(crate) attempts: IntCounterVec,
    pub(crate) retries: IntCounterVec,
    pub(crate) dead_letters: IntCounterVec,
    pub(crate) publishes: IntCounterVec,
    pub(crate) reconnects: IntCounterVec,
    pub(crate) redelivered: IntCounterVec,
    pub(crate) leases_lost: IntCounterVec,
    pub(crate) duties_failed: IntCounterVec,
    pub(crate) items_deferred: IntCounterVec,
    pub(crate) fenced_writes: IntCounterVec,
    pub(crate) http_requests: IntCounterVec,
    pub(crate) auth_failures: IntCounterVec,
    pub(crate) connections_refused: IntCounterVec,
    pub(crate) upstream_requests: IntCounterVec,
    pub(crate) fire_lateness: HistogramVec,
    pub(crate) queue_wait: HistogramVec,
    pub(crate) run_duration: HistogramVec,
    pub(crate) publish_confirm: HistogramVec,
    pub(crate) lease_renew: HistogramVec,
    pub(crate) store_operation: HistogramVec,
    pub(crate) http_duration: HistogramVec,
    pub(crate) build_info: IntGaugeVec,
    pub(crate) in_progress: IntGaugeVec,
    pub(crate) runs_queued: IntGaugeVec,
    pub(crate) worker_slots: IntGaugeVec,
    pub(crate) consumers: IntGaugeVec,
    pub(crate) last_success: GaugeVec,
    pub(crate) outbox_pending: IntGaugeVec,
    pub(crate) outbox_oldest: GaugeVec,
    pub(crate) broker_connected: IntGaugeVec,
    pub(crate) broker_blocked: IntGaugeVec,
    pub(crate) leader: IntGaugeVec,
    pub(crate) clock_offset: GaugeVec,
    pub(crate) clocks_agree: IntGaugeVec,
    pub(crate) audit_entries: IntGaugeVec,
    pub(crate) audit_head: IntGaugeVec,
    pub(crate) store_up: IntGaugeVec,
    pub(crate) store_durable: IntGaugeVec,
    pub(crate) heartbeat_age: GaugeVec,
    pub(crate) certificate_expiry: GaugeVec,
}

impl Metrics {
    /// Metrics of their own, at their beginning.
    pub fn new() -> Metrics {
        let r = Registry::new();
        // On other systems than Linux there is none.
        own(&r, ProcessCollector::for_self());
        Metrics(Arc::new(Catalogue {
            fires: counter(&r, "fires_total", "Fires decided", &["type", "outcome", "reason"]),
            runs: counter(&r, "runs_total", "Runs ended", &["type", "outcome"]),
            attempts: counter(&r, "run_attempts_total", "Attempts at runs ended", &["type", "result"]),
            retries: counter(&r, "run_retries_total", "Failed attempts that are tried again", &["type"]),
            dead_letters: counter(&r, "dead_letters_total", "Messages that were no wake-ups", &["type"]),
            publishes: counter(&r, "publish_total", "Wake-ups published", &["result"]),
            reconnects: counter(&r, "broker_reconnects_total", "Connections to the broker made anew", &[]),
            redelivered: counter(&r, "redelivered_total", "Wake-ups delivered once more", &["type"]),
            duties_failed: counter(
                &r,
                "duties_failed_total",
                "Looks of a scheduler's duty that failed",
                &["loop"],
            ),
            items_deferred: counter(
                &r,
                "items_deferred_total",
                "Records that could not be read, put off",
                &["loop"],
            ),
            leases_lost: counter(&r, "leases_lost_total", "Attempts abandoned without their lease", &[]),
            fenced_writes: counter(&r, "fenced_writes_total", "Writes refused to lost attempts", &[]),
            http_requests: counter(
                &r,
                "http_requests_total",
                "Requests answered",
                &["route", "method", "code"],
            ),
            connections_refused: counter(
                &r,
                "connections_refused_total",
                "Connections refused, or closed to make room for others",
                &["reason", "result"],
            ),
            auth_failures: counter(&r, "auth_failures_total", "Sign-ins and tokens refused", &["kind"]),
            upstream_requests: counter(
                &r,
                "upstream_requests_total",
                "Requests to ArcGIS and job servers",
                &["kind", "code_class"],
            ),
            fire_lateness: histogram(
                &r,
                "fire_lateness_seconds",
                "From a fire's minute to its decision",
                &["type"],
                LATENESS,
            ),
            queue_wait: histogram(
                &r,
                "run_queue_wait_seconds",
                "From a run's making to its first attempt",
                &["type"],
                QUEUE_WAIT,
            ),
            run_duration: histogram(
                &r,
                "run_duration_seconds",
                "From a run's first attempt to its end",
                &["type", "outcome"],
                DURATION,
            ),
            publish_confirm: histogram(
                &r,
                "publish_confirm_seconds",
                "From a publish to the queue's word",
                &[],
                STEP,
            ),
            lease_renew: histogram(&r, "lease_renew_seconds", "A renewal of all leases", &[], STEP),
            store_operation: histogram(
                &r,
                "store_operation_seconds",
                "A step of the store",
                &["operation"],
                STEP,
            ),
            http_duration: histogram(
                &r,
                "http_request_duration_seconds",
                "From a request to its answer's beginning",
                &["route"],
                HTTP,
            ),
            build_info: gauge(&r, "build_info", "1, with the program's version", &["version"]),
            in_progress: gauge(&r, "runs_in_progress", "Runs that this worker carries", &["type"]),
            runs_queued: gauge(&r, "runs_queued", "Runs that are queued in the store", &["type"]),
            worker_slots: gauge(&r, "worker_slots", "Runs that this worker can carry", &["type"]),
            consumers: gauge(&r, "consumers", "Consumers that are subscribed, or rest at will", &["type"]),
            last_success: real_gauge(
                &r,
                "last_success_timestamp_seconds",
                "When a run succeeded here last, since 1970 UTC",
                &["type"],
            ),
            outbox_pending: gauge(&r, "outbox_pending", "Due runs that the queue was not told of", &[]),
            outbox_oldest: real_gauge(&r, "outbox_oldest_seconds", "How long the first of them is due", &[]),
            broker_connected: gauge(&r, "broker_connected", "1 while wake-ups can reach the queue", &[]),
            broker_blocked: gauge(&r, "broker_blocked", "1 while the broker takes no messages", &[]),
            leader: gauge(&r, "scheduler_leader", "1 on the scheduler that leads, 0 on the others", &[]),
            clocks_agree: gauge(
                &r,
                "clocks_agree",
                "1 while this machine's clock and the store's agree",
                &[],
            ),
            clock_offset: real_gauge(&r, "clock_offset_seconds", "This machine's time less the store's", &[]),
            audit_entries: gauge(&r, "audit_entries", "Entries that the audit log has had", &[]),
            audit_head: gauge(&r, "audit_head", "The first 48 bits of the digest that it ends with", &[]),
            store_up: gauge(&r, "store_up", "1 while the store answers", &[]),
            store_durable: gauge(&r, "store_durable", "1 while the store keeps what it acknowledges", &[]),
            heartbeat_age: real_gauge(
                &r,
                "heartbeat_age_seconds",
                "Since the last heartbeat was sent that came back from a worker",
                &[],
            ),
            certificate_expiry: real_gauge(
                &r,
                "certificate_expiry_timestamp_seconds",
                "When the HTTPS certificate ends, since 1970 UTC",
                &[],
            ),
            registry: r,
        }))
    }

    /// All of them, in Prometheus's text format.
    pub fn render(&self) -> String {
        let families = self.0.registry.gather();
        TextEncoder::new().encode_to_string(&families).expect("what is registered can be written")
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Metrics::new()
    }
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metrics")
    }
}

const VALID: &str = "names and labels are valid";

fn own(registry: &Registry, collector: impl Collector + 'static) {
    registry.register(Box::new(collector)).expect("each name is registered once");
}

fn options(name: &str, help: &str) -> Opts {
    Opts::new(name, help).namespace("isochrone")
}

fn counter(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
    let counter = IntCounterVec::new(options(name, help), labels).expect(VALID);
    own(registry, counter.clone());
    counter
}

fn gauge(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
    let gauge = IntGaugeVec::new(options(name, help), labels).expect(VALID);
    own(registry, gauge.clone());
    gauge
}

fn real_gauge(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> GaugeVec {
    let gauge = GaugeVec::new(options(name, help), labels).expect(VALID);
    own(registry, gauge.clone());
    gauge
}

fn histogram(registry: &Registry, name: &str, help: &str, labels: &[&str], buckets: &[f64]) -> HistogramVec {
    let options = HistogramOpts::from(options(name, help)).buckets(buckets.to_vec());
    let histogram = HistogramVec::new(options, labels).expect(VALID);
    own(registry, histogram.clone());
    histogram
}
