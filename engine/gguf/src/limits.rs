//! Every bound on a GGUF file, in one place. Generous for real models, small against hostile ones.

/// Metadata entries of one file.
pub const METADATA_ENTRIES_MAX: u64 = 65_536;
/// Tensors of one file.
pub const TENSORS_MAX: u64 = 65_536;
/// Bytes of a metadata key or a tensor name (the format's own bound for keys).
pub const NAME_BYTES_MAX: u64 = 65_535;
/// Elements of one metadata array: above any vocabulary in use (Gemma has 262,144 tokens).
pub const ARRAY_ELEMENTS_MAX: u64 = 4_194_304;
/// Bytes of all strings and arrays of the metadata together, so that many arrays cannot add up.
pub const METADATA_BYTES_MAX: u64 = 268_435_456;
/// Dimensions of a tensor.
pub const DIMENSIONS_MAX: u32 = 4;
/// Largest alignment of the tensor data that a file may ask for.
pub const ALIGNMENT_BYTES_MAX: u32 = 65_536;
