//! Two scopes, many requests: what is taken, what is given back, and what is told.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use pointsman_domain::control::{Budget, Limits, Period};
use pointsman_domain::{ErrorKind, Picos};
use pointsman_traffic::window::Window;

use super::{Admission, Draws, Meters, Reservation, ScopeId, ScopeMeter, Scopes, Wanted};
use crate::pipeline::epoch_ms;

struct Node {
    meters: Arc<Meters>,
    tenant: Arc<ScopeMeter>,
    key: Arc<ScopeMeter>,
}

fn tenant_id() -> ScopeId {
    ScopeId::Tenant("demo".to_owned())
}

fn key_id() -> ScopeId {
    ScopeId::Key {
        id: "key-1".to_owned(),
        tenant: "demo".to_owned(),
    }
}

fn node(limits: Limits, budgets: &[Budget]) -> Node {
    let meters = Meters::new(100, &BTreeMap::new(), epoch_ms(), Instant::now());
    let tenant = meters.scope(tenant_id(), &limits, budgets);
    let key = meters.scope(key_id(), &Limits::default(), &[]);
    Node {
        meters: Arc::new(meters),
        tenant,
        key,
    }
}

fn day(picos: i128) -> Budget {
    Budget {
        period: Period::Day,
        usd: Picos(picos),
    }
}

impl Node {
    fn admit(&self, scopes: Scopes, instances: u32) -> Result<Admission, super::Refusal> {
        let mut admission = Admission::new(&self.key, &self.tenant, scopes)?;
        admission.claim_instances(instances)?;
        Ok(admission)
    }

    fn reserve(&self, tokens: u64, picos: Option<i128>) -> Result<Reservation, super::Refusal> {
        let mut admission = self.admit(Scopes::default(), 0).expect("passes the gate");
        let wanted = Wanted {
            tokens,
            money: picos.map(Picos),
            unpriced: picos.is_none(),
            is_accounted: true,
        };
        Reservation::new(&self.meters, &mut admission, wanted, epoch_ms())
    }

    fn spent(&self) -> Vec<(String, i128, i128)> {
        let balances = self.meters.balances();
        let told = balances
            .iter()
            .filter(|balance| balance.period == Period::Day);
        told.map(|balance| {
            let whose = balance
                .key
                .clone()
                .unwrap_or_else(|| balance.tenant.clone());
            (whose, balance.spent.0, balance.reserved.0)
        })
        .collect()
    }
}

#[test]
fn a_rate_is_one_for_all_who_hold_the_scope_and_changes_at_once() {
    let limits = |per_minute| Limits {
        requests_per_minute: Some(per_minute),
        ..Limits::default()
    };
    let node = node(limits(3), &[]);
    for left in [2, 1, 0] {
        let admission = node.admit(Scopes::default(), 0).expect("within the rate");
        let rate = admission.rates.requests.expect("limited");
        assert_eq!((rate.limit, rate.remaining), (3, left));
    }
    let refused = node.admit(Scopes::default(), 0).expect_err("over the rate");
    assert_eq!(
        (refused.scope, refused.limit),
        ("tenant", "requests-per-minute")
    );
    assert_eq!(refused.error.kind, ErrorKind::RateLimited);
    let after = refused.error.retry_after_s.expect("a real wait");
    assert!(
        (19..=20).contains(&after),
        "a third of a minute, not {after} s"
    );
    // The same id is the same scope, and what has begun under the old limit has begun.
    let again = node.meters.scope(tenant_id(), &limits(5), &[]);
    assert!(Arc::ptr_eq(&again, &node.tenant));
    for _ in 0..2 {
        assert!(node.admit(Scopes::default(), 0).is_ok());
    }
    assert!(node.admit(Scopes::default(), 0).is_err());
    node.meters.scope(tenant_id(), &Limits::default(), &[]);
    assert!(node.admit(Scopes::default(), 0).is_ok());
    node.meters.scope(tenant_id(), &limits(0), &[]);
    let refused = node.admit(Scopes::default(), 0).expect_err("none");
    assert_eq!(refused.error.retry_after_s, None);
}

#[test]
fn places_are_given_back_however_a_request_ends() {
    let limits = Limits {
        concurrent: Some(1),
        ..Limits::default()
    };
    let node = node(limits, &[]);
    let held = node.admit(Scopes::default(), 0).expect("a place");
    let refused = node.admit(Scopes::default(), 0).expect_err("taken");
    assert_eq!(refused.limit, "concurrent");
    let elsewhere = Scopes {
        limits: Draws {
            key: true,
            tenant: false,
        },
        ..Scopes::default()
    };
    assert!(
        node.admit(elsewhere, 0).is_ok(),
        "the policy does not draw on it"
    );
    drop(held);
    assert!(node.admit(Scopes::default(), 0).is_ok());
}

#[test]
fn a_tenant_holds_its_share_of_the_instances_and_no_more() {
    let node = node(Limits::default(), &[]);
    let mut first = node.admit(Scopes::default(), 6).expect("six of ten");
    let refused = node.admit(Scopes::default(), 5).expect_err("eleven of ten");
    assert_eq!(
        (refused.limit, refused.error.http_status()),
        ("instances", 429)
    );
    assert!(node.admit(Scopes::default(), 0).is_ok(), "it needs none");
    first.keep_instances(5);
    assert!(node.admit(Scopes::default(), 5).is_ok());
    drop(first);
    let alone = node.admit(Scopes::default(), 30);
    assert!(
        alone.is_ok(),
        "a share that is too small serves one after the other"
    );
}

