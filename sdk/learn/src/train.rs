//! Training: fit, calibrate out of fold, and bring the weights into a byte each.

use std::collections::BTreeSet;

use crate::features::{FORM_SLOTS, Features};
use crate::fit::{Sample, Weights, fit, score};
use crate::metrics::hash;
use crate::model::{BITS, Header, Model, POINTS};
use crate::rows::Row;

/// Fewer rows teach nothing.
const ROWS_MIN: usize = 50;
/// Folds of which each is scored by a model that has not seen it.
const FOLDS: u64 = 5;
/// Folds of subjects: more, for leaving out a twelfth of all topics is nearer to what is meant by a new one.
const SUBJECT_FOLDS: u64 = 12;

/// How to train.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// Word slots, as a power of two: 8 to 20.
    pub bits: u32,
    /// Inverse of the penalty on weights; above 0.
    pub strength: f64,
    /// Draws the folds.
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            bits: 14,
            strength: 0.5,
            seed: 1,
        }
    }
}

/// Why there is no model. Texts are for operators.
#[derive(Debug, thiserror::Error)]
pub enum OptionsError {
    /// Word slots out of range.
    #[error("bits: write 8 to 20")]
    Bits,
    /// A penalty that is none.
    #[error("strength: write a number above 0")]
    Strength,
    /// Too few rows.
    #[error(
        "{0} rows may teach, which is fewer than {ROWS_MIN}; artefacts and contaminated rows do not count"
    )]
    Rows(usize),
    /// Nothing to tell apart.
    #[error(
        "the strong model is needed in {needed} of {rows} rows; there is nothing to tell apart"
    )]
    OneSided {
        /// Rows in which it did better.
        needed: usize,
        /// All rows.
        rows: usize,
    },
    /// No topics to leave out.
    #[error("the rows are of one subject, so none can be left out")]
    Subjects,
}

/// A model, and the scores that rows got from models which had not seen them.
#[derive(Clone, Debug)]
pub struct Trained {
    /// The model.
    pub model: Model,
    /// A score for each row, out of fold; by folds drawn at random, so topics are known. Rows that do not teach are
    /// scored too.
    pub scores: Vec<f64>,
}

/// Trains on the rows that teach.
///
/// # Errors
/// Options out of range, or rows that cannot teach.
pub fn train(rows: &[Row], options: &Options) -> Result<Trained, OptionsError> {
    check(rows, options)?;
    let scores = held_out(rows, options, &drawn(rows.len(), options.seed), FOLDS);
    let samples: Vec<Sample> = rows
        .iter()
        .filter(|row| row.teaches())
        .map(|row| sample(row, options.bits))
        .collect();
    let weights = fit(
        &samples.iter().collect::<Vec<_>>(),
        options.bits,
        options.strength,
    );
    let (scores_at, kept) = calibration(rows, &scores);
    let model = small(&weights, options.bits, samples.len(), scores_at, kept);
    Ok(Trained { model, scores })
}

/// Scores of rows by models that have seen no row of the same subject.
///
/// # Errors
/// As of `train`; or all rows are of one subject.
pub fn out_of_fold(rows: &[Row], options: &Options) -> Result<Vec<f64>, OptionsError> {
    check(rows, options)?;
    let subjects: BTreeSet<&str> = rows.iter().map(|row| row.subject.as_str()).collect();
    if subjects.len() < 2 {
        return Err(OptionsError::Subjects);
    }
    let subjects: Vec<&str> = subjects.into_iter().collect();
    let places = drawn(subjects.len(), options.seed);
    let of = |row: &Row| {
        let subject = subjects.binary_search(&row.subject.as_str());
        places[subject.unwrap_or(0)]
    };
    let places: Vec<u64> = rows.iter().map(of).collect();
    Ok(held_out(rows, options, &places, SUBJECT_FOLDS))
}

fn check(rows: &[Row], options: &Options) -> Result<(), OptionsError> {
    if !BITS.contains(&options.bits) {
        return Err(OptionsError::Bits);
    }
    if !(options.strength.is_finite() && options.strength > 0.0) {
        return Err(OptionsError::Strength);
    }
    let teach = rows.iter().filter(|row| row.teaches());
    let needed = teach.clone().filter(|row| row.needs_strong()).count();
    let rows = teach.count();
    if rows < ROWS_MIN {
        return Err(OptionsError::Rows(rows));
    }
    if needed == 0 || needed == rows {
        return Err(OptionsError::OneSided { needed, rows });
    }
    Ok(())
}

