//! Traces, sent by OTLP over HTTP.
//!
//! A fire is a trace of its own, whose id is the fire's; so is a run, whose id is the run's, with an attempt as a
//! root that is linked to the fire: a run may begin hours later, and in another process. As the ids are derived from
//! what both know, nothing needs to travel with the run. The `traceparent` of a wake-up has the run's trace, too.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use opentelemetry::trace::{
    Event as SpanEvent, Link, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{InstrumentationScope, KeyValue, Value};
use opentelemetry_otlp::SpanExporter;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{
    BatchSpanProcessor, IdGenerator, RandomIdGenerator, SpanData, SpanEvents, SpanLinks, SpanProcessor,
};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use crate::{TracesError, is_asked_for};

/// Lines of one attempt that its span carries.
const MOST_EVENTS: usize = 128;

/// How long the end of the process waits for the collector.
const GOODBYE: Duration = Duration::from_secs(3);

/// Makes traces of the spans `fire` and `attempt`. A clone is the same one.
#[derive(Clone)]
pub struct Traces {
    processor: Arc<dyn SpanProcessor>,
    scope: InstrumentationScope,
}

impl Traces {
    /// As OpenTelemetry's variables say: `OTEL_EXPORTER_OTLP_ENDPOINT` and those beside it. None: it is not set.
    pub fn from_environment() -> Result<Option<Traces>, TracesError> {
        if !is_asked_for() {
            return Ok(None);
        }
        let exporter = SpanExporter::builder().with_http().build();
        let exporter = exporter.map_err(|error| TracesError(error.to_string()))?;
        let mut processor = BatchSpanProcessor::builder(exporter).build();
        let mut resource = Resource::builder()
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .with_attribute(KeyValue::new("process.pid", i64::from(std::process::id())));
        if std::env::var_os("OTEL_SERVICE_NAME").is_none() {
            resource = resource.with_service_name("isochrone");
        }
        processor.set_resource(&resource.build());
        Ok(Some(Traces::new(processor)))
    }

    fn new(processor: impl SpanProcessor + 'static) -> Traces {
        let scope = InstrumentationScope::builder("isochrone").with_version(env!("CARGO_PKG_VERSION"));
        Traces { processor: Arc::new(processor), scope: scope.build() }
    }

    /// Sends what is left.
    pub fn close(&self) {
        if let Err(error) = self.processor.shutdown_with_timeout(GOODBYE) {
            tracing::warn!(%error, "the last traces could not be sent");
        }
    }
}

impl fmt::Debug for Traces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Traces")
    }
}

impl<S> Layer<S> for Traces
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let name = attributes.metadata().name();
        if !matches!(name, "fire" | "attempt") {
            return;
        }
        let mut open = Open { name, began: SystemTime::now(), fields: Fields::default(), events: Vec::new() };
        attributes.record(&mut open.fields);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(open);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(open) = span.extensions_mut().get_mut::<Open>() {
            values.record(&mut open.fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        if *event.metadata().level() > Level::INFO {
            return;
        }
        for span in context.event_scope(event).into_iter().flatten() {
            if let Some(open) = span.extensions_mut().get_mut::<Open>() {
                return open.heard(event);
            }
        }
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let Some(span) = context.span(&id) else { return };
        let open = span.extensions_mut().remove::<Open>();
        if let Some(data) = open.and_then(|open| open.close(&self.scope)) {
            self.processor.on_end(data);
        }
    }
}

/// A span that has not ended.
struct Open {
    name: &'static str,
    began: SystemTime,
    fields: Fields,
    events: Vec<SpanEvent>,
}

impl Open {
    fn heard(&mut self, event: &Event<'_>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        if let Some(status) = fields.text("status") {
            // How the attempt ended.
            self.fields.0.push(KeyValue::new("status", status));
        }
        if self.events.len() < MOST_EVENTS {
            let message = fields.take("message").unwrap_or_else(|| event.metadata().name().to_owned());
            self.events.push(SpanEvent::new(message, SystemTime::now(), fields.0, 0));
        }
    }

    /// None: it has not the ids that it should have.
    fn close(self, scope: &InstrumentationScope) -> Option<SpanData> {
        let fire = self.fields.text("fire_id").and_then(|id| context_of(&id));
        let (context, kind) = if self.name == "fire" {
            (fire.clone()?, SpanKind::Producer)
        } else {
            let run = context_of(&self.fields.text("run_id")?)?;
            (own(run.trace_id(), RandomIdGenerator::default().new_span_id()), SpanKind::Consumer)
        };
        let mut links = SpanLinks::default();
        links.links.extend(fire.filter(|_| self.name != "fire").map(Link::with_context));
        let mut events = SpanEvents::default();
        events.events = self.events;
        let failed = self.fields.text("status").is_some_and(|status| status.ends_with("failed"));
        Some(SpanData {
            span_context: context,
            parent_span_id: SpanId::INVALID,
            parent_span_is_remote: false,
            span_kind: kind,
            name: self.name.into(),
            start_time: self.began,
            end_time: SystemTime::now(),
            attributes: self.fields.0,
            dropped_attributes_count: 0,
            events,
            links,
            status: if failed { Status::error("the attempt failed") } else { Status::Unset },
            instrumentation_scope: scope.clone(),
        })
    }
}

