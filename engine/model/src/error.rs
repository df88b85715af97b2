//! Why a model cannot be loaded, a prompt cannot be rendered, or a step cannot be taken.

/// Why a file is not a model this engine runs. Completes "failed to load the model: ...".
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The file itself is bad, or lacks something.
    #[error(transparent)]
    File(#[from] pointsman_gguf::Error),
    /// The file asks for something that is not built.
    #[error("{what} {found:?} is not supported (supported: {supported})")]
    Unsupported {
        /// What is asked for.
        what: &'static str,
        /// What the file says.
        found: String,
        /// What would do.
        supported: &'static str,
    },
    /// Two statements of the file contradict each other.
    #[error("inconsistent model: {0}")]
    Inconsistent(String),
    /// The chat template does not compile.
    #[error("the chat template does not compile")]
    Template(#[source] minijinja::Error),
}

/// Why messages could not be turned into a prompt. Completes "failed to render the prompt: ...".
#[derive(Debug, thiserror::Error)]
#[error("the model's chat template refused the messages: {0}")]
pub struct TemplateError(pub(crate) minijinja::Error);

/// Why a step was not taken; nothing was changed. Completes "failed to run the model: ...".
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ForwardError {
    /// The parts of a batch differ in length.
    #[error("a batch of {tokens} tokens has {positions} positions and {sequences} sequences")]
    Ragged {
        /// Tokens.
        tokens: usize,
        /// Positions.
        positions: usize,
        /// Sequences.
        sequences: usize,
    },
    /// A token beyond the vocabulary.
    #[error("token {0} is not in the vocabulary")]
    Token(u32),
    /// A position that does not continue its sequence.
    #[error("position {found} does not continue a sequence of {expected} tokens")]
    Position {
        /// The position given.
        found: u32,
        /// The next position of that sequence.
        expected: usize,
    },
    /// A sequence that is not in use.
    #[error("the sequence is not in use")]
    Slot,
    /// A position beyond the context.
    #[error("the context of {0} tokens is full")]
    Context(usize),
    /// A logit row beyond the batch.
    #[error("logits were asked for row {0}, which is not in the batch")]
    LogitRow(usize),
}
