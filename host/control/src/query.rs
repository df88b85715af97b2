//! The queries of the decisions endpoints. Unknown parameters are errors.

use std::time::{SystemTime, UNIX_EPOCH};

use axum::extract::Query;
use axum::extract::rejection::QueryRejection;
use pointsman_domain::decision::Outcome;
use serde::Deserialize;

use crate::problem::Problem;
use crate::source::Wanted;

/// Decisions that a list holds where the query sets no limit.
const LIMIT: usize = 50;
/// Decisions that a list holds at most.
const LIMIT_MAX: usize = 1_000;

/// What a query may say.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct Parameters {
    /// Who pays.
    #[param(example = "demo")]
    tenant: Option<String>,
    /// Whose answer went to the caller.
    #[param(example = "local")]
    target: Option<String>,
    /// How it ended: ok, denied, cut, error or cancelled.
    #[param(pattern = "^(ok|denied|cut|error|cancelled)$", example = "ok")]
    outcome: Option<String>,
    /// A span back from now, as in 90s, 15m, 2h or 7d, or milliseconds since the epoch.
    #[param(pattern = "^[0-9]+[smhd]?$", example = "15m")]
    since: Option<String>,
    /// At most this many, from 1 to 1000; 50 where it is left out.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 1000, example = 50)]
    limit: Option<String>,
}

impl Parameters {
    /// Reads a query as the filter that it stands for.
    pub(crate) fn wanted(query: Result<Query<Self>, QueryRejection>) -> Result<Wanted, Problem> {
        let Query(parameters) = query.map_err(|rejection| {
            Problem::bad_query(
                rejection.body_text(),
                "use tenant, target, outcome, since and limit, each at most once",
            )
        })?;
        parameters.read(now_ms())
    }

    fn read(self, now_ms: u64) -> Result<Wanted, Problem> {
        Ok(Wanted {
            outcome: self.outcome.as_deref().map(outcome).transpose()?,
            since_ms: self
                .since
                .as_deref()
                .map(|text| since(text, now_ms))
                .transpose()?,
            limit: self.limit.as_deref().map_or(Ok(LIMIT), limit)?,
            tenant: self.tenant,
            target: self.target,
        })
    }
}

fn outcome(text: &str) -> Result<Outcome, Problem> {
    match text {
        "ok" => Ok(Outcome::Ok),
        "denied" => Ok(Outcome::Denied),
        "cut" => Ok(Outcome::Cut),
        "error" => Ok(Outcome::Error),
        "cancelled" => Ok(Outcome::Cancelled),
        _ => Err(Problem::bad_query(
            "`outcome` is not one that requests have",
            "use ok, denied, cut, error or cancelled",
        )),
    }
}

fn since(text: &str, now_ms: u64) -> Result<u64, Problem> {
    time(text, now_ms).ok_or_else(|| {
        Problem::bad_query(
            "`since` is no time",
            "give a span back from now, as in 90s, 15m, 2h or 7d, or milliseconds since the epoch",
        )
    })
}

/// A time as queries write it, in milliseconds since the epoch: that, or a span back from now such as `15m`.
#[must_use]
pub fn time(text: &str, now_ms: u64) -> Option<u64> {
    if let Ok(at_ms) = text.parse() {
        return Some(at_ms);
    }
    let span = text.char_indices().last().and_then(|(at, unit)| {
        let unit_ms = match unit {
            's' => 1_000,
            'm' => 60_000,
            'h' => 3_600_000,
            'd' => 86_400_000,
            _ => return None,
        };
        text[..at].parse::<u64>().ok()?.checked_mul(unit_ms)
    });
    span.map(|span_ms| now_ms.saturating_sub(span_ms))
}

fn limit(text: &str) -> Result<usize, Problem> {
    match text.parse() {
        Ok(limit @ 1..=LIMIT_MAX) => Ok(limit),
        _ => Err(Problem::bad_query(
            "`limit` is out of range",
            format!("give a number from 1 to {LIMIT_MAX}"),
        )),
    }
}

fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}

#[cfg(test)]
mod tests {
    use super::since;

    #[test]
    fn since_is_a_span_or_a_time() {
        let now = 1_700_000_000_000;
        for (text, at_ms) in [
            ("1699999999999", Some(1_699_999_999_999)),
            ("90s", Some(now - 90_000)),
            ("15m", Some(now - 900_000)),
            ("2h", Some(now - 7_200_000)),
            ("7d", Some(now - 604_800_000)),
            ("99999999999d", Some(0)),
            ("99999999999999999999d", None),
            ("", None),
            ("h", None),
            ("-1h", None),
            ("2w", None),
            ("2ℎ", None),
            ("yesterday", None),
        ] {
            assert_eq!(since(text, now).ok(), at_ms, "{text}");
        }
    }
}
