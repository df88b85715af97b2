//! Subcommands that measure the model instead of serving it.

use std::io::Write as _;
use std::path::Path;
use std::time::Instant;

use anyhow::Context as _;
use pointsman_model::accuracy::Reference;
use pointsman_model::{Batch, Kernels, KvCache, Model};
use serde_json::{Value, json};

use crate::limits::STEP_PROMPT_TOKENS_ALONE_MAX;
use crate::options::Options;

/// Divergence from the reference, and greedy answers.
pub(crate) fn kl(options: &Options, folder: &Path, as_json: bool) -> anyhow::Result<()> {
    let model = load(options)?;
    let kernels = Kernels::new(options.threads());
    let reference = Reference::read(folder).context("failed to read the reference")?;
    let divergence = reference
        .divergence(&model, &kernels)
        .context("failed to measure")?;
    let mut answers = Vec::new();
    for answer in reference.answers() {
        let tokens = reference
            .answer(&model, &kernels, &answer.prompt_tokens)
            .context("failed to answer")?;
        let bytes: Vec<u8> = tokens
            .iter()
            .flat_map(|token| model.tokenizer().bytes(*token))
            .copied()
            .collect();
        answers.push(json!({
            "prompt": answer.prompt,
            "answer": String::from_utf8_lossy(&bytes),
            "reference": answer.text,
            "equal": tokens == answer.tokens,
        }));
    }
    let equal = answers
        .iter()
        .filter(|answer| answer["equal"] == true)
        .count();
    let report = json!({
        "tokens": divergence.tokens,
        "kl_mean_nats": divergence.mean,
        "kl_p99_nats": divergence.p99,
        "kl_max_nats": divergence.max,
        "same_top": divergence.same_top,
        "answers": answers.len(),
        "answers_equal": equal,
        "kernels": kernels.level().name(),
        "reference_model_sha256": reference.model_sha256(),
        "details": answers,
    });
    print(&report, as_json)
}

/// Tokens per second, alone on the machine's kernels.
pub(crate) fn speed(
    options: &Options,
    prompt_tokens: u32,
    answer_tokens: u32,
    as_json: bool,
) -> anyhow::Result<()> {
    let model = load(options)?;
    let kernels = Kernels::new(options.threads());
    let vocabulary = model.config().vocabulary as u32;
    let context = prompt_tokens.saturating_add(answer_tokens);
    let mut cache = KvCache::new(model.config(), 1, context as usize);
    let slot = cache.open().context("the cache has no room")?;
    // Any tokens cost the same; these are spread over the vocabulary.
    let tokens: Vec<u32> = (0..context)
        .map(|at| at.wrapping_mul(7919) % vocabulary)
        .collect();
    let mut run = |from: u32, to: u32, step: usize| -> anyhow::Result<f64> {
        let started = Instant::now();
        let positions: Vec<u32> = (from..to).collect();
        for positions in positions.chunks(step) {
            let first = positions.first().map_or(0, |position| *position as usize);
            let batch = Batch {
                tokens: &tokens[first..first + positions.len()],
                positions,
                sequences: &vec![slot; positions.len()],
                logit_rows: &[positions.len() - 1],
            };
            model
                .forward(&kernels, &mut cache, &batch)
                .context("a step failed")?;
        }
        Ok(f64::from(to - from) / started.elapsed().as_secs_f64())
    };
    let prompt = run(0, prompt_tokens, STEP_PROMPT_TOKENS_ALONE_MAX)?;
    let answer = run(prompt_tokens, context, 1)?;
    let report = json!({
        "prompt_tokens": prompt_tokens,
        "answer_tokens": answer_tokens,
        "prompt_tokens_per_s": prompt,
        "answer_tokens_per_s": answer,
        "threads": kernels.threads(),
        "kernels": kernels.level().name(),
    });
    print(&report, as_json)
}

fn load(options: &Options) -> anyhow::Result<Model> {
    Model::load(&options.model)
        .with_context(|| format!("failed to load the model {}", options.model.display()))
}

fn print(report: &Value, as_json: bool) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    let written = if as_json {
        writeln!(out, "{report}")
    } else {
        writeln!(out, "{report:#}")
    };
    written.context("cannot write to stdout")
}
