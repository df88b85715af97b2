//! State as rows of tables, and the difference of two states as changes of rows. Knows no database.
//!
//! The difference is taken from the persistent maps themselves, which skip what both share: no kind of entry can be
//! forgotten here, and it costs what changed.

use std::sync::Arc;

use imbl::OrdMap;
use imbl::ordmap::DiffItem;
use pointsman_domain::Digest;
use pointsman_domain::control::{Idempotency, Tenant};
use serde::{Deserialize, Serialize};

use crate::state::{PolicyLine, State};

/// Where rows stand in the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    /// Of the last entry that they hold.
    pub(crate) sequence: u64,
    /// Hash of its line: the same sequence of another journal is another state.
    pub(crate) head: [u8; 32],
}

/// A table, keys and values being bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Table {
    /// Id → [`TenantRow`].
    Tenants,
    /// Id → `Key`.
    Keys,
    /// Digest's bytes → `Plugin`.
    Plugins,
    /// Name → [`LineRow`].
    Lines,
    /// Name and number, 8 bytes big-endian → `Version`.
    Versions,
    /// Key → [`DoneRow`].
    Idempotency,
    /// `prices`, `seeded`.
    Single,
}

impl Table {
    /// In the order of their index.
    pub(crate) const ALL: [Self; 7] = [
        Self::Tenants,
        Self::Keys,
        Self::Plugins,
        Self::Lines,
        Self::Versions,
        Self::Idempotency,
        Self::Single,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Tenants => "tenants",
            Self::Keys => "keys",
            Self::Plugins => "plugins",
            Self::Lines => "lines",
            Self::Versions => "versions",
            Self::Idempotency => "idempotency",
            Self::Single => "single",
        }
    }
}

const PRICES: &[u8] = b"prices";
const SEEDED: &[u8] = b"seeded";

/// One row that changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Op {
    pub(crate) table: Table,
    pub(crate) key: Vec<u8>,
    /// What it holds now; none where it is gone.
    pub(crate) value: Option<Vec<u8>>,
}

#[derive(Serialize, Deserialize)]
struct TenantRow {
    tag: u64,
    tenant: Arc<Tenant>,
}

#[derive(PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct LineRow {
    active: Option<u64>,
    previous: Option<u64>,
    activated_at: u64,
}

