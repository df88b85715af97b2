//! Identities: content digests and request ids.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A sha256 digest; written `sha256:<64 hex digits>` everywhere.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(value_type = String, pattern = "^sha256:[0-9a-f]{64}$"))]
pub struct Digest(pub [u8; 32]);

/// A string that is not `sha256:<64 hex digits>`.
#[derive(Debug, thiserror::Error)]
#[error("not a digest of the form sha256:<64 hex digits>")]
pub struct DigestError;

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", hex::encode(self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::str::FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.strip_prefix("sha256:").ok_or(DigestError)?;
        let mut bytes = [0; 32];
        hex::decode_to_slice(digits, &mut bytes).map_err(|_| DigestError)?;
        Ok(Self(bytes))
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // On the stack: every record holds several.
        let mut text = *b"sha256:................................................................";
        hex::encode_to_slice(self.0, &mut text[7..]).map_err(serde::ser::Error::custom)?;
        serializer.serialize_str(std::str::from_utf8(&text).map_err(serde::ser::Error::custom)?)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A request's identity: UUID v7 in its hyphenated form, so that ids sort by time.
/// Made by the gateway; a client's own id is kept beside it, never instead of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(transparent)]
pub struct RequestId(pub String);

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::Digest;

    #[test]
    fn a_digest_reads_as_it_was_written() {
        let digest = Digest([0xa7; 32]);
        let json = serde_json::to_string(&digest).expect("written");
        assert_eq!(json, format!("\"sha256:{}\"", "a7".repeat(32)));
        assert_eq!(serde_json::from_str::<Digest>(&json).expect("read"), digest);
        assert_eq!(
            digest.to_string().parse::<Digest>().expect("parsed"),
            digest
        );
    }
}
