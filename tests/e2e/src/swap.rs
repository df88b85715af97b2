//! Versions of one policy that stamp their number on whatever they touch, and clients that read the stamps.
//!
//! A label stamps the route (another label would lead to the target `mixed`), the request guard stamps the prompt, which
//! the fake provider echoes, the response guard stamps every address in the answer; the header names the version.

use std::collections::BTreeSet;

use anyhow::{Context as _, ensure};
use pointsman_harness::{Bundle, Client};
use serde_json::{Value, json};

/// The policy's name.
pub const POLICY: &str = "swap";
/// Addresses in a prompt, so stamps of the response guard in an answer. The guard's placeholders look like no version
/// numbers, beside which it takes no number for an address.
const ADDRESSES: usize = 12;

/// The version that stamps `stamp`; its targets are all at `endpoint`.
#[must_use]
pub fn version(stamp: u64, endpoint: &str) -> Bundle {
    let target = |name: &str| {
        format!(
            "[[target]]\nname = \"{name}\"\nkind = \"openai-compatible\"\nendpoint = \"{endpoint}\"\nmodel = \"fake\"\ncapabilities = [\"streaming\"]\n"
        )
    };
    let off = "phone = \"off\", card = \"off\", iban = \"off\", us-ssn = \"off\"";
    let steps = [
        step(
            "stamp",
            "classify",
            "rules",
            "skip",
            &format!(
                "{{ rules = [{{ name = \"stamp\", when = \"true\", then = {{ label = {{ stamp = \"v{stamp}\" }} }} }}] }}"
            ),
        ),
        step(
            "in",
            "guard-request",
            "guard-pii",
            "deny",
            &format!("{{ email = \"mask\", ip = \"off\", {off}, placeholder = \"<in-{stamp}>\" }}"),
        ),
        step(
            "route",
            "route",
            "route-rules",
            "fallback",
            &format!(
                "{{ default = [\"mixed\"], rules = [{{ name = \"stamped\", if = {{ label = \"stamp\", is = \"v{stamp}\" }}, to = [\"t-v{stamp}\"] }}] }}"
            ),
        ),
        step(
            "out",
            "guard-response",
            "guard-pii",
            "deny",
            &format!(
                "{{ email = \"off\", ip = \"mask\", {off}, placeholder = \"<out-{stamp}>\" }}"
            ),
        ),
    ];
    let text = format!(
        "format = 1\nname = \"{POLICY}\"\nkind = \"tenant\"\n\n[[model]]\nname = \"auto\"\ntargets = [\"t-v{stamp}\", \"mixed\"]\n\n{}{}{}\n[execute]\ndefault-plan = [\"mixed\"]\n",
        target(&format!("t-v{stamp}")),
        target("mixed"),
        steps.concat(),
    );
    Bundle::new(POLICY, &text)
}

fn step(id: &str, phase: &str, plugin: &str, on_fault: &str, config: &str) -> String {
    format!(
        "\n[[step]]\nid = \"{id}\"\nphase = \"{phase}\"\nplugin = \"{plugin}@0.1\"\non-fault = \"{on_fault}\"\nconfig = {config}\n"
    )
}

/// A prompt whose echo carries every stamp.
#[must_use]
pub fn prompt(streaming: bool) -> Value {
    let addresses: Vec<String> = (0..ADDRESSES)
        .map(|last| format!("then 192.0.2.1{last:02} answers"))
        .collect();
    let text = format!("write to jane@example.com, {}", addresses.join(", "));
    let mut body = json!({
        "model": "auto", "max_tokens": 400,
        "messages": [{"role": "user", "content": text}],
    });
    body["stream"] = Value::Bool(streaming);
    body
}

/// Sends a prompt and returns the one version whose stamps its answer carries.
///
/// # Errors
/// Where it was not served whole, or its stamps disagree.
pub async fn ask(client: &Client, streaming: bool) -> anyhow::Result<u64> {
    let reply = client.chat(&prompt(streaming)).await?;
    ensure!(reply.status == 200, "{}: {}", reply.status, reply.text());
    let policy = reply.header("x-pointsman-policy").unwrap_or_default();
    let target = reply.header("x-pointsman-target").unwrap_or_default();
    let content = if streaming {
        ensure!(
            reply.text().contains("data: [DONE]"),
            "the stream has no end"
        );
        reply.content()
    } else {
        let text = reply.json()["choices"][0]["message"]["content"].clone();
        text.as_str().context("no content")?.to_owned()
    };
    let numbers = |before: &str, text: &str| -> Vec<u64> {
        let found = text.split(before).skip(1);
        let digits = |rest: &str| {
            let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
            digits.parse().ok()
        };
        found.filter_map(digits).collect()
    };
    let (inside, outside) = (numbers("<in-", &content), numbers("<out-", &content));
    ensure!(
        inside.len() == 1 && outside.len() == ADDRESSES,
        "{} and {} stamps in: {content}",
        inside.len(),
        outside.len()
    );
    let by_header = numbers(&format!("{POLICY}@"), policy);
    let by_route = numbers("t-v", target);
    let stamps: BTreeSet<u64> = [inside, outside, by_header, by_route.clone()]
        .concat()
        .into_iter()
        .collect();
    ensure!(
        by_route.len() == 1 && stamps.len() == 1,
        "mixed: policy {policy}, target {target}: {content}"
    );
    stamps.into_iter().next().context("no stamp")
}
