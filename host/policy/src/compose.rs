//! Floor and tenant's policy as one: the steps of each phase in the order in which they run.
//!
//! The floor's classifiers and guards run last in their phase: they see, and may refuse, what really leaves, whatever
//! the tenant's steps made of it; a tenant's label cannot replace the floor's. The floor's routers and accountants run
//! first: the first router that plans decides, and so does the first accountant.
//! Limits that the floor names hold beside those that the tenant's policy names. What the floor lets be captured of
//! content is the most that is.
//! Promises: every step of the floor is there, in the floor's order, unchanged, with an id that no tenant's step can
//! have (`floor/…`); nothing that a tenant writes moves, removes or loosens it. Refuses to know: plugins.

use crate::policy::{Phase, Policy, Step};

/// What the ids of the floor's steps begin with.
pub const FLOOR_PREFIX: &str = "floor/";

/// Whose step it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The platform's.
    Floor,
    /// The tenant's.
    Tenant,
}

/// A step of the effective policy.
#[derive(Clone, Debug, PartialEq)]
pub struct EffectiveStep {
    /// The step's id; `floor/<id>` for the floor's.
    pub id: String,
    /// Whose it is.
    pub owner: Owner,
    /// Its index in its own file, for findings.
    pub index: usize,
    /// As it is written there.
    pub step: Step,
}

/// A tenant's policy over its floor.
#[derive(Clone, Debug, PartialEq)]
pub struct Effective {
    /// The tenant's policy: models, targets, variants, execution.
    pub policy: Policy,
    /// The name of the floor.
    pub floor: Option<String>,
    phases: [Vec<EffectiveStep>; Phase::COUNT],
}

impl Effective {
    /// The steps of a phase in the order in which they run.
    #[must_use]
    pub fn steps(&self, phase: Phase) -> &[EffectiveStep] {
        &self.phases[phase as usize]
    }

    /// All steps, by phase.
    pub fn all_steps(&self) -> impl Iterator<Item = &EffectiveStep> {
        self.phases.iter().flatten()
    }
}

/// Puts a tenant's policy over a floor.
#[must_use]
pub fn compose(floor: Option<&Policy>, tenant: &Policy) -> Effective {
    let mut phases: [Vec<EffectiveStep>; Phase::COUNT] = Default::default();
    for &phase in Phase::ALL {
        let mut steps: Vec<_> = of_phase(tenant, phase, Owner::Tenant).collect();
        let floors = floor
            .into_iter()
            .flat_map(|floor| of_phase(floor, phase, Owner::Floor));
        let at = if floor_runs_last(phase) {
            steps.len()
        } else {
            0
        };
        steps.splice(at..at, floors);
        phases[phase as usize] = steps;
    }
    let mut policy = tenant.clone();
    if let (Some(own), Some(limits)) = (&mut policy.limits, floor.and_then(|f| f.limits.as_ref())) {
        own.scopes.extend(&limits.scopes);
    }
    if let Some(floor) = floor {
        policy.audit = policy.audit.under(&floor.audit);
    }
    Effective {
        policy,
        floor: floor.map(|floor| floor.name.clone()),
        phases,
    }
}

const fn floor_runs_last(phase: Phase) -> bool {
    match phase {
        Phase::Classify | Phase::GuardRequest | Phase::GuardResponse => true,
        // A floor has no splitters: `validate` refuses them, because variants are the tenant's.
        Phase::Split | Phase::Route | Phase::Account => false,
    }
}