/// The trace of a fire or a run (32 hex digits), and its first span.
fn context_of(id: &str) -> Option<SpanContext> {
    let trace = TraceId::from_hex(id).ok().filter(|trace| *trace != TraceId::INVALID)?;
    let mut span = [0; 8];
    span.copy_from_slice(&trace.to_bytes()[8..]);
    // As the queue derives it for `traceparent`: all zeros would be no span.
    span[0] |= 1;
    Some(own(trace, SpanId::from_bytes(span)))
}

fn own(trace: TraceId, span: SpanId) -> SpanContext {
    SpanContext::new(trace, span, TraceFlags::SAMPLED, false, TraceState::default())
}

#[derive(Default)]
struct Fields(Vec<KeyValue>);

impl Fields {
    fn text(&self, name: &str) -> Option<String> {
        let field = self.0.iter().rfind(|field| field.key.as_str() == name)?;
        Some(field.value.as_str().into_owned())
    }

    fn take(&mut self, name: &str) -> Option<String> {
        let at = self.0.iter().position(|field| field.key.as_str() == name)?;
        Some(self.0.swap_remove(at).value.as_str().into_owned())
    }

    fn put(&mut self, field: &Field, value: impl Into<Value>) {
        self.0.push(KeyValue::new(field.name(), value.into()));
    }
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, i64::try_from(value).unwrap_or(i64::MAX));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use opentelemetry_sdk::error::OTelSdkResult;
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[derive(Clone, Debug, Default)]
    struct Kept(Arc<Mutex<Vec<SpanData>>>);

    impl SpanProcessor for Kept {
        fn on_start(&self, _: &mut opentelemetry_sdk::trace::Span, _: &opentelemetry::Context) {}

        fn on_end(&self, span: SpanData) {
            self.0.lock().expect("nobody panicked").push(span);
        }

        fn force_flush(&self) -> OTelSdkResult {
            Ok(())
        }

        fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
            Ok(())
        }
    }

    const FIRE: &str = "0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f";
    const RUN: &str = "0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a";

    #[test]
    fn an_attempt_is_a_root_in_the_runs_trace_and_linked_to_its_fire() {
        let kept = Kept::default();
        let subscriber = tracing_subscriber::registry().with(Traces::new(kept.clone()));
        tracing::subscriber::with_default(subscriber, || {
            tracing::error_span!("fire", fire_id = %FIRE, run_id = %RUN).in_scope(|| tracing::info!("fired"));
            tracing::error_span!("attempt", fire_id = %FIRE, run_id = %RUN, attempt = 2).in_scope(|| {
                tracing::info_span!("deeper").in_scope(|| tracing::info!(status = "failed", "attempt ended"));
            });
            tracing::error_span!("attempt", run_id = "no id").in_scope(|| ());
        });
        let spans = kept.0.lock().expect("nobody panicked").clone();
        let [fire, attempt] = spans.as_slice() else { panic!("{spans:?}") };
        assert_eq!(fire.span_context.trace_id().to_string(), FIRE);
        assert!(fire.links.is_empty());
        assert_eq!(attempt.span_context.trace_id().to_string(), RUN);
        assert_eq!(attempt.parent_span_id, SpanId::INVALID);
        assert_eq!(attempt.links.links[0].span_context.trace_id(), fire.span_context.trace_id());
        assert_eq!(attempt.links.links[0].span_context.span_id(), fire.span_context.span_id());
        assert_eq!(attempt.events.events[0].name, "attempt ended");
        assert!(matches!(attempt.status, Status::Error { .. }));
        assert!(attempt.attributes.contains(&KeyValue::new("attempt", 2)), "{:?}", attempt.attributes);
    }
}
