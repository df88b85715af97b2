//! Vectors of texts that a target has computed, so that the same text costs a tenant once.
//!
//! Promises: a tenant finds its own alone: who could tell that a text is known would know that another sent it.

use std::time::Duration;

use pointsman_domain::Digest;
use pointsman_plugin::Vector;

use super::KeyWriter;
use crate::limits;

/// What one node keeps, shared by all workers.
pub(crate) struct Vectors(moka::sync::Cache<Digest, Vector>);

/// TextOf vector of what.
pub(crate) struct TextOf<'a> {
    pub(crate) tenant: &'a str,
    pub(crate) endpoint: &'a http::Uri,
    pub(crate) model: &'a str,
    /// sha256 of the text.
    pub(crate) text: Digest,
}

impl TextOf<'_> {
    fn key(&self) -> Digest {
        let mut key = KeyWriter::new("pointsman vector 1");
        let endpoint = self.endpoint.to_string();
        for part in [self.tenant, &endpoint, self.model] {
            key.part(part.as_bytes());
        }
        key.part(&self.text.0);
        key.end()
    }
}

impl Vectors {
    /// Keeps so many bytes at most.
    pub(crate) fn new(bytes_max: u64) -> Self {
        let weight = |_: &Digest, vector: &Vector| {
            let bytes = limits::VECTOR_ENTRY_BYTES + size_of_val::<[f32]>(vector);
            u32::try_from(bytes).unwrap_or(u32::MAX)
        };
        let kept = moka::sync::Cache::builder()
            .max_capacity(bytes_max)
            .weigher(weight)
            .time_to_live(Duration::from_secs(limits::VECTOR_TTL_S))
            .build();
        Self(kept)
    }

    pub(crate) fn get(&self, whose: &TextOf<'_>) -> Option<Vector> {
        self.0.get(&whose.key())
    }

    pub(crate) fn put(&self, whose: &TextOf<'_>, vector: Vector) {
        self.0.insert(whose.key(), vector);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use super::*;

    static ENDPOINT: LazyLock<http::Uri> =
        LazyLock::new(|| http::Uri::from_static("http://a.example/v1"));

    fn whose<'a>(tenant: &'a str, model: &'a str, text: u8) -> TextOf<'a> {
        TextOf {
            tenant,
            endpoint: &ENDPOINT,
            model,
            text: Digest([text; 32]),
        }
    }

    #[test]
    fn a_tenant_finds_its_own_of_the_same_model_and_text() {
        let vectors = Vectors::new(1 << 20);
        vectors.put(&whose("ada", "m", 1), vec![1.0].into());
        assert_eq!(
            vectors.get(&whose("ada", "m", 1)).as_deref(),
            Some(&[1.0][..])
        );
        for other in [
            whose("bob", "m", 1),
            whose("ada", "n", 1),
            whose("ada", "m", 2),
        ] {
            assert_eq!(vectors.get(&other), None);
        }
    }

    #[test]
    fn no_more_is_kept_than_there_is_room_for() {
        let vectors = Vectors::new(64 * 1024);
        for text in 0..=u8::MAX {
            vectors.put(&whose("ada", "m", text), vec![0.5; 1_024].into());
        }
        vectors.0.run_pending_tasks();
        let kept = (0..=u8::MAX).filter(|&text| vectors.get(&whose("ada", "m", text)).is_some());
        assert!(kept.count() <= 16);
    }
}
