//! The Llama forward pass over a ragged batch.

use std::ops::Range;

use pointsman_gguf::{Format, Gguf};
use pointsman_kernels::{AttentionShape, Kernels, WeightFormat, Weights};

use crate::cache::{KvCache, Slot};
use crate::{Config, ForwardError, LoadError};

/// One step: row `i` is token `tokens[i]` at `positions[i]` of `sequences[i]`. Rows of one sequence stand in order
/// and continue what it remembers. Logits are computed only for `logit_rows`.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    /// The tokens.
    pub tokens: &'a [u32],
    /// The position of each in its sequence.
    pub positions: &'a [u32],
    /// The sequence of each.
    pub sequences: &'a [Slot],
    /// Rows whose next-token logits are wanted.
    pub logit_rows: &'a [usize],
}

/// Logits of the rows asked for, in that order.
#[derive(Clone, Debug)]
pub struct Logits {
    values: Vec<f32>,
    vocabulary: usize,
}

impl Logits {
    /// One slice per row.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &[f32]> {
        self.values.chunks_exact(self.vocabulary)
    }
}

/// Where a matrix lies in the file.
#[derive(Clone, Debug)]
struct Matrix {
    format: WeightFormat,
    rows: usize,
    columns: usize,
    bytes: Range<usize>,
}

#[derive(Clone, Debug)]
struct Layer {
    attention_norm: Vec<f32>,
    query: Matrix,
    key: Matrix,
    value: Matrix,
    attention_out: Matrix,
    feed_forward_norm: Vec<f32>,
    gate: Matrix,
    up: Matrix,
    down: Matrix,
}

/// The weights by name and shape. Matrices stay in the mapped file; norms are copied (they are small).
#[derive(Debug)]
pub(crate) struct Llama {
    file: Gguf,
    config: Config,
    layers: Vec<Layer>,
    embedding: Matrix,
    output_norm: Vec<f32>,
    output: Matrix,
}

