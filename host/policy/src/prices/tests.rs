//! Rows as they come, and what is refused.

use proptest::prelude::*;

use super::Catalogue;

const MINI: &str = r#"{"provider":"openai","model":"gpt-4o-mini","litellm_provider":"openai","mode":"chat","usd_per_mtok":{"in":0.15,"out":0.6,"cache_read":0.075,"batch_in":0.075},"context":128000,"max_output":16384,"caps":["tools"],"source":"litellm 1.106.2","date":"2026-11-24"}"#;

fn read(text: &str) -> Catalogue {
    Catalogue::parse("prices.jsonl", text).expect("a catalogue")
}

fn refused(text: &str) -> String {
    Catalogue::parse("prices.jsonl", text)
        .expect_err("refused")
        .to_string()
}

/// `unit above pico-usd`, one a line.
fn rates(catalogue: &Catalogue, key: &str) -> String {
    let rates = catalogue.rates(key).expect("known");
    let lines = rates.iter().map(|rate| {
        format!(
            "{} {} {}",
            rate.unit, rate.above_input_tokens, rate.pico_usd
        )
    });
    lines.collect::<Vec<_>>().join("; ")
}

fn row(mode: &str, prices: &str, tiers: &str) -> String {
    format!(
        r#"{{"provider":"p","model":"m","mode":"{mode}","usd_per_mtok":{prices},"tiers":{tiers}}}"#
    )
}

#[test]
fn a_row_gives_rates_with_source_and_date() {
    let catalogue = read(MINI);
    assert_eq!(
        rates(&catalogue, "openai/gpt-4o-mini"),
        "input-tokens 0 150000; output-tokens 0 600000; cached-input-tokens 0 75000"
    );
    let rate = &catalogue.rates("openai/gpt-4o-mini").expect("known")[0];
    let attributes: Vec<_> = rate
        .attributes
        .iter()
        .map(|a| (a.key.as_str(), a.value.as_text()))
        .collect();
    assert_eq!(
        attributes,
        [
            ("source", Some("litellm 1.106.2")),
            ("date", Some("2026-11-24"))
        ]
    );
    assert_eq!(catalogue.rates("openai/gpt-5"), None);
}

