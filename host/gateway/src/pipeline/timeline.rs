//! When each phase of a request began and ended: a mark a phase, no allocation, one look at the clock a boundary.

use std::borrow::Cow;
use std::time::Instant;

use pointsman_domain::decision::PhaseTime;

/// The phases of a request's life, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Authenticate,
    Pin,
    Gate,
    Parse,
    Select,
    Classify,
    GuardRequest,
    Split,
    Cache,
    Route,
    Reserve,
    Execute,
    GuardResponse,
    Account,
    Record,
}

impl Phase {
    const ALL: [Self; 15] = [
        Self::Authenticate,
        Self::Pin,
        Self::Gate,
        Self::Parse,
        Self::Select,
        Self::Classify,
        Self::GuardRequest,
        Self::Split,
        Self::Cache,
        Self::Route,
        Self::Reserve,
        Self::Execute,
        Self::GuardResponse,
        Self::Account,
        Self::Record,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Authenticate => "authenticate",
            Self::Pin => "pin",
            Self::Gate => "gate",
            Self::Parse => "parse",
            Self::Select => "select",
            Self::Classify => "classify",
            Self::GuardRequest => "guard-request",
            Self::Split => "split",
            Self::Cache => "cache",
            Self::Route => "route",
            Self::Reserve => "reserve",
            Self::Execute => "execute",
            Self::GuardResponse => "guard-response",
            Self::Account => "account",
            Self::Record => "record",
        }
    }
}

/// Microseconds since the request's beginning; none where it did not come to it.
#[derive(Clone, Copy, Default)]
struct Mark {
    began: Option<u64>,
    ended: u64,
}

/// The marks of one request.
pub(super) struct Timeline {
    started: Instant,
    marks: [Mark; Phase::ALL.len()],
    now_in: Option<Phase>,
}

impl Timeline {
    pub(super) fn new(started: Instant) -> Self {
        Self {
            started,
            marks: [Mark::default(); Phase::ALL.len()],
            now_in: None,
        }
    }

    fn now_us(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// The phase before ends where this one begins.
    pub(super) fn enter(&mut self, phase: Phase) {
        let now = self.now_us();
        self.leave(now);
        self.marks[phase as usize].began.get_or_insert(now);
        self.now_in = Some(phase);
    }

    fn leave(&mut self, now: u64) {
        if let Some(before) = self.now_in.take() {
            self.marks[before as usize].ended = now;
        }
    }

    /// A phase that runs inside another: from the first time that it begins to the last that it ends.
    pub(super) fn inside(&mut self, phase: Phase) {
        let now = self.now_us();
        let mark = &mut self.marks[phase as usize];
        mark.began.get_or_insert(now);
        mark.ended = now;
    }

    /// The phases that ran since it was asked last, the one under way ends here: `all`, or those of a microsecond or
    /// more. Most have nothing to do for most requests, and telling so would be a fifth of every record.
    pub(super) fn take(&mut self, all: bool) -> Vec<PhaseTime> {
        let now = self.now_us();
        self.leave(now);
        let mut times = Vec::with_capacity(Phase::ALL.len());
        for phase in Phase::ALL {
            let mark = std::mem::take(&mut self.marks[phase as usize]);
            let Some(began) = mark.began else { continue };
            if all || mark.ended > began {
                times.push(PhaseTime {
                    phase: Cow::Borrowed(phase.name()),
                    start_us: began,
                    us: mark.ended.saturating_sub(began),
                });
            }
        }
        times
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn ago(ms: u64) -> Timeline {
        let started = Instant::now()
            .checked_sub(Duration::from_millis(ms))
            .expect("the machine runs for longer");
        Timeline::new(started)
    }

    fn names(times: &[PhaseTime]) -> Vec<&str> {
        times.iter().map(|time| &*time.phase).collect()
    }

    #[test]
    fn phases_join_where_one_ends_and_the_next_begins() {
        let mut timeline = ago(10);
        let spend = |timeline: &mut Timeline, phase| {
            timeline.enter(phase);
            std::thread::sleep(Duration::from_millis(1));
        };
        spend(&mut timeline, Phase::Authenticate);
        spend(&mut timeline, Phase::Pin);
        spend(&mut timeline, Phase::Reserve);
        let opened = timeline.take(false);
        assert_eq!(names(&opened), ["authenticate", "pin", "reserve"]);
        for pair in opened.windows(2) {
            assert_eq!(pair[0].start_us + pair[0].us, pair[1].start_us);
        }
        assert!(opened[0].start_us >= 10_000, "{opened:?}");
        spend(&mut timeline, Phase::Execute);
        spend(&mut timeline, Phase::Record);
        assert_eq!(names(&timeline.take(false)), ["execute", "record"]);
        assert_eq!(timeline.take(false), []);
        timeline.enter(Phase::Pin);
        timeline.enter(Phase::Gate);
        assert_eq!(names(&timeline.take(true)), ["pin", "gate"]);
    }

    #[test]
    fn what_runs_inside_a_phase_ends_within_it() {
        let mut timeline = ago(1);
        timeline.enter(Phase::Execute);
        timeline.inside(Phase::GuardResponse);
        std::thread::sleep(Duration::from_millis(2));
        timeline.inside(Phase::GuardResponse);
        timeline.enter(Phase::Account);
        std::thread::sleep(Duration::from_millis(1));
        let times = timeline.take(false);
        assert_eq!(names(&times), ["execute", "guard-response", "account"]);
        let end = |time: &PhaseTime| time.start_us + time.us;
        assert!(times[1].us >= 2_000 && times[1].start_us >= times[0].start_us);
        assert!(end(&times[1]) <= end(&times[0]), "{times:?}");
    }

    #[test]
    fn the_names_are_those_of_the_table_in_the_architecture() {
        let text = include_str!("../../../../ARCHITECTURE.md");
        let table = text.split("## 4. Life of a request").nth(1);
        let rows = table.expect("the chapter").lines();
        let rows = rows.skip_while(|line| !line.starts_with("|---")).skip(1);
        let told: Vec<&str> = rows
            .map_while(|line| line.strip_prefix("| ")?.split(" |").next())
            .collect();
        let ours: Vec<&str> = Phase::ALL.iter().map(|phase| phase.name()).collect();
        assert_eq!(told, ours);
    }
}
