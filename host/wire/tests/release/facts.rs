//! Order, bounds, cuts and the contract, one by one.

use pointsman_domain::guard::Action;
use pointsman_domain::usage::Meter;
use pointsman_wire::release::{
    Command, LayerSpec, Op, Release, ReleaseError, ReleaseLimits, Shape,
};
use pointsman_wire::sse::Event;
use serde_json::{Value as Json, json};

use crate::client::Client;
use crate::guards::{Bench, Guard, Manner, reason};

const STREAM: Shape = Shape::Stream {
    client_wants_usage: false,
};

fn chunk(choices: &Json) -> String {
    json!({"id": "c1", "object": "chat.completion.chunk", "created": 7, "model": "m", "x": 1.50, "choices": choices}).to_string()
}

fn text(choice: u64, text: &str) -> String {
    chunk(&json!([{"index": choice, "delta": {"content": text}, "finish_reason": null}]))
}

fn call(arguments: &str) -> String {
    let calls = json!([{"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": arguments}}]);
    chunk(&json!([{"index": 0, "delta": {"tool_calls": calls}, "finish_reason": null}]))
}

fn finish(choice: u64) -> String {
    chunk(&json!([{"index": choice, "delta": {}, "finish_reason": "stop"}]))
}

fn event(data: &str) -> Event {
    Event::from_data(data.to_owned())
}

#[test]
fn other_choices_do_not_wait_for_a_held_one() {
    let mut bench = Bench::stream(vec![Guard::mask("secret", "x")]);
    bench.event(&text(0, "a sec"));
    bench.event(&text(1, "plain"));
    let client = Client::read(&bench.out);
    assert_eq!(
        (
            client.choices[&0].content.as_str(),
            client.choices[&1].content.as_str()
        ),
        ("a ", "plain")
    );
    bench.event(&finish(0));
    assert_eq!(Client::read(&bench.out).choices[&0].content, "a sec");
}

#[test]
fn rewritten_events_keep_what_is_not_text() {
    let mut bench = Bench::stream(vec![Guard::mask("secret", "x")]);
    bench.event(&text(0, "my secret"));
    assert_eq!(bench.text(), format!("data: {}\n\n", text(0, "my x")));
    // A tail that leaves with the finish has the lasting fields and its own spelling.
    bench.out.clear();
    bench.event(&text(0, " s"));
    bench.event(&text(0, "e"));
    bench.event(&finish(0));
    let tail = r#"{"created":7,"id":"c1","model":"m","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"se"},"finish_reason":null}]}"#;
    assert_eq!(
        bench.text(),
        format!(
            "data: {}\n\ndata: {tail}\n\ndata: {}\n\n",
            text(0, " "),
            finish(0)
        )
    );
}

#[test]
fn usage_is_read_and_kept_from_clients_that_did_not_ask() {
    let usage = json!({"object": "chat.completion.chunk", "choices": [], "usage": {"prompt_tokens": 10, "completion_tokens": 9,
        "total_tokens": 19, "prompt_tokens_details": {"cached_tokens": 4, "audio_tokens": 1},
        "completion_tokens_details": {"reasoning_tokens": 5}}});
    for (wants, seen) in [(true, true), (false, false)] {
        let mut bench = Bench::new(
            Vec::new(),
            true,
            Shape::Stream {
                client_wants_usage: wants,
            },
        );
        bench.event(&usage.to_string());
        assert_eq!(!bench.out.is_empty(), seen);
        let meter = |unit: &str, quantity| Meter {
            unit: unit.to_owned(),
            quantity,
            estimated: false,
        };
        assert_eq!(
            bench.release.summary().meters,
            [
                meter("input-tokens", 5),
                meter("output-tokens", 4),
                meter("cached-input-tokens", 4),
                meter("audio-input-tokens", 1),
                meter("reasoning-tokens", 5),
            ]
        );
    }
}

