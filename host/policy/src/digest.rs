//! Content digests: equal content has an equal digest, however it was written.
//!
//! The canonical form is JSON without white space, keys sorted by their bytes, defaults filled in, plugins by digest.
//! A tag keeps digests of different things apart.

use std::collections::BTreeMap;

use pointsman_domain::Digest;
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::policy::{Capture, Instances, PluginRef, Policy};

/// sha256 of bytes, as for plugins and data files.
#[must_use]
pub fn bytes(bytes: &[u8]) -> Digest {
    Digest(Sha256::digest(bytes).into())
}

/// The digest of a bundle: its policy, the plugins that its references mean, its data files by name.
///
/// A reference without a digest stands for itself, so that an unpinned bundle still has an identity.
#[must_use]
pub fn bundle(
    policy: &Policy,
    plugins: &BTreeMap<PluginRef, Digest>,
    data: &BTreeMap<String, Digest>,
) -> Digest {
    of(
        "bundle",
        &json!({ "policy": normal_form(policy, plugins), "data": data }),
    )
}

/// The digest of a floor and a tenant's bundle together.
#[must_use]
pub fn effective(floor: Option<Digest>, bundle: Digest) -> Digest {
    of("effective", &json!({ "floor": floor, "bundle": bundle }))
}

/// A policy with every default filled in and every plugin by its digest.
#[must_use]
pub fn normal_form(policy: &Policy, plugins: &BTreeMap<PluginRef, Digest>) -> Value {
    let mut policy = policy.clone();
    for step in &mut policy.steps {
        step.on_fault = Some(step.on_fault());
    }
    let mut value = value_of(&policy);
    // Said or not is not the same in a floor, and what says nothing has the digest that it always had.
    value["audit"]["capture"] = match policy.audit.capture {
        None => json!("hash"),
        Some(Capture::Hash) => json!("hash, said"),
        Some(capture) => json!(capture),
    };
    let steps = value.get_mut("step").and_then(Value::as_array_mut);
    for (written, step) in policy.steps.iter().zip(steps.into_iter().flatten()) {
        if let Some(digest) = plugins.get(&written.plugin) {
            step["plugin"] = json!(digest);
        }
        // What is not said is the plugin's to choose, which is not the same as saying `fresh`.
        step["instances"] = match written.instances {
            None => json!("fresh"),
            Some(Instances::Fresh) => json!("fresh, said"),
            Some(Instances::Pooled) => json!("pooled"),
        };
    }
    value
}

/// The digest of anything that is JSON.
pub(crate) fn of(tag: &str, content: &impl Serialize) -> Digest {
    let mut canonical = format!("pointsman {tag} 1\n");
    write(&value_of(content), &mut canonical);
    bytes(canonical.as_bytes())
}

/// Plain data with text keys: serialising it cannot fail.
fn value_of(content: &impl Serialize) -> Value {
    serde_json::to_value(content).expect("plain data with text keys is JSON")
}

fn write(value: &Value, out: &mut String) {
    match value {
        Value::Object(object) => {
            // Sorted here, because a cargo feature of serde_json elsewhere in the build would keep insertion order.
            let sorted: BTreeMap<_, _> = object.iter().collect();
            out.push('{');
            for (index, (key, value)) in sorted.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                out.push_str(&Value::from(key.as_str()).to_string());
                out.push(':');
                write(value, out);
            }
            out.push('}');
        }
        Value::Array(values) => {
            out.push('[');
            for (index, value) in values.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write(value, out);
            }
            out.push(']');
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            out.push_str(&value.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use pointsman_domain::Digest;

    use super::{bundle, bytes, effective};
    use crate::policy::Policy;

    const PLAIN: &str = "format = 1\nname = 'a'\n[[step]]\nid = 's'\nphase = 'route'\nplugin = 'r@1'\nconfig = { x = 1, y = { a = 1, b = 2 } }\n";

    fn digest(text: &str, plugin: &str, data: &[(&str, &str)]) -> Digest {
        let policy = Policy::parse("p", text).expect("a policy");
        let plugins = policy
            .steps
            .iter()
            .map(|step| (step.plugin.clone(), bytes(plugin.as_bytes())))
            .collect();
        let data = data
            .iter()
            .map(|(name, text)| ((*name).to_owned(), bytes(text.as_bytes())))
            .collect();
        bundle(&policy, &plugins, &data)
    }

    #[test]
    fn the_same_content_has_the_same_digest() {
        let reordered = "name = 'a'\nformat = 1\n\n[execute]\nattempts-max = 3\n[[step]]\nplugin = 'r@1.0'\nphase = 'route' # why\nid = 's'\non-fault = 'fallback'\n[step.config]\ny = { b = 2, a = 1 }\nx = 1\n";
        assert_eq!(digest(PLAIN, "w", &[]), digest(reordered, "w", &[]));
        let as_json = r#"{"name":"a","format":1,"step":[{"id":"s","phase":"route","plugin":"r@1","config":{"y":{"b":2,"a":1},"x":1}}]}"#;
        let policy = Policy::parse_json("p", as_json).expect("a policy");
        let plugins = policy
            .steps
            .iter()
            .map(|step| (step.plugin.clone(), bytes(b"w")))
            .collect();
        assert_eq!(
            digest(PLAIN, "w", &[]),
            bundle(&policy, &plugins, &BTreeMap::new())
        );
    }

    #[test]
    fn other_content_has_another_digest() {
        let first = digest(PLAIN, "w", &[]);
        assert_ne!(first, digest(PLAIN, "v", &[]));
        assert_ne!(first, digest(PLAIN, "w", &[("list.txt", "x")]));
        assert_ne!(first, digest(&PLAIN.replace("x = 1", "x = 2"), "w", &[]));
        assert_ne!(first, digest(&PLAIN.replace("x = 1", "x = '1'"), "w", &[]));
        let audited = |audit: &str| digest(&format!("{PLAIN}[audit]\n{audit}\n"), "w", &[]);
        assert_eq!(first, audited(""));
        assert_ne!(first, audited("capture = 'hash'"));
        assert_ne!(first, audited("capture-bytes-max = 4096"));
        assert_ne!(effective(None, first), effective(Some(first), first));
        assert_ne!(effective(None, first), first);
    }
}
