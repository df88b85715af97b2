//! Requests: what is refused, what plugins see, and that only edits change bytes.

use bytes::Bytes;
use pointsman_domain::request::{Edit, Segment, TextEdit};
use pointsman_domain::value::Attribute;
use pointsman_domain::{ErrorKind, GatewayError, Value};
use pointsman_wire::openai::error::parse_provider_error;
use pointsman_wire::openai::{
    ChatRequest, EditError, ParseLimits, TargetBody, error, model_body, models_body,
};
use proptest::prelude::*;
use serde_json::{Value as Json, json};

const RECORDED: [&str; 2] = [
    include_str!("data/openai-tools.req.json"),
    include_str!("data/deepseek-tools.req.json"),
];

fn parse(body: impl Into<Bytes>) -> Result<ChatRequest, GatewayError> {
    ChatRequest::parse(body.into(), &ParseLimits::default())
}

fn chat(body: &Json) -> ChatRequest {
    parse(body.to_string()).expect("a valid request")
}

fn text_edit(segment: usize, range: std::ops::Range<usize>, text: &str) -> Edit {
    let number = |at: usize| u32::try_from(at).expect("small");
    Edit::Text(TextEdit {
        segment: number(segment),
        start: number(range.start),
        end: number(range.end),
        text: text.to_owned(),
    })
}

fn set(key: &str, value: impl Into<Value>) -> Edit {
    Edit::Set(Attribute {
        key: key.to_owned(),
        value: value.into(),
    })
}

fn edited(before: &str, edits: &[Edit]) -> String {
    let after = parse(before.to_owned())
        .expect("valid")
        .edit(edits)
        .expect("fitting edits");
    String::from_utf8(after.body().to_vec()).expect("UTF-8")
}

#[track_caller]
fn refused(body: &str, kind: ErrorKind, param: Option<&str>) {
    let error = parse(body.to_owned()).expect_err("refused");
    assert_eq!(
        (error.kind, error.param.as_deref()),
        (kind, param),
        "{}",
        error.message
    );
}

#[test]
fn wrong_fields_are_named() {
    let field =
        |body: &Json, param: &str| refused(&body.to_string(), ErrorKind::InvalidField, Some(param));
    let user = json!([{"role": "user", "content": "hi"}]);
    field(&json!({"messages": user}), "model");
    field(&json!({"model": 3, "messages": user}), "model");
    field(&json!({"model": "m"}), "messages");
    field(&json!({"model": "m", "messages": []}), "messages");
    field(&json!({"model": "m", "messages": ["hi"]}), "messages[0]");
    let message =
        |message: Json, param: &str| field(&json!({"model": "m", "messages": [message]}), param);
    message(json!({"content": "hi"}), "messages[0].role");
    message(
        json!({"role": "robot", "content": "hi"}),
        "messages[0].role",
    );
    message(json!({"role": "user"}), "messages[0].content");
    message(json!({"role": "user", "content": 3}), "messages[0].content");
    message(
        json!({"role": "user", "content": ["hi"]}),
        "messages[0].content[0]",
    );
    message(
        json!({"role": "user", "content": [{"text": "hi"}]}),
        "messages[0].content[0].type",
    );
    message(
        json!({"role": "user", "content": [{"type": "text"}]}),
        "messages[0].content[0].text",
    );
    message(
        json!({"role": "user", "content": [{"type": "image_url", "image_url": {}}]}),
        "messages[0].content[0].image_url.url",
    );
    message(
        json!({"role": "assistant", "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": {}}}]}),
        "messages[0].tool_calls[0].function.arguments",
    );
    for (key, value) in [
        ("stream", json!("yes")),
        ("n", json!(0)),
        ("n", json!(1.5)),
        ("max_tokens", json!(-1)),
        ("temperature", json!("hot")),
        ("user", json!(7)),
        ("stream_options", json!(true)),
        ("response_format", json!("json")),
        ("tools", json!({})),
    ] {
        field(&json!({"model": "m", "messages": user, key: value}), key);
    }
    field(
        &json!({"model": "m", "messages": user, "tools": [{"type": "function", "function": {}}]}),
        "tools[0].function.name",
    );
    // Which of two a provider obeys nobody can tell, so neither may hide the other.
    for (completion, all) in [(7, 5), (5, 7), (5, 0)] {
        field(
            &json!({"model": "m", "messages": user, "max_completion_tokens": completion, "max_tokens": all}),
            "max_tokens",
        );
    }
}

