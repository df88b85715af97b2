//! What judges a router between a strong and a weak model: the curve from none to all calls to the strong one.
//!
//! PGR is the part of the quality between weak and strong that is recovered; APGR its mean over all shares of calls;
//! CPT(x) the least share that recovers x. A router that draws has APGR 0.5 and CPT(x) = x.

use crate::rows::Row;

/// US dollars per million tokens of the strong and the weak model, as RouteLLM's paper reckons (appendix D).
pub const STRONG_USD: f64 = 24.7;
/// The weak model's.
pub const WEAK_USD: f64 = 0.24;

/// A row with a router's score: the higher, the sooner it goes to the strong model.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scored {
    /// The router's score.
    pub score: f64,
    /// The strong model's points.
    pub strong: f64,
    /// The weak model's.
    pub weak: f64,
}

impl Scored {
    /// A row with a score.
    #[must_use]
    pub const fn new(row: &Row, score: f64) -> Self {
        Self {
            score,
            strong: row.strong,
            weak: row.weak,
        }
    }
}

/// Quality by share of calls to the strong model, at full resolution; straight where scores tie.
#[derive(Clone, Debug, PartialEq)]
pub struct Curve {
    /// Share and quality, from `(0, weak)` to `(1, strong)`.
    points: Vec<(f64, f64)>,
}

/// A threshold in use.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Deployed {
    /// Share of calls to the strong model.
    pub share: f64,
    /// Quality against sending it everything.
    pub kept: f64,
}

impl Curve {
    /// The curve; none without rows, or where the strong model is not better on them.
    #[must_use]
    pub fn of(rows: &[Scored]) -> Option<Self> {
        let mut rows = rows.to_vec();
        rows.sort_by(|one, other| other.score.total_cmp(&one.score));
        let count = rows.len() as f64;
        let mut quality: f64 = rows.iter().map(|row| row.weak).sum();
        let mut points = vec![(0.0, quality / count)];
        for (index, row) in rows.iter().enumerate() {
            quality += row.strong - row.weak;
            let next = rows.get(index + 1);
            if next.is_none_or(|next| next.score < row.score) {
                points.push(((index + 1) as f64 / count, quality / count));
            }
        }
        let curve = Self { points };
        (!rows.is_empty() && curve.strong() > curve.weak()).then_some(curve)
    }

    /// Quality of the weak model alone.
    #[must_use]
    pub fn weak(&self) -> f64 {
        self.points.first().map_or(0.0, |point| point.1)
    }

    /// Quality of the strong model alone.
    #[must_use]
    pub fn strong(&self) -> f64 {
        self.points.last().map_or(0.0, |point| point.1)
    }

    /// The area below PGR.
    #[must_use]
    pub fn apgr(&self) -> f64 {
        let (weak, gap) = (self.weak(), self.strong() - self.weak());
        let area = |two: &[(f64, f64)]| {
            let ((from, low), (to, high)) = (two[0], two[1]);
            (to - from) * ((low + high) / 2.0 - weak) / gap
        };
        self.points.windows(2).map(area).sum()
    }

    /// The least share of calls that recovers this part of the gap; 0 to 1.
    #[must_use]
    pub fn cpt(&self, recovered: f64) -> f64 {
        self.share_for(self.weak() + recovered * (self.strong() - self.weak()))
    }

    /// The least share of calls at which this part of the strong model's quality is kept.
    #[must_use]
    pub fn share_that_keeps(&self, kept: f64) -> f64 {
        self.share_for(kept * self.strong())
    }

    /// What of the gap must be recovered to keep this part of the strong model's quality: the share that a draw needs.
    #[must_use]
    pub fn pgr_that_keeps(&self, kept: f64) -> f64 {
        ((kept * self.strong() - self.weak()) / (self.strong() - self.weak())).max(0.0)
    }

    fn share_for(&self, quality: f64) -> f64 {
        if self.weak() >= quality {
            return 0.0;
        }
        let reaches = |two: &[(f64, f64)]| {
            let ((from, low), (to, high)) = (two[0], two[1]);
            (high >= quality).then(|| from + (to - from) * (quality - low) / (high - low))
        };
        self.points.windows(2).find_map(reaches).unwrap_or(1.0)
    }
}