/// A place in an order drawn from the seed, for each of so many.
fn drawn(count: usize, seed: u64) -> Vec<u64> {
    let key = |index: usize| hash(hash(seed) ^ index as u64);
    let mut order: Vec<usize> = (0..count).collect();
    order.sort_by_key(|index| key(*index));
    let mut places = vec![0; count];
    for (place, index) in order.into_iter().enumerate() {
        places[index] = place as u64;
    }
    places
}

/// The score of each row by a model that was trained on the other folds; `places` modulo `folds` is a row's fold.
fn held_out(rows: &[Row], options: &Options, places: &[u64], folds: u64) -> Vec<f64> {
    let samples: Vec<Sample> = rows.iter().map(|row| sample(row, options.bits)).collect();
    let of_fold = |fold: u64| -> Vec<(usize, f64)> {
        let within = |index: &usize| places[*index] % folds == fold;
        let others: Vec<&Sample> = (0..rows.len())
            .filter(|index| !within(index) && rows[*index].teaches())
            .map(|index| &samples[index])
            .collect();
        let weights = fit(&others, options.bits, options.strength);
        let scored = |index: usize| (index, score(&weights, &samples[index], 1 << options.bits));
        (0..rows.len()).filter(within).map(scored).collect()
    };
    let mut scores = vec![0.0; rows.len()];
    // Each fold is reckoned alone, so threads change nothing but the time.
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..folds)
            .map(|fold| scope.spawn(move || of_fold(fold)))
            .collect();
        for thread in threads {
            for (index, score) in thread.join().unwrap_or_default() {
                scores[index] = score;
            }
        }
    });
    scores
}

fn sample(row: &Row, bits: u32) -> Sample {
    let features = Features::of(&row.prompt, bits);
    Sample {
        word_weight: features.word_weight(),
        features,
        needs_strong: row.needs_strong(),
    }
}

/// For each per cent of calls: the score at or above which they lie, and the quality kept, on rows that teach.
fn calibration(rows: &[Row], scores: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let mut teach: Vec<(&Row, f64)> = rows
        .iter()
        .zip(scores.iter().copied())
        .filter(|(row, _)| row.teaches())
        .collect();
    teach.sort_by(|one, other| other.1.total_cmp(&one.1));
    let strong: f64 = teach.iter().map(|(row, _)| row.strong).sum();
    let point = |point: usize| {
        let sent = teach.len() * point / (POINTS - 1);
        let quality: f64 = teach
            .iter()
            .enumerate()
            .map(|(place, (row, _))| if place < sent { row.strong } else { row.weak })
            .sum();
        let (_, score) = teach[sent.saturating_sub(1).min(teach.len() - 1)];
        let kept = if strong > 0.0 { quality / strong } else { 1.0 };
        (exact(score), exact(kept))
    };
    (0..POINTS).map(point).unzip()
}

/// A byte for each weight, with a scale for words and one for form tokens.
fn small(weights: &Weights, bits: u32, rows: usize, scores: Vec<f64>, kept: Vec<f64>) -> Model {
    let words = 1_usize << bits;
    let (of_words, rest) = weights.split_at(words);
    let (of_form, bias) = rest.split_at(FORM_SLOTS);
    let scale = |weights: &[f64]| {
        let most = weights
            .iter()
            .fold(0.0_f64, |most, weight| most.max(weight.abs()));
        // Never 0, so that weights which are all 0 can be divided by it.
        exact(most / 127.0).max(1e-9)
    };
    let (word_scale, form_scale) = (scale(of_words), scale(of_form));
    #[expect(clippy::cast_possible_truncation, reason = "clamped to a byte")]
    let byte = |weight: f64, scale: f64| (weight / scale).round().clamp(-127.0, 127.0) as i8;
    let header = Header {
        bits,
        bias: exact(bias.first().copied().unwrap_or_default()),
        word_scale,
        form_scale,
        rows: rows as u64,
        scores,
        kept,
    };
    let bytes = of_words.iter().map(|weight| byte(*weight, word_scale));
    let bytes = bytes.chain(of_form.iter().map(|weight| byte(*weight, form_scale)));
    Model {
        header,
        weights: bytes.collect(),
    }
}

