//! Logs: one line an event, on standard error.

use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, fmt, registry};

use crate::lines::{Json, Text};

/// The variable that overrides the filter.
const FILTER_VARIABLE: &str = "POINTSMAN_LOG";
/// What is logged where nothing else is said.
const FILTER: &str = "info";

/// How log lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For machines: one JSON object a line.
    Json,
}

/// A filter that is none.
#[derive(Debug, thiserror::Error)]
#[error(
    "`{filter}` in {place} is no log filter; write a level, as in `debug`, or levels by module, as in `info,pointsman_upstream=debug`"
)]
pub struct LogError {
    filter: String,
    place: &'static str,
    #[source]
    source: tracing_subscriber::filter::ParseError,
}

/// Starts logging for the process: with the filter of `POINTSMAN_LOG`, else with `filter`, which is that of the
/// configuration, else from level info on.
///
/// The first call decides; later ones check their filter and change nothing.
///
/// # Errors
/// Where the filter cannot be read.
pub fn init(format: LogFormat, filter: Option<&str>) -> Result<(), LogError> {
    let filter = match (std::env::var(FILTER_VARIABLE), filter) {
        (Ok(filter), _) if !filter.is_empty() => parse(&filter, FILTER_VARIABLE)?,
        (_, Some(filter)) => parse(filter, "telemetry.level")?,
        (_, None) => EnvFilter::new(FILTER),
    };
    let lines = fmt::layer().with_writer(std::io::stderr);
    let lines = match format {
        LogFormat::Text => lines.event_format(Text::new()).boxed(),
        LogFormat::Json => lines.event_format(Json).boxed(),
    };
    let _already_started = registry().with(lines).with(filter).try_init();
    Ok(())
}

fn parse(filter: &str, place: &'static str) -> Result<EnvFilter, LogError> {
    EnvFilter::try_new(filter).map_err(|source| LogError {
        filter: filter.to_owned(),
        place,
        source,
    })
}
