//! Findings about embeddings as an operator reads them.

use crate::finding::Finding;
use crate::policy::Policy;
use crate::validate::EMBEDDED_FILES_MAX;

const SOUND: &str = r#"format = 1
name = "near"
[[model]]
name = "auto"
targets = ["chat"]
[[target]]
name = "chat"
kind = "openai-compatible"
endpoint = "https://api.example.com/v1"
model = "big"
[[target]]
name = "vectors"
kind = "openai-compatible"
endpoint = "https://api.example.com/v1"
model = "small"
[[step]]
id = "near"
phase = "route"
plugin = "near@1"
grants = ["embedding"]
data = ["like.txt"]
[execute]
default-plan = ["chat"]
[embedding]
target = "vectors"
"#;

fn found(text: &str) -> Vec<String> {
    let policy = Policy::parse("policy.toml", text).expect("a policy");
    let mut findings = Vec::new();
    super::check(&policy, &mut findings);
    findings.iter().map(Finding::to_string).collect()
}

#[track_caller]
fn finds(old: &str, new: &str, wanted: &str) {
    assert_eq!(SOUND.matches(old).count(), 1, "{old}");
    assert_eq!(found(&SOUND.replace(old, new)).join("\n"), wanted);
}

#[test]
fn a_target_of_its_own_computes_them_after_the_guards() {
    assert_eq!(found(SOUND), [""; 0]);
    finds("phase = \"route\"", "phase = \"split\"", "");
    finds(
        "target = \"vectors\"",
        "target = \"vector\"",
        "error: embedding.target: unknown target `vector`; did you mean `vectors`?",
    );
    finds(
        "[embedding]\ntarget = \"vectors\"\n",
        "",
        "error: step[0].grants[0]: nothing computes embeddings here; add [embedding] with `target`, the name of a [[target]] that has an embeddings API",
    );
}

#[test]
fn its_target_answers_no_chats() {
    finds(
        "targets = [\"chat\"]",
        "targets = [\"chat\", \"vectors\"]",
        "error: model[0].targets[1]: target `vectors` computes embeddings and answers no chats; remove it here, or give `embedding` a target of its own",
    );
    finds(
        "default-plan = [\"chat\"]",
        "default-plan = [\"vectors\"]",
        "error: execute.default-plan[0]: target `vectors` computes embeddings and answers no chats; remove it here, or give `embedding` a target of its own",
    );
}

#[test]
fn only_the_engine_sees_text_that_no_guard_has_passed() {
    for phase in ["classify", "guard-request"] {
        let early = SOUND.replace("phase = \"route\"", &format!("phase = \"{phase}\""));
        assert_eq!(
            found(&early),
            [format!(
                "error: step[0].grants[0]: in the phase {phase} no guard has passed the text yet, and target `vectors` is not the engine: the text would leave unguarded; name a target of kind `engine` in [embedding], or use embeddings from `split` on"
            )]
        );
        let own = early.replace(
            "name = \"vectors\"\nkind = \"openai-compatible\"",
            "name = \"vectors\"\nkind = \"engine\"",
        );
        assert_eq!(found(&own), [""; 0]);
    }
}

#[test]
fn a_floor_has_none_and_a_step_few_files() {
    let floor = "format = 1\nname = \"f\"\nkind = \"floor\"\n[[step]]\nid = \"s\"\nphase = \"classify\"\nplugin = \"p@1\"\ngrants = [\"embedding\"]\n";
    assert_eq!(
        found(floor),
        [
            "error: step[0].grants[0]: a floor has no targets, so that nothing computes embeddings for its steps; move the step to the tenants' policies, or remove the grant"
        ]
    );
    let files = format!("data = {:?}", vec!["x"; EMBEDDED_FILES_MAX + 1]);
    finds(
        "data = [\"like.txt\"]",
        &files,
        "error: step[0].data: 33 files are more than a step with `embedding` may have (32)",
    );
}

#[test]
fn its_limits_are_bounded_and_its_keys_known() {
    let embedding = |more: &str| {
        let text = format!("{SOUND}{more}");
        Policy::parse("policy.toml", &text).map(|policy| policy.embedding.expect("it has one"))
    };
    let usual = embedding("").expect("a policy");
    let limits = (usual.timeout_ms, usual.text_bytes_max, usual.dimensions_max);
    assert_eq!(limits, (2_000, 8_192, 4_096));
    for wrong in ["timeout-ms = 0", "text-bytes-max = 70_000", "model = \"m\""] {
        assert!(embedding(wrong).is_err(), "{wrong}");
    }
}
