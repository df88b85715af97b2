use proptest::prelude::*;

use super::*;

const SETTINGS: HealthSettings = HealthSettings {
    failures_max: 3,
    error_rate_max: 0.5,
    samples_min: 10,
    pause_ms: 1_000,
};

fn opened(now_ms: u64) -> TargetHealth {
    let health = TargetHealth::new(SETTINGS);
    for _ in 0..SETTINGS.failures_max {
        health.begin(now_ms).failed(now_ms);
    }
    assert!(!health.healthy(now_ms));
    health
}

#[test]
fn failures_in_a_row_open_the_breaker() {
    let health = TargetHealth::new(SETTINGS);
    for _ in 0..2 {
        health.begin(5).failed(5);
        health.begin(5).failed(5);
        assert!(health.healthy(5));
        health.begin(5).succeeded(None, 5);
    }
    opened(5);
}

#[test]
fn high_error_rate_opens_the_breaker_without_a_row() {
    let health = TargetHealth::new(SETTINGS);
    for _ in 0..5 {
        health.begin(0).succeeded(None, 0);
        assert!(health.healthy(0));
        health.begin(0).failed(0);
    }
    assert!(!health.healthy(0));
    assert_eq!(health.error_rate(0), Some(0.5));
}

#[test]
fn half_open_breaker_lets_one_probe_through() {
    let health = opened(0);
    assert!(!health.healthy(999));
    assert!(health.healthy(1_000));
    let probe = health.begin(1_000);
    assert!(!health.healthy(1_000));
    probe.succeeded(Some(3), 1_001);
    assert!(health.healthy(1_001));
    health.begin(1_002).failed(1_002);
    assert!(health.healthy(1_002), "what opened it is forgotten");
}

#[test]
fn failed_probe_opens_the_breaker_for_another_pause() {
    let health = opened(0);
    health.begin(1_500).failed(1_600);
    assert!(!health.healthy(2_599));
    assert!(health.healthy(2_600));
}

#[test]
fn cancelled_probe_leaves_its_place() {
    let health = opened(0);
    health.begin(1_000).cancelled();
    assert!(health.healthy(1_000));
    drop(health.begin(1_000));
    assert!(health.healthy(1_000));
    assert_eq!(health.in_flight(), 0);
}

#[test]
fn late_results_of_an_earlier_time_change_nothing() {
    let health = TargetHealth::new(SETTINGS);
    let early_success = health.begin(0);
    let early_failures: Vec<_> = (0..5).map(|_| health.begin(0)).collect();
    for _ in 0..3 {
        health.begin(0).failed(0);
    }
    early_success.succeeded(None, 10);
    assert!(!health.healthy(10), "it began before the breaker opened");
    health.begin(1_000).succeeded(None, 1_000);
    for flight in early_failures {
        flight.failed(1_001);
    }
    assert!(health.healthy(1_001), "they began before it closed");
}

#[test]
fn error_rate_forgets_after_a_minute() {
    let health = TargetHealth::new(SETTINGS);
    assert_eq!(health.error_rate(0), None);
    health.begin(0).failed(0);
    health.begin(0).succeeded(None, 30_000);
    assert_eq!(health.error_rate(30_000), Some(0.5));
    assert_eq!(health.error_rate(69_000), Some(0.0));
    assert_eq!(health.error_rate(120_000), None);
}

#[test]
fn quantiles_are_near_the_truth_and_fade() {
    let health = TargetHealth::default();
    assert_eq!(health.ttft_p50_ms(0), None);
    for ms in 1..=1_000 {
        health.begin(0).succeeded(Some(ms), 0);
    }
    let p50 = health.ttft_p50_ms(0).expect("samples");
    let p95 = health.ttft_p95_ms(0).expect("samples");
    assert!((437.0..=563.0).contains(&p50), "{p50}");
    assert!((831.0..=1_069.0).contains(&p95), "{p95}");
    for _ in 0..1_000 {
        health.begin(0).succeeded(Some(10), 600_000);
    }
    let p95 = health.ttft_p95_ms(600_000).expect("samples");
    assert!(p95 < 12.0, "{p95}");
    assert_eq!(health.ttft_p50_ms(60_000_000), None);
}

#[test]
fn threads_get_one_probe_between_them_and_none_is_lost_in_flight() {
    for _ in 0..50 {
        let health = opened(0);
        let start = std::sync::Barrier::new(8);
        let flights: Vec<Flight> = std::thread::scope(|scope| {
            let begin = || {
                start.wait();
                health.begin(2_000)
            };
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(begin)).collect();
            threads
                .into_iter()
                .map(|thread| thread.join().expect("no panic"))
                .collect()
        });
        assert_eq!(health.in_flight(), 8);
        assert!(!health.healthy(2_000));
        std::thread::scope(|scope| {
            for flight in flights {
                scope.spawn(|| flight.cancelled());
            }
        });
        assert_eq!(health.in_flight(), 0);
        assert!(health.healthy(2_000));
    }
}

