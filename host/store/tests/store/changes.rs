//! Changes to commit, and what is done with stores again and again.

use std::fs;
use std::path::{Path, PathBuf};

use pointsman_domain::control::{
    Budget, Change, Entry, Idempotency, Key, Limits, Period, Pin, Plugin, Prices, Tenant, Version,
};
use pointsman_domain::{Digest, Picos, Role};
use pointsman_store::{Recovered, State, Store, StoreConfig};
use proptest::prelude::*;

/// One call of `commit`.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) at_ms: u64,
    pub(crate) change: Change,
    pub(crate) idempotency: Option<Idempotency>,
}

pub(crate) fn open(folder: &Path) -> (Store, Recovered) {
    Store::open(folder, StoreConfig::default()).expect("opens")
}

pub(crate) fn commit(store: &Store, call: &Call) -> State {
    store
        .commit(
            call.at_ms,
            "admin",
            call.change.clone(),
            call.idempotency.clone(),
        )
        .expect("commits")
}

/// What calls add up to.
pub(crate) fn sum(calls: &[Call]) -> State {
    let mut state = State::default();
    for (call, sequence) in calls.iter().zip(1..) {
        state.apply(&Entry {
            sequence,
            at_ms: call.at_ms,
            actor: "admin".to_owned(),
            change: call.change.clone(),
            idempotency: call.idempotency.clone(),
        });
    }
    state
}

pub(crate) fn tenant(id: &str) -> Change {
    Change::TenantPut(Tenant {
        id: id.to_owned(),
        policy: "quickstart".to_owned(),
        limits: Limits {
            requests_per_minute: Some(60),
            ..Limits::default()
        },
        budgets: vec![Budget {
            period: Period::Day,
            usd: Picos(1_000_000_000_000),
        }],
    })
}

pub(crate) fn key_of(id: &str, tenant: &str) -> Key {
    Key {
        id: id.to_owned(),
        tenant: tenant.to_owned(),
        hash: "5e".repeat(32),
        scopes: vec!["chat".to_owned(), "models".to_owned()],
        limits: Limits::default(),
        budgets: Vec::new(),
        created_ms: 7,
        expires_ms: None,
        revoked_ms: None,
        replaces: None,
    }
}

pub(crate) fn digest(byte: u8) -> Digest {
    Digest([byte; 32])
}

pub(crate) fn plugin(digest: Digest, bytes: u64) -> Change {
    Change::PluginPushed(Plugin {
        digest,
        name: "guard-pii".to_owned(),
        version: "0.1.0".to_owned(),
        roles: vec![Role::RequestGuard],
        imports: Vec::new(),
        config_schema: Some(serde_json::json!({
            "type": "object",
            "properties": {"threshold": {"type": "number", "maximum": 0.1, "minimum": 1e-7}},
        })),
        bytes,
        pushed_ms: 7,
    })
}

pub(crate) fn version(policy: &str, number: u64, bundle: Digest) -> Change {
    Change::VersionPushed(Version {
        policy: policy.to_owned(),
        number,
        digest: digest(number as u8),
        bundle,
        floor: false,
        label: None,
        plugins: vec![Pin {
            plugin: "guard-pii@0.1".to_owned(),
            digest: digest(1),
        }],
        pushed_ms: 7,
    })
}

pub(crate) fn done(key: &str) -> Idempotency {
    Idempotency {
        key: key.to_owned(),
        request: digest(3),
        status: 201,
        answer: serde_json::json!({"id": key, "text": "grün\n\t\"x\"", "cost": 0.300_000_000_000_000_04}),
    }
}

pub(crate) fn call(at_ms: u64, change: Change) -> Call {
    Call {
        at_ms,
        change,
        idempotency: None,
    }
}

/// One of each kind of change, in an order that makes sense.
pub(crate) fn one_of_each() -> Vec<Call> {
    let mut calls = vec![
        call(1, plugin(digest(1), 10)),
        call(2, version("quickstart", 1, digest(2))),
        call(
            3,
            Change::Activated {
                policy: "quickstart".to_owned(),
                version: 1,
                previous: None,
                rollback: false,
            },
        ),
        call(4, tenant("demo")),
        call(5, Change::KeyCreated(key_of("key-1", "demo"))),
        call(
            6,
            Change::KeyRotated {
                id: "key-1".to_owned(),
                expires_ms: 99,
                key: key_of("key-2", "demo"),
            },
        ),
        call(
            7,
            Change::KeyRevoked {
                id: "key-1".to_owned(),
            },
        ),
        call(
            8,
            Change::PricesPut(Prices {
                digest: digest(4),
                blob: digest(5),
                rows: 3,
                put_ms: 8,
            }),
        ),
        call(9, Change::Seeded),
        call(
            10,
            Change::TenantRemoved {
                id: "demo".to_owned(),
            },
        ),
        call(11, tenant("other")),
    ];
    calls[4].idempotency = Some(done("first"));
    calls[10].idempotency = Some(done("second"));
    calls
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[abc]",
        1 => "\\PC{0,3}",
    ]
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        3 => name().prop_map(|id| tenant(&id)),
        2 => name().prop_map(|id| Change::TenantRemoved { id }),
        3 => (name(), name()).prop_map(|(id, tenant)| Change::KeyCreated(key_of(&id, &tenant))),
        2 => name().prop_map(|id| Change::KeyRevoked { id }),
        2 => (name(), name(), 0..50_u64).prop_map(|(id, new, expires_ms)| Change::KeyRotated {
            key: key_of(&new, "a"),
            id,
            expires_ms,
        }),
        2 => (any::<u8>(), 0..9_u64).prop_map(|(byte, bytes)| plugin(digest(byte % 4), bytes)),
        3 => (name(), 0..4_u64, any::<u8>())
            .prop_map(|(policy, number, byte)| version(&policy, number, digest(byte))),
        3 => (name(), 0..4_u64, proptest::option::of(0..4_u64), any::<bool>()).prop_map(
            |(policy, version, previous, rollback)| Change::Activated {
                policy,
                version,
                previous,
                rollback,
            },
        ),
        1 => any::<u8>().prop_map(|byte| Change::PricesPut(Prices {
            digest: digest(byte),
            blob: digest(byte),
            rows: 1,
            put_ms: 1,
        })),
        1 => Just(Change::Seeded),
    ]
}

/// Any calls, clocks that jump a day back or ahead included.
pub(crate) fn calls(most: usize) -> impl Strategy<Value = Vec<Call>> {
    let day = 24 * 60 * 60 * 1000_u64;
    let at_ms = (0..4_u64, 0..3_u64).prop_map(move |(days, ms)| days * day + ms);
    let idempotency = proptest::option::of(name().prop_map(|key| done(&key)));
    let call = (at_ms, change(), idempotency).prop_map(|(at_ms, change, idempotency)| Call {
        at_ms,
        change,
        idempotency,
    });
    proptest::collection::vec(call, 1..most)
}

/// Copies a folder as it is now: what `kill -9` would leave of an open store.
pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("makes");
    for entry in fs::read_dir(from).expect("reads") {
        let entry = entry.expect("reads");
        let to = to.join(entry.file_name());
        if entry.file_type().expect("known").is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).expect("copies");
        }
    }
}

/// The journal's segments, in order.
pub(crate) fn segments(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(folder)
        .expect("reads")
        .map(|entry| entry.expect("reads").path())
        .filter(|path| path.extension().is_some_and(|end| end == "log"))
        .collect();
    found.sort();
    found
}
