//! Secrets that plugins have used for them: a step names them in its configuration, and the bytes stay here.
//!
//! Promises: a step reaches only the secrets that its own configuration names, for a tenant that they are for; nothing
//! prints a key.

use std::sync::Arc;

use hmac::{Hmac, Mac as _};
use serde_json::Value as Json;
use sha2::{Digest as _, Sha256};

/// What a configuration writes before a secret's name.
pub(crate) const PREFIX: &str = "secret://";
/// Every tenant, in a secret's list.
const EVERY_TENANT: &str = "*";

/// A key by its name, and the tenants that it is for.
#[derive(Clone)]
pub struct Secret {
    name: String,
    tenants: Arc<[String]>,
    /// Keyed once: the key itself is not kept.
    mac: Hmac<Sha256>,
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Secret")
            .field("name", &self.name)
            .field("tenants", &self.tenants)
            .finish_non_exhaustive()
    }
}

impl Secret {
    /// A secret for tenants by id; `*` is every tenant.
    #[must_use]
    pub fn new(name: &str, key: &[u8], tenants: &[String]) -> Self {
        Self {
            name: name.to_owned(),
            tenants: tenants.into(),
            mac: keyed(key),
        }
    }

    fn serves(&self, tenant: &str) -> bool {
        let is_meant = |known: &String| known == tenant || known == EVERY_TENANT;
        self.tenants.iter().any(is_meant)
    }
}

fn keyed(key: &[u8]) -> Hmac<Sha256> {
    // HMAC takes keys of every length, so that the other arm is never taken.
    Hmac::new_from_slice(key)
        .unwrap_or_else(|_| Hmac::new(&hmac::digest::Key::<Hmac<Sha256>>::default()))
}

/// The secrets that one step may use.
#[derive(Clone, Debug, Default)]
pub(crate) struct Secrets(Vec<Named>);

#[derive(Clone, Debug)]
struct Named {
    name: String,
    /// None where the node has no such secret.
    secret: Option<Secret>,
}

impl Secrets {
    /// Those that a configuration names.
    pub(crate) fn named_in(config: &Json, known: &[Secret]) -> Self {
        let mut names = Vec::new();
        collect(config, &mut names);
        names.sort_unstable();
        names.dedup();
        let named = |name: &str| Named {
            name: name.to_owned(),
            secret: known.iter().find(|secret| secret.name == name).cloned(),
        };
        Self(names.into_iter().map(named).collect())
    }

    /// The HMAC under a named secret; none where the step does not name it, or where it is not for the tenant.
    ///
    /// Without a tenant it is a rehearsal: the name stands in for the key, so that cases hold alike on every node and
    /// tell nothing.
    pub(crate) fn hmac(&self, name: &str, message: &[u8], tenant: Option<&str>) -> Option<Vec<u8>> {
        let name = name.strip_prefix(PREFIX).unwrap_or(name);
        let named = self.0.iter().find(|named| named.name == name)?;
        let mut mac = match tenant {
            None => keyed(&Sha256::digest(format!("stand-in for {PREFIX}{name}"))),
            Some(tenant) => {
                let secret = named.secret.as_ref()?;
                secret.serves(tenant).then(|| secret.mac.clone())?
            }
        };
        mac.update(message);
        Some(mac.finalize().into_bytes().to_vec())
    }
}

fn collect<'a>(value: &'a Json, names: &mut Vec<&'a str>) {
    match value {
        Json::String(text) => names.extend(text.strip_prefix(PREFIX)),
        Json::Array(values) => values.iter().for_each(|value| collect(value, names)),
        Json::Object(keys) => keys.values().for_each(|value| collect(value, names)),
        Json::Null | Json::Bool(_) | Json::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Secret, Secrets};

    fn secrets() -> Secrets {
        // RFC 4231, test case 2.
        let known = [
            Secret::new("sign", b"Jefe", &["demo".to_owned()]),
            Secret::new("other", b"Jefe", &["*".to_owned()]),
        ];
        let config = json!({ "keys": [{ "key": "secret://sign" }], "note": "secret", "gone": "secret://gone" });
        Secrets::named_in(&config, &known)
    }

    const MESSAGE: &[u8] = b"what do ya want for nothing?";

    #[test]
    fn a_named_secret_signs_for_its_tenants_alone() {
        let expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        for name in ["sign", "secret://sign"] {
            let signed = secrets().hmac(name, MESSAGE, Some("demo")).expect("signed");
            assert_eq!(hex::encode(signed), expected);
        }
        assert_eq!(secrets().hmac("sign", MESSAGE, Some("else")), None);
    }

    #[test]
    fn what_the_configuration_does_not_name_is_not_there() {
        for name in ["other", "gone", "", "env/PATH"] {
            assert_eq!(secrets().hmac(name, MESSAGE, Some("demo")), None, "{name}");
        }
    }

    #[test]
    fn a_rehearsal_signs_with_the_name_instead() {
        let signed = secrets().hmac("sign", MESSAGE, None).expect("signed");
        assert_eq!(
            Some(&signed),
            secrets().hmac("secret://sign", MESSAGE, None).as_ref()
        );
        assert_ne!(
            Some(&signed),
            secrets().hmac("sign", MESSAGE, Some("demo")).as_ref()
        );
        assert_ne!(
            Some(&signed),
            secrets().hmac("gone", MESSAGE, None).as_ref()
        );
        assert_eq!(secrets().hmac("other", MESSAGE, None), None);
    }

    #[test]
    fn nothing_prints_a_key() {
        let printed = format!("{:?}", secrets());
        assert!(
            printed.contains("sign") && !printed.contains("Jefe"),
            "{printed}"
        );
    }
}