#[test]
fn tokens_that_were_not_used_go_back_and_others_are_owed() {
    let limits = Limits {
        tokens_per_minute: Some(1_000),
        ..Limits::default()
    };
    let node = node(limits, &[]);
    let first = node.reserve(900, Some(0)).expect("room");
    let refused = node.reserve(200, Some(0)).err().expect("no room");
    assert_eq!(
        (refused.scope, refused.limit),
        ("tenant", "tokens-per-minute")
    );
    assert!(
        refused
            .error
            .retry_after_s
            .is_some_and(|s| (1..=7).contains(&s))
    );
    first.settle(Picos(0), 100);
    assert!(node.reserve(800, Some(0)).is_ok(), "given back unbound");
    assert!(node.reserve(800, Some(0)).is_ok());
    let never = node.reserve(1_001, Some(0)).err().expect("never");
    assert_eq!(never.error.retry_after_s, None);
}

#[test]
fn money_moves_when_the_record_stands() {
    let node = node(Limits::default(), &[day(10)]);
    let mut first = node.reserve(0, Some(6)).expect("room");
    assert_eq!(first.windows().len(), 4);
    let refused = node.reserve(0, Some(5)).err().expect("no room");
    assert_eq!(refused.error.kind, ErrorKind::BudgetExceeded);
    assert!(refused.error.retry_after_s.is_some_and(|s| s <= 86_400));
    assert!(refused.error.message.contains("/admin/v1/tenants/demo"));
    let told = |spent, reserved| {
        vec![
            ("key-1".to_owned(), spent, reserved),
            ("demo".to_owned(), spent, reserved),
        ]
    };
    assert_eq!(
        node.spent(),
        told(0, 6),
        "the refused one left nothing behind"
    );
    first.bind();
    first.settle(Picos(2), 0);
    assert_eq!(node.spent(), told(2, 0));
    drop(node.reserve(0, Some(8)).expect("room"));
    assert_eq!(node.spent(), told(2, 0), "never opened: given back");
    let mut lost = node.reserve(0, Some(8)).expect("room");
    lost.bind();
    drop(lost);
    assert_eq!(node.spent(), told(10, 0), "never closed: charged whole");
}

#[test]
fn what_has_no_price_is_served_or_refused_as_the_policy_says() {
    let node = node(Limits::default(), &[day(0)]);
    assert!(node.reserve(0, None).is_ok());
    let deny = Scopes {
        deny_unpriced: true,
        ..Scopes::default()
    };
    let mut admission = node.admit(deny, 0).expect("passes");
    let wanted = Wanted {
        tokens: 0,
        money: None,
        unpriced: true,
        is_accounted: false,
    };
    let refused = Reservation::new(&node.meters, &mut admission, wanted, epoch_ms());
    assert_eq!(refused.err().expect("refused").limit, "unpriced");
    node.meters.scope(tenant_id(), &Limits::default(), &[]);
    assert!(Reservation::new(&node.meters, &mut admission, wanted, epoch_ms()).is_ok());
}

#[test]
fn balances_begin_with_what_the_log_says() {
    let now = epoch_ms();
    let name = |whose: &str, period| format!("{whose}/{}", Window::at(period, now));
    let charged = BTreeMap::from([
        (name("tenant/demo", Period::Day), Picos(7)),
        (name("tenant/demo", Period::Month), Picos(9)),
        (name("key/key-1", Period::Day), Picos(4)),
        ("tenant/demo/day/2999-01-01".to_owned(), Picos(1)),
        ("nobody/demo/day/2026-01-01".to_owned(), Picos(1)),
    ]);
    let meters = Meters::new(100, &charged, now, Instant::now());
    assert!(meters.balances().is_empty(), "nobody holds them yet");
    meters.scope(tenant_id(), &Limits::default(), &[day(10)]);
    meters.scope(key_id(), &Limits::default(), &[]);
    let told: Vec<_> = meters
        .balances()
        .iter()
        .map(|balance| {
            (
                balance.window.clone(),
                balance.spent.0,
                balance.limit_usd.is_some(),
            )
        })
        .collect();
    let wanted = vec![
        (name("key/key-1", Period::Day), 4, false),
        (name("tenant/demo", Period::Day), 7, true),
        (name("tenant/demo", Period::Month), 9, false),
    ];
    assert_eq!(told, wanted);
}

#[test]
fn scopes_that_nobody_holds_are_forgotten_unless_money_counts() {
    let node = node(Limits::default(), &[]);
    for index in 0..5_000 {
        let id = ScopeId::Tenant(format!("t{index}"));
        let meter = node.meters.scope(id, &Limits::default(), &[]);
        if index == 0 {
            let mut ledger = meter.purse();
            let reserved = ledger.ledger.reserve(Picos(1), epoch_ms()).expect("room");
            ledger.ledger.settle(reserved, Picos(1));
        }
    }
    let known = node.meters.registry().scopes.len();
    assert!(known < 2_100, "{known}");
    let kept = node.meters.balances();
    assert!(kept.iter().any(|balance| balance.tenant == "t0"));
}

#[test]
fn what_a_tenant_did_is_counted_for_its_plugins() {
    use pointsman_domain::decision::Outcome;
    use pointsman_plugin::{Counted, Tenant as _};
    let node = node(Limits::default(), &[]);
    let at = epoch_ms();
    for outcome in [Outcome::Ok, Outcome::Denied, Outcome::Denied, Outcome::Cut] {
        node.tenant.began(at);
        node.tenant.ended(outcome, 5, at);
    }
    let counts = Counted::ALL.map(|counted| node.tenant.count(counted, 60, at));
    assert_eq!(counts, [4, 2, 1, 0, 20]);
    assert_eq!(node.tenant.count(Counted::Requests, 60, at + 61_000), 0);
    assert_eq!(node.key.count(Counted::Requests, 60, at), 0);
}