#[derive(Clone, Debug)]
enum Op {
    Begin,
    Succeed(usize),
    Fail(usize),
    Cancel(usize),
    Sleep(u64),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => Just(Op::Begin),
        2 => any::<usize>().prop_map(Op::Succeed),
        4 => any::<usize>().prop_map(Op::Fail),
        1 => any::<usize>().prop_map(Op::Cancel),
        2 => (0u64..1_500).prop_map(Op::Sleep),
    ]
}

/// The breaker as one would write it with a mutable struct; error rates are left out.
#[derive(Default)]
struct Model {
    open_until: Option<u64>,
    probing: bool,
    in_row: u32,
    epoch: u32,
}

impl Model {
    fn healthy(&self, now: u64) -> bool {
        self.open_until
            .is_none_or(|until| now >= until && !self.probing)
    }

    fn begin(&mut self, now: u64) -> (u32, bool) {
        let probe = self.open_until.is_some() && self.healthy(now);
        self.probing |= probe;
        (self.epoch, probe)
    }

    fn turn(&mut self, open_until: Option<u64>) {
        *self = Self {
            open_until,
            epoch: self.epoch + 1,
            ..Self::default()
        };
    }

    fn settle(&mut self, (epoch, probe): (u32, bool), failed: Option<bool>, now: u64) {
        if epoch != self.epoch {
            return;
        }
        match (failed, self.open_until) {
            (Some(true), None) => {
                self.in_row += 1;
                if self.in_row >= SETTINGS.failures_max {
                    self.turn(Some(now + SETTINGS.pause_ms));
                }
            }
            (Some(true), Some(_)) if probe => self.turn(Some(now + SETTINGS.pause_ms)),
            (Some(false), None) => self.in_row = 0,
            (Some(false), Some(_)) => self.turn(None),
            (None, Some(_)) if probe => self.probing = false,
            (Some(true) | None, _) => {}
        }
    }
}

proptest! {
    /// Whatever happens in whatever order, the breaker says what the model says, and counts its flights.
    #[test]
    fn breaker_agrees_with_its_model(ops in prop::collection::vec(op(), 1..200)) {
        let settings = HealthSettings { samples_min: u32::MAX, ..SETTINGS };
        let health = TargetHealth::new(settings);
        let mut model = Model::default();
        let mut flights: Vec<(Flight, (u32, bool))> = Vec::new();
        let mut now = 0;
        for op in ops {
            let taken = |flights: &mut Vec<_>, index: usize| {
                (!flights.is_empty()).then(|| flights.swap_remove(index % flights.len()))
            };
            match op {
                Op::Begin => flights.push((health.begin(now), model.begin(now))),
                Op::Succeed(index) => if let Some((flight, pass)) = taken(&mut flights, index) {
                    flight.succeeded(None, now);
                    model.settle(pass, Some(false), now);
                },
                Op::Fail(index) => if let Some((flight, pass)) = taken(&mut flights, index) {
                    flight.failed(now);
                    model.settle(pass, Some(true), now);
                },
                Op::Cancel(index) => if let Some((flight, pass)) = taken(&mut flights, index) {
                    flight.cancelled();
                    model.settle(pass, None, now);
                },
                Op::Sleep(ms) => now += ms,
            }
            prop_assert_eq!(health.healthy(now), model.healthy(now));
            prop_assert_eq!(health.in_flight() as usize, flights.len());
            if let Some(rate) = health.error_rate(now) {
                prop_assert!((0.0..=1.0).contains(&rate));
            }
        }
    }

    /// Quantiles lie between the smallest and the largest sample, give or take a bucket, and in order.
    #[test]
    fn quantiles_lie_among_the_samples(samples in prop::collection::vec(0u64..100_000, 1..100)) {
        let health = TargetHealth::default();
        for &ms in &samples {
            health.begin(0).succeeded(Some(ms), 0);
        }
        let least = *samples.iter().min().expect("some") as f64;
        let most = *samples.iter().max().expect("some") as f64;
        let p50 = health.ttft_p50_ms(0).expect("samples");
        let p95 = health.ttft_p95_ms(0).expect("samples");
        prop_assert!(least * 0.875 <= p50 && p50 <= p95 && p95 <= most * 1.125);
    }
}
