//! What a command works on: a running server through the control API, or, where none runs, the state folder itself. A
//! command is written once for both.

use std::io::Write;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Method;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use pointsman_control::api::{
    ActivateWanted, Activated, Balance, Bundle, Changes, Diff, KeyMade, KeyView, KeyWanted, Keys,
    Plugins, Policies, PolicyView, PricesView, PushedVersion, RollbackWanted, RotateWanted,
    TargetView, Targets, TenantView, TenantWanted, Tenants, Usage, VersionView,
};
use pointsman_control::{By, Condition, ControlPlane, Done, PlaneError};
use pointsman_domain::control::{Entry, Plugin, Prices};
use pointsman_store::StoreError;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Place;
use super::client::{Answer, Client, JSON, candidates, read, server};
use crate::node::Settings;
use crate::plane::Plane;

/// How long another process may have the state folder open, and how often that is looked at.
const OWNED_MAX: Duration = Duration::from_secs(10);
const OWNED_LOOK: Duration = Duration::from_millis(50);
const WASM: &str = "application/wasm";
const CATALOGUE: &str = "application/jsonl";

pub(crate) enum Backend {
    /// A server that answers.
    Remote(Client),
    /// The state folder of a node that does not run.
    Local(Box<dyn ControlPlane>),
}

/// What a change came to.
#[derive(Debug)]
pub(crate) struct Change<T> {
    /// Whether it made something, rather than finding or changing it.
    pub(crate) made: bool,
    pub(crate) value: T,
}

/// A name as part of a path.
fn part(name: &str) -> String {
    utf8_percent_encode(name, NON_ALPHANUMERIC).to_string()
}

fn told<T: DeserializeOwned>(answer: &Answer) -> Result<Change<T>, PlaneError> {
    Ok(Change {
        made: answer.status == 201,
        value: read(answer)?,
    })
}

fn done<T>(done: Done<T>) -> Result<Change<T>, PlaneError> {
    match done {
        Done::Created(value) => Ok(Change { made: true, value }),
        Done::Ok(value) => Ok(Change { made: false, value }),
        Done::Replayed(_) => Err(PlaneError::Internal(
            "a change without a key was taken for a repeated one".to_owned(),
        )),
    }
}

fn by(expect: Option<&str>) -> By {
    By {
        actor: "cli".to_owned(),
        condition: expect.map(|tag| Condition::Tag(vec![tag.to_owned()])),
        idempotency: None,
    }
}

fn policy_path(name: &str, rest: &str) -> String {
    format!("/admin/v1/policies/{}{rest}", part(name))
}

fn tenant_path(id: &str, rest: &str) -> String {
    format!("/admin/v1/tenants/{}{rest}", part(id))
}

impl Client {
    fn json(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
        expect: Option<&str>,
    ) -> Result<Answer, PlaneError> {
        let body = serde_json::to_vec(body)
            .map_err(|error| PlaneError::Internal(format!("the request is no JSON: {error}")))?;
        self.change(method, path, JSON, Some(&body), expect)
    }

    fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
        expect: Option<&str>,
    ) -> Result<Change<T>, PlaneError> {
        told(&self.json(Method::POST, path, body, expect)?)
    }
}

/// Whether there is control state that can be worked on.
pub(crate) fn has_state(settings: &Settings) -> bool {
    settings.control_dir().is_dir()
}

/// Where a server was looked for in vain.
fn nobody(place: &Place, settings: &Settings) -> anyhow::Result<String> {
    let asked = candidates(place, settings)?.into_iter().next();
    Ok(asked.map_or_else(
        || "no server is named (control.listen has port 0)".to_owned(),
        |found| format!("no server answers at {}", found.client.url()),
    ))
}

/// Whether another process has the state folder open.
fn is_owned(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        matches!(
            cause.downcast_ref::<StoreError>(),
            Some(StoreError::Owned { .. })
        )
    })
}

fn keys_of(client: &Client, tenant: &str) -> Result<Vec<KeyView>, PlaneError> {
    client
        .get::<Keys>(&tenant_path(tenant, "/keys"))
        .map(|told| told.keys)
}

impl Backend {
    /// The running server, else the state folder that no server has open.
    pub(crate) fn open(place: &Place) -> anyhow::Result<Self> {
        Self::open_or(place, false)
    }

    /// The same, and a new state folder where there is none yet.
    pub(crate) fn open_or_make(place: &Place) -> anyhow::Result<Self> {
        Self::open_or(place, true)
    }

    fn open_or(place: &Place, make: bool) -> anyhow::Result<Self> {
        let settings = Settings::load(place.file().as_deref())?;
        let began = Instant::now();
        loop {
            if let Some(client) = server(place, &settings)? {
                return Ok(Self::Remote(client));
            }
            anyhow::ensure!(
                make || has_state(&settings),
                "{}, and there is no control state in {} to work on without one; start a server with `cargo xtask up` or `pointsman serve`, or name one: --control URL",
                nobody(place, &settings)?,
                settings.state().display()
            );
            let error = match Plane::offline(&settings) {
                Ok(plane) => return Ok(Self::Local(Box::new(plane))),
                Err(error) => error,
            };
            // Another command, or a server that is starting: both are soon over.
            if !is_owned(&error) || began.elapsed() > OWNED_MAX {
                return Err(error.context(format!(
                    "{}, and its state folder cannot be worked on without it; say where the server is: --control URL",
                    nobody(place, &settings)?
                )));
            }
            std::thread::sleep(OWNED_LOOK);
        }
    }