fn of_phase(policy: &Policy, phase: Phase, owner: Owner) -> impl Iterator<Item = EffectiveStep> {
    let steps = policy
        .steps
        .iter()
        .enumerate()
        .filter(move |(_, step)| step.phase == phase);
    steps.map(move |(index, step)| {
        let id = match owner {
            Owner::Floor => format!("{FLOOR_PREFIX}{}", step.id),
            Owner::Tenant => step.id.clone(),
        };
        EffectiveStep {
            id,
            owner,
            index,
            step: step.clone(),
        }
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Owner, compose};
    use crate::policy::{Audit, Capture, Phase, Policy, Scope};

    fn policy(name: &str, steps: &[(String, Phase)]) -> Policy {
        let steps = steps.iter().map(|(id, phase)| {
            format!("[[step]]\nid = '{id}'\nphase = '{phase}'\nplugin = 'p@1'\n")
        });
        let text = format!("format = 1\nname = '{name}'\n{}", steps.collect::<String>());
        Policy::parse("p", &text).expect("a policy")
    }

    fn all_phases(prefix: &str) -> Vec<(String, Phase)> {
        Phase::ALL
            .iter()
            .map(|phase| (format!("{prefix}-{phase}"), *phase))
            .collect()
    }

    #[test]
    fn the_floor_sees_what_leaves_and_routes_before_the_tenant() {
        let floor = policy("floor", &all_phases("f"));
        let effective = compose(Some(&floor), &policy("tenant", &all_phases("t")));
        let owners = |phase| {
            effective
                .steps(phase)
                .iter()
                .map(|step| step.owner)
                .collect::<Vec<_>>()
        };
        for phase in [Phase::Classify, Phase::GuardRequest, Phase::GuardResponse] {
            assert_eq!(owners(phase), [Owner::Tenant, Owner::Floor], "{phase}");
        }
        for phase in [Phase::Route, Phase::Account] {
            assert_eq!(owners(phase), [Owner::Floor, Owner::Tenant], "{phase}");
        }
        assert_eq!(effective.steps(Phase::Route)[0].id, "floor/f-route");
        assert_eq!(effective.floor.as_deref(), Some("floor"));
    }

    #[test]
    fn limits_that_the_floor_names_hold_whatever_the_tenant_writes() {
        let with = |limits: &str| {
            let text = format!("format = 1\nname = 'a'\n{limits}");
            Policy::parse("p", &text).expect("a policy")
        };
        let floor = with("[limits]\nscopes = ['tenant']");
        let scopes = |tenant: &Policy| compose(Some(&floor), tenant).policy.limits;
        assert_eq!(scopes(&with("")), None, "both hold");
        let limits = scopes(&with("[limits]\nscopes = []")).expect("written");
        assert_eq!(limits.scopes, [Scope::Tenant]);
    }

    #[test]
    fn no_tenant_captures_more_than_its_floor_says() {
        let with = |audit: &str| {
            let text = format!("format = 1\nname = 'a'\n[audit]\n{audit}");
            Policy::parse("p", &text).expect("a policy")
        };
        let captured = |floor: &str, tenant: &str| {
            let audit = compose(Some(&with(floor)), &with(tenant)).policy.audit;
            (audit.capture(), audit.capture_bytes_max())
        };
        let usual = Audit::CAPTURE_BYTES_MAX;
        let full = "capture = 'full'";
        assert_eq!(captured("", full), (Capture::Full, usual), "no word");
        assert_eq!(captured("", ""), (Capture::Hash, usual), "nobody's word");
        assert_eq!(captured(full, ""), (Capture::Full, usual), "the floor's");
        for (floor, least) in [("hash", Capture::Hash), ("none", Capture::None)] {
            let floor = format!("capture = '{floor}'\ncapture-bytes-max = 2048");
            assert_eq!(captured(&floor, full), (least, 2048));
        }
        let less = "capture = 'none'\ncapture-bytes-max = 1024";
        assert_eq!(captured(full, less), (Capture::None, 1024));
    }

    fn steps() -> impl Strategy<Value = Vec<(String, Phase)>> {
        let step = ("[a-z]{1,4}", prop::sample::select(Phase::ALL.to_vec()));
        prop::collection::vec(step, 0..12)
    }

    fn ids(policy: &Policy, phase: Phase, prefix: &str) -> Vec<String> {
        let steps = policy.steps.iter().filter(|step| step.phase == phase);
        steps.map(|step| format!("{prefix}{}", step.id)).collect()
    }

    proptest! {
        #[test]
        fn nothing_is_lost_moved_or_changed(floor in steps(), tenant in steps()) {
            let (floor, tenant) = (policy("f", &floor), policy("t", &tenant));
            let effective = compose(Some(&floor), &tenant);
            for &phase in Phase::ALL {
                let of = |owner| {
                    let steps = effective.steps(phase).iter().filter(move |step| step.owner == owner);
                    steps.map(|step| step.id.clone()).collect::<Vec<_>>()
                };
                prop_assert_eq!(of(Owner::Floor), ids(&floor, phase, "floor/"));
                prop_assert_eq!(of(Owner::Tenant), ids(&tenant, phase, ""));
            }
            for step in effective.all_steps() {
                let written = if step.owner == Owner::Floor { &floor } else { &tenant };
                prop_assert_eq!(&step.step, &written.steps[step.index]);
            }
        }

        #[test]
        fn without_a_floor_a_policy_is_itself(tenant in steps()) {
            let tenant = policy("t", &tenant);
            let effective = compose(None, &tenant);
            prop_assert_eq!(effective.all_steps().count(), tenant.steps.len());
            prop_assert!(effective.all_steps().all(|step| step.owner == Owner::Tenant));
        }
    }
}