#[test]
fn broken_json_is_placed() {
    let error = parse("{\"model\": \"m\",\n  \"messages\": [}").expect_err("refused");
    assert_eq!(error.kind, ErrorKind::InvalidJson);
    assert!(
        error.message.contains("line 2, column 16"),
        "{}",
        error.message
    );
    refused("", ErrorKind::InvalidJson, None);
    refused("[]", ErrorKind::InvalidJson, None);
    refused(
        "{\"model\":\"a\",\"mod\\u0065l\":\"b\"}",
        ErrorKind::InvalidJson,
        None,
    );
    refused(&"[".repeat(100_000), ErrorKind::InvalidJson, None);
    let error = parse(&b"{\"model\":\"\xff\"}"[..]).expect_err("refused");
    assert_eq!(error.kind, ErrorKind::InvalidJson);
}

#[test]
fn counts_are_bounded() {
    let limits = ParseLimits {
        messages_max: 2,
        values_max: 40,
        ..ParseLimits::default()
    };
    let many = json!({"model": "m", "messages": vec![json!({"role": "user", "content": ""}); 3]});
    let error = ChatRequest::parse(Bytes::from(many.to_string()), &limits).expect_err("refused");
    assert_eq!(error.param.as_deref(), Some("messages"));
    let many =
        json!({"model": "m", "messages": [{"role": "user", "content": "x"}], "x": vec![1; 40]});
    let error = ChatRequest::parse(Bytes::from(many.to_string()), &limits).expect_err("refused");
    assert_eq!(error.kind, ErrorKind::InvalidJson);
}

#[test]
fn settings_are_read() {
    let body = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}], "stream": true, "user": "u",
        "n": 3, "max_tokens": 7, "max_completion_tokens": 7.0, "stream_options": {"include_usage": true}});
    let request = chat(&body);
    assert_eq!(request.model(), "m");
    assert_eq!(request.user(), Some("u"));
    assert_eq!((request.n(), request.max_output_tokens()), (3, Some(7)));
    assert!(request.streaming() && request.include_usage());
    let plain =
        chat(&json!({"model": "m", "messages": [{"role": "user", "content": "hi"}], "n": null}));
    assert_eq!(
        (plain.n(), plain.max_output_tokens(), plain.user()),
        (1, None, None)
    );
    assert!(!plain.streaming() && !plain.include_usage());
}

/// `role/kind/path=text` of each segment.
fn told(segments: &[Segment]) -> Vec<String> {
    let told = |s: &Segment| {
        format!(
            "{}.{} {}/{}{}={}",
            s.message, s.part, s.role, s.kind, s.path, s.text
        )
    };
    segments.iter().map(told).collect()
}

#[test]
fn all_text_is_shown_decoded_and_in_order() {
    let body = json!({
        "model": "m", "temperature": 0.5, "response_format": {"type": "json_object"}, "service_tier": "flex",
        "messages": [
            {"role": "system", "content": "be \"kind\"\n"},
            {"role": "user", "name": "bob", "content": [
                {"type": "text", "text": "look"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
                {"type": "video", "video": {"caption": "c"}},
            ]},
            {"role": "assistant", "content": null, "refusal": "no", "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{\"a/b\":[\"x\\n\",-1.50e3,true]}"}},
                {"id": "c2", "type": "function", "function": {"name": "g", "arguments": "not json"}},
            ]},
            {"role": "tool", "tool_call_id": "c1", "content": "result"},
        ],
        "tools": [{"type": "function", "function": {"name": "f", "description": "does", "parameters": {"type": "object"}}}],
    });
    let view = chat(&body).view();
    assert_eq!(
        told(&view.segments),
        [
            "0.0 system/text=be \"kind\"\n",
            "1.0 user/text=look",
            "1.2 user/other/video/caption=c",
            "1.0 user/name=bob",
            "2.0 assistant/refusal=no",
            "2.1 assistant/tool-argument/a~1b#key=a/b",
            "2.1 assistant/tool-argument/a~1b/0=x\n",
            "2.1 assistant/tool-argument/a~1b/1=-1.50e3",
            "2.2 assistant/tool-argument=not json",
            "3.0 tool/tool-result=result",
            &format!("{}.0 tool/tool-descriptionf=does", u32::MAX),
        ]
    );
    let part = |message: usize, part: usize, key: &str| {
        let fields = &view.messages[message].parts[part].fields;
        fields
            .iter()
            .find(|(name, _)| name == key)
            .map(|(_, value)| value.clone())
    };
    assert_eq!(part(1, 1, "kind"), Some("image".into()));
    assert_eq!(part(1, 1, "media-type"), Some("image/png".into()));
    assert_eq!(part(1, 1, "bytes"), Some(3i64.into()));
    assert_eq!(part(2, 1, "tool-name"), Some("f".into()));
    assert_eq!(part(2, 1, "call-id"), Some("c1".into()));
    assert_eq!(part(3, 0, "call-id"), Some("c1".into()));
    assert_eq!(view.messages[1].fields[1], ("name".into(), "bob".into()));
    assert_eq!(
        view.tools[0].schema.as_deref(),
        Some(r#"{"type":"object"}"#)
    );
    assert_eq!(view.field("temperature"), Some(&Value::Number(0.5)));
    assert_eq!(view.field("response-format"), Some(&"json_object".into()));
    assert_eq!(view.field("service-tier"), Some(&"flex".into()));
    assert_eq!(view.field("dialect"), Some(&"openai-chat".into()));
    assert!(
        view.field("input-tokens-estimate")
            .and_then(Value::as_integer)
            .expect("an estimate")
            > 765
    );
}

