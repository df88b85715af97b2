//! The command line.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand};

const EXAMPLES: &str = "\
Examples:
  pointsman-engine --model SmolLM2-135M-Instruct.Q4_1.gguf
  pointsman-engine --model model.gguf --listen 127.0.0.1:0 --ready-file engine.json
  pointsman-engine --model model.gguf --threads 8 --context 4096 --sequences-max 8
  pointsman-engine kl --reference engine/model/reference --json
  pointsman-engine speed

  curl http://127.0.0.1:8090/v1/chat/completions -d '{\"model\": \"smollm2-135m-instruct\",
    \"messages\": [{\"role\": \"user\", \"content\": \"What is the capital of France?\"}], \"stream\": true}'";

/// Serves a local GGUF model with OpenAI's chat API.
#[derive(Debug, Parser)]
#[command(name = "pointsman-engine", version, after_help = EXAMPLES, args_conflicts_with_subcommands = false)]
pub(crate) struct Options {
    /// The model: a GGUF file of the Llama architecture (F32, F16, Q4_0, Q4_1, Q8_0)
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "POINTSMAN_MODEL",
        default_value = ".pointsman/models/SmolLM2-135M-Instruct.Q4_1.gguf"
    )]
    pub(crate) model: PathBuf,

    /// Threads that compute [default: one per core]
    #[arg(long, global = true, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,

    #[command(flatten)]
    pub(crate) serving: Serving,

    /// What to do instead of serving
    #[command(subcommand)]
    pub(crate) task: Option<Task>,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct Serving {
    /// Address to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8090")]
    pub(crate) listen: SocketAddr,

    /// The model's name in the API [default: from the file's name, without its quantisation]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,

    /// Tokens a sequence may hold, prompt and answer [default: what the model was trained for]
    #[arg(long, value_name = "TOKENS", value_parser = clap::value_parser!(u32).range(16..=16_777_216))]
    pub(crate) context: Option<u32>,

    /// Sequences generated at once
    #[arg(long, value_name = "COUNT", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) sequences_max: u16,

    /// Requests that may wait for a sequence; further ones are answered 429
    #[arg(long, value_name = "COUNT", default_value_t = 64)]
    pub(crate) queue_requests_max: u16,

    /// Time for requests in flight to end after SIGTERM
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 30_000)]
    pub(crate) drain_ms_max: u64,

    /// Written when ready: JSON {"url": "http://..."}
    #[arg(long, value_name = "FILE")]
    pub(crate) ready_file: Option<PathBuf>,
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Task {
    /// Measures divergence from the fp32 reference, and compares greedy answers
    Kl {
        /// Folder with reference.json and reference.bin
        #[arg(long, value_name = "FOLDER", default_value = "engine/model/reference")]
        reference: PathBuf,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Measures tokens per second: reading a prompt, and answering alone
    Speed {
        /// Tokens of the prompt
        #[arg(long, value_name = "TOKENS", default_value_t = 512)]
        prompt_tokens: u32,
        /// Tokens of the answer
        #[arg(long, value_name = "TOKENS", default_value_t = 128)]
        answer_tokens: u32,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
}

impl Options {
    pub(crate) fn threads(&self) -> usize {
        self.threads.map_or_else(
            || std::thread::available_parallelism().map_or(1, usize::from),
            usize::from,
        )
    }

    /// The name clients use.
    pub(crate) fn name(&self) -> String {
        self.serving
            .name
            .clone()
            .unwrap_or_else(|| name_of(&self.model))
    }
}

/// `SmolLM2-135M-Instruct.Q4_1.gguf` is `smollm2-135m-instruct`: a target's name need not change with the
/// quantisation.
fn name_of(path: &Path) -> String {
    let stem = path
        .file_stem()
        .map(|stem| stem.to_string_lossy().to_lowercase())
        .unwrap_or_default();
    let quantisation = |part: &str| {
        let mut letters = part.chars();
        let first = letters.next();
        matches!(part, "f16" | "f32" | "bf16")
            || (first == Some('q') && letters.next().is_some_and(|letter| letter.is_ascii_digit()))
    };
    let name = stem
        .rsplit_once(['.', '-'])
        .filter(|(_, last)| quantisation(last))
        .map(|(name, _)| name.to_owned());
    name.unwrap_or(stem)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn names_leave_the_quantisation_out() {
        let check = |file: &str, name: &str| assert_eq!(name_of(Path::new(file)), name);
        check("a/SmolLM2-135M-Instruct.Q4_1.gguf", "smollm2-135m-instruct");
        check("Llama-3.2-1B-Q8_0.gguf", "llama-3.2-1b");
        check("model-f16.gguf", "model");
        check("plain.gguf", "plain");
        check("qwen.gguf", "qwen");
    }

    #[test]
    fn the_command_line_is_consistent() {
        Options::command().debug_assert();
    }
}
