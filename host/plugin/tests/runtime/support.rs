//! Components built once, and the small things that every test needs.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use pointsman_domain::guard::{Action, Channel, Delta};
use pointsman_domain::plan::CandidatePool;
use pointsman_domain::request::{Message, Segment};
use pointsman_domain::usage::{INPUT_TOKENS, Meter, Usage};
use pointsman_domain::{Fault, FaultKind, RequestId, RequestView, Role};
use pointsman_plugin::{
    Call, CallStats, Instances, Plugin, PluginError, Ran, Runtime, RuntimeConfig, Step,
    StepFailure, StepLimits, StepSpec,
};
use pointsman_sdk_build::{Options, build_component};
use serde_json::{Value as Json, json};

pub(crate) const ROLES: [Role; 6] = [
    Role::Classifier,
    Role::RequestGuard,
    Role::Splitter,
    Role::Router,
    Role::ResponseGuard,
    Role::Accountant,
];

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .expect("the workspace")
        .to_owned()
}

/// Newest change below a folder.
fn changed(folder: &Path) -> SystemTime {
    let entries = std::fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path());
    let newest = entries.map(|path| {
        if path.is_dir() {
            return changed(&path);
        }
        path.metadata()
            .and_then(|found| found.modified())
            .expect("a time")
    });
    newest.max().unwrap_or(SystemTime::UNIX_EPOCH)
}

/// A component of this workspace, built where its sources are newer than it is. Tests run in processes of their own,
/// so one builds while the others wait.
pub(crate) fn component(folder: &str, name: &str) -> Vec<u8> {
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("components");
    std::fs::create_dir_all(&out).expect("a folder");
    let lock = std::fs::File::create(out.join("lock")).expect("a lock file");
    lock.lock().expect("the lock");
    let path = out.join(format!("{name}.wasm"));
    let sources = [folder, "sdk/rust/src", "wit"].map(|part| changed(&root().join(part)));
    let built = path.metadata().and_then(|found| found.modified()).ok();
    if built.is_none_or(|built| sources.into_iter().any(|source| source > built)) {
        let options = Options {
            out_dir: Some(out),
            ..Options::default()
        };
        build_component(&root().join(folder), &root().join("target"), &options)
            .expect("a component");
    }
    std::fs::read(path).expect("the component")
}

pub(crate) fn guests() -> Vec<u8> {
    component("tests/guests", "pointsman-guests")
}

pub(crate) fn split_ab() -> Vec<u8> {
    component("plugins/split-ab", "split-ab")
}

pub(crate) fn guest_imports() -> Vec<u8> {
    component("tests/guests/imports", "pointsman-guest-imports")
}

pub(crate) fn guest_near() -> Vec<u8> {
    component("tests/guests/near", "pointsman-guest-near")
}

/// A runtime that shares compiled code with the other tests.
pub(crate) fn runtime() -> Runtime {
    runtime_with(RuntimeConfig::default())
}

pub(crate) fn runtime_with(config: RuntimeConfig) -> Runtime {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled");
    Runtime::new(RuntimeConfig {
        compile_cache_dir: Some(folder),
        ..config
    })
    .expect("a runtime")
}

pub(crate) fn spec(plugin: &Arc<Plugin>, role: Role, config: Json) -> StepSpec {
    StepSpec {
        id: "step".to_owned(),
        plugin: Arc::clone(plugin),
        role,
        config,
        data: Vec::new(),
        grants: plugin.info().imports.clone(),
        secrets: Vec::new(),
        instances: Instances::Fresh,
        limits: StepLimits::default(),
    }
}

/// A step of the misbehaving component.
pub(crate) fn step(runtime: &Runtime, role: Role, behaviour: &str) -> Arc<Step> {
    step_within(runtime, role, behaviour, StepLimits::default())
}

pub(crate) fn step_within(
    runtime: &Runtime,
    role: Role,
    behaviour: &str,
    limits: StepLimits,
) -> Arc<Step> {
    let plugin = runtime.load(&guests()).expect("the guests load");
    let spec = StepSpec {
        limits,
        ..spec(&plugin, role, json!({ "behaviour": behaviour }))
    };
    runtime.prepare(spec).expect("the step is prepared")
}

