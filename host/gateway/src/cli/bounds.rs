//! Limits and budgets as flags, shared by tenants and keys, and as people read them.

use clap::Args;
use pointsman_domain::control::{Budget, Limits, Period};
use pointsman_domain::money::Picos;

/// A limit, or `none` to lift it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bound<T>(Option<T>);

/// Flags of limits and budgets; what is not given stays as it is.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Bounds {
    /// Requests that may begin in a minute; `none` lifts the limit
    #[arg(long, value_name = "N", value_parser = bound::<u32>)]
    requests_per_minute: Option<Bound<u32>>,
    /// Tokens in and out together in a minute; `none` lifts the limit
    #[arg(long, value_name = "N", value_parser = bound::<u64>)]
    tokens_per_minute: Option<Bound<u64>>,
    /// Requests under way at once; `none` lifts the limit
    #[arg(long, value_name = "N", value_parser = bound::<u32>)]
    concurrent: Option<Bound<u32>>,
    /// What may be spent in US dollars: `day=2` or `month=12.50`, `month=none` lifts it; may be given for both
    #[arg(long = "budget", value_name = "PERIOD=USD", value_parser = budget)]
    budgets: Vec<(Period, Bound<Picos>)>,
}

impl Bounds {
    /// Changes what was given.
    pub(crate) fn apply(&self, limits: &mut Limits, budgets: &mut Vec<Budget>) {
        if let Some(Bound(limit)) = self.requests_per_minute {
            limits.requests_per_minute = limit;
        }
        if let Some(Bound(limit)) = self.tokens_per_minute {
            limits.tokens_per_minute = limit;
        }
        if let Some(Bound(limit)) = self.concurrent {
            limits.concurrent = limit;
        }
        for &(period, Bound(usd)) in &self.budgets {
            budgets.retain(|budget| budget.period != period);
            budgets.extend(usd.map(|usd| Budget { period, usd }));
        }
        budgets.sort_unstable_by_key(|budget| budget.period);
    }
}

fn bound<T: std::str::FromStr>(text: &str) -> Result<Bound<T>, String> {
    if text == "none" {
        return Ok(Bound(None));
    }
    let number = text.parse().map_err(|_error| {
        "not a number that fits; write one such as 600, or `none` for no limit".to_owned()
    })?;
    Ok(Bound(Some(number)))
}

fn budget(text: &str) -> Result<(Period, Bound<Picos>), String> {
    let (period, usd) = text
        .split_once('=')
        .ok_or("write the period and US dollars, such as month=12.50")?;
    let period = match period {
        "day" => Period::Day,
        "month" => Period::Month,
        _ => return Err(format!("`{period}` is no period; write day or month")),
    };
    if usd == "none" {
        return Ok((period, Bound(None)));
    }
    let picos = Picos::from_usd(usd).map_err(|error| error.to_string())?;
    if picos < Picos(0) {
        return Err(
            "a budget is not below zero; 0 lets nothing through that costs anything".into(),
        );
    }
    Ok((period, Bound(Some(picos))))
}

/// Limits and budgets in a line: `600 requests/min, $12.5 a month`.
pub(crate) fn shown(limits: &Limits, budgets: &[Budget]) -> String {
    let mut words = Vec::new();
    if let Some(count) = limits.requests_per_minute {
        words.push(format!("{count} requests/min"));
    }
    if let Some(count) = limits.tokens_per_minute {
        words.push(format!("{count} tokens/min"));
    }
    if let Some(count) = limits.concurrent {
        words.push(format!("{count} at once"));
    }
    for budget in budgets {
        words.push(format!(
            "${} a {}",
            budget.usd.to_usd_string(),
            budget.period
        ));
    }
    if words.is_empty() {
        return "no limits".to_owned();
    }
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_change_what_they_name_alone() {
        let mut limits = Limits {
            requests_per_minute: Some(600),
            concurrent: Some(5),
            ..Limits::default()
        };
        let mut budgets = vec![budget("month=12.50"), budget("day=1")]
            .into_iter()
            .map(|read| read.expect("a budget"))
            .map(|(period, Bound(usd))| Budget {
                period,
                usd: usd.expect("an amount"),
            })
            .collect();
        let bounds = Bounds {
            concurrent: Some(bound("none").expect("a bound")),
            tokens_per_minute: Some(bound("90000").expect("a bound")),
            budgets: vec![
                budget("day=none").expect("a budget"),
                budget("month=20").expect("a budget"),
            ],
            ..Bounds::default()
        };
        bounds.apply(&mut limits, &mut budgets);
        assert_eq!(
            shown(&limits, &budgets),
            "600 requests/min, 90000 tokens/min, $20 a month"
        );
    }

    #[test]
    fn what_is_no_bound_is_refused() {
        for text in ["month", "week=1", "month=-1", "month=", "month=1e3", "=1"] {
            assert!(budget(text).is_err(), "{text}");
        }
        for text in ["", "-1", "4294967296", "1.5", "None"] {
            assert!(bound::<u32>(text).is_err(), "{text}");
        }
        assert_eq!(bound::<u32>("0"), Ok(Bound(Some(0))));
    }
}
