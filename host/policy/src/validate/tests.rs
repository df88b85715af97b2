//! Findings as an operator reads them.

use pointsman_domain::Role;
use serde_json::json;

use super::{CredentialFact, Facts, check};
use crate::digest::bytes;
use crate::document::place;
use crate::finding::Finding;
use crate::installed::PluginFact;
use crate::policy::Policy;

const SOUND: &str = r#"format = 1
name = "trial"
version = "0.1.0"

[[model]]
name = "auto"
targets = ["local", "cloud"]

[[target]]
name = "local"
kind = "engine"
endpoint = "http://127.0.0.1:8090/v1"
model = "small"
price = "engine/small"

[[target]]
name = "cloud"
kind = "openai-compatible"
endpoint = "https://api.example.com/v1"
model = "big"
credential = "cloud"
capabilities = ["streaming", "tools"]
context-tokens = 128_000
quality = 0.9

[[variant]]
name = "control"
[[variant]]
name = "candidate"

[[step]]
id = "pii-in"
phase = "guard-request"
plugin = "guard-pii@0.1"
config = { email = "mask" }
required = true

[[step]]
id = "trial"
phase = "split"
plugin = "split-ab@0.1"
config = { weights = { control = 90, candidate = 10 } }

[[step]]
id = "rules"
phase = "route"
plugin = "route-rules"
when = "variant == 'candidate' && has(labels.task)"

[[step]]
id = "cost"
phase = "account"
plugin = "account-tokens@0.1"
grants = ["prices"]

[execute]
default-plan = ["local"]
"#;

fn facts() -> Facts {
    let plugin = |name: &str, roles: &[Role], imports: &[&str], config_schema| PluginFact {
        name: name.to_owned(),
        version: "0.1.0".to_owned(),
        digest: bytes(name.as_bytes()),
        roles: roles.to_vec(),
        imports: imports.iter().map(|import| (*import).to_owned()).collect(),
        config_schema,
    };
    let act = json!({ "enum": ["mask", "deny", "off"] });
    let guard = json!({ "type": "object", "additionalProperties": false, "properties": { "email": act, "card": act } });
    Facts {
        plugins: vec![
            plugin(
                "guard-pii",
                &[Role::RequestGuard, Role::ResponseGuard],
                &[],
                guard,
            ),
            plugin("split-ab", &[Role::Splitter], &[], json!(true)),
            plugin("route-rules", &[Role::Router], &[], json!(true)),
            plugin(
                "account-tokens",
                &[Role::Accountant],
                &["prices"],
                json!({ "type": "object" }),
            ),
        ],
        credentials: vec![CredentialFact {
            name: "cloud".to_owned(),
            origins: vec!["https://api.example.com".to_owned()],
        }],
        secrets: ["hook".to_owned()].into(),
        prices: Some(
            ["engine/small", "openai/gpt-4o-mini"]
                .map(str::to_owned)
                .into(),
        ),
        files: Some(["words.txt".to_owned()].into()),
        lock: None,
    }
}

fn findings(text: &str, floor: Option<&str>) -> Vec<Finding> {
    let policy = Policy::parse("policy.toml", text).expect("a policy");
    let floor = floor.map(|text| Policy::parse("floor.toml", text).expect("a floor"));
    let mut findings = check(&policy, floor.as_ref(), &facts());
    place(&mut findings, "policy.toml", text);
    findings
}

/// The sound policy with one piece replaced: exactly this finding.
#[track_caller]
fn finds(old: &str, new: &str, wanted: &str) {
    assert_eq!(SOUND.matches(old).count(), 1, "{old}");
    let found: Vec<_> = findings(&SOUND.replace(old, new), None)
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(found.join("\n"), wanted);
}

#[test]
fn a_sound_policy_has_no_findings() {
    assert_eq!(findings(SOUND, None), []);
}

#[test]
fn names_must_resolve() {
    finds(
        "targets = [\"local\", \"cloud\"]",
        "targets = [\"local\", \"cloud\", \"clod\"]",
        "error: policy.toml:7:30: model[0].targets[2]: unknown target `clod`; did you mean `cloud`?",
    );
    finds(
        "default-plan = [\"local\"]",
        "default-plan = [\"nowhere\"]",
        "error: policy.toml:57:17: execute.default-plan[0]: unknown target `nowhere`; there are: local, cloud",
    );
    finds(
        "credential = \"cloud\"",
        "credential = \"clout\"",
        "error: policy.toml:21:1: target[1].credential: unknown credential `clout`; did you mean `cloud`?",
    );
    finds(
        "price = \"engine/small\"",
        "price = \"engine/smal\"",
        "error: policy.toml:14:1: target[0].price: the price catalogue does not know `engine/smal`; did you mean `engine/small`?",
    );
    finds(
        "name = \"candidate\"",
        "name = \"control\"",
        "error: policy.toml:29:1: variant[1].name: variant `control` is there twice",
    );
}

