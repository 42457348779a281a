//! Log lines as JSON: one object a line, flat.

use std::fmt;

use chrono::{SecondsFormat, Utc};
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::{JsonFields, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormattedFields};
use tracing_subscriber::registry::{LookupSpan, Scope};

/// Writes `ts` (UTC), `level`, `target` and `msg`, then the fields of the spans around the event, then its own.
/// It reads span fields as [`JsonFields`] writes them.
#[derive(Clone, Copy, Debug, Default)]
pub struct JsonLines;

impl<S> FormatEvent<S, JsonFields> for JsonLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, JsonFields>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut own = Fields::default();
        event.record(&mut own);
        let mut line = Map::new();
        let ts = Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true);
        line.insert("ts".to_owned(), ts.into());
        line.insert("level".to_owned(), event.metadata().level().as_str().into());
        line.insert("target".to_owned(), event.metadata().target().into());
        line.insert("msg".to_owned(), own.message.into());
        for span in context.event_scope().into_iter().flat_map(Scope::from_root) {
            let extensions = span.extensions();
            let Some(fields) = extensions.get::<FormattedFields<JsonFields>>() else { continue };
            if let Ok(Value::Object(fields)) = serde_json::from_str(&fields.fields) {
                line.extend(fields);
            }
        }
        line.extend(own.fields);
        writeln!(writer, "{}", Value::Object(line))
    }
}

/// An event's message and its other fields.
#[derive(Default)]
struct Fields {
    message: String,
    fields: Map<String, Value>,
}

impl Fields {
    fn put(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("message", Value::String(text)) => self.message = text,
            ("message", value) => self.message = value.to_string(),
            // Raw names carry their mark.
            (name, value) => drop(self.fields.insert(name.trim_start_matches("r#").to_owned(), value)),
        }
    }
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}").into());
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("nobody panicked").write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn lines_of(work: impl FnOnce()) -> Vec<Map<String, Value>> {
        let kept = Kept::default();
        let writer = kept.clone();
        let layer = tracing_subscriber::fmt::layer()
            .fmt_fields(JsonFields::new())
            .event_format(JsonLines)
            .with_writer(move || writer.clone());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), work);
        let text = kept.0.lock().expect("nobody panicked").clone();
        let text = String::from_utf8(text).expect("text");
        text.lines().map(|line| serde_json::from_str(line).expect("one object a line")).collect()
    }

    #[test]
    fn a_line_has_the_fields_of_the_spans_around_it() {
        let lines = lines_of(|| {
            tracing::error_span!("attempt", run_id = %"0707", attempt = 2).in_scope(|| {
                tracing::warn!(reason = "it \"said\"\nso", late = 1.5, done = true, "the work {}", "failed");
            });
            tracing::info!("quiet");
        });
        let [line, quiet] = lines.as_slice() else { panic!("{lines:?}") };
        assert_eq!(line["msg"], "the work failed");
        assert_eq!((&line["level"], &line["target"]), (&"WARN".into(), &module_path!().into()));
        assert_eq!((&line["run_id"], &line["attempt"]), (&"0707".into(), &2.into()));
        assert_eq!((&line["reason"], &line["late"]), (&"it \"said\"\nso".into(), &1.5.into()));
        assert_eq!(line["done"], true);
        let ts = line["ts"].as_str().expect("text");
        assert!(ts.len() == "2026-01-01T00:00:00.000Z".len() && ts.ends_with('Z'), "{ts}");
        assert_eq!(quiet.keys().collect::<Vec<_>>(), ["ts", "level", "target", "msg"]);
    }
}
