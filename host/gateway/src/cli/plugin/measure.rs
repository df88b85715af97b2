//! Figures of calls, and how they are shown.

use std::time::Instant;

/// A case's name in a table is cut after so many characters.
const NAME_CHARACTERS_MAX: usize = 48;

/// Since then.
pub(super) fn nanoseconds(started: Instant) -> u64 {
    u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// The value below which so many percent lie, in microseconds; of nothing, 0.
#[expect(
    clippy::cast_precision_loss,
    reason = "a time of 2^53 ns is a hundred days"
)]
pub(super) fn percentile_us(sorted_ns: &[u64], percent: usize) -> f64 {
    let place = (sorted_ns.len() * percent / 100).min(sorted_ns.len().saturating_sub(1));
    sorted_ns.get(place).map_or(0.0, |ns| *ns as f64 / 1000.0)
}

/// One decimal is what a clock can tell.
pub(super) fn rounded(figure: f64) -> f64 {
    (figure * 10.0).round() / 10.0
}

/// Columns under their heads, the first to the left and the others to the right.
pub(super) fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).enumerate();
        let cells = cells.map(|(column, (cell, width))| {
            if column == 0 {
                format!("{cell:<width$}")
            } else {
                format!("{cell:>width$}")
            }
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// A case's name as a table has it.
pub(super) fn short(name: &str) -> String {
    if name.chars().count() <= NAME_CHARACTERS_MAX {
        return name.to_owned();
    }
    let kept: String = name.chars().take(NAME_CHARACTERS_MAX - 1).collect();
    format!("{kept}…")
}

#[cfg(test)]
mod tests {
    use super::{percentile_us, short, table};

    #[test]
    fn a_percentile_is_one_of_the_values() {
        assert!(percentile_us(&[], 99).abs() < f64::EPSILON);
        let times: Vec<u64> = (1..=100).map(|value| value * 1000).collect();
        assert!((percentile_us(&times, 50) - 51.0).abs() < f64::EPSILON);
        assert!((percentile_us(&times, 100) - 100.0).abs() < f64::EPSILON);
    }

    #[test]
    fn columns_stand_under_their_heads() {
        let rows = [["case", "µs"], ["ü", "10"], ["long", "1"]];
        let rows: Vec<Vec<String>> = rows
            .iter()
            .map(|row| row.map(str::to_owned).to_vec())
            .collect();
        assert_eq!(table(&rows), "case  µs\nü     10\nlong   1");
        assert_eq!(short(&"ü".repeat(60)).chars().count(), 48);
    }
}
