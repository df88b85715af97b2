//! All that requests need at one instant, immutable, behind one pointer.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use pointsman_domain::{Digest, ErrorKind, GatewayError};
use pointsman_plugin::{PriceBook, Step};
use pointsman_policy::policy::{OnFault, Phase};
use pointsman_policy::when::When;
use pointsman_traffic::attempts::ExecuteSettings;
use pointsman_traffic::health::TargetHealth;
use pointsman_upstream::Credential;

use crate::tenants::Principal;

/// Every policy that a tenant may have, ready to run. `generation` counts publications.
#[derive(Default)]
pub(crate) struct Snapshot {
    pub(crate) generation: u64,
    pub(crate) policies: HashMap<String, Arc<PolicyLive>>,
}

impl Snapshot {
    /// The policy of a caller's tenant, or what an operator must do.
    pub(crate) fn policy_of(&self, principal: &Principal) -> Result<Arc<PolicyLive>, GatewayError> {
        self.policies.get(&principal.policy).cloned().ok_or_else(|| {
            let message = format!(
                "tenant {} uses the policy `{}`, which was not there when the gateway started; check it with `pointsman policy check`, then restart the gateway",
                principal.tenant, principal.policy
            );
            GatewayError::new(ErrorKind::NoPolicy, message)
        })
    }
}

/// One step, ready to run.
pub(crate) struct LiveStep {
    pub(crate) id: String,
    pub(crate) phase: Phase,
    /// `name@version`.
    pub(crate) plugin: String,
    pub(crate) digest: Digest,
    pub(crate) on_fault: OnFault,
    pub(crate) required: bool,
    pub(crate) when: Option<When>,
    pub(crate) step: Arc<Step>,
}

/// One target, with what is known of its health by all workers.
pub(crate) struct TargetLive {
    pub(crate) name: String,
    pub(crate) endpoint: http::Uri,
    pub(crate) model: String,
    pub(crate) credential: Option<Arc<Credential>>,
    pub(crate) capabilities: Vec<String>,
    pub(crate) context_tokens: Option<u32>,
    pub(crate) max_output_tokens: Option<u32>,
    pub(crate) quality: Option<f64>,
    pub(crate) region: Option<String>,
    /// Whether streams are asked for usage (`stream_options.include_usage`).
    pub(crate) stream_usage: bool,
    pub(crate) health: TargetHealth,
}

/// One effective policy (floor and version), ready to run.
pub(crate) struct PolicyLive {
    pub(crate) name: String,
    pub(crate) version: u64,
    pub(crate) digest: Digest,
    pub(crate) prices_digest: Option<Digest>,
    /// Rates by target name.
    pub(crate) price_book: Arc<PriceBook>,
    /// Model → indexes into `targets`.
    pub(crate) models: BTreeMap<String, Vec<usize>>,
    /// In the order of `/v1/models`.
    pub(crate) model_names: Vec<String>,
    pub(crate) targets: Vec<TargetLive>,
    /// The first is what a splitter's fallback means.
    pub(crate) variants: Vec<String>,
    pub(crate) default_plan: Vec<String>,
    pub(crate) execute: ExecuteSettings,
    pub(crate) phases: [Vec<LiveStep>; Phase::COUNT],
}

impl PolicyLive {
    pub(crate) fn steps(&self, phase: Phase) -> &[LiveStep] {
        &self.phases[phase as usize]
    }

    pub(crate) fn response_guards(&self) -> &[LiveStep] {
        self.steps(Phase::GuardResponse)
    }

    pub(crate) fn target(&self, name: &str) -> Option<&TargetLive> {
        self.targets.iter().find(|target| target.name == name)
    }
}