impl LineRow {
    fn of(line: &PolicyLine) -> Self {
        Self {
            active: line.active,
            previous: line.previous,
            activated_at: line.activated_at,
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct DoneRow {
    at_ms: u64,
    done: Arc<Idempotency>,
}

/// The rows that make `old` into `new`.
pub(crate) fn difference(old: &State, new: &State) -> serde_json::Result<Vec<Op>> {
    let mut ops = Ops(Vec::new());
    // Each put of a tenant changes its tag.
    ops.map(
        Table::Tenants,
        &old.tenant_tags,
        &new.tenant_tags,
        |id| id.as_bytes().to_vec(),
        |id, tag| {
            new.tenants.get(id).map(|tenant| {
                serde_json::to_vec(&TenantRow {
                    tag: *tag,
                    tenant: Arc::clone(tenant),
                })
            })
        },
    )?;
    let text = |id: &String| id.as_bytes().to_vec();
    ops.map(Table::Keys, &old.keys, &new.keys, text, |_, key| {
        Some(serde_json::to_vec(key))
    })?;
    ops.map(
        Table::Plugins,
        &old.plugins,
        &new.plugins,
        |digest| digest.0.to_vec(),
        |_, plugin| Some(serde_json::to_vec(plugin)),
    )?;
    ops.map(
        Table::Idempotency,
        &old.idempotency,
        &new.idempotency,
        text,
        |_, (at_ms, done)| {
            Some(serde_json::to_vec(&DoneRow {
                at_ms: *at_ms,
                done: Arc::clone(done),
            }))
        },
    )?;
    ops.policies(old, new)?;
    if old.prices != new.prices {
        let value = new.prices.as_ref().map(serde_json::to_vec).transpose()?;
        ops.push(Table::Single, PRICES.to_vec(), value);
    }
    if old.seeded != new.seeded {
        let value = new.seeded.then(|| b"true".to_vec());
        ops.push(Table::Single, SEEDED.to_vec(), value);
    }
    Ok(ops.0)
}

struct Ops(Vec<Op>);

impl Ops {
    fn push(&mut self, table: Table, key: Vec<u8>, value: Option<Vec<u8>>) {
        self.0.push(Op { table, key, value });
    }

    fn map<K: Ord, V: PartialEq>(
        &mut self,
        table: Table,
        old: &OrdMap<K, V>,
        new: &OrdMap<K, V>,
        key_of: impl Fn(&K) -> Vec<u8>,
        value_of: impl Fn(&K, &V) -> Option<serde_json::Result<Vec<u8>>>,
    ) -> serde_json::Result<()> {
        for item in old.diff(new) {
            let (key, value) = match item {
                DiffItem::Add(key, value)
                | DiffItem::Update {
                    new: (key, value), ..
                } => (key, value_of(key, value).transpose()?),
                DiffItem::Remove(key, _) => (key, None),
            };
            self.push(table, key_of(key), value);
        }
        Ok(())
    }

    fn policies(&mut self, old: &State, new: &State) -> serde_json::Result<()> {
        let none = PolicyLine::default();
        for item in old.policies.diff(&new.policies) {
            let (name, before, after) = match item {
                DiffItem::Add(name, line) => (name, None, Some(line)),
                DiffItem::Update {
                    old: (_, before),
                    new: (name, after),
                } => (name, Some(before), Some(after)),
                DiffItem::Remove(name, line) => (name, Some(line), None),
            };
            if before.map(LineRow::of) != after.map(LineRow::of) {
                let value = after.map(|line| serde_json::to_vec(&LineRow::of(line)));
                self.push(Table::Lines, name.as_bytes().to_vec(), value.transpose()?);
            }
            self.map(
                Table::Versions,
                &before.unwrap_or(&none).versions,
                &after.unwrap_or(&none).versions,
                |number| [name.as_bytes(), &number.to_be_bytes()].concat(),
                |_, version| Some(serde_json::to_vec(version)),
            )?;
        }
        Ok(())
    }
}

impl State {
    /// Puts a row back; what is wrong with it otherwise.
    pub(crate) fn put_row(
        &mut self,
        table: Table,
        key: &[u8],
        value: &[u8],
    ) -> Result<(), &'static str> {
        self.try_put_row(table, key, value)
            .filter(|fits| *fits)
            .map(|_| ())
            .ok_or("a row is not what this version writes")
    }

    /// Whether the row's key fits what it holds; none where it cannot be read.
    fn try_put_row(&mut self, table: Table, key: &[u8], value: &[u8]) -> Option<bool> {
        let fits = match table {
            Table::Tenants => {
                let TenantRow { tag, tenant } = parse(value)?;
                let id = tenant.id.clone();
                let fits = id.as_bytes() == key;
                self.tenant_tags.insert(id.clone(), tag);
                self.tenants.insert(id, tenant);
                fits
            }
            Table::Keys => {
                let row: Arc<pointsman_domain::control::Key> = parse(value)?;
                let fits = row.id.as_bytes() == key;
                self.keys.insert(row.id.clone(), row);
                fits
            }
            Table::Plugins => {
                let row: Arc<pointsman_domain::control::Plugin> = parse(value)?;
                let fits = row.digest == Digest(key.try_into().ok()?);
                self.plugins.insert(row.digest, row);
                fits
            }
            Table::Lines => {
                let name = std::str::from_utf8(key).ok()?;
                let row: LineRow = parse(value)?;
                let line = self.policies.entry(name.to_owned()).or_default();
                line.active = row.active;
                line.previous = row.previous;
                line.activated_at = row.activated_at;
                true
            }
            Table::Versions => {
                let (name, number) = key.split_last_chunk::<8>()?;
                let row: Arc<pointsman_domain::control::Version> = parse(value)?;
                let fits = row.policy.as_bytes() == name && row.number.to_be_bytes() == *number;
                let line = self.policies.entry(row.policy.clone()).or_default();
                line.versions.insert(row.number, row);
                fits
            }
            Table::Idempotency => {
                let DoneRow { at_ms, done } = parse(value)?;
                let fits = done.key.as_bytes() == key;
                self.recall(at_ms, done);
                fits
            }
            Table::Single if key == PRICES => {
                self.prices = Some(parse(value)?);
                true
            }
            Table::Single => {
                self.seeded = value == b"true";
                key == SEEDED
            }
        };
        Some(fits)
    }
}

fn parse<T: for<'de> Deserialize<'de>>(value: &[u8]) -> Option<T> {
    serde_json::from_slice(value).ok()
}
