//! A model file made ready: everything that can be refused is refused here, before the first request.

use std::path::Path;

use pointsman_gguf::Gguf;
use pointsman_kernels::Kernels;

use crate::llama::Llama;
use crate::{Batch, ChatTemplate, Config, ForwardError, KvCache, LoadError, Logits, Tokenizer};

/// A loaded model.
#[derive(Debug)]
pub struct Model {
    tokenizer: Tokenizer,
    template: Option<ChatTemplate>,
    llama: Llama,
}

impl Model {
    /// Opens and checks the file at `path`.
    pub fn load(path: &Path) -> Result<Self, LoadError> {
        Self::from_file(Gguf::open(path)?)
    }

    /// Makes a parsed file ready.
    pub fn from_file(file: Gguf) -> Result<Self, LoadError> {
        let config = Config::read(&file)?;
        let tokenizer = Tokenizer::read(&file)?;
        if tokenizer.vocabulary() != config.vocabulary {
            return Err(LoadError::Inconsistent(format!(
                "{} tokens beside an embedding of {} rows",
                tokenizer.vocabulary(),
                config.vocabulary
            )));
        }
        let template = ChatTemplate::read(&file, &tokenizer)?;
        Ok(Self {
            tokenizer,
            template,
            llama: Llama::new(file, config)?,
        })
    }

    /// The shape.
    #[must_use]
    pub fn config(&self) -> &Config {
        self.llama.config()
    }

    /// The tokenizer.
    #[must_use]
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// The chat template, if the file has one.
    #[must_use]
    pub fn template(&self) -> Option<&ChatTemplate> {
        self.template.as_ref()
    }

    /// One step over a batch. On an error nothing was changed.
    ///
    /// # Panics
    /// If a kernel panics; the cache then holds part of the step and its sequences must be closed.
    pub fn forward(
        &self,
        kernels: &Kernels,
        cache: &mut KvCache,
        batch: &Batch<'_>,
    ) -> Result<Logits, ForwardError> {
        self.llama.forward(kernels, cache, batch)
    }
}
