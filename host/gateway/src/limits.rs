//! Every bound of the data plane, named in one place. Those that operators may change are keys of `pointsman.toml`
//! with these defaults; the rest protect invariants.

/// Longest list of messages in one request.
pub(crate) const MESSAGES_MAX: usize = 10_000;
/// Header bytes of a request, and the read buffer of a connection.
pub(crate) const HEADER_BYTES_MAX: usize = 64 * 1024;
/// Headers of a request.
pub(crate) const HEADERS_MAX: usize = 100;
/// Bytes of a whole (non-streamed) provider answer.
pub(crate) const ANSWER_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Bytes of one provider event in a stream.
pub(crate) const EVENT_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Bytes of a provider's error body that are read.
pub(crate) const ERROR_BYTES_MAX: usize = 64 * 1024;
/// Bytes of an answer that wait for its first content: role chunks, comments, keep-alives.
pub(crate) const EARLY_BYTES_MAX: usize = 2 * EVENT_BYTES_MAX;
/// How long a provider's error body may take.
pub(crate) const ERROR_BODY_MS_MAX: u64 = 5_000;
/// Bytes of all request bodies together, node-wide; more where `data.body-bytes-max` alone is.
pub(crate) const BODIES_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Bytes of a model's name in a request; it is recorded and told back.
pub(crate) const MODEL_BYTES_MAX: usize = 256;
/// Bytes that the connection takes of an answer at once; the rest stays where it counts as unread.
pub(crate) const FRAME_BYTES_MAX: usize = 64 * 1024;
/// How long requests that the drain bound cut have for their records and last events.
pub(crate) const LAST_WORDS_MS: u64 = 1_000;
/// Output tokens that a reservation assumes where the request sets none and the target declares none.
pub(crate) const OUTPUT_TOKENS_ASSUMED: u64 = 4_096;
/// Buckets of splits and rollouts.
pub(crate) const BUCKETS: u32 = 10_000;
/// How often the tenants file is looked at; a revoked key dies within this.
pub(crate) const TENANTS_POLL_MS: u64 = 500;
/// Connections that wait in the kernel for a worker.
pub(crate) const LISTEN_BACKLOG: i32 = 1024;
/// Connections that one worker serves at once.
pub(crate) const CONNECTIONS_MAX: usize = 10_000;

// A whole answer must fit what a stream's event may hold, or non-streamed answers would have the tighter bound.
const _: () = assert!(EVENT_BYTES_MAX <= ANSWER_BYTES_MAX);
