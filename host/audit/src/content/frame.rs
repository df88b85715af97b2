//! One frame: how it is written, and how its head is read back.

use pointsman_domain::{Digest, RequestId};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::error::AuditError;

/// Bytes of a salt.
pub const SALT_BYTES: usize = 32;
/// What a frame begins with.
pub(super) const MAGIC: [u8; 4] = *b"PMC1";
/// Bytes before the head.
pub(super) const FIXED_BYTES: usize = 16;
/// Bytes of a head; an id and a tenant.
pub(super) const HEAD_BYTES_MAX: usize = 4 * 1024;
/// Bytes of one request's content.
pub(super) const CONTENT_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Bytes behind the content.
const CRC_BYTES: u64 = 4;

/// Whose content it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct About {
    /// The request.
    pub id: RequestId,
    /// Who pays.
    pub tenant: String,
    /// Milliseconds since the epoch.
    pub at_ms: u64,
}

/// What a frame says before its content.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) about: About,
    head_bytes: u32,
    pub(super) content_bytes: u32,
}

impl Head {
    /// Where the salt of a frame begins; the content follows.
    pub(super) fn salt_at(&self, offset: u64) -> u64 {
        offset + FIXED_BYTES as u64 + u64::from(self.head_bytes)
    }

    /// Bytes of salt, content and their checksum.
    pub(super) fn secret_bytes(&self) -> u64 {
        SALT_BYTES as u64 + u64::from(self.content_bytes) + CRC_BYTES
    }

    /// Where the next frame begins.
    pub(super) fn end(&self, offset: u64) -> u64 {
        self.salt_at(offset) + self.secret_bytes()
    }

    /// Reads the head at the beginning of `bytes`; none where there is none that holds.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(&MAGIC)?;
        let (head_bytes, content_bytes, crc) =
            (number(rest, 0)?, number(rest, 4)?, number(rest, 8)?);
        if head_bytes as usize > HEAD_BYTES_MAX || content_bytes as usize > CONTENT_BYTES_MAX {
            return None;
        }
        let head = rest.get(12..12 + head_bytes as usize)?;
        if checksum(&[&rest[..8], head]) != crc {
            return None;
        }
        Some(Self {
            about: serde_json::from_slice(head).ok()?,
            head_bytes,
            content_bytes,
        })
    }
}

/// Puts a frame into `out`.
pub(super) fn write(
    out: &mut Vec<u8>,
    about: &About,
    salt: &[u8; SALT_BYTES],
    parts: &[&[u8]],
) -> Result<(), AuditError> {
    out.clear();
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&[0; FIXED_BYTES - MAGIC.len()]);
    serde_json::to_writer(&mut *out, about).map_err(AuditError::Encode)?;
    let content: usize = parts.iter().map(|part| part.len()).sum();
    let head = out.len() - FIXED_BYTES;
    for (bytes, max) in [(head, HEAD_BYTES_MAX), (content, CONTENT_BYTES_MAX)] {
        if bytes > max {
            return Err(AuditError::TooLarge { bytes, max });
        }
    }
    // Both are below 2^32 by the bounds above.
    out[4..8].copy_from_slice(&(head as u32).to_le_bytes());
    out[8..12].copy_from_slice(&(content as u32).to_le_bytes());
    let crc = checksum(&[&out[4..12], &out[FIXED_BYTES..]]);
    out[12..16].copy_from_slice(&crc.to_le_bytes());
    let secret = out.len();
    out.extend_from_slice(salt);
    for part in parts {
        out.extend_from_slice(part);
    }
    let crc = checksum(&[&out[secret..]]);
    out.extend_from_slice(&crc.to_le_bytes());
    Ok(())
}

/// Salt and content of a frame, where their checksum holds.
pub(super) fn secret(bytes: &[u8]) -> Option<(&[u8; SALT_BYTES], &[u8])> {
    let (secret, crc) = bytes.split_last_chunk::<4>()?;
    if checksum(&[secret]) != u32::from_le_bytes(*crc) {
        return None;
    }
    secret.split_first_chunk()
}

/// What a record says of content.
pub(super) fn commitment(salt: &[u8; SALT_BYTES], parts: &[&[u8]]) -> Digest {
    let mut hash = Sha256::new();
    hash.update(salt);
    parts.iter().for_each(|part| hash.update(part));
    Digest(hash.finalize().into())
}

fn checksum(parts: &[&[u8]]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    parts.iter().for_each(|part| crc.update(part));
    crc.finalize()
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..)?.first_chunk()?;
    Some(u32::from_le_bytes(*bytes))
}