#[test]
fn a_row_without_a_source_names_its_file() {
    let catalogue = read(&row("chat", r#"{"in":1}"#, "[]"));
    assert_eq!(
        catalogue.rates("p/m").expect("known")[0].attributes[0]
            .value
            .as_text(),
        Some("prices.jsonl")
    );
}

#[test]
fn tiers_hold_above_their_border() {
    let catalogue = read(&row(
        "chat",
        r#"{"in":1.25,"out":10}"#,
        r#"[{"above_input_tokens":200000,"in":2.5,"out":15}]"#,
    ));
    assert_eq!(
        rates(&catalogue, "p/m"),
        "input-tokens 0 1250000; output-tokens 0 10000000; input-tokens 200000 2500000; output-tokens 200000 15000000"
    );
}

#[test]
fn service_tiers_are_kept_apart_from_the_standard_rates() {
    let catalogue = read(&row(
        "chat",
        r#"{"in":2,"out":8,"batch_in":1,"batch_out":4,"priority_in":3.5,"flex_out":0,"cache_write_1h":9}"#,
        r#"[{"above_input_tokens":5,"batch_in":1.5}]"#,
    ));
    assert_eq!(
        rates(&catalogue, "p/m"),
        "input-tokens 0 2000000; output-tokens 0 8000000"
    );
    let told: Vec<_> = catalogue
        .services("p/m")
        .flat_map(|(tier, rates)| rates.iter().map(move |rate| (tier, rate)))
        .map(|(tier, rate)| {
            assert_eq!(rate.attributes[1].value.as_text(), Some(tier));
            format!(
                "{tier} {} {} {}",
                rate.unit, rate.above_input_tokens, rate.pico_usd
            )
        })
        .collect();
    // A zero beside other prices is nobody's.
    assert_eq!(
        told,
        [
            "batch input-tokens 0 1000000",
            "batch output-tokens 0 4000000",
            "batch input-tokens 5 1500000",
            "priority input-tokens 0 3500000",
        ]
    );
    assert_eq!(catalogue.services("p/other").count(), 0);
    let cheaper = row("chat", r#"{"in":1,"batch_in":0.5}"#, "[]");
    let dearer = cheaper.replace("0.5", "0.6");
    assert_ne!(read(&cheaper).digest(), read(&dearer).digest());
}

#[test]
fn zero_is_free_only_where_nothing_is_charged() {
    let of = |mode: &str, prices: &str, tiers: &str| rates(&read(&row(mode, prices, tiers)), "p/m");
    assert_eq!(
        of("chat", r#"{"in":0,"out":0.0}"#, "[]"),
        "input-tokens 0 0; output-tokens 0 0"
    );
    assert_eq!(
        of("chat", r#"{"in":0.0,"out":2}"#, "[]"),
        "output-tokens 0 2000000"
    );
    assert_eq!(of("chat", r#"{"in":0,"out":0,"batch_in":1}"#, "[]"), "");
    assert_eq!(
        of(
            "chat",
            r#"{"in":0}"#,
            r#"[{"above_input_tokens":5,"in":3}]"#
        ),
        "input-tokens 5 3000000"
    );
    assert_eq!(
        of("embedding", r#"{"in":0.02,"out":0}"#, "[]"),
        "input-tokens 0 20000; output-tokens 0 0"
    );
    assert_eq!(of("rerank", r#"{"in":0,"out":0}"#, "[]"), "");
}

#[test]
fn a_provider_is_not_said_twice_unless_another_row_has_the_key() {
    let one = r#"{"provider":"xai","model":"xai/grok","usd_per_mtok":{"in":1}}"#;
    assert_eq!(read(one).keys().collect::<Vec<_>>(), ["xai/grok"]);
    let two = format!(
        "{one}\n{}",
        r#"{"provider":"xai","model":"grok","usd_per_mtok":{"in":2}}"#
    );
    let both = read(&two);
    assert_eq!(
        both.keys().collect::<Vec<_>>(),
        ["xai/grok", "xai/xai/grok"]
    );
    assert_eq!(rates(&both, "xai/grok"), "input-tokens 0 2000000");
}

#[test]
fn what_would_be_silently_wrong_is_refused_with_its_line() {
    for (text, place, piece) in [
        (
            format!("{MINI}\n\n{MINI}"),
            "prices.jsonl:3:",
            "is there twice: first in line 1",
        ),
        (
            row("chat", r#"{"in":0.1234567}"#, "[]"),
            "prices.jsonl:1:",
            "`in`: finer than a pico-dollar",
        ),
        (
            row("chat", r#"{"in":-1}"#, "[]"),
            "prices.jsonl:1:",
            "not negative",
        ),
        (
            row("chat", r#"{"per_image":1}"#, "[]"),
            "prices.jsonl:1:",
            "unknown price `per_image`",
        ),
        (
            row("chat", r#"{"in":1}"#, r#"[{"in":2}]"#),
            "prices.jsonl:1:",
            "a tier needs `above_input_tokens`",
        ),
        (
            row(
                "chat",
                r#"{"in":1}"#,
                r#"[{"above_input_tokens":1,"in":2},{"above_input_tokens":1,"in":3}]"#,
            ),
            "prices.jsonl:1:",
            "two tiers above 1",
        ),
        (
            r#"{"provider":"p","model":"m","usd_per_mtok":{},"tires":[]}"#.to_owned(),
            "prices.jsonl:1:",
            "did you mean `tiers`?",
        ),
    ] {
        let error = refused(&text);
        assert!(error.starts_with(place) && error.contains(piece), "{error}");
    }
}

#[test]
fn the_digest_is_of_the_content() {
    let other = row("chat", r#"{"in":1}"#, "[]");
    let forth = read(&format!("{MINI}\n{other}")).digest();
    assert_eq!(forth, read(&format!("{other}\n\n{MINI}\n")).digest());
    assert_ne!(forth, read(MINI).digest());
    assert_ne!(
        read(MINI).digest(),
        read(&MINI.replace("2026-11-24", "2026-11-25")).digest()
    );
}

proptest! {
    #[test]
    fn no_text_panics(text in "\\PC{0,120}") {
        let _ = Catalogue::parse("p", &text).map_err(|error| error.to_string());
    }

    #[test]
    fn no_price_panics(price in "[-+0-9.eE]{1,30}") {
        let _ = Catalogue::parse("p", &row("chat", &format!("{{\"in\":{price}}}"), "[]"));
    }
}