/// Rounded to what a decimal of nine places says, so that the file is read back as it was meant.
fn exact(number: f64) -> f64 {
    (number * 1e9).round() / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{Curve, Scored};

    /// Sums need the strong model, greetings do not; every tenth row says otherwise.
    fn rows(count: usize) -> Vec<Row> {
        let names = ["ada", "ben", "cid", "dot", "eve", "fay", "gus"];
        (0..count)
            .map(|index| {
                let name = names[index % names.len()];
                let sum = index % 2 == 0;
                let prompt = if sum {
                    format!("What is {index} times {} plus 7, {name}?", index + 3)
                } else {
                    format!("Say hello to {name} for me please.")
                };
                Row {
                    benchmark: "toy".to_owned(),
                    subject: name.to_owned(),
                    prompt,
                    strong: 1.0,
                    weak: f64::from(u8::from(sum == (index % 10 == 0))),
                    artefact: false,
                    contaminated: false,
                }
            })
            .collect()
    }

    fn apgr(rows: &[Row], scores: &[f64]) -> f64 {
        let scored: Vec<_> = rows
            .iter()
            .zip(scores)
            .map(|(row, score)| Scored::new(row, *score))
            .collect();
        Curve::of(&scored).expect("a curve").apgr()
    }

    #[test]
    fn it_learns_what_there_is_to_learn_and_says_how_sure_it_is() {
        let rows = rows(400);
        let trained = train(&rows, &Options::default()).expect("a model");
        assert!(apgr(&rows, &trained.scores) > 0.7);
        assert!(
            apgr(
                &rows,
                &out_of_fold(&rows, &Options::default()).expect("scores")
            ) > 0.7
        );
        let (sum, hello) = (
            "What is 5 times 6 plus 7, zoe?",
            "Say hello to zoe for me please.",
        );
        assert!(trained.model.score(sum) > trained.model.score(hello) + 1.0);
        let half = trained.model.score_of_share(0.5);
        assert!(trained.model.score(sum) > half && trained.model.score(hello) <= half);
    }

    #[test]
    fn the_same_rows_and_seed_give_the_same_file() {
        let rows = rows(100);
        let file = || {
            train(&rows, &Options::default())
                .expect("a model")
                .model
                .to_bytes()
        };
        let first = file();
        assert_eq!(first, file());
        assert_eq!(Model::parse(&first).expect("a model").to_bytes(), first);
    }

    #[test]
    fn rows_that_do_not_teach_change_nothing() {
        let clean = rows(100);
        let mut dirty = clean.clone();
        for mut row in rows(20) {
            row.weak = 1.0 - row.weak;
            row.artefact = true;
            dirty.push(row);
        }
        let weights = |rows: &[Row]| {
            train(rows, &Options::default())
                .expect("a model")
                .model
                .weights
        };
        assert_eq!(weights(&clean), weights(&dirty));
    }

    #[test]
    fn what_cannot_be_learnt_is_refused() {
        let options = Options::default();
        let refused = |rows: &[Row], options: &Options| {
            train(rows, options).expect_err("refused").to_string()
        };
        assert!(refused(&rows(49), &options).starts_with("49 rows may teach"));
        let mut same = rows(60);
        same.iter_mut().for_each(|row| row.weak = row.strong);
        assert!(refused(&same, &options).starts_with("the strong model is needed in 0 of 60 rows"));
        assert_eq!(
            refused(&rows(60), &Options { bits: 7, ..options }),
            "bits: write 8 to 20"
        );
        let nan = Options {
            strength: f64::NAN,
            ..options
        };
        assert_eq!(refused(&rows(60), &nan), "strength: write a number above 0");
        same.iter_mut().for_each(|row| row.subject.clear());
        same[0].weak = 0.0;
        assert!(matches!(
            out_of_fold(&same, &options),
            Err(OptionsError::Subjects)
        ));
    }
}
