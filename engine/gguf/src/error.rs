//! What can be wrong with a GGUF file. One enum: the boundary is "this file as a model".

/// Why a file was refused. Display is a fragment that completes "failed to load the model: ...".
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file could not be opened or mapped.
    #[error("cannot open {path}")]
    Open {
        /// The path asked for.
        path: String,
        /// The operating system's reason.
        #[source]
        source: std::io::Error,
    },
    /// The first four bytes are not `GGUF`.
    #[error("not a GGUF file: it does not start with the bytes \"GGUF\"")]
    Magic,
    /// A version of the container this crate does not read.
    #[error("GGUF version {0} is not supported (2 and 3 are)")]
    Version(u32),
    /// The file ends before something it promises.
    #[error("truncated at byte {at}: {what} needs {needed} bytes, {left} are left")]
    Truncated {
        /// Offset where reading stopped.
        at: u64,
        /// What was being read.
        what: &'static str,
        /// Bytes needed.
        needed: u64,
        /// Bytes left.
        left: u64,
    },
    /// A count or size beyond its bound.
    #[error("{what} is {found}, above the limit of {limit}")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// What the file says.
        found: u64,
        /// The bound in [`crate::limits`].
        limit: u64,
    },
    /// A string that is not UTF-8 where one is required.
    #[error("{what} at byte {at} is not UTF-8")]
    Utf8 {
        /// What was being read.
        what: &'static str,
        /// Offset of the string.
        at: u64,
    },
    /// A metadata value type this crate does not read.
    #[error("metadata value type {kind} of key {key:?} is not supported")]
    ValueType {
        /// The key.
        key: String,
        /// The type number in the file.
        kind: u32,
    },
    /// The same metadata key or tensor name twice.
    #[error("{what} {name:?} appears twice")]
    Duplicate {
        /// "metadata key" or "tensor".
        what: &'static str,
        /// The name.
        name: String,
    },
    /// A block format this crate does not read.
    #[error(
        "tensor {tensor:?} has the block format {format}, which is not supported (F32, F16, Q4_0, Q4_1, Q8_0 are)"
    )]
    Format {
        /// The tensor.
        tensor: String,
        /// The format's number, with its name where it is a known one.
        format: String,
    },
    /// A tensor whose shape or place makes no sense.
    #[error("tensor {tensor:?}: {problem}")]
    Tensor {
        /// The tensor.
        tensor: String,
        /// What is wrong.
        problem: String,
    },
    /// A key or tensor a reader needs is missing.
    #[error("{what} {name:?} is missing")]
    Missing {
        /// "metadata key" or "tensor".
        what: &'static str,
        /// The name.
        name: String,
    },
    /// A metadata value of another type than the reader needs.
    #[error("metadata key {key:?} is not {wanted}")]
    WrongType {
        /// The key.
        key: String,
        /// What was wanted.
        wanted: &'static str,
    },
    /// The alignment is not a power of two.
    #[error("general.alignment is {0}, which is not a power of two")]
    Alignment(u32),
}
