//! What cases mean, from outside.

use serde_json::{Map, Value as Json, json};

use crate::{Case, Edited, Flow, Outcome, Priced, hmac_sha256, read, ways};

fn case(json: &Json) -> Case {
    let mut cases = read(&json.to_string()).expect("a case");
    cases.pop().expect("one")
}

fn expecting(expect: &Json) -> Case {
    case(&json!({"name": "x", "expect": expect}))
}

fn planned(targets: &[&str]) -> Outcome {
    let mut outcome = Outcome::default();
    let attempts = targets
        .iter()
        .map(|target| ((*target).to_owned(), Map::new()));
    outcome.plan(attempts, "why", Map::new());
    outcome.labels([("a".to_owned(), json!(1)), ("b".to_owned(), json!(2))]);
    outcome
}

#[test]
fn labels_are_those_named_and_all_else_is_exact() {
    let found = planned(&["x", "y"]);
    assert!(
        expecting(&json!({"labels": {"a": 1}, "plan": ["x", "y"], "reason": "why"}))
            .differing(&found)
            .is_empty()
    );
    for expect in [
        json!({"labels": {"a": 2}}),
        json!({"labels": {"c": 1}}),
        json!({"plan": ["x"]}),
        json!({"reason": "r"}),
    ] {
        assert_eq!(expecting(&expect).differing(&found).len(), 1, "{expect}");
    }
}

#[test]
fn a_refusal_is_found_by_a_piece_and_explains_what_is_missing() {
    let found = Outcome::refused("long-tokens: must be above 0");
    assert!(
        expecting(&json!({"refused": "above 0"}))
            .differing(&found)
            .is_empty()
    );
    let told = expecting(&json!({"plan": []})).differing(&found);
    assert!(told[0].contains("above 0"), "{told:?}");
}

#[test]
fn what_cannot_mean_anything_is_refused_with_its_line() {
    for (line, why) in [
        (json!({"name": "x", "expect": {}}), "expects nothing"),
        (json!({"name": "x", "expect": {"plann": []}}), "`plann`"),
        (
            json!({"name": "x", "input": {}, "expect": {"plan": []}}),
            "`input`",
        ),
        (
            json!({"name": "x", "inputs": {"labels": {"a": {}}}, "expect": {"plan": []}}),
            "no value",
        ),
        (
            json!({"name": "x", "inputs": {"counts": {"hits": 1}}, "expect": {"plan": []}}),
            "`hits`",
        ),
        (
            json!({"name": "x", "inputs": {"secrets": {"sign": "k"}}, "expect": {"plan": []}}),
            "secret://sign",
        ),
    ] {
        let told = read(&format!("\n{line}"))
            .expect_err("malformed")
            .to_string();
        assert!(told.starts_with("line 2") && told.contains(why), "{told}");
    }
    assert!(read("\n\n").is_err());
}

#[test]
fn a_secret_has_its_test_value_or_a_key_made_from_its_name() {
    let with = |inputs: Json| {
        let config = json!({"key": "secret://sign"});
        case(&json!({"name": "x", "config": config, "inputs": inputs, "expect": {"plan": []}}))
            .secrets()
    };
    assert_eq!(
        with(json!({"secrets": {"sign": "Jefe"}})),
        [("sign".to_owned(), b"Jefe".to_vec())]
    );
    assert_eq!(with(json!({})), with(json!({})));
    assert_ne!(with(json!({})), with(json!({"secrets": {"sign": ""}})));
    // RFC 4231, test case 2.
    let signed = hmac_sha256(b"Jefe", b"what do ya want for nothing?");
    assert_eq!(signed[..4], [0x5b, 0xdc, 0xc1, 0x46]);
}

#[test]
fn edits_fit_their_texts() {
    let segments = [("text", "ask jane"), ("tool-argument", "x"), ("text", "ü")];
    let edit = |segment, start, end| Edited {
        segment,
        start,
        end,
        text: "[NAME]",
    };
    let mut outcome = Outcome::default();
    outcome
        .edited(segments, &[edit(0, 4, 8), edit(2, 0, 2)], Map::new())
        .expect("they fit");
    let expect = json!({"verdict": "edit", "edited": "ask [NAME]\n[NAME]", "set": {}});
    assert_eq!(expecting(&expect).differing(&outcome), [""; 0]);
    for edits in [
        vec![edit(0, 4, 8), edit(0, 7, 8)],
        vec![edit(2, 0, 1)],
        vec![edit(3, 0, 0)],
    ] {
        assert!(
            outcome.edited(segments, &edits, Map::new()).is_err(),
            "{edits:?}"
        );
    }
}

#[test]
fn one_line_without_a_price_leaves_no_sum() {
    let mut outcome = Outcome::default();
    outcome.lines([(0, "a", Priced::Exact(2)), (1, "a", Priced::Estimated(3))]);
    let expect = json!({"lines": {"0/a": "exact 2", "1/a": "estimated 3"}, "cost-pico-usd": "5"});
    assert_eq!(expecting(&expect).differing(&outcome), [""; 0]);
    outcome.lines([(0, "a", Priced::Exact(2)), (0, "b", Priced::Unpriced)]);
    assert_eq!(
        expecting(&json!({"cost-pico-usd": null})).differing(&outcome),
        [""; 0]
    );
}

#[test]
fn an_answer_is_cut_at_every_character_and_taken_on_borders() {
    let ways = ways("aüb");
    assert_eq!(ways.len(), 4);
    assert!(ways.iter().all(|way| way.concat() == "aüb"));
    let mut flow = Flow::default();
    flow.give("aüb");
    assert!(flow.take(2).is_err() && flow.take(5).is_err());
    assert_eq!(flow.take(3), Ok("aü".to_owned()));
    assert!(flow.within(0).is_err() && flow.within(1).is_ok() && flow.resolved().is_err());
}
