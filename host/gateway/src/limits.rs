//! Every bound of the data plane, named in one place. Those that operators may change are keys of `pointsman.toml`
//! with these defaults; the rest protect invariants.

/// Longest list of messages in one request.
pub(crate) const MESSAGES_MAX: usize = 10_000;
/// Header bytes of a request, and the read buffer of a connection.
pub(crate) const HEADER_BYTES_MAX: usize = 64 * 1024;
/// Headers of a request.
pub(crate) const HEADERS_MAX: usize = 100;
/// Bytes that a body is given room for before the first of them is there; more than that is counted first.
pub(crate) const BODY_START_BYTES: usize = 64 * 1024;
/// Bytes of a body from which on it is parsed aside: below, the way there costs more than it saves others.
pub(crate) const ASIDE_BYTES_MIN: usize = 256 * 1024;
/// Niceness of the threads that work aside: they have a tenth of what a thread that serves has, where both want to run.
pub(crate) const ASIDE_NICE: i32 = 10;
/// How often a plugin call yields, once a millisecond, before it goes on aside.
pub(crate) const YIELDS_HERE_MAX: u32 = 1;
/// Bytes of a body after which its reader lets others have the thread.
pub(crate) const READ_TURN_BYTES: usize = 256 * 1024;
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
/// Bytes of a model's name in a request; it is recorded and told back.
pub(crate) const MODEL_BYTES_MAX: usize = 256;
/// Bytes that the connection takes of an answer at once; the rest stays where it counts as unread.
pub(crate) const FRAME_BYTES_MAX: usize = 64 * 1024;
/// How long the last traces have at the end to reach the collector.
pub(crate) const TRACES_FLUSH_MS: u64 = 2_000;
/// How long requests that the drain bound cut have for their records and last events.
pub(crate) const LAST_WORDS_MS: u64 = 1_000;
/// How long a recorded answer may take to be read, where the policy's deadline is not later.
pub(crate) const FINISH_MS_MAX: u64 = 10 * 60 * 1_000;
/// How long the answer of a request that is cut may still be read, which leaves time for its records and last events.
pub(crate) const CUT_FINISH_MS: u64 = LAST_WORDS_MS / 2;
/// How long a connection that was accepted before its process leaves, and never asked anything, has for its request.
pub(crate) const FIRST_REQUEST_MS: u64 = 1_000;
/// Output tokens that a reservation assumes where the request sets none and the target declares none.
pub(crate) const OUTPUT_TOKENS_ASSUMED: u64 = 4_096;
/// One tenant's requests may hold one part in so many of the node's plugin instances.
pub(crate) const TENANT_INSTANCES_SHARE: u32 = 10;
/// Tenants and keys that are counted before those that nobody holds any more are forgotten.
pub(crate) const SCOPES_BEFORE_SWEEP: usize = 1_024;
/// Buckets of splits and rollouts.
pub(crate) const BUCKETS: u32 = 10_000;
/// How often replaced snapshots are looked at.
pub(crate) const SWEEP_MS: u64 = 500;
/// Bytes of compiled state that replaced snapshots may keep for the requests that still use them; the oldest are cut.
pub(crate) const RETIRED_BYTES_MAX: usize = 512 * 1024 * 1024;
/// How often the charges of a process that still drains are looked at.
pub(crate) const PREDECESSOR_POLL_MS: u64 = 2_000;
/// How often sealed segments of the decision log are looked for that have no sums beside them.
pub(crate) const SUMS_POLL_MS: u64 = 60_000;
/// Connections that wait in the kernel for a worker.
pub(crate) const LISTEN_BACKLOG: i32 = 1024;
/// Equal requests that one request waits for, one after the other, before it goes on alone.
pub(crate) const LEADERS_MAX: u32 = 4;
/// A request waits for those for one part in so many of its deadline: the rest is for its own call.
pub(crate) const FOLLOW_DEADLINE_PART: u64 = 2;
/// Bytes of the vectors of texts that are kept so that they need not be asked for again; the least used go.
pub(crate) const VECTORS_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Bytes that a kept vector takes beside its numbers, so that small ones are bounded in number too.
pub(crate) const VECTOR_ENTRY_BYTES: usize = 256;
/// How long they are kept: a target may change what its model computes.
pub(crate) const VECTOR_TTL_S: u64 = 24 * 3600;
/// Characters of an `Idempotency-Key`.
pub(crate) const IDEMPOTENCY_KEY_BYTES_MAX: usize = 255;
/// Connections that one worker serves at once.
pub(crate) const CONNECTIONS_MAX: usize = 10_000;
/// HTTP/2 streams that one worker serves at once, on all its connections; further ones are reset.
pub(crate) const STREAMS_MAX: usize = 2 * CONNECTIONS_MAX;
/// Bytes that a client may send ahead on one HTTP/2 stream.
pub(crate) const STREAM_WINDOW_BYTES: u32 = 256 * 1024;
/// Bytes that a client may send ahead on all streams of one HTTP/2 connection.
pub(crate) const CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;
/// Bytes of one HTTP/2 frame from a client.
pub(crate) const HTTP2_FRAME_BYTES_MAX: u32 = 16 * 1024;
/// HTTP/2 streams that a client opened and reset before they were looked at; one more ends the connection.
pub(crate) const PENDING_RESETS_MAX: usize = 20;
/// HTTP/2 streams of one connection that were reset as malformed; one more ends it.
pub(crate) const ERROR_RESETS_MAX: usize = 100;
/// How often the files of certificate and key are looked at.
pub(crate) const CERTIFICATES_POLL_MS: u64 = 1_000;
/// A certificate that expires within this is warned of.
pub(crate) const EXPIRY_WARNING_S: u64 = 14 * 24 * 3600;
/// How long the warning of a certificate's expiry is not repeated.
pub(crate) const EXPIRY_REPEAT_S: u64 = 24 * 3600;
/// Listening sockets that are taken over from another process.
pub(crate) const INHERITED_MAX: usize = 1024;
/// Decision chains that a worker tries where a process before this one still writes its own.
pub(crate) const CHAINS_TRIED_MAX: usize = 64;

// A whole answer must fit what a stream's event may hold, or non-streamed answers would have the tighter bound.
const _: () = assert!(EVENT_BYTES_MAX <= ANSWER_BYTES_MAX);