#[test]
fn the_service_tier_is_said_of_the_answer_or_beside_its_counts() {
    let told = |events: &[&str]| {
        let mut bench = Bench::new(Vec::new(), true, STREAM);
        for data in events {
            bench.event(data);
        }
        bench.release.summary().service_tier.clone()
    };
    let counts = r#"{"choices":[],"usage":{"prompt_tokens":1,"service_tier":"batch"}}"#;
    assert_eq!(told(&[counts]).as_deref(), Some("batch"));
    // What comes later is what was billed; `null` says nothing.
    let first = r#"{"choices":[],"service_tier":"auto","usage":null}"#;
    let last = r#"{"choices":[],"service_tier":"priority","usage":{"prompt_tokens":1}}"#;
    let silent = r#"{"choices":[],"service_tier":null,"usage":{"prompt_tokens":1}}"#;
    assert_eq!(told(&[first, last, silent]).as_deref(), Some("priority"));
    assert_eq!(told(&[silent]), None);
}

#[test]
fn reasoning_beside_the_completion_is_not_taken_from_it() {
    let mut bench = Bench::new(Vec::new(), true, STREAM);
    bench.event(
        r#"{"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":13,"completion_tokens_details":{"reasoning_tokens":10}}}"#,
    );
    let quantities: Vec<u64> = bench
        .release
        .summary()
        .meters
        .iter()
        .map(|meter| meter.quantity)
        .collect();
    assert_eq!(quantities, [1, 2, 10]);
}

