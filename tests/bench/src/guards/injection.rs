//! guard-injection beside a plain model of character n-grams, each source scored by a model that never saw it.
//!
//! A model that was trained on a source mostly recognises the source; so the pooled figures of a model that saw all of
//! them say little about texts from elsewhere, and only those that leave sources out are promised.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;
use guard_injection::features::{FEATURES, Lexicon, Sheet};
use guard_injection::model::Model;
use guard_injection::{Config, GuardInjection};
use pointsman_sdk::Plugin as _;
use serde_json::Value;

use super::learn::{Learnt, Lesson, Sparse, learn};
use super::rows::{Folders, is_positive, source, text};
use super::{Findings, share};

/// False positives at which models are compared.
const RATES: [f64; 2] = [0.05, 0.01];
/// False positives that a score of 0.5 stands for, on texts of sources that the model did not see.
const DEFAULT_RATE: f64 = 0.01;
/// Parts for figures on known sources.
const FOLDS: u64 = 5;
/// Weight of errors against the size of weights, ours and the baseline's.
const COST: f64 = 1.0;
const BASELINE_COST: f64 = 10.0;
/// The baseline: character n-grams of these lengths, hashed into this many places.
const GRAMS: std::ops::RangeInclusive<usize> = 3..=5;
const GRAM_PLACES: usize = 1 << 16;

/// A row with what both models see of it.
struct Text {
    id: String,
    source: String,
    positive: bool,
    /// One for each window.
    windows: Vec<Sparse>,
    grams: Sparse,
}

/// Which model.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Which {
    Ours,
    Baseline,
}

impl Text {
    fn new(row: &Value, lexicon: &Lexicon) -> Self {
        let body = text(row, "text");
        let mut windows: Vec<Sparse> = Vec::new();
        Sheet::new(lexicon).read(body, |sheet| {
            let features = sheet.features();
            windows.push(
                features
                    .map(|(place, value)| (place_number(place), value))
                    .collect(),
            );
        });
        Self {
            id: text(row, "id").to_owned(),
            source: source(row).to_owned(),
            positive: is_positive(row),
            windows,
            grams: grams(body),
        }
    }

    fn views(&self, which: Which) -> &[Sparse] {
        match which {
            Which::Ours => &self.windows,
            Which::Baseline => std::slice::from_ref(&self.grams),
        }
    }

    fn fold(&self) -> u64 {
        self.id.bytes().fold(7, |hash: u64, byte| {
            hash.wrapping_mul(31).wrapping_add(u64::from(byte))
        }) % FOLDS
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "features are far fewer than 2^32"
)]
const fn place_number(place: usize) -> u32 {
    place as u32
}

/// Which n-grams a text has, spaces joined, to length 1.
fn grams(text: &str) -> Sparse {
    let mut characters = Vec::new();
    for character in text.chars().flat_map(char::to_lowercase) {
        let character = if character.is_whitespace() {
            ' '
        } else {
            character
        };
        if character != ' ' || characters.last() != Some(&' ') {
            characters.push(character);
        }
    }
    let mut places = Vec::new();
    for length in GRAMS {
        for gram in characters.windows(length) {
            let hash = gram
                .iter()
                .fold(0xcbf2_9ce4_8422_2325_u64, |hash, &character| {
                    (hash ^ u64::from(u32::from(character))).wrapping_mul(0x0100_0000_01b3)
                });
            places.push(place_number(
                usize::try_from(hash >> 40).unwrap_or(0) % GRAM_PLACES,
            ));
        }
    }
    places.sort_unstable();
    places.dedup();
    #[expect(
        clippy::cast_precision_loss,
        reason = "a text has far fewer than 2^24 n-grams"
    )]
    let value = 1.0 / (places.len().max(1) as f32).sqrt();
    places.into_iter().map(|place| (place, value)).collect()
}

/// A trained model: ours through the file that ships, with what makes 0.5 of its default threshold; or the bare weights
/// of either.
enum Trained {
    Shipped(Box<Model>, f32),
    Plain(Learnt, Which),
}

impl Trained {
    fn new(texts: &[&Text], which: Which) -> anyhow::Result<Self> {
        let learnt = fit(texts, which);
        Ok(match which {
            Which::Baseline => Self::Plain(learnt, which),
            Which::Ours => {
                let file = Model::write(&learnt.weights, learnt.bias);
                let model = Model::read(&file).map_err(anyhow::Error::msg)?;
                Self::Shipped(Box::new(model), calibration(texts))
            }
        })
    }

    fn score(&self, text: &Text) -> f32 {
        let logit = |features: &Sparse| match self {
            Self::Shipped(model, _) => model.logit(
                features
                    .iter()
                    .map(|&(place, value)| (place as usize, value)),
            ),
            Self::Plain(learnt, _) => learnt.logit(features),
        };
        let which = match self {
            Self::Shipped(..) => Which::Ours,
            Self::Plain(_, which) => *which,
        };
        text.views(which)
            .iter()
            .map(logit)
            .fold(f32::NEG_INFINITY, f32::max)
    }

