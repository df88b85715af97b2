//! The one fake provider of the tests.
//!
//! Promises: OpenAI's chat API as a client sees it; what a script says is sent byte for byte, write by write; the
//! ledger counts what really left, with a public tokenizer, also when the client leaves half way.
//! Refuses to know: Pointsman. Any client of the dialect may be tested against it.
//!
//! Reading order: [`Script`] (what tests ask for), `chat` (which bytes that is), `play` (when they leave, and the
//! faults), `ledger` (what is counted).

mod arguments;
mod chat;
mod embeddings;
mod exchange;
mod ledger;
mod limits;
mod play;
mod recording;
mod script;
mod serve;
mod tokens;
mod wire;

pub use script::{Answer, Delays, Fault, FaultKind, Matching, Said, Script, ToolCall};
pub use serve::{Options, Provider};
