//! Every misdeed of the guest component, in every role, under every on-fault that the role allows: one policy and one
//! tenant each, on one gateway, and what must come of it.

use std::fmt;

use anyhow::{Context as _, ensure};
use pointsman_harness::{Client, Gateway, GatewayOptions, Provider, Reply};
use serde_json::Value;

use crate::{policy, says, step, streams};

/// One guest, role and on-fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Combination {
    behaviour: Behaviour,
    role: Role,
    on_fault: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Behaviour {
    name: &'static str,
    /// Fault kinds that may be recorded; none: an error of the plugin's own.
    kinds: &'static [&'static str],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Role {
    phase: &'static str,
    on_faults: [&'static str; 2],
}

const BEHAVIOURS: [Behaviour; 11] = [
    Behaviour {
        name: "trap",
        kinds: &["trap"],
    },
    Behaviour {
        name: "loop",
        kinds: &["fuel"],
    },
    Behaviour {
        name: "memory",
        kinds: &["memory"],
    },
    Behaviour {
        name: "recursion",
        kinds: &["trap"],
    },
    Behaviour {
        name: "big",
        kinds: &["output"],
    },
    Behaviour {
        name: "bad-utf8",
        kinds: &["output"],
    },
    Behaviour {
        name: "host-calls",
        kinds: &["import"],
    },
    Behaviour {
        name: "keep-borrow",
        kinds: &["contract"],
    },
    // What the contract forbids differs by role: a score that is no number is bad output, an unknown target a breach.
    Behaviour {
        name: "contract",
        kinds: &["contract", "output"],
    },
    Behaviour {
        name: "import",
        kinds: &["import"],
    },
    Behaviour {
        name: "error",
        kinds: &[],
    },
];

const ROLES: [Role; 6] = [
    Role {
        phase: "classify",
        on_faults: ["skip", "deny"],
    },
    Role {
        phase: "guard-request",
        on_faults: ["skip", "deny"],
    },
    Role {
        phase: "split",
        on_faults: ["fallback", "deny"],
    },
    Role {
        phase: "route",
        on_faults: ["fallback", "deny"],
    },
    Role {
        phase: "guard-response",
        on_faults: ["skip", "deny"],
    },
    Role {
        phase: "account",
        on_faults: ["fallback", "deny"],
    },
];

impl fmt::Display for Combination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} in {} with {}",
            self.behaviour.name, self.role.phase, self.on_fault
        )
    }
}

impl Combination {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        BEHAVIOURS.into_iter().flat_map(|behaviour| {
            ROLES.into_iter().flat_map(move |role| {
                role.on_faults.into_iter().map(move |on_fault| Self {
                    behaviour,
                    role,
                    on_fault,
                })
            })
        })
    }

    /// The name of its policy and tenant.
    fn name(&self) -> String {
        format!(
            "{}-{}-{}",
            self.behaviour.name, self.role.phase, self.on_fault
        )
    }

    fn steps(&self) -> String {
        // It must fault each time, and never rest.
        let config = format!(
            "config = {{ behaviour = \"{}\" }}\nlimits = {{ faults-max = 0 }}",
            self.behaviour.name
        );
        let step = step(
            "guest",
            self.role.phase,
            "pointsman-guests@0.1",
            self.on_fault,
            &config,
        );
        format!("[[variant]]\nname = \"control\"\n\n{step}")
    }

    fn denies(&self) -> bool {
        self.on_fault == "deny"
    }
}

/// A gateway with a tenant for every combination, and one whose plugins behave.
#[derive(Debug)]
pub struct Field {
    /// The gateway.
    pub gateway: Gateway,
    /// What all targets lead to.
    pub provider: Provider,
}

impl Field {
    /// Starts it.
    ///
    /// # Errors
    /// Where something is not built or does not start.
    pub async fn start() -> anyhow::Result<Self> {
        let provider = Provider::start().await?;
        let endpoint = provider.endpoint();
        let targets = [("fake", endpoint.as_str())];
        let echo = step("guest", "classify", "pointsman-guests@0.1", "deny", "");
        let mut options =
            GatewayOptions::serving(policy("clean", &targets, &echo), &[provider.authority()]);
        options.tenants = vec![("clean".to_owned(), "clean".to_owned())];
        options.guests = true;
        for combination in Combination::all() {
            let name = combination.name();
            options
                .bundles
                .push(policy(&name, &targets, &combination.steps()));
            options.tenants.push((name.clone(), name));
        }
        let gateway = Gateway::start(options).await?;
        Ok(Self { gateway, provider })
    }

    /// The tenant whose plugins behave.
    ///
    /// # Errors
    /// Never, once started.
    pub fn clean(&self) -> anyhow::Result<Client> {
        self.gateway.client("clean")
    }

    /// The combination's tenant.
    ///
    /// # Errors
    /// Never, once started.
    pub fn client(&self, combination: &Combination) -> anyhow::Result<Client> {
        self.gateway.client(&combination.name())
    }

    /// Sends one request, whole and streamed, and compares answer and record with what must come.
    ///
    /// # Errors
    /// What differs.
    pub async fn check(&self, combination: &Combination) -> anyhow::Result<()> {
        let client = self.client(combination)?;
        for body in [says("hello"), streams("hello")] {
            let reply = client.chat(&body).await?;
            answered(combination, &reply)?;
            let id = reply
                .header("x-pointsman-request-id")
                .context("no request id")?;
            let told = self.gateway.why(id).await?;
            recorded(combination, &told).with_context(|| told.to_string())?;
        }
        Ok(())
    }
}

fn answered(combination: &Combination, reply: &Reply) -> anyhow::Result<()> {
    let text = reply.text();
    if !combination.denies() {
        ensure!(
            reply.status == 200,
            "{combination}: {} {text}",
            reply.status
        );
        ensure!(
            text.contains("Paris"),
            "{combination}: the answer is not the provider's: {text}"
        );
        return Ok(());
    }
    if combination.role.phase == "guard-response" {
        ensure!(
            reply.status == 200,
            "{combination}: {} {text}",
            reply.status
        );
        ensure!(
            text.contains("content_filter"),
            "{combination}: no dialect-correct end: {text}"
        );
        ensure!(
            !text.contains("Paris"),
            "{combination}: unguarded text left: {text}"
        );
        return Ok(());
    }
    ensure!(
        reply.status == 502,
        "{combination}: {} {text}",
        reply.status
    );
    ensure!(text.contains("policy_step_failed"), "{combination}: {text}");
    Ok(())
}

fn recorded(combination: &Combination, told: &Value) -> anyhow::Result<()> {
    let steps = ["opened", "closed"]
        .into_iter()
        .filter_map(|record| told[record]["steps"].as_array());
    let step = steps
        .flatten()
        .find(|step| step["id"] == "guest" && step["on-fault"].is_string());
    let step = step.with_context(|| format!("{combination}: no failed step in the record"))?;
    ensure!(
        step["on-fault"] == combination.on_fault,
        "{combination}: on-fault {}",
        step["on-fault"]
    );
    if combination.behaviour.kinds.is_empty() {
        ensure!(
            step["verdict"] == "error",
            "{combination}: verdict {}",
            step["verdict"]
        );
        return Ok(());
    }
    let kind = step["fault"]["kind"].as_str().unwrap_or_default();
    ensure!(
        combination.behaviour.kinds.contains(&kind),
        "{combination}: fault kind `{kind}`"
    );
    Ok(())
}
