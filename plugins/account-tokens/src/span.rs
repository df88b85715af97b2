//! When something holds: from a date on, until before another, in UTC.

use pointsman_sdk::Attribute;

/// What to write.
const WANTED: &str = "write a date such as 2026-12-01 or a time such as 2026-12-01T08:00:00Z";
/// Entries of one dated list.
const ENTRIES_MAX: usize = 64;
const DAY_MS: i64 = 86_400_000;
/// Days before the month begins, in a year without a leap day.
const BEFORE: [i64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];

/// Milliseconds since the epoch: the first that it holds in, the first that it does not; always where none is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    from_ms: i64,
    until_ms: i64,
}

impl Span {
    /// At all times.
    pub(crate) const ALWAYS: Self = Self {
        from_ms: i64::MIN,
        until_ms: i64::MAX,
    };

    /// Of what the operator wrote; `at` is where.
    pub(crate) fn new(at: &str, from: Option<&str>, until: Option<&str>) -> Result<Self, String> {
        let read = |key: &str, text: Option<&str>, none: i64| match text {
            Some(text) => epoch_ms(text).ok_or_else(|| format!("{at}.{key}: {WANTED}")),
            None => Ok(none),
        };
        let span = Self {
            from_ms: read("from", from, i64::MIN)?,
            until_ms: read("until", until, i64::MAX)?,
        };
        if span.from_ms >= span.until_ms {
            return Err(format!("{at}.until: must be later than `from`"));
        }
        Ok(span)
    }

    /// Whether it holds; at a time that nobody knows only what always does.
    pub(crate) fn holds(self, now_ms: Option<i64>) -> bool {
        now_ms.map_or(self == Self::ALWAYS, |now_ms| {
            self.from_ms <= now_ms && now_ms < self.until_ms
        })
    }

    pub(crate) fn is_dated(self) -> bool {
        self != Self::ALWAYS
    }

    pub(crate) const fn meets(self, other: Self) -> bool {
        self.from_ms < other.until_ms && other.from_ms < self.until_ms
    }
}

/// One thing after another, never two at a time.
#[derive(Debug)]
pub(crate) struct Dated<T>(Vec<(Span, T)>);

impl<T: Copy> Dated<T> {
    pub(crate) fn always(thing: T) -> Self {
        Self(vec![(Span::ALWAYS, thing)])
    }

    /// `at` is where the operator wrote them.
    pub(crate) fn new(at: &str, things: Vec<(Span, T)>) -> Result<Self, String> {
        if things.len() > ENTRIES_MAX {
            return Err(format!("{at}: at most {ENTRIES_MAX}"));
        }
        for (later, (span, _)) in things.iter().enumerate() {
            let earlier = things[..later]
                .iter()
                .position(|(known, _)| known.meets(*span));
            if let Some(earlier) = earlier {
                return Err(format!("{at}[{later}]: overlaps {at}[{earlier}]"));
            }
        }
        Ok(Self(things))
    }

    /// What holds at a time.
    pub(crate) fn at(&self, now_ms: Option<i64>) -> Option<T> {
        let holding = self.0.iter().find(|(span, _)| span.holds(now_ms));
        holding.map(|(_, thing)| *thing)
    }

    pub(crate) fn is_dated(&self) -> bool {
        self.0.iter().any(|(span, _)| span.is_dated())
    }
}

/// As a line tells that what it used was dated.
pub(crate) fn attributes(from: Option<&str>, until: Option<&str>) -> Vec<Attribute> {
    let told = [("from", from), ("until", until)];
    let told = told.iter().filter_map(|(key, text)| Some((*key, (*text)?)));
    told.map(|(key, text)| Attribute::new(key, text)).collect()
}

/// Milliseconds since the epoch of a date or a time in UTC; none where it is none.
fn epoch_ms(text: &str) -> Option<i64> {
    match text.split_once('T') {
        Some((date, time)) => Some(day(date)? * DAY_MS + of_day(time.strip_suffix('Z')?)?),
        None => Some(day(text)? * DAY_MS),
    }
}

