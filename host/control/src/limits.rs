//! Every bound of this listener that is not a connection's, by name and unit. What is bounded together stands together.

use std::time::Duration;

/// Bytes of a plugin.
pub(crate) const PLUGIN_BYTES_MAX: usize = 100 * 1024 * 1024;
/// Bytes of a bundle as JSON: 72 MiB of files as base64.
pub(crate) const BUNDLE_BYTES_MAX: usize = 96 * 1024 * 1024;
/// Bytes of any other body.
pub(crate) const BODY_BYTES_MAX: usize = 1024 * 1024;
/// Plugins and bundles that are received or worked on at once: what bounds their memory.
pub(crate) const UPLOADS_MAX: usize = 2;
/// Time for a plugin's or a bundle's bytes to arrive.
pub(crate) const UPLOAD_TIMEOUT: Duration = Duration::from_secs(120);
/// Time for any other body to arrive.
pub(crate) const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes from which a body is read on a thread that may block.
pub(crate) const INLINE_BYTES_MAX: usize = 64 * 1024;

/// Reads at once: of control state, and as many of the decision log.
pub(crate) const READS_MAX: usize = 4;
/// Changes at once of policies, plugins and prices.
pub(crate) const WRITES_MAX: usize = 2;
/// Changes at once of tenants and their keys: no activation holds up a revocation.
pub(crate) const TENANT_WRITES_MAX: usize = 2;
/// Dry runs at once: they compile and run cases, and hold up no change.
pub(crate) const CHECKS_MAX: usize = 1;
/// Backups at once.
pub(crate) const BACKUPS_MAX: usize = 1;
/// Followers of the decision log at once.
pub(crate) const FOLLOWERS_MAX: usize = 16;

/// Time to wait for a place among those.
pub(crate) const PLACE_TIMEOUT: Duration = Duration::from_secs(30);
/// Time for a read.
pub(crate) const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// Time for a change or a dry run to be answered; a change goes on after it.
pub(crate) const WORK_TIMEOUT: Duration = Duration::from_secs(120);
/// Time for a reader of a backup to take the next piece.
pub(crate) const STALL_TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes of a piece of a backup.
pub(crate) const PIECE_BYTES: usize = 64 * 1024;
/// Pieces of a backup that wait to be sent.
pub(crate) const PIECES_MAX: usize = 8;

/// Bytes of a name in a path: of a policy, a tenant, a key.
pub(crate) const NAME_BYTES_MAX: usize = 64;
/// Bytes of an idempotency key.
pub(crate) const IDEMPOTENCY_KEY_BYTES_MAX: usize = 255;
/// Changes that a list holds where the query sets no limit.
pub(crate) const CHANGES: usize = 100;
/// Changes that a list holds at most.
pub(crate) const CHANGES_MAX: usize = 1_000;