impl Llama {
    pub(crate) fn new(file: Gguf, config: Config) -> Result<Self, LoadError> {
        let (hidden, middle) = (config.hidden, config.feed_forward);
        let (queries, kv) = (config.heads * config.head_elements, config.kv_elements());
        let mut layers = Vec::new();
        for number in 0..config.layers {
            let name = |part: &str| format!("blk.{number}.{part}.weight");
            layers.push(Layer {
                attention_norm: norm(&file, &name("attn_norm"), hidden)?,
                query: matrix(&file, &name("attn_q"), queries, hidden)?,
                key: matrix(&file, &name("attn_k"), kv, hidden)?,
                value: matrix(&file, &name("attn_v"), kv, hidden)?,
                attention_out: matrix(&file, &name("attn_output"), hidden, queries)?,
                feed_forward_norm: norm(&file, &name("ffn_norm"), hidden)?,
                gate: matrix(&file, &name("ffn_gate"), middle, hidden)?,
                up: matrix(&file, &name("ffn_up"), middle, hidden)?,
                down: matrix(&file, &name("ffn_down"), hidden, middle)?,
            });
        }
        let embedding = matrix(&file, "token_embd.weight", config.vocabulary, hidden)?;
        // Small models tie input and output embeddings and leave the second out.
        let output = if file.has_tensor("output.weight") {
            matrix(&file, "output.weight", config.vocabulary, hidden)?
        } else {
            embedding.clone()
        };
        Ok(Self {
            output_norm: norm(&file, "output_norm.weight", hidden)?,
            layers,
            embedding,
            output,
            config,
            file,
        })
    }

    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    pub(crate) fn forward(
        &self,
        kernels: &Kernels,
        cache: &mut KvCache,
        batch: &Batch<'_>,
    ) -> Result<Logits, ForwardError> {
        self.check(cache, batch)?;
        let config = &self.config;
        let tokens = batch.tokens.len();
        let (hidden, kv) = (config.hidden, config.kv_elements());
        let rotation = self.rotation(batch.positions);

        let mut stream = vec![0.0; tokens * hidden];
        let embedding = self.view(&self.embedding);
        for (token, row) in batch.tokens.iter().zip(stream.chunks_exact_mut(hidden)) {
            embedding.row_values(*token as usize, row);
        }

        let shape = AttentionShape {
            heads: config.heads,
            kv_heads: config.kv_heads,
            head_elements: config.head_elements,
        };
        let mut normed = vec![0.0; tokens * hidden];
        let mut queries = vec![0.0; tokens * config.heads * config.head_elements];
        let mut attended = queries.clone();
        let (mut keys, mut values) = (vec![0.0; tokens * kv], vec![0.0; tokens * kv]);
        let mut gate = vec![0.0; tokens * config.feed_forward];
        let mut up = gate.clone();
        let mut change = stream.clone();

        for (number, layer) in self.layers.iter().enumerate() {
            kernels.rms_norm(
                &stream,
                &layer.attention_norm,
                config.norm_epsilon,
                &mut normed,
            );
            kernels.matmul(
                &normed,
                &mut [
                    (self.view(&layer.query), &mut queries),
                    (self.view(&layer.key), &mut keys),
                    (self.view(&layer.value), &mut values),
                ],
            );
            kernels.rope(&mut queries, config.head_elements, &rotation, tokens);
            kernels.rope(&mut keys, config.head_elements, &rotation, tokens);
            let rows = keys.chunks_exact(kv).zip(values.chunks_exact(kv));
            for ((slot, position), (key, value)) in batch.places().zip(rows) {
                cache.put(slot, number, position, key, value);
            }
            let past: Vec<_> = batch
                .places()
                .map(|(slot, position)| cache.past(slot, number, position))
                .collect();
            kernels.attention(shape, &queries, &past, &mut attended);
            kernels.matmul(
                &attended,
                &mut [(self.view(&layer.attention_out), &mut change)],
            );
            add(&mut stream, &change);

            kernels.rms_norm(
                &stream,
                &layer.feed_forward_norm,
                config.norm_epsilon,
                &mut normed,
            );
            kernels.matmul(
                &normed,
                &mut [
                    (self.view(&layer.gate), &mut gate),
                    (self.view(&layer.up), &mut up),
                ],
            );
            kernels.silu_mul(&mut gate, &up);
            kernels.matmul(&gate, &mut [(self.view(&layer.down), &mut change)]);
            add(&mut stream, &change);
        }
        Ok(self.logits(kernels, &stream, batch.logit_rows))
    }

    fn logits(&self, kernels: &Kernels, stream: &[f32], rows: &[usize]) -> Logits {
        let (hidden, vocabulary) = (self.config.hidden, self.config.vocabulary);
        let wanted: Vec<f32> = rows
            .iter()
            .flat_map(|row| &stream[row * hidden..][..hidden])
            .copied()
            .collect();
        let mut normed = vec![0.0; wanted.len()];
        kernels.rms_norm(
            &wanted,
            &self.output_norm,
            self.config.norm_epsilon,
            &mut normed,
        );
        let mut values = vec![0.0; rows.len() * vocabulary];
        kernels.matmul(&normed, &mut [(self.view(&self.output), &mut values)]);
        Logits { values, vocabulary }
    }

