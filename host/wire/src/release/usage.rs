//! A provider's usage as disjoint meters.

use pointsman_domain::usage::{
    AUDIO_INPUT_TOKENS, AUDIO_OUTPUT_TOKENS, CACHE_WRITE_TOKENS, CACHED_INPUT_TOKENS, INPUT_TOKENS,
    Meter, OUTPUT_TOKENS, REASONING_TOKENS,
};

use crate::json::Node;

/// Meters of a `usage` object; none where it counts nothing.
pub(super) fn meters(usage: Node<'_>) -> Option<Vec<Meter>> {
    let count = |node: Option<Node<'_>>, key: &str| {
        node.and_then(|node| node.some(key)).and_then(Node::integer)
    };
    let all = Some(usage);
    let prompt = count(all, "prompt_tokens")?;
    let completion = count(all, "completion_tokens").unwrap_or(0);
    let input = usage.some("prompt_tokens_details");
    let output = usage.some("completion_tokens_details");
    let cached = count(input, "cached_tokens")
        .or_else(|| count(all, "prompt_cache_hit_tokens"))
        .or_else(|| count(all, "num_cached_tokens"))
        .unwrap_or(0);
    let written = count(input, "cache_write_tokens").unwrap_or(0);
    let audio_input = count(input, "audio_tokens").unwrap_or(0);
    let audio_output = count(output, "audio_tokens").unwrap_or(0);
    let reasoning = count(output, "reasoning_tokens").unwrap_or(0);
    // Most count reasoning within the completion; the total tells those that do not.
    let is_beside = reasoning > 0
        && count(all, "total_tokens").is_some_and(|total| {
            total == prompt.saturating_add(completion).saturating_add(reasoning)
        });
    let within = if is_beside { 0 } else { reasoning };
    let meter = |unit: &str, quantity: u64| Meter {
        unit: unit.to_owned(),
        quantity,
        estimated: false,
    };
    let mut meters = vec![
        meter(INPUT_TOKENS, less(prompt, &[cached, written, audio_input])),
        meter(OUTPUT_TOKENS, less(completion, &[within, audio_output])),
    ];
    for (unit, quantity) in [
        (CACHED_INPUT_TOKENS, cached),
        (CACHE_WRITE_TOKENS, written),
        (AUDIO_INPUT_TOKENS, audio_input),
        (REASONING_TOKENS, reasoning),
        (AUDIO_OUTPUT_TOKENS, audio_output),
    ] {
        if quantity > 0 {
            meters.push(meter(unit, quantity));
        }
    }
    Some(meters)
}

fn less(total: u64, parts: &[u64]) -> u64 {
    parts
        .iter()
        .fold(total, |left, part| left.saturating_sub(*part))
}