/// Share and kept quality where rows at or above a score go to the strong model.
#[must_use]
pub fn deployed(rows: &[Scored], score: f64) -> Deployed {
    let sent = rows.iter().filter(|row| row.score >= score).count();
    let quality: f64 = rows
        .iter()
        .map(|row| {
            if row.score >= score {
                row.strong
            } else {
                row.weak
            }
        })
        .sum();
    let strong: f64 = rows.iter().map(|row| row.strong).sum();
    Deployed {
        share: sent as f64 / rows.len() as f64,
        kept: quality / strong,
    }
}

/// What is saved, in parts of what the strong model alone would cost.
#[must_use]
pub fn saved(share: f64) -> f64 {
    1.0 - (share * STRONG_USD + (1.0 - share) * WEAK_USD) / STRONG_USD
}

/// 95 of 100 APGRs of rows drawn anew lie between these.
#[must_use]
pub fn apgr_interval(rows: &[Scored], seed: u64) -> Option<(f64, f64)> {
    const DRAWS: usize = 200;
    let mut state = seed;
    let mut found: Vec<f64> = (0..DRAWS)
        .filter_map(|_| {
            let drawn: Vec<Scored> = (0..rows.len())
                .map(|_| {
                    state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
                    let place = u128::from(hash(state)) * rows.len() as u128;
                    rows[usize::try_from(place >> 64).unwrap_or(0)]
                })
                .collect();
            Curve::of(&drawn).map(|curve| curve.apgr())
        })
        .collect();
    found.sort_by(f64::total_cmp);
    let at = |share: usize| found.get(found.len() * share / 1000).copied();
    Some((at(25)?, at(975)?))
}

/// SplitMix64's last step: every bit of the number counts.
pub(crate) const fn hash(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(rows: &[(f64, f64, f64)]) -> Vec<Scored> {
        let row = |&(score, strong, weak): &(f64, f64, f64)| Scored {
            score,
            strong,
            weak,
        };
        rows.iter().map(row).collect()
    }

    #[track_caller]
    fn near(found: f64, wanted: f64) {
        assert!((found - wanted).abs() < 1e-12, "{found} is not {wanted}");
    }

    #[test]
    fn one_score_for_all_is_a_draw() {
        let rows = rows(&[
            (0.0, 1.0, 0.0),
            (0.0, 1.0, 1.0),
            (0.0, 0.0, 1.0),
            (0.0, 1.0, 0.0),
        ]);
        let curve = Curve::of(&rows).expect("a curve");
        near(curve.apgr(), 0.5);
        near(curve.cpt(0.5), 0.5);
        near(curve.cpt(0.8), 0.8);
    }

    #[test]
    fn who_needs_it_first_is_the_best_order() {
        let rows = rows(&[
            (4.0, 1.0, 0.0),
            (3.0, 1.0, 1.0),
            (2.0, 0.0, 0.0),
            (1.0, 1.0, 1.0),
        ]);
        let curve = Curve::of(&rows).expect("a curve");
        near(curve.weak(), 0.5);
        near(curve.strong(), 0.75);
        near(curve.apgr(), 0.875);
        near(curve.cpt(1.0), 0.25);
        near(curve.share_that_keeps(1.0), 0.25);
        near(curve.share_that_keeps(0.5), 0.0);
        near(curve.pgr_that_keeps(0.8), 0.4);
        assert_eq!(
            deployed(&rows, 3.0),
            Deployed {
                share: 0.5,
                kept: 1.0
            }
        );
    }

    #[test]
    fn what_is_saved_agrees_with_the_paper() {
        near((saved(0.134) * 1000.0).round(), 858.0);
        near(saved(1.0), 0.0);
    }

    #[test]
    fn without_a_gap_there_is_nothing_to_judge() {
        assert_eq!(Curve::of(&[]), None);
        assert_eq!(Curve::of(&rows(&[(1.0, 1.0, 1.0)])), None);
    }

    #[test]
    fn an_interval_holds_the_figure() {
        let rows: Vec<_> = (0..200)
            .map(|n| Scored {
                score: f64::from(n % 7),
                strong: 1.0,
                weak: f64::from(n % 2),
            })
            .collect();
        let apgr = Curve::of(&rows).expect("a curve").apgr();
        let (low, high) = apgr_interval(&rows, 1).expect("an interval");
        assert!(low < apgr && apgr < high, "{low} {apgr} {high}");
        assert_eq!(apgr_interval(&rows, 1), Some((low, high)));
    }
}
