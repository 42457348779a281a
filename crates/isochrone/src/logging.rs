//! Sets up tracing.

use std::io::IsTerminal;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use isochrone_telemetry::{JsonLines, Traces};
use tracing_subscriber::fmt::format::JsonFields;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt, reload};

use crate::config::{Log, LogFormat};

/// What is logged, which can be changed. A clone is the same one.
#[derive(Clone)]
pub(crate) struct LogFilter {
    handle: reload::Handle<EnvFilter, Registry>,
    told: Arc<Mutex<String>>,
}

impl LogFilter {
    /// Its directives, as they were told.
    pub(crate) fn get(&self) -> String {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Logs by other directives from now on.
    pub(crate) fn set(&self, directives: &str) -> Result<()> {
        let filter = filter(directives)?;
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        self.handle.reload(filter)?;
        directives.clone_into(&mut told);
        Ok(())
    }
}

/// Logs go to standard error: standard output is for results. Traces go where the environment says.
pub(crate) fn init(log: &Log) -> Result<(LogFilter, Option<Traces>)> {
    isochrone_arcgis::choose_cryptography();
    let (traces, wrong) = match Traces::from_environment() {
        Ok(traces) => (traces, None),
        Err(wrong) => (None, Some(wrong)),
    };
    let (layer, handle) = reload::Layer::new(filter(&log.filter).context("log.filter")?);
    let terminal = std::io::stderr().is_terminal();
    let lines = fmt::layer().with_writer(std::io::stderr);
    let lines = match log.format {
        LogFormat::Pretty => lines.with_ansi(terminal).boxed(),
        LogFormat::Auto if terminal => lines.with_ansi(true).boxed(),
        LogFormat::Auto | LogFormat::Json => {
            lines.fmt_fields(JsonFields::new()).event_format(JsonLines).boxed()
        }
    };
    tracing_subscriber::registry().with(layer).with(lines).with(traces.clone()).init();
    if let Some(wrong) = wrong {
        // The work goes on without them.
        tracing::warn!("{wrong}");
    }
    Ok((LogFilter { handle, told: Arc::new(Mutex::new(log.filter.clone())) }, traces))
}

fn filter(directives: &str) -> Result<EnvFilter> {
    let filter = EnvFilter::try_new(directives).context("the filter can't be read")?;
    if directives.contains("lapin") {
        return Ok(filter);
    }
    // It calls each lost connection an error; the queue says itself what is lost and when it is back.
    Ok(filter.add_directive("lapin=off".parse()?))
}
