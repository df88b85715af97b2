//! What is charged for tries that nobody counted: whatever may be billed, and never nothing.

use std::time::Duration;

use pointsman_domain::Picos;
use pointsman_domain::decision::{Closed, Outcome};
use pointsman_e2e::budgets::{OUT_PICOS, Priced, a_day, closed, put, settled};
use pointsman_e2e::{says, streams};
use pointsman_harness::{Gateway, Reply};
use serde_json::json;

/// What one answer of 64 tokens may cost, without its prompt.
const ANSWER: Picos = Picos(64 * OUT_PICOS);

/// The end of a request, and what was set aside for it.
async fn end(gateway: &Gateway, reply: &Reply) -> anyhow::Result<(Closed, Picos)> {
    let id = reply.header("x-pointsman-request-id").expect("an id");
    let told = gateway.why(id).await?;
    let picos = told["opened"]["reserved-pico-usd"].as_str();
    let reserved = Picos(picos.expect("reserved").parse()?);
    settled(gateway).await?;
    let mut all = closed(gateway)?.into_iter();
    let closed = all.find(|closed| closed.id.0 == id);
    Ok((closed.expect("recorded"), reserved))
}

fn quantity(closed: &Closed, unit: &str) -> u64 {
    let meters = closed.attempts.iter().flat_map(|attempt| &attempt.meters);
    let of = meters.filter(|meter| meter.unit == unit);
    of.map(|meter| meter.quantity).sum()
}

#[tokio::test]
async fn a_sent_request_that_fails_is_charged_what_was_set_aside() -> anyhow::Result<()> {
    let priced = Priced::with("", "deadline-ms = 2500", json!({})).await?;
    let gateway = &priced.gateway;
    put(gateway, a_day("10")).await?;
    let client = gateway.client("demo")?;
    let no_end = json!({"raw": ["{\"id\""], "fault": {"kind": "stall", "after-chunks": 1}});
    let cases = [
        ("no headers", says("x"), json!({"fault": {"kind": "stall"}})),
        ("no end", says("x"), no_end),
        ("closed", says("x"), json!({"fault": {"kind": "close"}})),
        ("no stream", streams("x"), json!({"body": {"a": 1}})),
        (
            "broken stream",
            streams("x"),
            json!({"deltas": ["one", "two"], "fault": {"kind": "reset", "after-chunks": 2}}),
        ),
    ];
    for (case, body, answer) in cases {
        priced.provider.script(&json!({"default": answer})).await?;
        let reply = client.chat(&body).await?;
        let (closed, reserved) = end(gateway, &reply).await?;
        assert_eq!(closed.outcome, Outcome::Error, "{case}");
        assert!(reserved >= ANSWER, "{case}: {reserved}");
        assert_eq!(closed.charged_pico_usd, reserved, "{case}: {closed:?}");
        assert!(closed.estimated, "{case}");
        assert_eq!(quantity(&closed, "output-tokens"), 64, "{case}");
    }
    Ok(())
}

#[tokio::test]
async fn a_status_that_is_no_success_costs_nothing() -> anyhow::Result<()> {
    let priced = Priced::start("").await?;
    let gateway = &priced.gateway;
    put(gateway, a_day("10")).await?;
    let client = gateway.client("demo")?;
    for status in [400, 429, 500] {
        let answer = json!({"status": status, "body": {"error": {"message": "no"}}});
        priced.provider.script(&json!({"default": answer})).await?;
        let (closed, _) = end(gateway, &client.chat(&says("x")).await?).await?;
        assert_eq!(closed.charged_pico_usd, Picos(0), "{status}: {closed:?}");
        assert!(closed.attempts[0].meters.is_empty(), "{status}");
    }
    Ok(())
}

#[tokio::test]
async fn an_answer_that_ended_with_an_error_is_charged_as_it_came() -> anyhow::Result<()> {
    let priced = Priced::start("").await?;
    let gateway = &priced.gateway;
    put(gateway, a_day("10")).await?;
    let answer = json!({"body": {"error": {"message": "no", "code": "overloaded"}}});
    priced.provider.script(&json!({"default": answer})).await?;
    let reply = gateway.client("demo")?.chat(&says("x")).await?;
    let (closed, reserved) = end(gateway, &reply).await?;
    assert!(closed.charged_pico_usd > Picos(0) && closed.charged_pico_usd < reserved);
    assert!(closed.estimated);
    Ok(())
}

#[tokio::test]
async fn a_stream_that_the_drain_cuts_is_charged_what_came() -> anyhow::Result<()> {
    let mut priced = Priced::with("", "", json!({"drain-ms": 300})).await?;
    put(&priced.gateway, a_day("10")).await?;
    let deltas = vec!["0123456789abcdef "; 600];
    let script = json!({"default": {"deltas": deltas, "delays": {"chunk-ms": 20}}});
    priced.provider.script(&script).await?;
    let client = priced.gateway.client("demo")?;
    let mut streaming = client.open_chat(&streams("x")).await?;
    streaming.chunk().await?;
    tokio::time::sleep(Duration::from_millis(300)).await;
    priced.gateway.process.terminate()?;
    let reply = streaming.whole().await?;
    assert!(reply.text().contains("unavailable"), "{}", reply.text());
    priced.gateway.process.ended().await?;
    let records = closed(&priced.gateway)?;
    let [record] = records.as_slice() else {
        panic!("{records:?}");
    };
    let came = reply.content().len() as u64;
    let output = quantity(record, "output-tokens");
    assert!(
        output >= came / 4 && output > 0,
        "{output} of {came}: {record:?}"
    );
    assert!(record.charged_pico_usd >= Picos(i128::from(output) * OUT_PICOS));
    assert!(record.estimated);
    Ok(())
}

#[tokio::test]
async fn a_number_of_tokens_beyond_all_sums_is_refused_or_served_and_never_a_fault()
-> anyhow::Result<()> {
    let priced = Priced::start("").await?;
    let gateway = &priced.gateway;
    let client = gateway.client("demo")?;
    let mut body = says("x");
    body["max_tokens"] = json!(u64::MAX);
    body["n"] = json!(2);
    assert_eq!(client.chat(&body).await?.status, 200);
    put(gateway, a_day("10")).await?;
    let reply = client.chat(&body).await?;
    assert_eq!(reply.status, 429, "{}", reply.text());
    let limits = json!({"limits": {"tokens-per-minute": 1000}});
    put(gateway, limits).await?;
    let reply = client.chat(&body).await?;
    assert!(matches!(reply.status, 400 | 429), "{}", reply.text());
    Ok(())
}