    fn scored<'a>(&self, text: &'a Text) -> Scored<'a> {
        let score = self.score(text);
        let shift = match self {
            Self::Shipped(_, shift) => *shift,
            Self::Plain(..) => 0.0,
        };
        Scored {
            source: &text.source,
            positive: text.positive,
            score,
            by_default: score + shift >= 0.0,
        }
    }
}

fn fit(texts: &[&Text], which: Which) -> Learnt {
    let lessons: Vec<Lesson> = texts.iter().flat_map(|text| lessons(text, which)).collect();
    let lessons: Vec<&Lesson> = lessons.iter().collect();
    match which {
        Which::Ours => learn(&lessons, FEATURES, COST),
        Which::Baseline => learn(&lessons, GRAM_PLACES, BASELINE_COST),
    }
}

fn lessons(text: &Text, which: Which) -> impl Iterator<Item = Lesson> + use<'_> {
    let views = text.views(which);
    views.iter().map(|features| Lesson {
        features: features.clone(),
        positive: text.positive,
        weight: 1.0 / f64::from(place_number(views.len())),
    })
}

/// What to add to a model's sums so that `DEFAULT_RATE` of the benign texts would score 0.5 or more, had it not seen
/// their source.
fn calibration(texts: &[&Text]) -> f32 {
    let mut sources: Vec<&str> = texts.iter().map(|text| text.source.as_str()).collect();
    sources.sort_unstable();
    sources.dedup();
    let mut scores = Vec::new();
    for source in sources {
        let (held, seen): (Vec<&Text>, Vec<&Text>) =
            texts.iter().partition(|text| text.source == source);
        let model = Trained::Plain(fit(&seen, Which::Ours), Which::Ours);
        let benign = held.iter().filter(|text| !text.positive);
        scores.extend(benign.map(|text| model.score(text)));
    }
    -threshold(scores, DEFAULT_RATE)
}

/// The score above which no more than `rate` of these are.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a share of a count of rows"
)]
fn threshold(mut scores: Vec<f32>, rate: f64) -> f32 {
    scores.sort_by(|a, b| b.total_cmp(a));
    let index = (scores.len() as f64 * rate) as usize;
    scores.get(index).copied().unwrap_or(0.0)
}

/// A text's source, label and score.
struct Scored<'a> {
    source: &'a str,
    positive: bool,
    score: f32,
    /// Whether the plugin counts it as an injection by default.
    by_default: bool,
}

/// Attacks that are hit, of all attacks; benign texts likewise.
fn rates<'a>(
    scored: impl Iterator<Item = &'a Scored<'a>>,
    is_hit: &dyn Fn(&Scored<'_>) -> bool,
) -> ((usize, usize), (usize, usize)) {
    let (mut attacks, mut benign) = ((0, 0), (0, 0));
    for text in scored {
        let tally = if text.positive {
            &mut attacks
        } else {
            &mut benign
        };
        tally.0 += usize::from(is_hit(text));
        tally.1 += 1;
    }
    (attacks, benign)
}

fn at_rate(scored: &[Scored<'_>], rate: f64) -> (f32, f64) {
    let benign = scored
        .iter()
        .filter(|text| !text.positive)
        .map(|text| text.score);
    let above = threshold(benign.collect(), rate);
    let ((found, attacks), _) = rates(scored.iter(), &|text| text.score > above);
    (above, share(found, attacks))
}

/// Every text scored by a model that saw no text of its source.
fn leaving_sources_out<'a>(
    texts: &'a [Text],
    training: &[Text],
    which: Which,
) -> anyhow::Result<Vec<Scored<'a>>> {
    let mut models = BTreeMap::new();
    for text in texts {
        if !models.contains_key(text.source.as_str()) {
            let seen: Vec<&Text> = training
                .iter()
                .filter(|row| row.source != text.source)
                .collect();
            models.insert(text.source.as_str(), Trained::new(&seen, which)?);
        }
    }
    Ok(texts
        .iter()
        .map(|text| models[text.source.as_str()].scored(text))
        .collect())
}

/// Every text scored by a model that saw its source, but not the text.
fn mixing_sources(texts: &[Text], which: Which) -> anyhow::Result<Vec<Scored<'_>>> {
    let mut scored = Vec::new();
    for fold in 0..FOLDS {
        let (held, seen): (Vec<&Text>, Vec<&Text>) =
            texts.iter().partition(|text| text.fold() == fold);
        let model = Trained::new(&seen, which)?;
        scored.extend(held.into_iter().map(|text| model.scored(text)));
    }
    Ok(scored)
}

fn texts(rows: &[Value]) -> Vec<Text> {
    let lexicon = Lexicon::new();
    rows.iter().map(|row| Text::new(row, &lexicon)).collect()
}

