//! How much of a model a request takes: its length, its task, words that ask for thought, constraints, tools, turns.
//! A reckoning by points, 0 to 1, that says nothing of what is right; it orders requests, no more.

use crate::phrases::{Group, Hit};
use crate::task;

/// Below this is `low`.
const MEDIUM: f32 = 0.3;
/// From this on is `high`.
const HIGH: f32 = 0.6;

/// What a request is besides its text.
#[derive(Debug, Default)]
pub(crate) struct Structure {
    pub(crate) messages: u32,
    pub(crate) tools: usize,
    /// `text`, `json_object`, `json_schema`.
    pub(crate) format: Option<String>,
    /// The gateway's estimate.
    pub(crate) input_tokens: i64,
}

/// A level, where it stands between 0 and 1, and how far it is from the next level.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Complexity {
    pub(crate) level: &'static str,
    pub(crate) score: f64,
    pub(crate) confidence: f32,
}

/// Words that ask for thought, or for little of it; split at `|`.
pub(crate) const PHRASES: [(Group, &str); 6] = [
    (
        Group::Thought,
        "step by step|prove|proof|derive|analyze|analyse|analysis|compare|trade-off*|tradeoff*|design|architect*|\
         optimi*|debug*|refactor*|algorithm*|evaluate|critique|in depth|in detail|detailed|comprehensive|strategy|\
         implications|justify|reason about|explain why|research|distributed|concurren*|complexity|theorem|implement*|\
         end-to-end|scalab*|formal*|rigorous*|multi-step|edge case*|root cause",
    ),
    (
        Group::Thought,
        "paso a paso|analiza|compara|demuestra|diseña|detallad*|étape par étape|analyse|compare|démontre|conçois|\
         détaillé*|schritt für schritt|analysiere|vergleiche|beweise|entwirf|ausführlich*|passo dopo passo|analizza|\
         confronta|dimostra|progetta|passo a passo|analise|demonstre|projete|stap voor stap|analyseer|vergelijk|steg för steg|\
         krok po kroku|przeanalizuj|porównaj|krok za krokem|adım adım|analiz et|karşılaştır|пошагово|шаг за шагом|\
         проанализируй|сравни|докажи|спроектируй|подробно|крок за кроком|проаналізуй|порівняй|逐步|一步一步|分析|比较|证明|设计|\
         詳しく|ステップ|比較|証明|設計|단계별|분석|비교|증명|설계|خطوة بخطوة|حلل|قارن|विस्तार|विश्लेषण|तुलना|từng bước|phân tích|so sánh|langkah demi langkah",
    ),
    (
        Group::Constraint,
        "must|must not|at least|at most|exactly|without using|ensure|make sure|only use|no more than|should not|require*|\
         constraint*|as follows|the following format|for each|support*|handle|assume|given that|such that|if and only if",
    ),
    (
        Group::Constraint,
        "debe|al menos|exactamente|sin usar|doit|au moins|exactement|sans utiliser|muss|mindestens|genau|ohne|deve|almeno|\
         esattamente|pelo menos|exatamente|moet|minstens|должен|должна|должно|не менее|ровно|必须|至少|不能|必ず|少なくとも|반드시|최소",
    ),
    (
        Group::Little,
        "in one word|one word answer|briefly|yes or no|in one sentence|quick question|short answer|just the answer|\
         true or false|simply|only the answer|hello|hi|thanks|thank you",
    ),
    (
        Group::Little,
        "en una palabra|brevemente|en un mot|brièvement|in einem wort|kurz|in una parola|em uma palavra|in één woord|одним словом|\
         кратко|一个词|简单|一言で|한 단어|hola|bonjour|hallo|ciao|olá|привет|你好",
    ),
];

/// From the phrases found in a text, the text itself in lower case, and the rest of the request.
pub(crate) fn of(found: &[Hit], text: &str, task: &str, structure: &Structure) -> Complexity {
    let count = |group| found.iter().filter(|hit| hit.group == group).count() as f32;
    let items = text.lines().filter(|line| is_item(line)).count();
    let points = of_length(structure.input_tokens)
        + of_task(task)
        + (count(Group::Thought) * 0.12).min(0.36)
        + (count(Group::Constraint) * 0.04).min(0.16)
        + (items as f32 * 0.02).min(0.1)
        + of_structure(structure)
        - (count(Group::Little) * 0.15).min(0.3);
    let score = points.clamp(0.0, 1.0);
    let level = match score {
        score if score < MEDIUM => "low",
        score if score < HIGH => "medium",
        _ => "high",
    };
    let from_border = (score - MEDIUM).abs().min((score - HIGH).abs());
    Complexity {
        level,
        score: (f64::from(score) * 1000.0).round() / 1000.0,
        // A text at the border is either; this is a rule of thumb and never sure.
        confidence: (0.5 + 1.5 * from_border).min(0.9),
    }
}

/// Each doubling from 16 tokens on adds the same, up to 2,048.
fn of_length(input_tokens: i64) -> f32 {
    let doublings = (input_tokens.max(1) / 16).checked_ilog2().unwrap_or(0);
    (doublings as f32 * 0.06).min(0.42)
}

fn of_task(task: &str) -> f32 {
    match task {
        task::CODE | task::MATH => 0.27,
        task::WRITING => 0.18,
        task::SUMMARY | task::QUESTION | task::EXTRACTION => 0.13,
        task::TRANSLATION => 0.1,
        task::CLASSIFICATION => 0.06,
        task::CHAT => 0.0,
        // An operator's own task: nothing is known of it.
        _ => 0.1,
    }
}

fn of_structure(structure: &Structure) -> f32 {
    let tools = match structure.tools {
        0 => 0.0,
        1..=4 => 0.1,
        _ => 0.16,
    };
    let turns = match structure.messages {
        0..=5 => 0.0,
        6..=19 => 0.05,
        _ => 0.1,
    };
    let schema = structure
        .format
        .as_deref()
        .is_some_and(|format| format.starts_with("json"));
    tools + turns + if schema { 0.05 } else { 0.0 }
}

/// A line of a list: `- `, `* `, `1. `, `2) `.
fn is_item(line: &str) -> bool {
    let line = line.trim_start();
    let after_number = line.trim_start_matches(|letter: char| letter.is_ascii_digit());
    let numbered = after_number.len() < line.len()
        && (after_number.starts_with(". ") || after_number.starts_with(") "));
    numbered || line.starts_with("- ") || line.starts_with("* ")
}
