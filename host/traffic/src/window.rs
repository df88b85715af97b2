//! The windows of budgets: days and months in UTC, by arithmetic alone.
//! Promises that every millisecond lies in exactly one window of a period, and that a window's name reads back to it.
//! Refuses to know time zones and leap seconds: a day has 86,400,000 milliseconds, as in Unix time.

use std::fmt;

use pointsman_domain::control::Period;

/// Milliseconds of a day.
pub const DAY_MS: u64 = 86_400_000;
/// Days from 0000-03-01 to 1970-01-01.
const DAYS_BEFORE_EPOCH: u64 = 719_468;
/// Days of 400 years.
const DAYS_OF_ERA: u64 = 146_097;
/// Digits of a year in a window's name, at most.
const YEAR_DIGITS_MAX: usize = 9;

/// A day or a month. Ordered by its period, then by its beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Window {
    period: Period,
    start_ms: u64,
    end_ms: u64,
}

impl Window {
    /// The window of a period that a time lies in; milliseconds since the epoch.
    #[must_use]
    pub const fn at(period: Period, epoch_ms: u64) -> Self {
        let day = epoch_ms / DAY_MS;
        let (first, next) = match period {
            Period::Day => (day, day + 1),
            Period::Month => {
                let (year, month, _) = civil(day);
                let (next_year, next_month) = if month == 12 {
                    (year + 1, 1)
                } else {
                    (year, month + 1)
                };
                (days(year, month, 1), days(next_year, next_month, 1))
            }
        };
        Self {
            period,
            start_ms: first.saturating_mul(DAY_MS),
            end_ms: next.saturating_mul(DAY_MS),
        }
    }

    /// Reads `day/2026-11-24` or `month/2026-11`, in exactly the spelling that is written.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (period, date) = match text.split_once('/')? {
            ("day", date) => (Period::Day, date),
            ("month", date) => (Period::Month, date),
            _ => return None,
        };
        let mut parts = date.split('-');
        let year = number(parts.next()?)?;
        let month = number(parts.next()?)?;
        let day = match period {
            Period::Day => number(parts.next()?)?,
            Period::Month => 1,
        };
        if year < 1970 || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
            return None;
        }
        let window = Self::at(period, days(year, month, day).saturating_mul(DAY_MS));
        (window.to_string() == text).then_some(window)
    }

    /// Its period.
    #[must_use]
    pub const fn period(&self) -> Period {
        self.period
    }

    /// Its first millisecond since the epoch.
    #[must_use]
    pub const fn start_ms(&self) -> u64 {
        self.start_ms
    }

    /// The first millisecond after it.
    #[must_use]
    pub const fn end_ms(&self) -> u64 {
        self.end_ms
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = civil(self.start_ms / DAY_MS);
        write!(f, "{}/{year:04}-{month:02}", self.period)?;
        match self.period {
            Period::Day => write!(f, "-{day:02}"),
            Period::Month => Ok(()),
        }
    }
}

fn number(text: &str) -> Option<u64> {
    let digits = (1..=YEAR_DIGITS_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

/// Days since the epoch of a date in the proleptic Gregorian calendar. Years begin in March, so that the leap day is a
/// year's last and the lengths of months repeat: 153 days every five.
const fn days(year: u64, month: u64, day: u64) -> u64 {
    let year = if month > 2 { year } else { year - 1 };
    let from_march = (month + 9) % 12;
    let day_of_year = (153 * from_march + 2) / 5 + day - 1;
    let whole_years = year * 365 + year / 4 - year / 100 + year / 400;
    whole_years + day_of_year - DAYS_BEFORE_EPOCH
}

/// Year, month and day of a day since the epoch.
const fn civil(day: u64) -> (u64, u64, u64) {
    let day = day + DAYS_BEFORE_EPOCH;
    let (era, day) = (day / DAYS_OF_ERA, day % DAYS_OF_ERA);
    // Each fourth year is a day longer, each hundredth is not, the last of the era is.
    let year_of_era = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    let year = era * 400 + year_of_era + if month <= 2 { 1 } else { 0 };
    (year, month, day_of_year - (153 * from_march + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Day by day with the rule that everybody knows.
    fn naive(mut day: u64) -> (u64, u64, u64) {
        let mut year = 1970;
        let leap = |year: u64| {
            year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
        };
        while day >= 365 + u64::from(leap(year)) {
            day -= 365 + u64::from(leap(year));
            year += 1;
        }
        let mut month = 1;
        loop {
            let length = match month {
                2 => 28 + u64::from(leap(year)),
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            if day < length {
                return (year, month, day + 1);
            }
            day -= length;
            month += 1;
        }
    }

    #[test]
    fn windows_are_named_by_their_date() {
        let at = 1_795_510_923_456; // 2026-11-24T07:42:03.456Z
        let day = Window::at(Period::Day, at);
        assert_eq!(day.to_string(), "day/2026-11-24");
        assert_eq!(Window::at(Period::Month, at).to_string(), "month/2026-11");
        assert_eq!(
            Window::at(Period::Day, day.end_ms() - 1).to_string(),
            "day/2026-11-24"
        );
        assert_eq!(
            Window::at(Period::Day, day.end_ms()).to_string(),
            "day/2026-11-25"
        );
        assert_eq!(
            Window::at(Period::Month, 951_782_400_000).to_string(),
            "month/2000-02"
        );
    }

    #[test]
    fn only_the_written_spelling_is_read() {
        for text in [
            "",
            "day",
            "day/",
            "day/2026-11",
            "month/2026-11-24",
            "day/2026-2-3",
            "day/2026-02-30",
            "day/2026-13-01",
            "day/2026-00-01",
            "day/1969-12-31",
            "year/2026",
            "day/+2026-01-01",
            "day/2026-01-01-",
            "day/999999999-01-01-01",
        ] {
            assert_eq!(Window::parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn days_are_dated_as_the_calendar_says(day in 0_u64..400_000) {
            prop_assert_eq!(civil(day), naive(day));
            let (year, month, of_month) = naive(day);
            prop_assert_eq!(days(year, month, of_month), day);
        }

        #[test]
        fn every_time_lies_in_its_window_and_names_read_back(at in 0_u64..32_000_000_000_000_000) {
            for period in [Period::Day, Period::Month] {
                let window = Window::at(period, at);
                prop_assert!(window.start_ms() <= at && at < window.end_ms());
                prop_assert_eq!(Window::at(period, window.start_ms()), window);
                prop_assert_eq!(Window::at(period, window.end_ms()).start_ms(), window.end_ms());
                prop_assert_eq!(Window::parse(&window.to_string()), Some(window));
            }
        }

        #[test]
        fn no_time_and_no_text_panics(at: u64, text in "(day|month)/[0-9-]{0,24}") {
            let _named = Window::at(Period::Month, at).to_string();
            if let Some(window) = Window::parse(&text) {
                prop_assert_eq!(window.to_string(), text);
            }
        }
    }
}
