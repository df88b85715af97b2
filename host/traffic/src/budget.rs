//! Money: what one tenant or key may spend in a day and in a month, reserved before and settled after.
//!
//! Promises: a reservation is granted only where everything settled and everything set aside leaves room for it; it is
//! settled into exactly the windows that it was granted in; windows only move on, so that a clock that steps back
//! reopens none. Amounts are whole pico-dollars and saturate at their type's bounds, which is more than all money.
//! Refuses to know prices, and who reserves.

use pointsman_domain::Picos;
use pointsman_domain::control::{Budget, Period};

use crate::window::Window;

/// Windows of one ledger.
pub const WINDOWS: usize = 2;
const PERIODS: [Period; WINDOWS] = [Period::Day, Period::Month];

/// Not granted: the window that has no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exceeded {
    /// Which.
    pub window: Window,
    /// What may be spent in it.
    pub limit: Picos,
    /// What is neither settled nor set aside; below zero where a request cost more than was reserved for it.
    pub left: Picos,
}

/// What was set aside, and where. It must be settled once; the ledger cannot know that it was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "what was set aside stays set aside until it is settled"]
pub struct Reserved {
    amount: Picos,
    windows: [Window; WINDOWS],
}

impl Reserved {
    /// How much.
    #[must_use]
    pub const fn amount(&self) -> Picos {
        self.amount
    }

    /// The windows that it counts in.
    #[must_use]
    pub const fn windows(&self) -> &[Window; WINDOWS] {
        &self.windows
    }
}

/// How one window stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Which.
    pub window: Window,
    /// What may be spent; none where nothing limits it.
    pub limit: Option<Picos>,
    /// Settled.
    pub spent: Picos,
    /// Set aside.
    pub reserved: Picos,
}

impl Standing {
    /// What may still be set aside.
    #[must_use]
    pub fn left(&self) -> Option<Picos> {
        Some(self.limit? - self.spent - self.reserved)
    }
}

/// One tenant's or key's money: the present day and month. Both are counted whether a budget limits them or not, so
/// that a budget that is set, lifted or changed forgets nothing.
#[derive(Clone, Debug)]
pub struct Ledger {
    windows: [Standing; WINDOWS],
}

impl Ledger {
    /// Nothing spent, nothing limited; `now_ms` since the epoch.
    #[must_use]
    pub fn new(now_ms: u64) -> Self {
        Self {
            windows: PERIODS.map(|period| fresh(Window::at(period, now_ms), None)),
        }
    }

    /// Other limits, at once. Of two for one period the smaller holds.
    pub fn set_budgets(&mut self, budgets: &[Budget]) {
        for standing in &mut self.windows {
            let of_period = budgets
                .iter()
                .filter(|budget| budget.period == standing.window.period());
            standing.limit = of_period.map(|budget| budget.usd).min();
        }
    }

    /// Whether any window is limited.
    #[must_use]
    pub fn is_limited(&self) -> bool {
        self.windows.iter().any(|standing| standing.limit.is_some())
    }

    /// Sets aside the most that something may cost, in both windows or in none. What costs nothing always passes.
    ///
    /// # Errors
    /// The first window without room.
    pub fn reserve(&mut self, amount: Picos, now_ms: u64) -> Result<Reserved, Exceeded> {
        self.advance(now_ms);
        let amount = amount.max(Picos(0));
        for standing in &self.windows {
            if let (Some(limit), Some(left)) = (standing.limit, standing.left())
                && amount > Picos(0)
                && amount > left
            {
                let window = standing.window;
                return Err(Exceeded {
                    window,
                    limit,
                    left,
                });
            }
        }
        for standing in &mut self.windows {
            standing.reserved += amount;
        }
        let windows = self.windows.map(|standing| standing.window);
        Ok(Reserved { amount, windows })
    }

    /// What was set aside came to `charged`, be it more or less. A window that has ended since is no longer held: its
    /// money is in the records alone.
    pub fn settle(&mut self, reserved: Reserved, charged: Picos) {
        for (standing, window) in self.windows.iter_mut().zip(reserved.windows) {
            if standing.window == window {
                standing.reserved -= reserved.amount;
                standing.spent += charged;
            }
        }
    }

    /// Counts what a record says was charged. A later window takes the place of an earlier one, and what belongs to an
    /// earlier one is passed over.
    pub fn charge(&mut self, window: Window, charged: Picos) {
        for standing in &mut self.windows {
            if standing.window.period() != window.period() {
                continue;
            }
            if window.start_ms() > standing.window.start_ms() {
                *standing = fresh(window, standing.limit);
            }
            if standing.window == window {
                standing.spent += charged;
            }
        }
    }

    /// How both windows stand.
    pub fn standings(&mut self, now_ms: u64) -> [Standing; WINDOWS] {
        self.advance(now_ms);
        self.windows
    }

    /// What may still be set aside, in the window with the least; none where nothing is limited.
    pub fn left(&mut self, now_ms: u64) -> Option<Picos> {
        self.advance(now_ms);
        self.windows.iter().filter_map(Standing::left).min()
    }

    fn advance(&mut self, now_ms: u64) {
        for standing in &mut self.windows {
            let window = Window::at(standing.window.period(), now_ms);
            if window.start_ms() > standing.window.start_ms() {
                *standing = fresh(window, standing.limit);
            }
        }
    }
}

const fn fresh(window: Window, limit: Option<Picos>) -> Standing {
    Standing {
        window,
        limit,
        spent: Picos(0),
        reserved: Picos(0),
    }
}

#[cfg(test)]
mod tests;