#[test]
fn endpoints_and_credentials_fit() {
    finds(
        "https://api.example.com/v1",
        "https://api.other.com/v1",
        "error: policy.toml:21:1: target[1].credential: credential `cloud` may not be sent to https://api.other.com:443; its origins are https://api.example.com: change the endpoint, or the origins in pointsman.toml",
    );
    finds(
        "http://127.0.0.1:8090/v1",
        "127.0.0.1:8090",
        "error: policy.toml:12:1: target[0].endpoint: not an http or https URL: write `https://host/path` or `http://host:port/path`",
    );
    finds(
        "quality = 0.9",
        "quality = 1.5",
        "error: policy.toml:24:1: target[1].quality: a quality is a number from 0 to 1",
    );
}

#[test]
fn plugins_exist_and_play_their_role() {
    finds(
        "guard-pii@0.1",
        "guard-pi@0.1",
        "error: policy.toml:34:1: step[0].plugin: no plugin `guard-pi` is installed; did you mean `guard-pii`?",
    );
    finds(
        "split-ab@0.1",
        "split-ab@0.2",
        "error: policy.toml:41:1: step[1].plugin: no version of `split-ab@0.2` is installed; installed: 0.1.0",
    );
    finds(
        "\"route-rules\"",
        "\"split-ab\"",
        "error: policy.toml:47:1: step[2].plugin: split-ab@0.1.0 is no router; it is a splitter, for the phases split",
    );
}

#[test]
fn grants_match_what_a_plugin_calls() {
    finds(
        "grants = [\"prices\"]",
        "",
        "error: policy.toml:50:1: step[3].grants: account-tokens@0.1.0 calls `prices`, which this step does not grant; add grants = [\"prices\"]",
    );
    finds(
        "grants = [\"prices\"]",
        "grants = [\"prices\", \"clock\"]",
        "warning: policy.toml:54:21: step[3].grants[1]: account-tokens@0.1.0 never calls `clock`; remove the grant",
    );
    finds(
        "grants = [\"prices\"]",
        "grants = [\"prices\"]\nconfig = { to = [{ key = \"secret://hook\" }] }",
        "error: policy.toml:55:20: step[3].config.to[0].key: the step names a secret and may not use it; add grants = [\"secrets\"]",
    );
    finds(
        "grants = [\"prices\"]",
        "grants = [\"prices\"]\nconfig = { key = \"secret://hok\" }",
        "error: policy.toml:55:12: step[3].config.key: unknown secret `hok`; did you mean `hook`?",
    );
    finds(
        "grants = [\"prices\"]",
        "grants = [\"prices\"]\nconfig = { key = \"secret://env/HOME\" }",
        "error: policy.toml:55:12: step[3].config.key: not a secret's name: a step writes `secret://NAME`; define NAME as [[secret]] in pointsman.toml, which says where its value is",
    );
    finds(
        "grants = [\"prices\"]",
        "grants = [\"prices\"]\ndata = [\"words.txt\", \"../x\"]",
        "error: policy.toml:55:22: step[3].data[1]: not a data file: write a path within the bundle\nerror: policy.toml:55:1: step[3].data: the step names files and may not read them; add grants = [\"data\"]",
    );
}

#[test]
fn configs_follow_the_plugins_schema() {
    finds(
        "email = \"mask\"",
        "emial = \"mask\"",
        "error: policy.toml:35:12: step[0].config.emial: unknown key `emial`; did you mean `email`?",
    );
    finds(
        "email = \"mask\"",
        "email = \"hide\"",
        "error: policy.toml:35:12: step[0].config.email: \"hide\" is not one of \"mask\", \"deny\" or \"off\"",
    );
}