/// Days since the epoch.
fn day(date: &str) -> Option<i64> {
    let mut parts = date.split('-');
    let year = number(parts.next()?, 4)?;
    let month = number(parts.next()?, 2)?;
    let day = number(parts.next()?, 2)?;
    if parts.next().is_some() || year == 0 {
        return None;
    }
    let leap = i64::from(year % 4 == 0 && (year % 100 != 0 || year % 400 == 0));
    let index = usize::try_from(month - 1).ok()?;
    let after_leap_day = if month > 2 { leap } else { 0 };
    let before = BEFORE.get(index)? + after_leap_day;
    let end = match BEFORE.get(index + 1) {
        Some(end) => end + if month >= 2 { leap } else { 0 },
        None => 365 + leap,
    };
    if day < 1 || day > end - before {
        return None;
    }
    let first = |year: i64| {
        let past = year - 1;
        past * 365 + past / 4 - past / 100 + past / 400
    };
    Some(first(year) - first(1970) + before + day - 1)
}

/// Milliseconds since midnight of `08:00:00` or `08:00:00.5`.
fn of_day(time: &str) -> Option<i64> {
    let (time, part) = time.split_once('.').unwrap_or((time, "0"));
    let mut parts = time.split(':');
    let hours = number(parts.next()?, 2).filter(|hours| *hours < 24)?;
    let minutes = number(parts.next()?, 2).filter(|minutes| *minutes < 60)?;
    let seconds = number(parts.next()?, 2).filter(|seconds| *seconds < 60)?;
    if parts.next().is_some() || !(1..=3).contains(&part.len()) {
        return None;
    }
    let millis = number(&format!("{part:0<3}"), 3)?;
    Some(((hours * 60 + minutes) * 60 + seconds) * 1000 + millis)
}

/// So many digits and nothing else.
fn number(text: &str, digits: usize) -> Option<i64> {
    let all = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
    all.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::epoch_ms;

    #[test]
    fn dates_and_times_are_read_in_utc() {
        for (text, wanted) in [
            ("1970-01-01", Some(0)),
            ("1969-12-31", Some(-86_400_000)),
            ("2026-01-01", Some(1_767_225_600_000)),
            ("2026-11-25T08:30:15Z", Some(1_795_595_415_000)),
            ("2026-11-25T08:30:15.5Z", Some(1_795_595_415_500)),
            ("2024-02-29", Some(1_709_164_800_000)),
            ("2000-03-01", Some(951_868_800_000)),
            ("9999-12-31T23:59:59.999Z", Some(253_402_300_799_999)),
            ("2026-02-29", None),
            ("2100-02-29", None),
            ("2026-04-31", None),
            ("2026-13-01", None),
            ("2026-00-01", None),
            ("2026-01-00", None),
            ("0000-01-01", None),
            ("2026-1-1", None),
            ("2026-01-01T00:00:00", None),
            ("2026-01-01T00:00:00+01:00", None),
            ("2026-01-01T24:00:00Z", None),
            ("2026-01-01T00:00:60Z", None),
            ("2026-01-01T00:00:00.Z", None),
            ("2026-01-01 00:00:00Z", None),
            ("soon", None),
            ("", None),
        ] {
            assert_eq!(epoch_ms(text), wanted, "{text}");
        }
    }

    #[test]
    fn every_day_has_the_next_one_after_it() {
        let mut wanted = 0;
        for year in 1970..2101 {
            for month in 1..13 {
                let days =
                    (1..32).filter_map(|day| epoch_ms(&format!("{year}-{month:02}-{day:02}")));
                for found in days {
                    assert_eq!(found, wanted, "{year}-{month}");
                    wanted += 86_400_000;
                }
            }
        }
    }
}
