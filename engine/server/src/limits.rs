//! Every bound of the server, in one place.

use std::time::Duration;

/// Body of a request: far above a full context as text.
pub(crate) const BODY_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Header section of a request.
pub(crate) const HEADER_BYTES_MAX: usize = 64 * 1024;
/// Messages of a request.
pub(crate) const MESSAGES_MAX: usize = 4096;
/// Stop strings of a request, as OpenAI's.
pub(crate) const STOPS_MAX: usize = 4;
/// Bytes of one stop string.
pub(crate) const STOP_BYTES_MAX: usize = 1024;
/// Connections at once; further ones are closed at once.
pub(crate) const CONNECTIONS_MAX: usize = 1024;
/// Time for a request's header section, and for its body, to arrive.
pub(crate) const REQUEST_READ_MAX: Duration = Duration::from_secs(10);
/// Prompt tokens of a step while another sequence waits for its next token: bounds how long it waits.
pub(crate) const STEP_PROMPT_TOKENS_MAX: usize = 64;
/// Prompt tokens of a step when nobody waits. Larger steps fall out of the second-level cache.
pub(crate) const STEP_PROMPT_TOKENS_ALONE_MAX: usize = 128;

const _: () = assert!(STEP_PROMPT_TOKENS_MAX <= STEP_PROMPT_TOKENS_ALONE_MAX);