#[test]
fn what_happens_on_a_fault_fits_the_phase() {
    finds(
        "plugin = \"route-rules\"",
        "plugin = \"route-rules\"\non-fault = \"skip\"",
        "error: policy.toml:48:1: step[2].on-fault: on-fault = \"skip\" does not fit the phase route; write `fallback` or `deny`",
    );
    finds(
        "required = true",
        "required = true\non-fault = \"skip\"",
        "error: policy.toml:37:1: step[0].on-fault: a required guard is never skipped; write on-fault = \"deny\", or required = false",
    );
    finds(
        "required = true",
        "required = true\nwhen = \"tenant == 'a'\"",
        "error: policy.toml:37:1: step[0].when: a required guard always runs, so that `when` would never decide; remove `when`, or required = true",
    );
    finds(
        "plugin = \"route-rules\"",
        "plugin = \"route-rules\"\nrequired = true",
        "error: policy.toml:48:1: step[2].required: only guards can be required; remove it, or set on-fault = \"deny\"",
    );
}

#[test]
fn conditions_are_compiled() {
    finds(
        "has(labels.task)",
        "has(label.task)",
        "error: policy.toml:48:1: step[2].when: unknown name `label`: did you mean `labels`?",
    );
    finds(
        "required = true",
        "when = \"variant == 'control'\"",
        "error: policy.toml:36:1: step[0].when: `variant` is not known in the phase guard-request; it is chosen in `split`: ask for it in later phases",
    );
}

#[test]
fn a_splitter_needs_variants() {
    let text = SOUND.replace(
        "[[variant]]\nname = \"control\"\n[[variant]]\nname = \"candidate\"\n",
        "",
    );
    let found: Vec<_> = findings(&text, None)
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        found.join("\n"),
        "error: policy.toml:36:1: step[1].phase: a splitter without variants has nothing to choose; add [[variant]] entries, the control first\nerror: policy.toml:44:1: step[2].when: `variant` is always empty: the policy has no [[variant]]"
    );
}

#[test]
fn limits_have_a_ceiling() {
    finds(
        "grants = [\"prices\"]",
        "grants = [\"prices\"]\nlimits = { memory-mib = 4096 }",
        "error: policy.toml:55:12: step[3].limits.memory-mib: 4096 is more than a step may ask for (512)",
    );
}

#[test]
fn a_floor_holds_steps_alone() {
    let floor = SOUND.replace("name = \"trial\"", "name = \"platform\"\nkind = \"floor\"");
    let found: Vec<_> = findings(&floor, None)
        .iter()
        .map(ToString::to_string)
        .collect();
    for key in ["model", "target", "variant", "execute"] {
        assert!(
            found
                .iter()
                .any(|finding| finding.contains(&format!("a floor has no `{key}`"))),
            "{found:?}"
        );
    }
    assert!(
        found
            .iter()
            .any(|finding| finding.contains("a floor has no splitter")),
        "{found:?}"
    );
    let plain = "format = 1\nname = \"platform\"\nkind = \"floor\"\n[[step]]\nid = \"pii\"\nphase = \"guard-request\"\nplugin = \"guard-pii\"\nrequired = true\n";
    assert_eq!(findings(plain, None), []);
    assert_eq!(findings(SOUND, Some(plain)), []);
}

#[test]
fn another_floor_than_the_one_it_was_written_for_is_said() {
    let text = SOUND.replace("version = \"0.1.0\"", "floor = \"platform\"");
    let found: Vec<_> = findings(&text, None)
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        found.join("\n"),
        "warning: policy.toml:3:1: floor: written for the floor `platform`, and no floor is in force; set `floor` in pointsman.toml, or remove it here"
    );
}

#[test]
fn a_floor_that_lets_less_be_captured_is_said() {
    let floor = "format = 1\nname = \"platform\"\nkind = \"floor\"\n[audit]\ncapture = \"hash\"\n";
    let text = format!("{SOUND}\n[audit]\ncapture = \"full\"\n");
    let found = findings(&text, Some(floor));
    let [only] = &found[..] else {
        panic!("{found:?}");
    };
    assert!(!only.is_error());
    let told = only.to_string();
    assert!(
        told.contains("audit.capture: the floor `platform` lets no more than `hash`"),
        "{told}"
    );
    assert_eq!(findings(&text, None), []);
}

#[test]
fn an_empty_policy_offers_nothing() {
    let found: Vec<_> = findings("format = 1\nname = \"a b\"\n", None)
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(found.len(), 2);
    assert!(
        found[0].contains("not a policy name") && found[1].contains("no model is offered"),
        "{found:?}"
    );
}
