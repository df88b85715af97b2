//! Control state on one node: the journal is the commit, sled holds what is queried, blobs lie beside them by digest.
//!
//! Promises: what `commit` has answered survives a power cut; an entry is applied whole or not at all; whatever is
//! wrong with the queryable state is mended from the journal; one process owns a folder. Refuses to know: what a policy
//! means, whether a change makes sense to its tenant, who asks.

#![warn(missing_docs)]

mod state;

pub use state::{PolicyLine, State};