    /// All that could go wrong, before anything is written.
    fn check(&self, cache: &KvCache, batch: &Batch<'_>) -> Result<(), ForwardError> {
        let tokens = batch.tokens.len();
        if batch.positions.len() != tokens || batch.sequences.len() != tokens {
            return Err(ForwardError::Ragged {
                tokens,
                positions: batch.positions.len(),
                sequences: batch.sequences.len(),
            });
        }
        if let Some(token) = batch
            .tokens
            .iter()
            .find(|token| **token as usize >= self.config.vocabulary)
        {
            return Err(ForwardError::Token(*token));
        }
        if let Some(row) = batch.logit_rows.iter().find(|row| **row >= tokens) {
            return Err(ForwardError::LogitRow(*row));
        }
        let mut next: Vec<(Slot, usize)> = Vec::new();
        for (slot, &position) in batch.sequences.iter().zip(batch.positions) {
            let at = match next.iter().position(|(known, _)| known == slot) {
                Some(at) => at,
                None => {
                    next.push((*slot, cache.tokens(*slot).ok_or(ForwardError::Slot)?));
                    next.len() - 1
                }
            };
            let expected = &mut next[at].1;
            if position as usize != *expected {
                return Err(ForwardError::Position {
                    found: position,
                    expected: *expected,
                });
            }
            if *expected >= cache.context_tokens() {
                return Err(ForwardError::Context(cache.context_tokens()));
            }
            *expected += 1;
        }
        Ok(())
    }

    /// Cosine and sine of each rotated pair for each row, in f64 until the end: f32 angles of late positions
    /// would be off by more than the rest of the pass together.
    fn rotation(&self, positions: &[u32]) -> Vec<(f32, f32)> {
        let elements = self.config.rope_elements;
        let base = f64::from(self.config.rope_base);
        let frequencies: Vec<f64> = (0..elements / 2)
            .map(|pair| base.powf(-2.0 * pair as f64 / elements as f64))
            .collect();
        let angles = positions.iter().flat_map(|position| {
            frequencies
                .iter()
                .map(|frequency| f64::from(*position) * frequency)
        });
        angles
            .map(|angle| (angle.cos() as f32, angle.sin() as f32))
            .collect()
    }

    fn view(&self, matrix: &Matrix) -> Weights<'_> {
        let bytes = self.file.slice(matrix.bytes.clone());
        Weights::new(matrix.format, matrix.rows, matrix.columns, bytes)
            .expect("the shape was checked when the model was loaded")
    }
}

impl Batch<'_> {
    fn places(&self) -> impl Iterator<Item = (Slot, usize)> {
        let positions = self.positions.iter().map(|position| *position as usize);
        self.sequences.iter().copied().zip(positions)
    }
}

fn add(stream: &mut [f32], change: &[f32]) {
    for (value, change) in stream.iter_mut().zip(change) {
        *value += change;
    }
}

fn norm(file: &Gguf, name: &str, elements: usize) -> Result<Vec<f32>, LoadError> {
    let tensor = file.tensor(name)?;
    if tensor.rows != 1 || tensor.columns != elements {
        return Err(shape_error(name, tensor.rows, tensor.columns, 1, elements));
    }
    Ok(tensor.dequantise())
}

fn matrix(file: &Gguf, name: &str, rows: usize, columns: usize) -> Result<Matrix, LoadError> {
    let info = file.tensor_info(name)?;
    if (info.rows, info.columns) != (rows, columns) {
        return Err(shape_error(name, info.rows, info.columns, rows, columns));
    }
    let format = match info.format {
        Format::F32 => WeightFormat::F32,
        Format::F16 => WeightFormat::F16,
        Format::Q4_0 => WeightFormat::Q4_0,
        Format::Q4_1 => WeightFormat::Q4_1,
        Format::Q8_0 => WeightFormat::Q8_0,
    };
    Weights::new(format, rows, columns, file.slice(info.bytes.clone()))
        .map_err(|error| LoadError::Inconsistent(format!("tensor {name:?}: {error}")))?;
    Ok(Matrix {
        format,
        rows,
        columns,
        bytes: info.bytes.clone(),
    })
}

fn shape_error(
    name: &str,
    rows: usize,
    columns: usize,
    rows_wanted: usize,
    columns_wanted: usize,
) -> LoadError {
    LoadError::Inconsistent(format!(
        "tensor {name:?} is {rows} x {columns} where the metadata means {rows_wanted} x {columns_wanted}"
    ))
}
