//! Models: tokenizer, chat template, Llama forward pass, sampling.
