//! Labelled rows: a prompt, and how the strong and the weak model answered it. JSON, one a line.

use serde::Deserialize;

/// Bytes of one line.
const LINE_BYTES_MAX: usize = 1 << 20;

/// Why a file is no rows.
#[derive(Debug, thiserror::Error)]
pub enum RowsError {
    /// A line that is no row.
    #[error("line {line}: {detail}")]
    Line {
        /// Counted from 1.
        line: usize,
        /// What is wrong with it.
        detail: String,
    },
}

/// A prompt and what both models made of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Where it comes from; `rows` where nobody says.
    pub benchmark: String,
    /// Its topic; the benchmark where nobody says.
    pub subject: String,
    /// What was asked.
    pub prompt: String,
    /// The strong model's points: 0 or 1 for right or wrong, or a score.
    pub strong: f64,
    /// The weak model's.
    pub weak: f64,
    /// Known to come of a broken run.
    pub artefact: bool,
    /// Known to be in a model's training data.
    pub contaminated: bool,
}

/// A line as it is written. Other keys are let through: sets carry ids and notes.
#[derive(Deserialize)]
struct Line {
    #[serde(default)]
    benchmark: Option<String>,
    #[serde(default)]
    subject: Option<String>,
    prompt: String,
    #[serde(default)]
    strong_correct: Option<f64>,
    #[serde(default)]
    weak_correct: Option<f64>,
    #[serde(default)]
    strong_score: Option<f64>,
    #[serde(default)]
    weak_score: Option<f64>,
    #[serde(default)]
    artefact: u8,
    #[serde(default)]
    contaminated: u8,
}

impl Row {
    /// Whether the strong model was needed: it did better than the weak one.
    #[must_use]
    pub fn needs_strong(&self) -> bool {
        self.strong > self.weak
    }

    /// Whether it may teach: neither artefact nor contaminated.
    #[must_use]
    pub const fn teaches(&self) -> bool {
        !self.artefact && !self.contaminated
    }
}

/// Reads rows. Keys: `prompt`; `strong_correct` and `weak_correct` (0 or 1), or `strong_score` and `weak_score`;
/// `benchmark`, `subject`, `artefact`, `contaminated` where known.
///
/// # Errors
/// The first line that is no row.
pub fn parse_rows(text: &str) -> Result<Vec<Row>, RowsError> {
    let lines = text.lines().enumerate();
    lines
        .filter(|(_, line)| !line.trim().is_empty())
        .map(|(index, line)| {
            row(line).map_err(|detail| RowsError::Line {
                line: index + 1,
                detail,
            })
        })
        .collect()
}

fn row(text: &str) -> Result<Row, String> {
    if text.len() > LINE_BYTES_MAX {
        return Err(format!("longer than {LINE_BYTES_MAX} bytes"));
    }
    let line: Line = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let correct = line.strong_correct.zip(line.weak_correct);
    let scores = line.strong_score.zip(line.weak_score);
    let (strong, weak) = correct.or(scores).ok_or(
        "it says nothing of the two models; write strong_correct and weak_correct, or strong_score and weak_score",
    )?;
    let benchmark = line.benchmark.unwrap_or_else(|| "rows".to_owned());
    Ok(Row {
        subject: line.subject.unwrap_or_else(|| benchmark.clone()),
        benchmark,
        prompt: line.prompt,
        strong,
        weak,
        artefact: line.artefact != 0,
        contaminated: line.contaminated != 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_tell_by_points_who_was_needed() {
        let rows = parse_rows(
            "{\"id\":\"x\",\"prompt\":\"p\",\"strong_correct\":1,\"weak_correct\":0}\n\n\
             {\"benchmark\":\"b\",\"prompt\":\"q\",\"strong_score\":7.5,\"weak_score\":8,\"artefact\":1}",
        )
        .expect("rows");
        assert!(rows[0].needs_strong() && rows[0].teaches());
        assert!(!rows[1].needs_strong() && !rows[1].teaches());
        assert_eq!(
            (rows[0].subject.as_str(), rows[1].subject.as_str()),
            ("rows", "b")
        );
    }

    #[test]
    fn a_line_without_labels_is_refused_with_its_number() {
        let error = parse_rows(
            "{\"prompt\":\"p\",\"strong_correct\":1,\"weak_correct\":0}\n{\"prompt\":\"p\"}",
        );
        let error = error.expect_err("refused").to_string();
        assert!(
            error.starts_with("line 2: it says nothing of the two models"),
            "{error}"
        );
    }
}
