//! The request that every plugin sees, 4 KB of it, with targets and prices as policies have them.

use std::path::Path;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

/// What is called, without the components' paths.
const CASES: &str = include_str!("../../plugins.json");
/// The steps of `policies/quickstart`, in their order; a name, a role.
const CHAIN: [(&str, &str); 5] = [
    ("classify-task", "classifier"),
    ("guard-pii", "request-guard"),
    ("route-cheapest", "router"),
    ("guard-pii", "response-guard"),
    ("account-tokens", "accountant"),
];
/// The one that is called from many threads.
const THREADS: (&str, &str) = ("route-cheapest", "router");

const TURNS: [&str; 5] = [
    "We have nine services that call three model providers directly. Please compare putting a gateway in front of them with a shared client library: what breaks first, what does it cost, who owns it? Keep it under sixty words and name the trade-offs. The services are written in four languages, by five teams, and each has its own way to count tokens.",
    "A gateway centralises keys, budgets and policy, and it can fail over between providers, but it is one more thing on the path, and its owner is paged first. A library keeps calls direct, yet every team must upgrade it, and four languages need four of them. Counting tokens in one place is the smaller argument, and the one that finance will like best.",
    "Write to ada.lovelace@example.org or call +44 20 7946 0958 before the 14th; the ticket is 4711-0815 and the invoice over 12,400 EUR is due. Then say which of the two you would choose for a company whose traffic doubles every quarter, and what you would measure in the first week to know whether the choice was wrong. Use plain words.",
    "Choose the gateway, run two of them, and measure in the first week: the time that it adds at the median and the 99th percentile, how many requests it fails that the provider would have served, and what a fail-over costs. If it adds more than a millisecond, or fails more than one request in a hundred thousand, the library wins.",
    "Now draft the message to the five teams. It should say what changes for them (a base URL and a key), what does not (their code, their models, their prompts), when it happens, whom to ask, and how to go back in a minute if it hurts. No more than two hundred words, no exclamation marks, and a subject line that people will open.",
];

/// The chat request as its caller sends it.
#[must_use]
pub fn body() -> Value {
    let mut messages = vec![
        json!({"role": "system", "content": "You are a careful assistant for the platform team."}),
    ];
    for turn in 0..12 {
        let role = if turn % 2 == 0 { "user" } else { "assistant" };
        messages.push(json!({"role": role, "content": TURNS[turn % TURNS.len()]}));
    }
    json!({"model": "auto", "stream": true, "max_tokens": 256, "messages": messages})
}

fn view(body: &Value) -> Value {
    let messages = body["messages"].as_array().into_iter().flatten();
    let texts: Vec<&Value> = messages.map(|message| &message["content"]).collect();
    let bytes: usize = texts
        .iter()
        .filter_map(|text| text.as_str())
        .map(str::len)
        .sum();
    json!({
        "fields": {
            "model": "auto", "dialect": "openai-chat", "endpoint": "/v1/chat/completions", "tenant": "demo",
            "streaming": true, "max-output-tokens": 256, "input-tokens-estimate": bytes.div_ceil(4),
        },
        "texts": texts,
    })
}

/// Columns by target.
pub(super) fn targets() -> Value {
    let target = |input: i64, output: i64, context: i64, quality: f64, ttft: f64| {
        json!({
            "price-input-pico-usd": input, "price-output-pico-usd": output, "context-tokens": context,
            "max-output-tokens": 16_384, "capabilities": ["streaming", "tools", "json-schema"], "quality": quality,
            "healthy": true, "ttft-p50-ms": ttft, "ttft-p95-ms": ttft * 3.0, "error-rate": 0.001, "in-flight": 3,
        })
    };
    json!({
        "local": target(0, 0, 16_384, 0.45, 40.0),
        "cloud": target(150_000, 600_000, 128_000, 0.82, 320.0),
        "backup": target(1_000_000, 5_000_000, 200_000, 0.9, 480.0),
    })
}

/// Pico-dollars by unit.
pub(super) const RATES: [(&str, i64); 4] = [
    ("input-tokens", 150_000),
    ("output-tokens", 600_000),
    ("cache-read-tokens", 75_000),
    ("cache-write-tokens", 187_500),
];

/// What the example of the plugin runtime reads; `plugins` and `guests` hold the components.
///
/// # Errors
/// Where a component is missing.
pub fn cases(plugins: &Path, nothing: &Path) -> anyhow::Result<Value> {
    let mut cases: Value = serde_json::from_str(CASES).context("plugins.json is no JSON")?;
    for case in cases.as_array_mut().into_iter().flatten() {
        let plugin = case["plugin"].as_str().unwrap_or_default();
        let component = plugins.join(format!("{plugin}.wasm"));
        ensure!(
            component.is_file(),
            "{} is missing: run `cargo xtask plugins`",
            component.display()
        );
        case["component"] = json!(component);
    }
    let place = |wanted: (&str, &str)| {
        let all = cases.as_array().into_iter().flatten();
        let is_it = |case: &Value| case["plugin"] == wanted.0 && case["role"] == wanted.1;
        all.into_iter()
            .position(is_it)
            .with_context(|| format!("plugins.json has no {} as {}", wanted.0, wanted.1))
    };
    let chain = CHAIN
        .into_iter()
        .map(place)
        .collect::<Result<Vec<_>, _>>()?;
    let threads = place(THREADS)?;
    Ok(json!({
        "chain": chain, "threads": threads, "nothing": nothing, "view": view(&body()),
        "targets": targets(), "rates": RATES, "cases": cases,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_is_of_four_kilobytes() {
        let bytes = body().to_string().len();
        assert!((3_900..4_700).contains(&bytes), "{bytes}");
    }
}