    /// What people read behind a change.
    pub(crate) fn note(&self) -> &'static str {
        match self {
            Self::Remote(_) => "",
            Self::Local(_) => " (no server runs: written to the state folder)",
        }
    }

    pub(crate) fn plugins(&self) -> Result<Vec<Plugin>, PlaneError> {
        match self {
            Self::Remote(client) => client
                .get::<Plugins>("/admin/v1/plugins")
                .map(|told| told.plugins),
            Self::Local(plane) => Ok(plane.plugins()),
        }
    }

    pub(crate) fn push_plugin(&self, bytes: Vec<u8>) -> Result<Change<Plugin>, PlaneError> {
        match self {
            Self::Remote(client) => {
                let path = "/admin/v1/plugins";
                told(&client.change(Method::POST, path, WASM, Some(&bytes), None)?)
            }
            Self::Local(plane) => done(plane.push_plugin(&by(None), Bytes::from(bytes))?),
        }
    }

    pub(crate) fn policies(&self) -> Result<Vec<PolicyView>, PlaneError> {
        match self {
            Self::Remote(client) => client
                .get::<Policies>("/admin/v1/policies")
                .map(|told| told.policies),
            Self::Local(plane) => Ok(plane.policies()),
        }
    }

    pub(crate) fn policy(&self, name: &str) -> Result<PolicyView, PlaneError> {
        match self {
            Self::Remote(client) => client.get(&policy_path(name, "")),
            Self::Local(plane) => plane.policy(name),
        }
    }

    pub(crate) fn version(&self, name: &str, number: u64) -> Result<VersionView, PlaneError> {
        match self {
            Self::Remote(client) => client.get(&policy_path(name, &format!("/versions/{number}"))),
            Self::Local(plane) => plane.version(name, number),
        }
    }

    pub(crate) fn push_version(
        &self,
        name: &str,
        bundle: Bundle,
        expect: Option<&str>,
    ) -> Result<Change<PushedVersion>, PlaneError> {
        match self {
            Self::Remote(client) => client.post(&policy_path(name, "/versions"), &bundle, expect),
            Self::Local(plane) => done(plane.push_version(&by(expect), name, bundle)?),
        }
    }

    pub(crate) fn diff(&self, name: &str, from: u64, to: u64) -> Result<Diff, PlaneError> {
        match self {
            Self::Remote(client) => {
                client.get(&policy_path(name, &format!("/diff?from={from}&to={to}")))
            }
            Self::Local(plane) => plane.diff(name, from, to),
        }
    }

    pub(crate) fn activate(
        &self,
        name: &str,
        version: u64,
        expect: Option<&str>,
    ) -> Result<Activated, PlaneError> {
        let change = match self {
            Self::Remote(client) => {
                let wanted = ActivateWanted { version };
                client.post(&policy_path(name, "/activate"), &wanted, expect)?
            }
            Self::Local(plane) => done(plane.activate(&by(expect), name, version)?)?,
        };
        Ok(change.value)
    }

    pub(crate) fn rollback(
        &self,
        name: &str,
        to: Option<u64>,
        expect: Option<&str>,
    ) -> Result<Activated, PlaneError> {
        let change = match self {
            Self::Remote(client) => {
                let wanted = RollbackWanted { to };
                client.post(&policy_path(name, "/rollback"), &wanted, expect)?
            }
            Self::Local(plane) => done(plane.rollback(&by(expect), name, to)?)?,
        };
        Ok(change.value)
    }

    pub(crate) fn tenants(&self) -> Result<Vec<TenantView>, PlaneError> {
        match self {
            Self::Remote(client) => client
                .get::<Tenants>("/admin/v1/tenants")
                .map(|told| told.tenants),
            Self::Local(plane) => Ok(plane.tenants()),
        }
    }

    pub(crate) fn tenant(&self, id: &str) -> Result<TenantView, PlaneError> {
        match self {
            Self::Remote(client) => client.get(&tenant_path(id, "")),
            Self::Local(plane) => plane.tenant(id),
        }
    }

    pub(crate) fn put_tenant(
        &self,
        id: &str,
        wanted: TenantWanted,
        expect: Option<&str>,
    ) -> Result<Change<TenantView>, PlaneError> {
        match self {
            Self::Remote(client) => {
                told(&client.json(Method::PUT, &tenant_path(id, ""), &wanted, expect)?)
            }
            Self::Local(plane) => done(plane.put_tenant(&by(expect), id, wanted)?),
        }
    }

    pub(crate) fn remove_tenant(&self, id: &str) -> Result<(), PlaneError> {
        match self {
            Self::Remote(client) => client
                .change(Method::DELETE, &tenant_path(id, ""), JSON, None, None)
                .map(|_answer| ()),
            Self::Local(plane) => plane.remove_tenant(&by(None), id).map(|_done| ()),
        }
    }

    /// The keys of one tenant, or all; the oldest first.
    pub(crate) fn keys(&self, tenant: Option<&str>) -> Result<Vec<KeyView>, PlaneError> {
        let mut keys = match (self, tenant) {
            (Self::Local(plane), tenant) => plane.keys(tenant)?,
            (Self::Remote(client), Some(tenant)) => keys_of(client, tenant)?,
            (Self::Remote(client), None) => {
                let mut keys = Vec::new();
                for tenant in self.tenants()? {
                    keys.extend(keys_of(client, &tenant.tenant.id)?);
                }
                keys
            }
        };
        keys.sort_by(|a, b| (a.created_ms, &a.id).cmp(&(b.created_ms, &b.id)));
        Ok(keys)
    }

    pub(crate) fn create_key(
        &self,
        tenant: &str,
        wanted: KeyWanted,
    ) -> Result<KeyMade, PlaneError> {
        let change = match self {
            Self::Remote(client) => client.post(&tenant_path(tenant, "/keys"), &wanted, None)?,
            Self::Local(plane) => done(plane.create_key(&by(None), tenant, wanted)?)?,
        };
        Ok(change.value)
    }

    pub(crate) fn rotate_key(
        &self,
        tenant: &str,
        id: &str,
        wanted: RotateWanted,
    ) -> Result<KeyMade, PlaneError> {
        let change = match self {
            Self::Remote(client) => {
                let path = tenant_path(tenant, &format!("/keys/{}/rotate", part(id)));
                client.post(&path, &wanted, None)?
            }
            Self::Local(plane) => done(plane.rotate_key(&by(None), tenant, id, wanted)?)?,
        };
        Ok(change.value)
    }

    pub(crate) fn revoke_key(&self, tenant: &str, id: &str) -> Result<(), PlaneError> {
        match self {
            Self::Remote(client) => {
                let path = tenant_path(tenant, &format!("/keys/{}", part(id)));
                client
                    .change(Method::DELETE, &path, JSON, None, None)
                    .map(|_answer| ())
            }
            Self::Local(plane) => plane.revoke_key(&by(None), tenant, id).map(|_done| ()),
        }
    }

    /// The catalogue in force and its text; none where there is none.
    pub(crate) fn prices(&self) -> Result<Option<(Prices, String)>, PlaneError> {
        match self {
            Self::Remote(client) => match client.get::<PricesView>("/admin/v1/prices") {
                Ok(view) => Ok(Some((view.prices, view.text))),
                Err(PlaneError::NotFound { .. }) => Ok(None),
                Err(error) => Err(error),
            },
            Self::Local(plane) => plane.prices(),
        }
    }

    pub(crate) fn put_prices(&self, text: &str) -> Result<Change<Prices>, PlaneError> {
        match self {
            Self::Remote(client) => {
                let path = "/admin/v1/prices";
                told(&client.change(Method::PUT, path, CATALOGUE, Some(text.as_bytes()), None)?)
            }
            Self::Local(plane) => done(plane.put_prices(&by(None), text)?),
        }
    }

    pub(crate) fn usage(&self, tenant: Option<&str>) -> Result<Vec<Balance>, PlaneError> {
        match (self, tenant) {
            (Self::Remote(client), Some(tenant)) => client
                .get::<Usage>(&format!("/admin/v1/usage?tenant={}", part(tenant)))
                .map(|told| told.balances),
            (Self::Remote(client), None) => client
                .get::<Usage>("/admin/v1/usage")
                .map(|told| told.balances),
            (Self::Local(plane), tenant) => Ok(plane.usage(tenant)),
        }
    }

    pub(crate) fn targets(&self) -> Result<Vec<TargetView>, PlaneError> {
        match self {
            Self::Remote(client) => client
                .get::<Targets>("/admin/v1/targets")
                .map(|told| told.targets),
            Self::Local(plane) => Ok(plane.targets()),
        }
    }

    /// Entries of the control audit behind `after`, oldest first.
    pub(crate) fn changes(&self, after: u64, limit: usize) -> Result<Vec<Entry>, PlaneError> {
        match self {
            Self::Remote(client) => client
                .get::<Changes>(&format!("/admin/v1/changes?after={after}&limit={limit}"))
                .map(|told| told.changes),
            Self::Local(plane) => plane.changes(after, limit),
        }
    }

    /// A consistent copy of the control state as a tar archive.
    pub(crate) fn backup(&self, out: &mut dyn Write) -> Result<(), PlaneError> {
        match self {
            Self::Remote(client) => client.stream("/admin/v1/backup", out),
            Self::Local(plane) => plane.backup(out),
        }
    }
}
