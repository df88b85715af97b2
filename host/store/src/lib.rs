//! Control state on one node: the journal is the commit, sled holds what is queried, blobs lie beside them by digest.
//!
//! Promises: what `commit` has answered survives a power cut; an entry is applied whole or not at all; whatever is
//! wrong with the queryable state is mended from the journal; one process owns a folder. Refuses to know: what a policy
//! means, whether a change makes sense to its tenant, who asks.
//!
//! The folder: `format` (the version of all this), `owner.lock`, `journal.NNNNNN.log` (a chain of the decision log's
//! kind, each line synced), `state/` (sled; may be removed while nobody runs; `state.broken` is the last one that broke)
//! and `blobs/<2 hex>/<hex>`.

#![warn(missing_docs)]

mod archive;
mod backup;
mod blobs;
mod error;
mod folder;
mod journal;
mod look;
mod recovery;
mod restore;
mod rows;
mod shelf;
mod state;
mod store;

pub use backup::BackupReport;
pub use error::StoreError;
pub use look::Look;
pub use recovery::Recovered;
pub use restore::RestoreReport;
pub use state::{IDEMPOTENCY_KEYS_MAX, IDEMPOTENCY_MS, PolicyLine, State};
pub use store::{Store, StoreConfig};
