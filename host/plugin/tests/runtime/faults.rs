//! Every way to misbehave, in every role, is a fault that can be told from the others, and leaves nothing behind.

use std::sync::Arc;
use std::time::Duration;

use pointsman_domain::{FaultKind, Role};
use pointsman_plugin::{
    Call, Counted, PluginError, RuntimeConfig, StepFailure, StepLimits, Tenant,
};

use crate::support::{
    ROLES, block_on, call, fault, kind, run, run_once, runtime, runtime_with, step, step_within,
};

/// The same misdeed in all roles, then a call of the well-behaved step, which shares the component.
#[track_caller]
fn everywhere(behaviour: &str, wanted: FaultKind, detail: &str) {
    let runtime = runtime();
    for role in ROLES {
        let bad = step(&runtime, role, behaviour);
        for _ in 0..2 {
            let (result, stats) = run_once(&bad);
            let fault = fault(result);
            assert_eq!(fault.kind, wanted, "{role:?}: {}", fault.detail);
            assert!(fault.detail.contains(detail), "{role:?}: {}", fault.detail);
            assert_eq!(
                fault.plugin,
                format!("pointsman-guests@{}", env!("CARGO_PKG_VERSION"))
            );
            assert!(stats.fresh && stats.time_ns > 0);
        }
        let good = step(&runtime, role, "echo");
        assert!(run_once(&good).0.is_ok(), "{role:?} after a fault");
    }
}

#[test]
fn a_panic_is_a_trap() {
    everywhere("trap", FaultKind::Trap, "unreachable");
}

#[test]
fn a_step_that_keeps_faulting_rests_for_that_tenant() {
    let runtime = runtime();
    let limits = StepLimits {
        faults_max: 2,
        ..StepLimits::default()
    };
    let of = |tenant| Call {
        tenant: Some(Arc::new(Someone(tenant))),
        ..call()
    };
    for role in ROLES {
        let bad = step_within(&runtime, role, "trap", limits);
        let kind_for = |tenant| {
            let ran = block_on(run(&bad, &of(tenant)));
            (kind(&ran.result), ran.stats.fuel > 0)
        };
        let (trap, tripped) = (Some(FaultKind::Trap), Some(FaultKind::Tripped));
        assert_eq!(kind_for("one"), (trap, true), "{role:?}");
        assert_eq!(kind_for("one"), (trap, true), "{role:?}");
        assert_eq!(kind_for("one"), (tripped, false), "{role:?}");
        assert_eq!(kind_for("other"), (trap, true), "{role:?}");
        // A rehearsal trips nothing and finds out.
        assert_eq!(kind(&run_once(&bad).0), trap, "{role:?}");
    }
}