#[test]
fn only_what_is_edited_changes() {
    let before = "{ \"x\": 1.0e2,\"messages\":[ {\"content\" :\"a\\u0062\\ud83d\\ude00c\", \"role\":\"user\"}],\"model\":\"m\" }";
    let after = edited(before, &[text_edit(0, 1..2, "\"")]);
    assert_eq!(after, before.replace("\\u0062", "\\\""));
    let after = edited(
        before,
        &[
            text_edit(0, 0..1, ""),
            text_edit(0, 2..6, "é"),
            text_edit(0, 7..7, "!"),
        ],
    );
    assert_eq!(
        after,
        before.replace("a\\u0062\\ud83d\\ude00c", "\\u0062éc!")
    );
}

#[test]
fn tool_arguments_are_edited_in_place_and_stay_json() {
    let arguments = "{\"k\\u0041\" : \"one\\n two\", \"n\": 4111 }";
    let body = json!({"model": "m", "messages": [{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": arguments}}]}]});
    let request = chat(&body);
    let after = request
        .edit(&[
            text_edit(0, 1..2, "\"B"),
            text_edit(1, 3..5, "\\"),
            text_edit(3, 0..2, "X"),
        ])
        .expect("fitting edits");
    let json: Json = serde_json::from_slice(after.body()).expect("JSON");
    let inner = json
        .pointer("/messages/0/tool_calls/0/function/arguments")
        .and_then(Json::as_str)
        .expect("arguments");
    assert_eq!(inner, "{\"k\\\"B\" : \"one\\\\two\", \"n\": \"X11\" }");
    assert_eq!(after.view().segments[3].text, "X11");
}

#[test]
fn settings_are_edited() {
    let before = r#"{"model":"m","messages":[{"role":"user","content":"hi"}],"max_tokens" : 9,"tools":[{"type":"function","function":{"name":"a"}}, {"type":"function","function":{"name":"b"}}],"tool_choice":{"type":"function","function":{"name":"a"}}}"#;
    assert_eq!(
        edited(before, &[set("max-output-tokens", 5i64)]),
        before.replace(" : 9", " : 5")
    );
    let mut warm = before.strip_suffix('}').expect("an object").to_owned();
    warm.push_str(",\"temperature\":0.5}");
    assert_eq!(edited(before, &[set("temperature", 0.5)]), warm);
    let without = edited(before, &[set("remove-tool", "a")]);
    assert_eq!(
        without,
        r#"{"model":"m","messages":[{"role":"user","content":"hi"}],"max_tokens" : 9,"tools":[{"type":"function","function":{"name":"b"}}]}"#
    );
    let without = edited(before, &[set("remove-tool", "b"), set("remove-tool", "a")]);
    assert_eq!(
        without,
        r#"{"model":"m","messages":[{"role":"user","content":"hi"}],"max_tokens" : 9}"#
    );
    let system = edited(
        before,
        &[
            text_edit(0, 0..2, "ho"),
            set("prepend-system", "be \"kind\""),
        ],
    );
    assert!(system.contains(r#""messages":[{"role":"system","content":"be \"kind\""},{"role":"user","content":"ho"}]"#), "{system}");
    let request = parse(before).expect("valid");
    let error = |edit: Edit| request.edit(&[edit]).expect_err("refused");
    assert_eq!(error(set("remove-tool", "c")), EditError::UnknownTool);
    assert_eq!(
        error(set("temperature", 9.0)),
        EditError::SettingValue("temperature")
    );
    assert_eq!(
        error(set("colour", "red")),
        EditError::UnknownSetting("colour".to_owned())
    );
}

#[test]
fn edits_that_do_not_fit_are_refused() {
    let request = chat(
        &json!({"model": "m", "messages": [{"role": "user", "content": "aé"}, {"role": "user", "content": "b"}]}),
    );
    let error = |edits: &[Edit]| request.edit(edits).expect_err("refused");
    assert_eq!(
        error(&[text_edit(2, 0..0, "")]),
        EditError::UnknownSegment {
            segment: 2,
            count: 2
        }
    );
    assert_eq!(
        error(&[text_edit(0, 0..2, "")]),
        EditError::Range {
            segment: 0,
            start: 0,
            end: 2
        }
    );
    assert_eq!(
        error(&[text_edit(0, 0..9, "")]),
        EditError::Range {
            segment: 0,
            start: 0,
            end: 9
        }
    );
    assert_eq!(
        error(&[text_edit(1, 0..1, ""), text_edit(0, 0..1, "")]),
        EditError::Order { segment: 0 }
    );
    assert_eq!(
        error(&[text_edit(0, 0..1, ""), text_edit(0, 0..3, "")]),
        EditError::Order { segment: 0 }
    );
}

#[test]
fn targets_get_their_model_and_are_asked_for_usage() {
    let target = |body: &str, include_usage| {
        let bytes = parse(body.to_owned())
            .expect("valid")
            .for_target(&TargetBody {
                model: "real",
                include_usage,
            });
        String::from_utf8(bytes.to_vec()).expect("UTF-8")
    };
    let body = |rest: &str| {
        format!(r#"{{"model" :"m", "messages":[{{"role":"user","content":"hi"}}]{rest} }}"#)
    };
    let real = |rest: &str| body(rest).replace("\"m\"", "\"real\"");
    assert_eq!(target(&body(""), true), real(""));
    assert_eq!(
        target(&body(r#","stream":true"#), false),
        real(r#","stream":true"#)
    );
    assert_eq!(
        target(&body(r#","stream":true"#), true),
        real(r#","stream":true,"stream_options":{"include_usage":true}"#)
    );
    assert_eq!(
        target(&body(r#","stream":true,"stream_options":{}"#), true),
        real(r#","stream":true,"stream_options":{"include_usage":true}"#)
    );
    assert_eq!(
        target(
            &body(r#","stream":true,"stream_options":{"include_usage":false,"x":1}"#),
            true
        ),
        real(r#","stream":true,"stream_options":{"include_usage":true,"x":1}"#)
    );
    assert_eq!(
        target(&body(r#","stream":true,"stream_options":null"#), true),
        real(r#","stream":true,"stream_options":{"include_usage":true}"#)
    );
}

#[test]
fn recorded_requests_pass_untouched() {
    for body in RECORDED {
        let request = parse(body).expect("a real request");
        let target = TargetBody {
            model: request.model(),
            include_usage: false,
        };
        assert_eq!(request.for_target(&target), body);
        assert_eq!(request.edit(&[]).expect("no edits").body(), body);
        assert!(!request.view().segments.is_empty());
        assert!(!request.view().tools.is_empty());
    }
}

#[test]
fn errors_are_told_in_the_dialect() {
    let told = GatewayError::new(ErrorKind::UnknownModel, "no \"x\"").with_param("model");
    let body = r#"{"error":{"message":"no \"x\"","type":"invalid_request_error","param":"model","code":"model_not_found"}}"#;
    assert_eq!(error::body(&told), body);
    assert_eq!(error::stream_event(&told), format!("data: {body}\n\n"));
    assert_eq!(
        models_body(&["a\"b".to_owned(), "c".to_owned()]),
        r#"{"object":"list","data":[{"id":"a\"b","object":"model","created":0,"owned_by":"pointsman"},{"id":"c","object":"model","created":0,"owned_by":"pointsman"}]}"#
    );
    assert_eq!(
        model_body("c"),
        r#"{"id":"c","object":"model","created":0,"owned_by":"pointsman"}"#
    );
}

#[test]
fn provider_errors_are_understood() {
    let check = |body: &str, message: Option<&str>, code: Option<&str>, param: Option<&str>| {
        let told = parse_provider_error(400, body.as_bytes());
        assert_eq!(
            (
                told.message.as_deref(),
                told.code.as_deref(),
                told.param.as_deref()
            ),
            (message, code, param)
        );
    };
    check(
        r#"{"error": {"code": "unsupported_value", "message": "bad", "param": "messages[0].role", "type": "t"}}"#,
        Some("bad"),
        Some("unsupported_value"),
        Some("messages[0].role"),
    );
    check(
        r#"{"error": {"code": 429, "message": "slow"}}"#,
        Some("slow"),
        Some("429"),
        None,
    );
    check(
        r#"{"error": {"message": "m", "type": "t", "code": null}}"#,
        Some("m"),
        Some("t"),
        None,
    );
    check(r#"{"error": "plain"}"#, Some("plain"), None, None);
    check(
        r#"[{"error": {"message": "listed"}}]"#,
        Some("listed"),
        None,
        None,
    );
    check(
        r#"{"detail": [{"msg": "field required"}]}"#,
        Some("field required"),
        None,
        None,
    );
    check(
        r#"{"object":"error","message":"old","type":"T"}"#,
        Some("old"),
        Some("T"),
        None,
    );
    check("<html>", None, None, None);
}

fn json_value() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        any::<f64>().prop_map(Json::from),
        ".{0,8}".prop_map(Json::from),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Json::from),
            proptest::collection::hash_map(".{0,4}", inner, 0..4)
                .prop_map(|map| map.into_iter().collect()),
        ]
    })
}

proptest! {
    #[test]
    fn any_bytes_are_refused_or_read_but_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse(bytes.clone());
        let _ = parse_provider_error(500, &bytes);
    }

    #[test]
    fn any_json_as_a_message_never_panics(value in json_value()) {
        for body in [
            json!({"model": "m", "messages": [value]}),
            json!({"model": "m", "messages": [{"role": "user", "content": [value]}]}),
            json!({"model": "m", "messages": [{"role": "assistant", "tool_calls": [value], "x": value}]}),
            json!({"model": "m", "messages": [{"role": "user", "content": ""}], "tools": [value], "stream_options": value}),
        ] {
            if let Ok(request) = parse(body.to_string()) {
                let _ = request.view();
                let _ = parse_provider_error(400, request.body());
            }
        }
    }

    #[test]
    fn json_is_accepted_where_serde_accepts_it(text in "[\\[\\]{}:,\"0-9eE+.\\-a \\\\utrls]{0,24}") {
        let body = format!(r#"{{"model":"m","messages":[{{"role":"user","content":"x"}}],"x":{text}}}"#);
        let ours = parse(body.clone());
        match serde_json::from_str::<Box<serde_json::value::RawValue>>(&body) {
            Ok(_) => prop_assert!(ours.is_ok() || text.contains(':'), "{body}"),
            Err(_) => prop_assert!(ours.is_err(), "{body}"),
        }
    }

    #[test]
    fn an_edit_shows_in_the_view_and_nowhere_else(
        texts in proptest::collection::vec(".{1,12}", 1..5),
        arguments in json_value(),
        pick in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(),
        new in ".{0,8}",
    ) {
        let messages: Vec<Json> = texts.iter().map(|text| json!({"role": "user", "content": text})).collect();
        let mut body = json!({"model": "m", "messages": messages, "unknown": arguments});
        let call = json!({"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": arguments.to_string()}}]});
        body["messages"].as_array_mut().expect("a list").push(call);
        let request = chat(&body);
        let before = request.view().segments;
        let segment = pick.index(before.len());
        let text = &before[segment].text;
        let borders: Vec<usize> = (0..=text.len()).filter(|at| text.is_char_boundary(*at)).collect();
        let start = borders[at.index(borders.len())];
        let after = request.edit(&[text_edit(segment, start..text.len(), &new)]).expect("a fitting edit").view();
        let wanted = format!("{}{new}", &text[..start]);
        let is_key = before[segment].path.ends_with("#key");
        // A string edited to nothing is no text any more; an edited key may become its sibling's.
        if !wanted.is_empty() && !is_key {
            prop_assert_eq!(&after.segments[segment].text, &wanted);
            for (index, (old, new)) in before.iter().zip(&after.segments).enumerate() {
                prop_assert!(index == segment || old == new);
            }
        }
        let json: Json = serde_json::from_slice(&after.body).expect("still JSON");
        let carried = json["messages"].as_array().and_then(|all| all.last()).expect("the call");
        let carried = carried["tool_calls"][0]["function"]["arguments"].as_str().expect("a string");
        prop_assert!(serde_json::from_str::<Json>(carried).is_ok());
        let unknown = format!("\"unknown\":{arguments}");
        prop_assert!(std::str::from_utf8(&after.body).expect("UTF-8").contains(&unknown));
    }
}
