//! A classifier whose labels are what the host's imports said: the runtime's imports are tested against it.
//!
//! It counts its calls in a static, so that a test can tell a fresh instance from a reused one.
#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicI64, Ordering};

use pointsman_sdk::{Classifier, Label, Level, Plugin, PluginError, Value, View, host};
use serde::Deserialize;

static CALLS: AtomicI64 = AtomicI64::new(0);

/// What to call.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// A file to read, in `configure` and in each call.
    file: String,
    /// A target to ask the price of.
    #[serde(default)]
    target: String,
    /// Lines to log in a call.
    #[serde(default)]
    log_lines: u32,
    /// A count to ask for.
    #[serde(default)]
    count: Option<String>,
    /// Its window in seconds.
    #[serde(default)]
    window_s: u32,
    /// A secret to sign the recent text with, as `secret://NAME`.
    #[serde(default)]
    sign: Option<String>,
    /// Calls the clock where it may not.
    #[serde(default)]
    clock_in_configure: bool,
}

/// The configuration and what the file held.
#[derive(Debug)]
pub struct Imports {
    config: Config,
    bytes: usize,
}

impl Plugin for Imports {
    type Config = Config;
    const CONFIG_SCHEMA: &'static str = r#"{
        "type": "object",
        "additionalProperties": false,
        "required": ["file"],
        "properties": {
            "file": { "type": "string" },
            "target": { "type": "string" },
            "log-lines": { "type": "integer", "minimum": 0 },
            "count": { "type": "string" },
            "window-s": { "type": "integer" },
            "sign": { "type": "string" },
            "clock-in-configure": { "type": "boolean" }
        }
    }"#;
    const IMPORTS: &'static [&'static str] = &[
        "log", "clock", "random", "data", "counters", "secrets", "prices",
    ];

    fn configure(config: Config) -> Result<Self, String> {
        if config.clock_in_configure {
            let _refused = host::now_ms();
        }
        let file = host::data(&config.file).ok_or_else(|| format!("no file {}", config.file))?;
        Ok(Self {
            bytes: file.len(),
            config,
        })
    }
}

fn integer(key: &str, value: i64) -> Label {
    Label::new(key, Value::Integer(value))
}

impl Classifier for Imports {
    fn classify(&self, request: &dyn View) -> Result<Vec<Label>, PluginError> {
        for line in 0..self.config.log_lines {
            host::log(Level::Warn, &format!("line {line}"));
        }
        let price = host::rates(&self.config.target)
            .and_then(|rates| rates.first().map(|rate| rate.pico_usd));
        let file = host::data(&self.config.file)
            .map_or(-1, |file| i64::try_from(file.len()).unwrap_or(-1));
        let count = self.config.count.as_deref().map_or(-1, |name| {
            i64::try_from(host::count(name, self.config.window_s)).unwrap_or(-1)
        });
        let signed = self
            .config
            .sign
            .as_deref()
            .and_then(|name| host::hmac(name, request.recent_text(1, 8).as_bytes()));
        let signed = signed.map_or_else(String::new, |bytes| {
            bytes.iter().map(|byte| format!("{byte:02x}")).collect()
        });
        Ok(vec![
            Label::new("signed", signed),
            integer("count", count),
            integer("calls", CALLS.fetch_add(1, Ordering::Relaxed)),
            integer("configured-bytes", i64::try_from(self.bytes).unwrap_or(-1)),
            integer("bytes", file),
            integer("now-ms", i64::try_from(host::now_ms()).unwrap_or(-1)),
            Label::new(
                "random",
                format!("{:016x}{:016x}", host::next_u64(), host::next_u64()),
            ),
            integer("price", price.unwrap_or(-1)),
            Label::new("model", request.text("model").unwrap_or_default()),
            Label::new("recent", request.recent_text(1, 8)),
        ])
    }
}

pointsman_sdk::export_plugin!(Imports: classifier);

#[cfg(test)]
mod tests {
    #[test]
    fn cases_hold() {
        pointsman_sdk::testing::Suite::<super::Imports>::new()
            .classifier()
            .run(include_str!("../cases.jsonl"));
    }
}