#[derive(Debug)]
struct Someone(&'static str);

impl Tenant for Someone {
    fn id(&self) -> &str {
        self.0
    }

    fn count(&self, _: Counted, _: u32, _: u64) -> u64 {
        0
    }
}

#[test]
fn an_endless_loop_runs_out_of_fuel() {
    everywhere("loop", FaultKind::Fuel, "out of fuel");
}

#[test]
fn a_memory_bomb_is_a_memory_fault() {
    everywhere("memory", FaultKind::Memory, "32768 KiB");
}

#[test]
fn endless_recursion_is_a_trap_that_says_so() {
    everywhere("recursion", FaultKind::Trap, "call stack exhausted");
}

#[test]
fn too_large_a_result_is_an_output_fault() {
    everywhere("big", FaultKind::Output, "1048576 bytes");
}

#[test]
fn text_that_is_not_utf8_is_an_output_fault() {
    everywhere("bad-utf8", FaultKind::Output, "not UTF-8");
}

#[test]
fn too_many_host_calls_are_an_import_fault() {
    everywhere("host-calls", FaultKind::Import, "10000 host calls");
}

#[test]
fn a_kept_borrow_breaks_the_contract() {
    everywhere("keep-borrow", FaultKind::Contract, "kept past the call");
}

#[test]
fn an_undeclared_import_is_an_import_fault() {
    everywhere("import", FaultKind::Import, "secrets.hmac");
}

#[test]
fn an_error_on_purpose_is_no_fault() {
    let runtime = runtime();
    for role in ROLES {
        let (result, _) = run_once(&step(&runtime, role, "error"));
        let wanted = PluginError::Unavailable("on purpose".to_owned());
        assert_eq!(result, Err(StepFailure::Plugin(wanted)), "{role:?}");
    }
}

#[test]
fn results_that_break_the_contract_are_told_by_role() {
    let runtime = runtime();
    let wanted = [
        (Role::Classifier, Some(FaultKind::Output)),
        (Role::RequestGuard, Some(FaultKind::Output)),
        // Variants are the policy's, and held bytes the release engine's: both are checked by their owners.
        (Role::Splitter, None),
        (Role::ResponseGuard, None),
        (Role::Router, Some(FaultKind::Contract)),
        (Role::Accountant, Some(FaultKind::Contract)),
    ];
    for (role, wanted) in wanted {
        let (result, _) = run_once(&step(&runtime, role, "contract"));
        assert_eq!(kind(&result), wanted, "{role:?}: {result:?}");
    }
}

#[test]
fn what_the_well_behaved_do_arrives() {
    let runtime = runtime();
    let wanted = [
        (Role::Classifier, "1 labels"),
        (Role::RequestGuard, "Pass"),
        (Role::Splitter, "control"),
        (Role::Router, "2 attempts"),
        (Role::ResponseGuard, "pass 5"),
        (Role::Accountant, "1 lines"),
    ];
    for (role, wanted) in wanted {
        let (result, stats) = run_once(&step(&runtime, role, "echo"));
        assert_eq!(result.as_deref(), Ok(wanted), "{role:?}");
        assert!(stats.fuel > 0 && stats.fresh, "{role:?}");
    }
}

#[test]
fn a_loop_with_endless_fuel_meets_the_deadline_and_lets_others_run() {
    let runtime = runtime();
    let limits = StepLimits {
        fuel: u64::MAX,
        epoch_ms: 60,
        ..StepLimits::default()
    };
    for role in [Role::Classifier, Role::ResponseGuard] {
        let looping = step_within(&runtime, role, "loop", limits);
        let call = call();
        let (ran, turns) = block_on(async {
            let mut turns = 0_u32;
            let mut looping = std::pin::pin!(run(&looping, &call));
            let ran = loop {
                tokio::select! {
                    biased;
                    ran = &mut looping => break ran,
                    () = std::future::ready(()) => {
                        turns += 1;
                        tokio::task::yield_now().await;
                    }
                }
            };
            (ran, turns)
        });
        assert_eq!(fault(ran.result).kind, FaultKind::Deadline);
        // Once a tick, 60 times.
        assert!(turns >= 30, "{role:?}: others ran {turns} times");
    }
}

#[test]
fn a_call_that_is_dropped_midway_leaves_its_slot() {
    let runtime = runtime_with(RuntimeConfig {
        instances_max: 2,
        ..RuntimeConfig::default()
    });
    let limits = StepLimits {
        fuel: u64::MAX,
        epoch_ms: 60_000,
        ..StepLimits::default()
    };
    let looping = step_within(&runtime, Role::Classifier, "loop", limits);
    let good = step(&runtime, Role::Classifier, "echo");
    block_on(async {
        for _ in 0..5 {
            let call = call();
            let cut = tokio::time::timeout(Duration::from_millis(5), looping.classify(&call)).await;
            assert!(cut.is_err(), "an endless loop ended");
        }
        assert!(good.classify(&call()).await.result.is_ok());
    });
}

#[test]
fn without_a_free_slot_a_call_is_a_capacity_fault() {
    let runtime = runtime_with(RuntimeConfig {
        instances_max: 2,
        ..RuntimeConfig::default()
    });
    let guard = step(&runtime, Role::ResponseGuard, "echo");
    block_on(async {
        let call = call();
        let one = guard.guard(&call).await.result.expect("a guard");
        let other = guard.guard(&call).await.result.expect("a guard");
        let Err(StepFailure::Fault(fault)) = guard.guard(&call).await.result else {
            panic!("a third instance of two");
        };
        assert_eq!(fault.kind, FaultKind::Capacity);
        drop((one, other));
        assert!(guard.guard(&call).await.result.is_ok());
    });
}

#[test]
fn a_failed_guard_stays_failed() {
    let runtime = runtime();
    let step = step(&runtime, Role::ResponseGuard, "trap");
    block_on(async {
        let mut guard = step.guard(&call()).await.result.expect("a guard");
        let delta = pointsman_domain::guard::Delta {
            channel: 1,
            text: "x".to_owned(),
        };
        for wanted in [FaultKind::Trap, FaultKind::Contract] {
            let Err(StepFailure::Fault(fault)) = guard.push(std::slice::from_ref(&delta)).await
            else {
                panic!("a push of a guard that traps");
            };
            assert_eq!(fault.kind, wanted);
        }
        assert_eq!(guard.stats().pushes, 2);
    });
}

#[test]
fn fuel_of_a_response_is_bounded_as_a_whole() {
    let runtime = runtime();
    let step = step_within(
        &runtime,
        Role::ResponseGuard,
        "echo",
        StepLimits {
            fuel: 20_000,
            ..StepLimits::default()
        },
    );
    block_on(async {
        let mut guard = step.guard(&call()).await.result.expect("a guard");
        let delta = pointsman_domain::guard::Delta {
            channel: 1,
            text: "x".to_owned(),
        };
        let mut pushes = 0;
        let failure = loop {
            match guard.push(std::slice::from_ref(&delta)).await {
                Ok(_) => pushes += 1,
                Err(failure) => break failure,
            }
            assert!(pushes < 100_000, "a response without end");
        };
        let StepFailure::Fault(fault) = failure else {
            panic!("{failure}");
        };
        assert_eq!(fault.kind, FaultKind::Fuel);
        assert!(
            pushes > 10 && guard.stats().fuel <= 400_000,
            "{pushes} pushes, {:?}",
            guard.stats()
        );
    });
}