#[test]
fn channels_tell_what_they_carry() {
    let mut bench = Bench::stream(vec![Guard::new(Manner::Pass)]);
    bench.event(&call(r#"{"a/b":["x",-1"#));
    bench.event(&call("5]}"));
    bench.event(&text(2, "hi"));
    let told: Vec<String> = bench.guards[0]
        .opened
        .values()
        .map(|channel| {
            format!(
                "{} {} {}{}",
                channel.choice, channel.item, channel.kind, channel.path
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            "0 0 tool-name",
            "0 0 tool-argument#key",
            "0 0 tool-argument/a~1b/0",
            "0 0 tool-name",
            "0 0 tool-argument/a~1b/1",
            "2 0 text",
        ]
    );
    assert_eq!(bench.guards[0].opened[&2].attributes[0].value, "c".into());
}

#[test]
fn a_masked_number_becomes_a_string_and_a_passed_one_stays() {
    let mut bench = Bench::stream(vec![Guard::mask("4111", "#")]);
    for fragment in ["{\"n\": 34", "111", "5 , \"m\":1.5", "0e2}"] {
        bench.event(&call(fragment));
    }
    bench.event(&finish(0));
    let client = Client::read(&bench.out);
    assert_eq!(
        client.choices[&0].calls[&0].1,
        "{\"n\": \"3#5\" , \"m\":1.50e2}"
    );
}

#[test]
fn one_push_holds_all_text_of_an_event() {
    let mut release = Release::new(
        vec![Guard::new(Manner::Pass).spec(true)],
        STREAM,
        ReleaseLimits::default(),
    );
    let two = chunk(
        &json!([{"index": 0, "delta": {"content": "a", "reasoning": "r"}}, {"index": 1, "delta": {"content": "b"}}]),
    );
    release.event(event(&two), 0);
    let mut ops = Vec::new();
    while let Some(Command { op, .. }) = release.command() {
        let actions = match &op {
            Op::Push(deltas) => deltas
                .iter()
                .map(|d| Action::Pass {
                    channel: d.channel,
                    bytes: 1,
                })
                .collect(),
            _ => Vec::new(),
        };
        ops.push(op);
        release.answer(actions).expect("fits");
    }
    assert_eq!(ops.len(), 4, "three opens and one push: {ops:?}");
    assert_eq!(
        release.output().expect("the event"),
        format!("data: {two}\n\n")
    );
}

#[test]
fn a_cut_ends_the_choice_in_the_dialect() {
    let cut = |all, refusal| {
        Guard::new(Manner::CutAt {
            word: "stop".to_owned(),
            all,
            refusal,
        })
    };
    let mut bench = Bench::stream(vec![cut(false, true)]);
    bench.event(&text(1, "b"));
    bench.event(&text(0, "go stop it"));
    bench.event(&text(0, "more"));
    bench.event(&chunk(
        &json!([{"index": 0, "delta": {"content": "no"}}, {"index": 1, "delta": {"content": "c"}}]),
    ));
    bench.event(&finish(0));
    bench.event(&finish(1));
    bench.event("[DONE]");
    let client = Client::read(&bench.out);
    let choice = &client.choices[&0];
    assert_eq!(
        (choice.content.as_str(), choice.refusal.as_str()),
        ("go ", "sorry")
    );
    assert_eq!(choice.finish_reason.as_deref(), Some("content_filter"));
    assert_eq!(
        (
            client.choices[&1].content.as_str(),
            client.choices[&1].finish_reason.as_deref()
        ),
        ("bc", Some("stop"))
    );
    assert_eq!(
        bench.release.summary().finish_reasons,
        ["content_filter", "stop"]
    );
    assert_eq!(
        bench.release.summary().cut.as_ref().expect("cut").choice,
        Some(0)
    );

    let mut bench = Bench::stream(vec![cut(true, false), Guard::new(Manner::HoldAll)]);
    bench.event(&text(1, "b"));
    bench.event(&text(0, "go stop it"));
    let client = Client::read(&bench.out);
    assert!(client.done && bench.release.summary().done);
    assert_eq!(
        (
            client.choices[&0].content.as_str(),
            client.choices[&0].refusal.as_str()
        ),
        ("", "")
    );
    assert!(
        client
            .choices
            .values()
            .all(|choice| choice.finish_reason.as_deref() == Some("content_filter"))
    );
    let length = bench.out.len();
    bench.event(&text(0, "more"));
    bench.feed(b"data: [DONE]\n\n");
    assert_eq!(bench.out.len(), length);
}

#[test]
fn a_cut_before_the_answer_waits_for_its_id() {
    let mut bench = Bench::stream(vec![Guard::new(Manner::Pass)]);
    bench.release.cut(None, reason(false));
    bench.drive();
    assert!(bench.out.is_empty());
    bench.event(&text(0, "hello"));
    let client = Client::read(&bench.out);
    assert!(
        client.done && bench.text().contains("\"id\":\"c1\"") && !bench.text().contains("hello")
    );
    let mut bench = Bench::stream(vec![Guard::new(Manner::Pass)]);
    bench.release.cut(None, reason(false));
    bench.feed(b"");
    assert!(Client::read(&bench.out).done);
}

#[test]
fn kinds_that_a_required_guard_does_not_read_are_denied() {
    let spec = |required| {
        let mut spec = Guard::new(Manner::Pass).spec(required);
        spec.coverage.kinds = vec!["text".to_owned()];
        spec
    };
    for (data, kind) in [
        (call("{}"), "tool-name"),
        (
            chunk(&json!([{"index": 0, "delta": {"reasoning": "hm"}}])),
            "reasoning",
        ),
        (
            chunk(&json!([{"index": 0, "delta": {"audio": {"transcript": "hm"}}}])),
            "no guard",
        ),
    ] {
        let mut release = Release::new(vec![spec(true)], STREAM, ReleaseLimits::default());
        release.event(event(&data), 0);
        assert!(release.command().is_none());
        let cut = release.summary().cut.clone().expect("denied");
        assert_eq!(cut.reason.code, "uncovered-kind");
        assert!(cut.reason.detail.contains(kind), "{}", cut.reason.detail);
        let sent = release.output().expect("the end of the choice");
        assert!(!sent.windows(2).any(|pair| pair == b"hm"));
        let mut release = Release::new(vec![spec(false)], STREAM, ReleaseLimits::default());
        release.event(event(&data), 0);
        assert_eq!(
            release.output().expect("as it came"),
            format!("data: {data}\n\n")
        );
    }
}

#[test]
fn logprobs_and_second_tellings_do_not_go_past_guards() {
    let data = chunk(
        &json!([{"index": 0, "delta": {"content": "a"}, "logprobs": {"content": [{"token": "leak"}]}}]),
    );
    let mut bench = Bench::stream(vec![Guard::new(Manner::Pass)]);
    bench.event(&data);
    assert!(!bench.text().contains("leak") && bench.text().contains("\"logprobs\":null"));
    let details = |text: &str| {
        chunk(
            &json!([{"index": 0, "delta": {"reasoning": "secret", "reasoning_details": [{"type": "reasoning.text", "text": text}]}}]),
        )
    };
    for told in ["secret", "other"] {
        let mut bench = Bench::stream(vec![Guard::mask("secret", "x")]);
        bench.event(&details(told));
        assert!(!bench.text().contains(told), "{}", bench.text());
    }
    let mut bench = Bench::stream(vec![Guard::new(Manner::Pass)]);
    bench.event(&details("secret"));
    assert_eq!(bench.text(), format!("data: {}\n\n", details("secret")));
}

#[test]
fn malformed_arguments_are_denied_or_guarded_as_they_are() {
    for (arguments, rest) in [
        ("{\"a\": \"\\x", "secret\"}"),
        ("{} tail", " secret"),
        ("nope", "secret"),
    ] {
        let mut bench = Bench::stream(vec![Guard::mask("secret", "x")]);
        bench.event(&call(arguments));
        assert_eq!(
            bench
                .release
                .summary()
                .cut
                .as_ref()
                .expect("cut")
                .reason
                .code,
            "malformed-arguments"
        );
        let mut bench = Bench::new(vec![Guard::mask("secret", "x")], false, STREAM);
        bench.event(&call(arguments));
        bench.event(&call(rest));
        bench.event(&finish(0));
        let client = Client::read(&bench.out);
        assert_eq!(
            client.choices[&0].calls[&0].1,
            format!("{arguments}{}", rest.replace("secret", "x"))
        );
    }
}

#[test]
fn a_new_id_under_a_known_index_is_a_new_call() {
    let mut bench = Bench::stream(vec![Guard::new(Manner::Lag)]);
    bench.event(&call("{\"a\":1}"));
    bench.event(&call("{\"a\":2}").replace("\"id\":\"c\"", "\"id\":\"d\""));
    assert!(bench.release.summary().cut.is_none());
    bench.event("[DONE]");
    assert_eq!(
        Client::read(&bench.out).choices[&0].calls[&0].1,
        "{\"a\":1}{\"a\":2}"
    );
}

#[test]
fn arguments_whose_fragments_have_ids_of_their_own_are_one_call() {
    let mut bench = Bench::stream(vec![Guard::mask("secret", "x")]);
    for (id, fragment) in [("1", "{\"a\":\"sec"), ("2", "ret"), ("3", "\"}")] {
        bench.event(&call(fragment).replace("\"id\":\"c\"", &format!("\"id\":\"{id}\"")));
    }
    bench.event("[DONE]");
    assert_eq!(
        Client::read(&bench.out).choices[&0].calls[&0].1,
        "{\"a\":\"x\"}"
    );
}

#[test]
fn long_text_comes_in_several_pushes() {
    let limits = ReleaseLimits {
        push_bytes_max: 4,
        ..ReleaseLimits::default()
    };
    let mut bench = Bench::with_limits(vec![Guard::mask("secret", "x")], true, STREAM, limits);
    let long = "ab\u{1f511}\u{1f511}c secret \u{1f511}sec";
    bench.event(&text(0, long));
    bench.event(&finish(0));
    let client = Client::read(&bench.out);
    assert_eq!(client.choices[&0].content, long.replace("secret", "x"));
    let mut release = Release::new(vec![Guard::new(Manner::Pass).spec(true)], STREAM, limits);
    release.event(event(&text(0, "abcdefghi")), 0);
    let mut pushes = Vec::new();
    while let Some(Command { op, .. }) = release.command() {
        let mut actions = Vec::new();
        if let Op::Push(deltas) = op {
            let text = &deltas[0].text;
            let bytes = u32::try_from(text.len()).expect("short");
            actions.push(Action::Pass { channel: 0, bytes });
            pushes.push(text.clone());
        }
        release.answer(actions).expect("fits");
    }
    assert_eq!(pushes, ["abcd", "efgh", "i"]);
}

#[test]
fn signatures_pass_as_they_are() {
    let calls =
        json!([{"index": 0, "id": "c", "extra_content": {"google": {"thought_signature": "abc"}}}]);
    let data = chunk(&json!([{"index": 0, "delta": {"tool_calls": calls}}]));
    let mut bench = Bench::stream(vec![Guard::new(Manner::Pass)]);
    bench.event(&data);
    assert_eq!(bench.text(), format!("data: {data}\n\n"));
}

#[test]
fn text_held_too_long_or_too_much_expires() {
    let mut bench = Bench::stream(vec![Guard::mask("secret", "x")]);
    bench.release.event(event(&text(0, "a se")), 10);
    bench.drive();
    assert_eq!(bench.release.expires_at_ms(), Some(110));
    bench.release.event(event(&text(0, "c")), 60);
    bench.drive();
    assert_eq!(
        bench.release.expires_at_ms(),
        Some(110),
        "the oldest byte counts"
    );
    bench.release.expire(109);
    bench.drive();
    assert_eq!(Client::read(&bench.out).choices[&0].content, "a ");
    bench.release.expire(110);
    bench.drive();
    assert_eq!(Client::read(&bench.out).choices[&0].content, "a sec");
    assert_eq!(bench.release.expires_at_ms(), None);
    // What expired is gone; the stream is as it comes again.
    bench.out.clear();
    let odd = text(0, "ond").replace("ond", "\\u006fnd");
    bench.event(&odd);
    assert_eq!(bench.text(), format!("data: {odd}\n\n"));

    // More than declared: asked at once, and a guard that still holds breaks the contract.
    let mut spec = Guard::new(Manner::Pass).spec(true);
    spec.coverage.hold_back_bytes = 3;
    let mut release = Release::new(vec![spec], STREAM, ReleaseLimits::default());
    release.event(event(&text(0, "four")), 0);
    let mut next = || release.command().map(|command| command.op);
    assert!(matches!(next(), Some(Op::Open { .. })));
    release.answer(Vec::new()).expect("opened");
    assert!(matches!(
        release.command().map(|command| command.op),
        Some(Op::Push(_))
    ));
    release.answer(Vec::new()).expect("held");
    assert_eq!(
        release.command().map(|command| command.op),
        Some(Op::Expire(vec![0]))
    );
    assert_eq!(
        release.answer(Vec::new()),
        Err(ReleaseError::StillHeld {
            channel: 0,
            bytes: 4
        })
    );
    release.bypass(0);
    assert_eq!(release.command(), None);
    assert!(String::from_utf8_lossy(&release.output().expect("flows")).contains("four"));
}

#[test]
fn actions_that_break_the_contract_change_nothing() {
    let mut release = Release::new(
        vec![Guard::new(Manner::Lag).spec(true)],
        STREAM,
        ReleaseLimits::default(),
    );
    assert_eq!(release.answer(Vec::new()), Err(ReleaseError::NoCommand));
    release.event(event(&text(0, "aé")), 0);
    assert_eq!(
        release.answer(Vec::new()),
        Err(ReleaseError::NoCommand),
        "not handed out yet"
    );
    release.command().expect("open");
    release.answer(Vec::new()).expect("opened");
    release.command().expect("push");
    assert_eq!(release.command(), None, "one at a time");
    let pass = |channel, bytes| Action::Pass { channel, bytes };
    let mut wrong =
        |actions: Vec<Action>| release.answer(actions).expect_err("breaks the contract");
    assert_eq!(
        wrong(vec![pass(9, 1)]),
        ReleaseError::UnknownChannel { channel: 9 }
    );
    assert_eq!(
        wrong(vec![pass(0, 1), pass(0, 3)]),
        ReleaseError::TooMuch {
            channel: 0,
            bytes: 3,
            held: 2
        }
    );
    assert_eq!(
        wrong(vec![pass(0, 2)]),
        ReleaseError::InsideCharacter { channel: 0 }
    );
    let unknown = Action::Cut {
        choice: Some(5),
        reason: reason(false),
    };
    assert_eq!(
        wrong(vec![unknown]),
        ReleaseError::UnknownChoice { choice: 5 }
    );
    assert_eq!(release.output(), None);
    release.answer(vec![pass(0, 1), pass(0, 2)]).expect("fits");
    assert_eq!(
        release.output().expect("flows"),
        format!("data: {}\n\n", text(0, "aé"))
    );
}

#[test]
fn a_bypassed_guard_loses_nothing() {
    let mut bench = Bench::new(
        vec![Guard::new(Manner::HoldAll), Guard::mask("secret", "x")],
        false,
        STREAM,
    );
    bench.event(&text(0, "a sec"));
    bench.event(&call("{\"k\":\"sec"));
    assert!(!bench.text().contains("a "));
    bench.release.bypass(0);
    bench.drive();
    assert_eq!(Client::read(&bench.out).choices[&0].content, "a ");
    bench.event(&text(0, "ret b"));
    bench.event(&call("ret\"}"));
    bench.event("[DONE]");
    let client = Client::read(&bench.out);
    assert_eq!(client.choices[&0].content, "a x b");
    assert_eq!(client.choices[&0].calls[&0].1, "{\"k\":\"x\"}");
}

#[test]
fn buffers_are_bounded() {
    let limits = ReleaseLimits {
        buffered_bytes_max: 10,
        channels_max: 3,
        ..ReleaseLimits::default()
    };
    let mut bench = Bench::with_limits(vec![Guard::new(Manner::HoldAll)], true, STREAM, limits);
    bench.event(&text(0, "0123456789"));
    assert!(bench.release.summary().cut.is_none());
    bench.event(&text(0, "0"));
    assert_eq!(
        bench
            .release
            .summary()
            .cut
            .as_ref()
            .expect("cut")
            .reason
            .code,
        "buffer-full"
    );
    assert!(Client::read(&bench.out).done);
    let mut bench = Bench::with_limits(vec![Guard::new(Manner::Pass)], true, STREAM, limits);
    bench.event(&call("[1,2,3,4]"));
    assert_eq!(
        bench
            .release
            .summary()
            .cut
            .as_ref()
            .expect("cut")
            .reason
            .code,
        "channel-limit"
    );
}

#[test]
fn provider_errors_inside_a_stream_are_told() {
    let check = |stream: &str, wanted: &str| {
        let mut bench = Bench::stream(vec![Guard::new(Manner::Pass)]);
        bench.feed(stream.as_bytes());
        assert_eq!(
            bench.release.summary().provider_error.as_deref(),
            Some(wanted),
            "{stream}"
        );
    };
    check(
        "data: {\"error\":{\"message\":\"m\",\"code\":\"overloaded\"}}\n\n",
        "overloaded",
    );
    check(
        "data: {\"error\":{\"message\":\"busy\",\"code\":502},\"choices\":[{\"delta\":{},\"finish_reason\":\"error\"}]}\n\n",
        "502",
    );
    check("data: {\"error\":\"busy\"}\n\n", "an error without a code");
    check("event: error\ndata: {\"choices\":[]}\n\n", "an error event");
    for broken in [
        "{",
        "[]",
        "3",
        "{\"choices\":3}",
        "{\"choices\":[{\"delta\":{\"content\":3}}]}",
        "{\"choices\":[3]}",
        "{\"a\":1,\"a\":2,\"choices\":[]}",
        "{}",
    ] {
        check(&format!("data: {broken}\n\n"), "malformed chunk");
    }
}

#[test]
fn an_aborted_stream_gives_what_its_guards_release_and_no_end() {
    let mut bench = Bench::stream(vec![Guard::mask("secret", "x")]);
    bench.event(&text(0, "a secret, a sec"));
    bench.release.abort(1);
    bench.drive();
    let client = Client::read(&bench.out);
    assert_eq!(
        (client.choices[&0].content.as_str(), client.done),
        ("a x, a sec", false)
    );
    assert_eq!(bench.guards[0].finished, Some(false));
}

#[test]
fn a_guard_without_text_to_read_is_only_finished() {
    let mut release = Release::new(
        vec![LayerSpec {
            coverage: Guard::new(Manner::Pass).spec(true).coverage,
            required: true,
        }],
        STREAM,
        ReleaseLimits::default(),
    );
    release.event(event(&finish(0)), 0);
    release.event(event("[DONE]"), 0);
    let command = release.command().expect("finish");
    let Op::Finish(outcome) = command.op else {
        panic!("finish first")
    };
    assert_eq!(outcome[0].value, "stop".into());
    release.answer(Vec::new()).expect("finished");
    assert!(release.summary().done);
}
