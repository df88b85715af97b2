//! Many at once, steps that outlive their runtime, and futures that may move between threads.

use std::sync::Arc;

use pointsman_domain::{FaultKind, Role};
use pointsman_plugin::{Instances, Step, StepLimits, StepSpec};
use serde_json::json;

use crate::support::{
    block_on, call, fault, run, run_once, runtime, spec, split_ab, step, step_within,
};

fn splitter(instances: Instances) -> Arc<Step> {
    let runtime = runtime();
    let plugin = runtime.load(&split_ab()).expect("a plugin");
    let config = json!({ "weights": { "a": 1, "b": 1 } });
    let spec = StepSpec {
        instances,
        ..spec(&plugin, Role::Splitter, config)
    };
    runtime.prepare(spec).expect("a step")
}

#[test]
fn threads_share_a_step() {
    for instances in [Instances::Fresh, Instances::Pooled] {
        let step = splitter(instances);
        std::thread::scope(|scope| {
            for thread in 0..4_u32 {
                let step = &step;
                scope.spawn(move || {
                    block_on(async {
                        for turn in 0..500 {
                            let bucket = (thread * 500 + turn) * 5;
                            let variant =
                                step.split(&call(), bucket).await.result.expect("a variant");
                            assert_eq!(variant, if bucket < 5000 { "a" } else { "b" });
                        }
                    });
                });
            }
        });
    }
}

#[test]
fn the_same_call_burns_the_same_fuel() {
    let step = splitter(Instances::Fresh);
    let fuel: Vec<u64> = (0..50).map(|_| run_once(&step).1.fuel).collect();
    assert!(
        fuel[0] > 0 && fuel.iter().all(|one| *one == fuel[0]),
        "{fuel:?}"
    );
}

#[test]
fn a_step_outlives_its_runtime_and_its_limits_hold() {
    let runtime = runtime();
    let limits = StepLimits {
        fuel: u64::MAX,
        epoch_ms: 20,
        ..StepLimits::default()
    };
    let looping = step_within(&runtime, Role::Splitter, "loop", limits);
    let good = step(&runtime, Role::Splitter, "echo");
    drop(runtime);
    assert_eq!(fault(run_once(&looping).0).kind, FaultKind::Deadline);
    assert_eq!(run_once(&good).0.as_deref(), Ok("control"));
    // The ticker sleeps after a while without calls, and wakes for the next.
    std::thread::sleep(std::time::Duration::from_millis(600));
    assert_eq!(fault(run_once(&looping).0).kind, FaultKind::Deadline);
}

#[test]
fn a_step_called_as_another_role_breaks_the_contract() {
    let step = splitter(Instances::Fresh);
    let ran = block_on(step.classify(&call()));
    assert_eq!(
        fault(ran.result.map(|_| String::new())).kind,
        FaultKind::Contract
    );
    let ran = block_on(step.guard(&call()));
    assert_eq!(
        fault(ran.result.map(|_| String::new())).kind,
        FaultKind::Contract
    );
}

#[test]
fn calls_may_move_between_threads() {
    fn moves<T: Send>(value: T) -> T {
        value
    }
    let step = splitter(Instances::Fresh);
    let call = call();
    let ran = block_on(moves(step.split(&call, 9999)));
    assert_eq!(ran.result.as_deref(), Ok("b"));
    let other = block_on(moves(run(&step, &call)));
    assert!(other.result.is_ok());
}