pub(crate) fn view(text: &str) -> RequestView {
    let mut view = RequestView {
        messages: vec![Message::default()],
        segments: vec![Segment {
            message: 0,
            part: 0,
            role: "user".into(),
            kind: "text".into(),
            path: String::new(),
            text: text.to_owned(),
        }],
        ..RequestView::default()
    };
    view.set_field("model", "auto");
    view
}

pub(crate) fn call() -> Call {
    call_about("hello")
}

pub(crate) fn call_about(text: &str) -> Call {
    Call {
        view: Arc::new(view(text)),
        request_id: RequestId("0199c0de-0000-7000-8000-000000000001".to_owned()),
        now_ms: 1_700_000_000_000,
        prices: None,
        tenant: None,
        vectors: Arc::default(),
    }
}

pub(crate) fn usage() -> Usage {
    Usage {
        attempt: 0,
        target: "local".to_owned(),
        outcome: "ok".to_owned(),
        meters: vec![Meter {
            unit: INPUT_TOKENS.to_owned(),
            quantity: 7,
            estimated: false,
        }],
        attributes: Vec::new(),
    }
}

/// Calls a step as the role that it has; what a good answer is, is told as text.
pub(crate) async fn run(step: &Step, call: &Call) -> Ran<String> {
    match step.role() {
        Role::Classifier => told(step.classify(call).await, |labels| {
            format!("{} labels", labels.len())
        }),
        Role::RequestGuard => told(step.check_request(call).await, |checked| {
            format!("{:?}", checked.verdict)
        }),
        Role::Splitter => told(step.split(call, 17).await, |variant| variant),
        Role::Router => {
            let pool = CandidatePool {
                names: vec!["local".to_owned(), "cloud".to_owned()],
                columns: Vec::new(),
            };
            told(step.route(call, Arc::new(pool)).await, |plan| {
                format!("{} attempts", plan.attempts.len())
            })
        }
        Role::Accountant => told(step.account(call, &[usage()]).await, |lines| {
            format!("{} lines", lines.len())
        }),
        Role::ResponseGuard => guarded(step, call).await,
    }
}

fn told<T>(ran: Ran<T>, tell: impl FnOnce(T) -> String) -> Ran<String> {
    Ran {
        result: ran.result.map(tell),
        stats: ran.stats,
    }
}

/// A whole answer of one delta.
async fn guarded(step: &Step, call: &Call) -> Ran<String> {
    let started = step.guard(call).await;
    let mut guard = match started.result {
        Ok(guard) => guard,
        Err(failure) => {
            return Ran {
                result: Err(failure),
                stats: started.stats,
            };
        }
    };
    let result = async {
        let channel = Channel {
            kind: "text".to_owned(),
            ..Channel::default()
        };
        guard.open(1, &channel).await?;
        let delta = Delta {
            channel: 1,
            text: "hello".to_owned(),
        };
        let actions = guard.push(&[delta]).await?;
        guard.close(1).await?;
        guard.finish(Vec::new()).await?;
        Ok(actions)
    }
    .await;
    let pass = |actions: Vec<Action>| match actions.as_slice() {
        [Action::Pass { bytes, .. }] => format!("pass {bytes}"),
        other => format!("{other:?}"),
    };
    Ran {
        result: result.map(pass),
        stats: guard.stats(),
    }
}

/// Runs a future on a thread of its own kind: current-thread, as the data plane's are.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a tokio runtime")
        .block_on(future)
}

pub(crate) fn run_once(step: &Step) -> (Result<String, StepFailure>, CallStats) {
    let ran = block_on(run(step, &call()));
    (ran.result, ran.stats)
}

#[track_caller]
#[expect(clippy::panic, reason = "this is how a test fails")]
pub(crate) fn fault(result: Result<String, StepFailure>) -> Fault {
    match result {
        Err(StepFailure::Fault(fault)) => fault,
        other => panic!("expected a fault, got {other:?}"),
    }
}

pub(crate) fn kind(result: &Result<String, StepFailure>) -> Option<FaultKind> {
    match result {
        Err(StepFailure::Fault(fault)) => Some(fault.kind),
        Ok(_)
        | Err(StepFailure::Plugin(
            PluginError::InvalidInput(_) | PluginError::Unavailable(_) | PluginError::Internal(_),
        )) => None,
    }
}
