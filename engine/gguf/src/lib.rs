//! GGUF files: metadata, tensors, block formats; bounded against hostile input.
