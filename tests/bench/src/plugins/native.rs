//! The plugins' own logic, compiled for this machine: what the sandbox is measured against.

use std::hint::black_box;
use std::time::Instant;

use pointsman_sdk::testing::{FakeHost, FakePool, FakeView, configured};
use pointsman_sdk::{
    Accountant, Classifier, Meter, Plugin, Rate, RequestGuard, Router, Splitter, Usage,
};
use serde_json::Value;

use super::request::{RATES, targets};

type Native = Box<dyn Fn(&FakeView)>;

fn classifier<P: Plugin + Classifier>(config: &Value) -> Native {
    let plugin = configured::<P>(config);
    Box::new(move |view| drop(black_box(plugin.classify(view))))
}

fn request_guard<P: Plugin + RequestGuard>(config: &Value) -> Native {
    let plugin = configured::<P>(config);
    Box::new(move |view| drop(black_box(plugin.check(view))))
}

fn splitter<P: Plugin + Splitter>(config: &Value) -> Native {
    let plugin = configured::<P>(config);
    Box::new(move |view| drop(black_box(plugin.split(view, 4711))))
}

fn router<P: Plugin + Router>(config: &Value) -> Native {
    let plugin = configured::<P>(config);
    let pool = FakePool::from_json(&targets());
    Box::new(move |view| drop(black_box(plugin.route(view, &pool))))
}

fn accountant<P: Plugin + Accountant>(config: &Value) -> Native {
    let plugin = configured::<P>(config);
    let meter = |unit: &str, quantity| Meter {
        unit: unit.to_owned(),
        quantity,
        estimated: false,
    };
    let usages = [Usage {
        attempt: 0,
        target: "backup".to_owned(),
        outcome: "ok".to_owned(),
        meters: vec![meter("input-tokens", 1000), meter("output-tokens", 200)],
        attributes: Vec::new(),
    }];
    Box::new(move |view| drop(black_box(plugin.account(view, &usages))))
}

fn of(plugin: &str, role: &str, config: &Value) -> Option<Native> {
    Some(match (plugin, role) {
        ("classify-task", "classifier") => classifier::<classify_task::ClassifyTask>(config),
        ("rules", "classifier") => classifier::<rules::Rules>(config),
        ("guard-injection", "classifier") => classifier::<guard_injection::GuardInjection>(config),
        ("guard-injection", "request-guard") => {
            request_guard::<guard_injection::GuardInjection>(config)
        }
        ("guard-pii", "request-guard") => request_guard::<guard_pii::GuardPii>(config),
        ("guard-secrets", "request-guard") => request_guard::<guard_secrets::GuardSecrets>(config),
        ("rules", "request-guard") => request_guard::<rules::Rules>(config),
        ("split-ab", "splitter") => splitter::<split_ab::SplitAb>(config),
        ("route-cheapest", "router") => router::<route_cheapest::RouteCheapest>(config),
        ("route-cost-quality", "router") => router::<route_cost_quality::RouteCostQuality>(config),
        ("route-latency", "router") => router::<route_latency::RouteLatency>(config),
        ("route-learned", "router") => router::<route_learned::RouteLearned>(config),
        ("route-rules", "router") => router::<route_rules::RouteRules>(config),
        ("route-task", "router") => router::<route_task::RouteTask>(config),
        ("route-weighted", "router") => router::<route_weighted::RouteWeighted>(config),
        ("account-tokens", "accountant") => accountant::<account_tokens::AccountTokens>(config),
        _ => return None,
    })
}

/// Microseconds of a call without a sandbox, the middle of `calls`; none for plugins and roles that have no entry here.
#[must_use]
pub fn native_us(
    plugin: &str,
    role: &str,
    config: &Value,
    body: &Value,
    calls: u32,
) -> Option<f64> {
    let call = of(plugin, role, config)?;
    let rate = |(unit, pico_usd): (&str, i64)| Rate {
        unit: unit.to_owned(),
        pico_usd,
        above_input_tokens: 0,
        attributes: Vec::new(),
    };
    let rates: Vec<Rate> = RATES.into_iter().map(rate).collect();
    let names = ["local", "cloud", "backup"];
    FakeHost {
        rates: names.map(|name| (name.to_owned(), rates.clone())).into(),
        ..FakeHost::default()
    }
    .install();
    let view = FakeView::from_chat(body);
    let mut times: Vec<u128> = (0..calls)
        .map(|_| {
            let started = Instant::now();
            call(&view);
            started.elapsed().as_nanos()
        })
        .collect();
    times.sort_unstable();
    let middle = times.get(times.len() / 2)?;
    Some(*middle as f64 / 1000.0)
}
