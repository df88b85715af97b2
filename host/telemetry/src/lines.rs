//! How a log line is written: for people or for machines, with the request that it concerns.

use std::fmt::{self, Write as _};

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::{Format, Full, Writer};
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::tag::current;

/// One JSON object a line: time, level, message and fields, request, target.
#[derive(Debug)]
pub(crate) struct Json;

/// A line for people; what it says of a request comes last.
#[derive(Debug)]
pub(crate) struct Text(Format<Full>);

impl Text {
    pub(crate) fn new() -> Self {
        Self(Format::default().with_ansi(false))
    }
}

impl<S, N> FormatEvent<S, N> for Text
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let Some(tag) = current() else {
            return self.0.format_event(context, writer, event);
        };
        let mut line = String::new();
        self.0
            .format_event(context, Writer::new(&mut line), event)?;
        writer.write_str(line.trim_end())?;
        for (name, value) in tag.fields() {
            write!(writer, " {name}={value}")?;
        }
        writeln!(writer)
    }
}

impl<S, N> FormatEvent<S, N> for Json
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut time = String::new();
        SystemTime.format_time(&mut Writer::new(&mut time))?;
        let mut object = Object::default();
        object.put("timestamp", time);
        object.put("level", event.metadata().level().as_str());
        event.record(&mut object);
        if let Some(tag) = current() {
            for (name, value) in tag.fields() {
                object.put(name, value);
            }
        }
        object.put("target", event.metadata().target());
        writeln!(writer, "{{{}}}", object.members)
    }
}

/// The members of a JSON object, in the order in which they are told.
#[derive(Default)]
struct Object {
    members: String,
}

impl Object {
    fn put(&mut self, name: &str, value: impl Into<serde_json::Value>) {
        if !self.members.is_empty() {
            self.members.push(',');
        }
        // Writing to a string cannot fail.
        let _whole = write!(
            self.members,
            "{}:{}",
            serde_json::Value::from(name),
            value.into()
        );
    }
}

impl Visit for Object {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field.name(), value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field.name(), value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field.name(), value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field.name(), value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field.name(), value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field.name(), format!("{value:?}"));
    }
}