/// Measures both models.
///
/// # Errors
/// Rows that cannot be read.
pub fn measure(folders: &Folders) -> anyhow::Result<Findings> {
    let rows = folders.rows("injection.jsonl")?;
    let (texts, training) = (
        texts(&rows),
        texts(&folders.training_rows("injection.jsonl")?),
    );
    let ours = leaving_sources_out(&texts, &training, Which::Ours)?;
    let theirs = leaving_sources_out(&texts, &training, Which::Baseline)?;
    let mut findings = Findings::default();
    findings.say("| injection | sources | recall at 5% false positives | at 1% |");
    findings.say("|---|---|---|---|");
    let mut row = |name: &str, sources: &str, scored: &[Scored<'_>]| {
        let [five, one] = RATES.map(|rate| at_rate(scored, rate).1);
        findings.say(format!("| {name} | {sources} | {five:.3} | {one:.3} |"));
    };
    row("guard-injection", "left out", &ours);
    row("character n-grams", "left out", &theirs);
    row(
        "guard-injection",
        "known",
        &mixing_sources(&training, Which::Ours)?,
    );
    row(
        "character n-grams",
        "known",
        &mixing_sources(&training, Which::Baseline)?,
    );
    findings.say("");
    by_source(&mut findings, &ours, &theirs);
    as_shipped(&mut findings, &rows, &training)?;
    for rate in RATES {
        let name = format!(
            "injection-recall-at-{}%-false-positives-sources-left-out",
            rate * 100.0
        );
        let (ours, theirs) = (at_rate(&ours, rate).1, at_rate(&theirs, rate).1);
        findings.promise(&name, ours, theirs, ours > theirs);
    }
    Ok(findings)
}

fn by_source(findings: &mut Findings, ours: &[Scored<'_>], theirs: &[Scored<'_>]) {
    findings.say("| source, left out | attacks | found at 5% | n-grams | benign | hit at 5% | n-grams | found, hit at threshold 0.5 |");
    findings.say("|---|---|---|---|---|---|---|---|");
    let sources: std::collections::BTreeSet<&str> = ours.iter().map(|text| text.source).collect();
    let (our_score, their_score) = (at_rate(ours, RATES[0]).0, at_rate(theirs, RATES[0]).0);
    let of = |(hit, all): (usize, usize)| {
        if all == 0 {
            "–".to_owned()
        } else {
            format!("{:.2}", share(hit, all))
        }
    };
    let mut line = |name: &str, is: &dyn Fn(&&Scored<'_>) -> bool| {
        let (attacks, benign) = rates(ours.iter().filter(is), &|text| text.score > our_score);
        let (their_attacks, their_benign) =
            rates(theirs.iter().filter(is), &|text| text.score > their_score);
        let (found, hit) = rates(ours.iter().filter(is), &|text| text.by_default);
        findings.say(format!(
            "| {name} | {} | {} | {} | {} | {} | {} | {}, {} |",
            attacks.1,
            of(attacks),
            of(their_attacks),
            benign.1,
            of(benign),
            of(their_benign),
            of(found),
            of(hit)
        ));
    };
    for source in sources {
        line(source, &|text| text.source == source);
    }
    line("all", &|_| true);
    findings.say("");
}

/// The plugin itself with its default threshold, on texts that its weights were not trained on.
fn as_shipped(findings: &mut Findings, rows: &[Value], training: &[Text]) -> anyhow::Result<()> {
    let known: std::collections::BTreeSet<&str> =
        training.iter().map(|text| text.id.as_str()).collect();
    let unseen: Vec<&Value> = rows
        .iter()
        .filter(|row| !known.contains(text(row, "id")))
        .collect();
    if unseen.is_empty() {
        findings.say("The weights that ship were trained on all of these texts, so the plugin as it ships is not measured on them.");
        findings.say("");
        return Ok(());
    }
    let guard = GuardInjection::configure(Config::default()).map_err(anyhow::Error::msg)?;
    let scored: Vec<Scored<'_>> = unseen
        .into_iter()
        .map(|row| {
            let score = guard.judge(text(row, "text")).score;
            Scored {
                source: source(row),
                positive: is_positive(row),
                score,
                by_default: score >= 0.5,
            }
        })
        .collect();
    let ((found, attacks), (hit, benign)) = rates(scored.iter(), &|text| text.by_default);
    findings.say(format!(
        "As shipped, threshold 0.5, on {} texts that the weights were not trained on: {:.3} of {attacks} attacks found, {:.3} of {benign} benign texts hit; at 5% false positives {:.3} found, at 1% {:.3}.",
        scored.len(),
        share(found, attacks),
        share(hit, benign),
        at_rate(&scored, RATES[0]).1,
        at_rate(&scored, RATES[1]).1
    ));
    findings.say("");
    Ok(())
}

/// Trains the weights that ship and writes them to `file`.
///
/// # Errors
/// Rows that cannot be read, a file that cannot be written.
pub fn train(folders: &Folders, file: &Path) -> anyhow::Result<()> {
    let texts = texts(&folders.training_rows("injection.jsonl")?);
    let texts: Vec<&Text> = texts.iter().collect();
    let learnt = fit(&texts, Which::Ours);
    let bytes = Model::write(&learnt.weights, learnt.bias + calibration(&texts));
    std::fs::write(file, bytes).with_context(|| format!("cannot write {}", file.display()))
}
