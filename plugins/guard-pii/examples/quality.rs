//! Measures the scanner on labelled text: `cargo run -p guard-pii --example quality -- FILE.jsonl [--misses]`
//!
//! A line is `{"text", "spans": [{"type", "start", "end"}]}`, offsets in characters. A find counts where it overlaps
//! a span of its type; a span is recalled where a find of its type overlaps it.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::Write;

use guard_pii::Settings;
use guard_pii::kind::Kind;
use pointsman_guard::finds;
use pointsman_sdk::byte_of_character;
use serde_json::Value;

#[derive(Default)]
struct Tally {
    found: usize,
    right: usize,
    spans: usize,
    recalled: usize,
}

fn kind_of(name: &str) -> Option<Kind> {
    Some(match name {
        "EMAIL" => Kind::Email,
        "PHONE" => Kind::Phone,
        "CREDIT_CARD" => Kind::Card,
        "IBAN" => Kind::Iban,
        "IP" => Kind::Ip,
        "US_SSN" => Kind::UsSsn,
        _ => return None,
    })
}

fn span(json: &Value, text: &str) -> Option<(Kind, usize, usize)> {
    let place = |key: &str| {
        let character = json.get(key)?.as_u64()?;
        Some(byte_of_character(text, usize::try_from(character).ok()?))
    };
    let kind = kind_of(json.get("type")?.as_str()?)?;
    Some((kind, place("start")?, place("end")?))
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or("name a file of labelled lines")?;
    let misses = arguments.next().is_some_and(|word| word == "--misses");
    let mut out = std::io::stdout().lock();
    let settings = Settings::masking();
    let mut tallies = BTreeMap::<&str, Tally>::new();
    let (mut clean, mut clean_hit) = (0, 0);
    for line in std::fs::read_to_string(path)?.lines() {
        let json: Value = serde_json::from_str(line)?;
        let text = json.get("text").and_then(Value::as_str).unwrap_or_default();
        let spans = json.get("spans").and_then(Value::as_array);
        let spans: Vec<_> = spans
            .into_iter()
            .flatten()
            .filter_map(|json| span(json, text))
            .collect();
        let finds: Vec<_> = finds(&settings, text)
            .into_iter()
            .map(|find| (Kind::ALL[find.kind], find.start, find.end))
            .collect();
        if spans.is_empty() {
            clean += 1;
            clean_hit += usize::from(!finds.is_empty());
        }
        let overlap = |a: &(Kind, usize, usize), b: &(Kind, usize, usize)| {
            a.0 == b.0 && a.1 < b.2 && b.1 < a.2
        };
        for find in &finds {
            let right = spans.iter().any(|span| overlap(find, span));
            for name in ["all", find.0.name()] {
                let tally = tallies.entry(name).or_default();
                tally.found += 1;
                tally.right += usize::from(right);
            }
            if misses && !right {
                writeln!(
                    out,
                    "extra {}: {:?} in {text:?}",
                    find.0.name(),
                    &text[find.1..find.2]
                )?;
            }
        }
        for span in &spans {
            let recalled = finds.iter().any(|find| overlap(find, span));
            for name in ["all", span.0.name()] {
                let tally = tallies.entry(name).or_default();
                tally.spans += 1;
                tally.recalled += usize::from(recalled);
            }
            let whole = finds
                .iter()
                .any(|find| overlap(find, span) && find.1 <= span.1 && span.2 <= find.2);
            if misses && !whole {
                let word = if recalled { "part" } else { "missed" };
                writeln!(
                    out,
                    "{word} {}: {:?} in {text:?}",
                    span.0.name(),
                    &text[span.1..span.2]
                )?;
            }
        }
    }
    for (name, tally) in &tallies {
        let share = |part: usize, whole: usize| part as f64 / whole.max(1) as f64;
        let precision = share(tally.right, tally.found);
        let recall = share(tally.recalled, tally.spans);
        let f1 = 2.0 * precision * recall / (precision + recall).max(f64::MIN_POSITIVE);
        writeln!(
            out,
            "{name:>7}  P {precision:.3}  R {recall:.3}  F1 {f1:.3}  ({} spans)",
            tally.spans
        )?;
    }
    writeln!(out, "clean texts hit: {clean_hit} of {clean}")?;
    Ok(())
}
