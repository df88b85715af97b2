//! What a ledger grants, what it keeps, and that it agrees with a naive sum over records.

use std::collections::BTreeMap;

use pointsman_domain::Picos;
use pointsman_domain::control::{Budget, Period};
use proptest::prelude::*;

use super::{Exceeded, Ledger, Reserved};
use crate::window::{DAY_MS, Window};

/// 2026-11-24T00:00:00Z.
const DAY: u64 = 1_795_478_400_000;

fn budget(period: Period, picos: i128) -> Budget {
    Budget {
        period,
        usd: Picos(picos),
    }
}

fn ledger(budgets: &[Budget]) -> Ledger {
    let mut ledger = Ledger::new(DAY);
    ledger.set_budgets(budgets);
    ledger
}

fn spent(ledger: &mut Ledger, now_ms: u64) -> [i128; 2] {
    ledger.standings(now_ms).map(|standing| standing.spent.0)
}

#[test]
fn what_is_set_aside_leaves_no_room_until_it_is_settled() {
    let mut ledger = ledger(&[budget(Period::Day, 10)]);
    let first = ledger.reserve(Picos(7), DAY).expect("room");
    let refused = ledger.reserve(Picos(4), DAY).expect_err("no room");
    let wanted = Exceeded {
        window: Window::at(Period::Day, DAY),
        limit: Picos(10),
        left: Picos(3),
    };
    assert_eq!(refused, wanted);
    ledger.settle(first, Picos(2));
    assert_eq!(ledger.left(DAY), Some(Picos(8)));
    assert!(ledger.reserve(Picos(8), DAY).is_ok());
}

#[test]
fn a_budget_of_zero_lets_only_what_is_free_through() {
    let mut ledger = ledger(&[budget(Period::Month, 0)]);
    assert!(ledger.reserve(Picos(1), DAY).is_err());
    let free = ledger.reserve(Picos(0), DAY).expect("free");
    ledger.settle(free, Picos(5));
    assert_eq!(ledger.left(DAY), Some(Picos(-5)));
    assert!(ledger.reserve(Picos(0), DAY).is_ok());
    assert!(
        ledger.reserve(Picos(-1), DAY).is_ok(),
        "a credit sets nothing aside"
    );
}

#[test]
fn the_window_without_room_is_named_and_the_other_is_left_alone() {
    let mut ledger = ledger(&[budget(Period::Day, 100), budget(Period::Month, 10)]);
    let refused = ledger.reserve(Picos(11), DAY).expect_err("no room");
    assert_eq!(refused.window.to_string(), "month/2026-11");
    assert_eq!(ledger.left(DAY), Some(Picos(10)));
}

#[test]
fn a_request_is_settled_in_the_window_that_it_began_in() {
    let mut ledger = ledger(&[budget(Period::Day, 10), budget(Period::Month, 30)]);
    let late = ledger.reserve(Picos(9), DAY + DAY_MS - 1).expect("room");
    let next = ledger.reserve(Picos(9), DAY + DAY_MS).expect("a new day");
    ledger.settle(late, Picos(9));
    ledger.settle(next, Picos(1));
    assert_eq!(spent(&mut ledger, DAY + DAY_MS), [1, 10]);
}

#[test]
fn a_clock_that_steps_back_reopens_no_window() {
    let mut ledger = ledger(&[budget(Period::Day, 10)]);
    let used = ledger.reserve(Picos(10), DAY + DAY_MS).expect("room");
    ledger.settle(used, Picos(10));
    let refused = ledger.reserve(Picos(1), DAY).expect_err("still tomorrow");
    assert_eq!(refused.window.to_string(), "day/2026-11-25");
}

#[test]
fn a_budget_that_is_lifted_and_set_again_forgets_nothing() {
    let mut ledger = ledger(&[budget(Period::Day, 10)]);
    let used = ledger.reserve(Picos(9), DAY).expect("room");
    ledger.settle(used, Picos(9));
    ledger.set_budgets(&[]);
    assert!(!ledger.is_limited() && ledger.left(DAY).is_none());
    ledger.set_budgets(&[budget(Period::Day, 10)]);
    assert!(ledger.reserve(Picos(2), DAY).is_err());
}

#[test]
fn replayed_charges_count_in_their_own_window_alone() {
    let mut ledger = Ledger::new(DAY);
    let day = Window::at(Period::Day, DAY);
    ledger.charge(day, Picos(3));
    ledger.charge(Window::at(Period::Day, DAY - 1), Picos(100));
    ledger.charge(Window::at(Period::Month, DAY), Picos(7));
    assert_eq!(spent(&mut ledger, DAY), [3, 7]);
    ledger.charge(Window::at(Period::Day, DAY + DAY_MS), Picos(1));
    assert_eq!(spent(&mut ledger, DAY), [1, 7], "tomorrow was open already");
}

#[test]
fn amounts_saturate() {
    let mut ledger = ledger(&[budget(Period::Day, 5)]);
    let day = Window::at(Period::Day, DAY);
    ledger.charge(day, Picos(i128::MAX));
    ledger.charge(day, Picos(i128::MAX));
    assert!(ledger.reserve(Picos(1), DAY).is_err());
}

#[derive(Clone, Debug)]
enum Step {
    Reserve(i128),
    /// The nth of those open, at a share of its reservation in percent.
    Settle(usize, i128),
    Clock(i64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0_i128..60).prop_map(Step::Reserve),
        4 => (0_usize..8, 0_i128..=150).prop_map(|(nth, share)| Step::Settle(nth, share)),
        1 => (-2 * DAY_MS as i64..3 * DAY_MS as i64).prop_map(Step::Clock),
    ];
    prop::collection::vec(step, 1..120)
}

proptest! {
    /// The records of a run, summed by the windows that they name, are the balances; and where no charge is above its
    /// reservation no window is ever above its limit.
    #[test]
    fn records_sum_to_the_balance(steps in steps(), limit in 1_i128..200, honest: bool) {
        let mut ledger = ledger(&[budget(Period::Day, limit), budget(Period::Month, 3 * limit)]);
        let mut now = DAY;
        let mut open: Vec<Reserved> = Vec::new();
        let mut records: BTreeMap<Window, i128> = BTreeMap::new();
        for step in steps {
            match step {
                Step::Clock(by) => now = now.saturating_add_signed(by),
                Step::Reserve(amount) => open.extend(ledger.reserve(Picos(amount), now).ok()),
                Step::Settle(nth, share) if nth < open.len() => {
                    let reserved = open.remove(nth);
                    let share = if honest { share.min(100) } else { share };
                    let charged = reserved.amount().0 * share / 100;
                    for window in reserved.windows() {
                        *records.entry(*window).or_default() += charged;
                    }
                    ledger.settle(reserved, Picos(charged));
                }
                Step::Settle(..) => {}
            }
            let mut replayed = Ledger::new(DAY);
            for (window, charged) in &records {
                replayed.charge(*window, Picos(*charged));
            }
            let live = ledger.clone().standings(now);
            for (standing, again) in live.iter().zip(replayed.standings(now)) {
                if standing.window == again.window {
                    prop_assert_eq!(standing.spent, again.spent);
                }
                let set_aside: i128 = open
                    .iter()
                    .filter(|reserved| reserved.windows().contains(&standing.window))
                    .map(|reserved| reserved.amount().0)
                    .sum();
                prop_assert_eq!(standing.reserved.0, set_aside);
                if honest {
                    prop_assert!(standing.spent.0 + standing.reserved.0 <= standing.limit.expect("set").0);
                }
            }
        }
    }
}
