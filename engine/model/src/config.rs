//! The shape of a Llama model, read from metadata and checked for sense before any weight is touched.

use pointsman_gguf::Gguf;

use crate::LoadError;

/// The shape of a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Transformer layers.
    pub layers: usize,
    /// Elements of a hidden row.
    pub hidden: usize,
    /// Elements of the feed-forward's middle.
    pub feed_forward: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads.
    pub kv_heads: usize,
    /// Elements of a head.
    pub head_elements: usize,
    /// Elements of a head that are rotated.
    pub rope_elements: usize,
    /// Base of the rotary frequencies.
    pub rope_base: f32,
    /// Epsilon of the normalisations.
    pub norm_epsilon: f32,
    /// Tokens of the vocabulary.
    pub vocabulary: usize,
    /// Tokens the model was trained to look at.
    pub context_tokens: usize,
}

/// Bounds that keep every product of two of these far from overflow; larger models do not run on a CPU.
const LAYERS_MAX: usize = 1024;
const WIDTH_MAX: usize = 1 << 20;
const VOCABULARY_MAX: usize = 1 << 22;

impl Config {
    pub(crate) fn read(file: &Gguf) -> Result<Self, LoadError> {
        let architecture = file.text("general.architecture")?;
        if architecture != "llama" {
            return Err(LoadError::Unsupported {
                what: "the architecture",
                found: architecture.to_owned(),
                supported: "llama",
            });
        }
        refuse_unbuilt(file)?;
        let count = |key: &str| {
            file.u32(&format!("llama.{key}"))
                .map(|count| count as usize)
        };
        let or = |key: &str, default: usize| match file.value(&format!("llama.{key}")) {
            Some(_) => count(key),
            None => Ok(default),
        };
        let hidden = count("embedding_length")?;
        let heads = count("attention.head_count")?;
        let head_default = hidden.checked_div(heads).unwrap_or_default();
        let head_elements = or("attention.key_length", head_default)?;
        let config = Self {
            layers: count("block_count")?,
            hidden,
            feed_forward: count("feed_forward_length")?,
            heads,
            kv_heads: or("attention.head_count_kv", heads)?,
            head_elements,
            rope_elements: or("rope.dimension_count", head_elements)?,
            rope_base: match file.value("llama.rope.freq_base") {
                Some(_) => file.f32("llama.rope.freq_base")?,
                None => 10_000.0,
            },
            norm_epsilon: file.f32("llama.attention.layer_norm_rms_epsilon")?,
            vocabulary: file.tensor_info("token_embd.weight")?.rows,
            context_tokens: count("context_length")?,
        };
        config.check(or("attention.value_length", head_elements)?)?;
        Ok(config)
    }

    fn check(&self, value_elements: usize) -> Result<(), LoadError> {
        let wrong = |text: String| Err(LoadError::Inconsistent(text));
        let widths = [
            ("the hidden width", self.hidden, WIDTH_MAX),
            ("the feed-forward width", self.feed_forward, WIDTH_MAX),
            (
                "the width of all heads",
                self.heads.saturating_mul(self.head_elements),
                WIDTH_MAX,
            ),
            ("the number of layers", self.layers, LAYERS_MAX),
            ("the vocabulary", self.vocabulary, VOCABULARY_MAX),
            ("the context", self.context_tokens, WIDTH_MAX * 16),
        ];
        for (what, found, limit) in widths {
            if found == 0 || found > limit {
                return wrong(format!("{what} is {found}, outside 1..={limit}"));
            }
        }
        if self.kv_heads == 0 || !self.heads.is_multiple_of(self.kv_heads) {
            return wrong(format!(
                "{} query heads do not divide over {} key heads",
                self.heads, self.kv_heads
            ));
        }
        if value_elements != self.head_elements {
            return wrong(format!(
                "values of {value_elements} elements beside keys of {}",
                self.head_elements
            ));
        }
        if self.rope_elements > self.head_elements || !self.rope_elements.is_multiple_of(2) {
            return wrong(format!(
                "{} rotated elements in a head of {}",
                self.rope_elements, self.head_elements
            ));
        }
        if !(self.rope_base.is_finite() && self.rope_base > 0.0 && self.norm_epsilon.is_finite()) {
            return wrong("the rope base or the norm epsilon is not a usable number".to_owned());
        }
        Ok(())
    }

    /// Elements of a row of keys, or of values.
    #[must_use]
    pub fn kv_elements(&self) -> usize {
        self.kv_heads * self.head_elements
    }
}

/// What would change the result if it were ignored.
fn refuse_unbuilt(file: &Gguf) -> Result<(), LoadError> {
    let refuse = |what, found: String, supported| {
        Err(LoadError::Unsupported {
            what,
            found,
            supported,
        })
    };
    if file.value("llama.rope.scaling.type").is_some() {
        let kind = file.text("llama.rope.scaling.type")?;
        if kind != "none" {
            return refuse("rope scaling", kind.to_owned(), "none");
        }
    }
    if file.value("llama.expert_count").is_some() {
        let experts = file.u32("llama.expert_count")?;
        if experts > 0 {
            return refuse("the number of experts", experts.to_string(), "0");
        }
    }
    for tensor in [
        "rope_freqs.weight",
        "blk.0.attn_q.bias",
        "blk.0.attn_q_norm.weight",
    ] {
        if file.has_tensor(tensor) {
            return refuse("the tensor", tensor.to_owned(), "plain Llama layers");
        }
    }
    Ok(())
}
