//! Listing, finding and following over a log of two chains.

use std::path::Path;

use pointsman_audit::{Chain, ChainConfig};
use pointsman_control::{Decision, DecisionSource as _, SourceError, Wanted};
use pointsman_domain::decision::{Closed, Opened, Outcome, Record};
use pointsman_domain::{Digest, RequestId};

use super::{Follow, LogSource, abandoned, list};

fn id(index: u64) -> String {
    format!("0193a0c2-{index:04x}-7000-8000-000000000000")
}

fn opened(index: u64, tenant: &str) -> Opened {
    Opened {
        id: RequestId(id(index)),
        at_ms: index * 1000,
        tenant: tenant.to_owned(),
        key: "key".to_owned(),
        dialect: "openai-chat".to_owned(),
        endpoint: "/v1/chat/completions".to_owned(),
        model: "small".to_owned(),
        streaming: false,
        policy: "quickstart".to_owned(),
        version: 1,
        policy_digest: Digest([0; 32]),
        prices_digest: None,
        request_digest: None,
        content: None,
        conversation: String::new(),
        steps: Vec::new(),
        labels: Vec::new(),
        variant: None,
        plan: None,
        reserved_pico_usd: None,
        budgets: Vec::new(),
        phases: Vec::new(),
    }
}

fn closed(opened: &Opened, outcome: Outcome, target: &str) -> Closed {
    Closed {
        outcome,
        target: Some(target.to_owned()),
        ..abandoned(opened, opened.at_ms + 500)
    }
}

fn chain(folder: &Path, name: &str) -> Chain {
    let config = ChainConfig {
        disk_used_percent_max: 100,
        ..ChainConfig::default()
    };
    Chain::open(folder, name, config).expect("opens").0
}

/// Twelve requests on two chains: tenants take turns by three, targets by two, the last one is open.
fn write(folder: &Path) {
    let mut chains = [chain(folder, "worker-0"), chain(folder, "worker-1")];
    for index in 0..12 {
        let tenant = ["ada", "bob", "eve"][(index % 3) as usize];
        let target = ["local", "big"][(index % 2) as usize];
        let outcome = if index == 4 {
            Outcome::Denied
        } else {
            Outcome::Ok
        };
        let opened = opened(index, tenant);
        let chain = &mut chains[(index % 2) as usize];
        chain
            .append(&Record::Opened(Box::new(opened.clone())))
            .expect("appends");
        if index < 11 {
            chain
                .append(&Record::Closed(Box::new(closed(&opened, outcome, target))))
                .expect("appends");
        }
    }
}

fn ids(decisions: &[Decision]) -> Vec<String> {
    decisions
        .iter()
        .map(|decision| decision.opened.as_ref().expect("opened").id.0.clone())
        .collect()
}

fn check(wanted: &Wanted, expected: &[u64]) {
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path());
    let listed = list(folder.path(), wanted, usize::MAX).expect("reads");
    assert_eq!(
        ids(&listed.decisions),
        expected.iter().map(|&index| id(index)).collect::<Vec<_>>()
    );
    assert!(listed.complete && listed.damaged == 0);
}

#[test]
fn lists_are_newest_first_and_limited() {
    check(
        &Wanted {
            limit: 3,
            ..Wanted::default()
        },
        &[11, 10, 9],
    );
    check(
        &Wanted {
            limit: 100,
            ..Wanted::default()
        },
        &[11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0],
    );
}

#[test]
fn lists_hold_what_is_wanted() {
    let all = Wanted {
        limit: 100,
        ..Wanted::default()
    };
    check(
        &Wanted {
            tenant: Some("bob".to_owned()),
            ..all.clone()
        },
        &[10, 7, 4, 1],
    );
    check(
        &Wanted {
            target: Some("big".to_owned()),
            ..all.clone()
        },
        &[9, 7, 5, 3, 1],
    );
    check(
        &Wanted {
            outcome: Some(Outcome::Denied),
            ..all.clone()
        },
        &[4],
    );
    check(
        &Wanted {
            since_ms: Some(9_000),
            ..all.clone()
        },
        &[11, 10, 9],
    );
    check(
        &Wanted {
            tenant: Some("nobody".to_owned()),
            ..all
        },
        &[],
    );
}

#[test]
fn a_look_that_gives_up_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path());
    let wanted = Wanted {
        tenant: Some("nobody".to_owned()),
        limit: 1,
        ..Wanted::default()
    };
    assert!(!list(folder.path(), &wanted, 5).expect("reads").complete);
}

#[test]
fn an_open_request_and_one_whose_gateway_died_are_told() {
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path());
    let source = LogSource::new(folder.path().to_owned());
    let open = source.find(&id(11)).expect("reads").expect("found");
    assert!(open.opened.is_some() && open.closed.is_none());
    assert_eq!(source.find("ffff"), Ok(None));
    assert_eq!(
        source.find("0193"),
        Err(SourceError::Ambiguous("0193".to_owned()))
    );

    let config = ChainConfig {
        disk_used_percent_max: 100,
        ..ChainConfig::default()
    };
    let (mut chain, recovery) = Chain::open(folder.path(), "worker-1", config).expect("recovers");
    let end = abandoned(&recovery.unclosed[0], 99_000);
    let reserved = recovery.unclosed[0].reserved_pico_usd;
    assert_eq!(
        end.unpriced,
        reserved.is_none(),
        "what is not known is not free"
    );
    chain
        .append(&Record::Closed(Box::new(end)))
        .expect("appends");
    let told = source
        .find(&id(11))
        .expect("reads")
        .expect("found")
        .closed
        .expect("closed");
    assert_eq!(
        (told.outcome, told.error.as_deref()),
        (Outcome::Error, Some("internal_error"))
    );
}

#[test]
fn followers_get_what_ends_after_they_came_and_is_theirs() {
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path());
    let wanted = Wanted {
        tenant: Some("ada".to_owned()),
        ..Wanted::default()
    };
    let mut follow = Follow::new(folder.path(), wanted).expect("reads");
    let mut chain = chain(folder.path(), "worker-0");
    for (index, tenant) in [(20, "ada"), (21, "bob"), (22, "ada")] {
        let opened = opened(index, tenant);
        chain
            .append(&Record::Opened(Box::new(opened.clone())))
            .expect("appends");
        if index != 22 {
            chain
                .append(&Record::Closed(Box::new(closed(
                    &opened,
                    Outcome::Ok,
                    "local",
                ))))
                .expect("appends");
        }
    }
    assert_eq!(ids(&follow.look().expect("reads")), [id(20)]);
    chain
        .append(&Record::Closed(Box::new(closed(
            &opened(22, "ada"),
            Outcome::Ok,
            "local",
        ))))
        .expect("appends");
    assert_eq!(ids(&follow.look().expect("reads")), [id(22)]);
}
