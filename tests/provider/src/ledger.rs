//! What the provider counted: a row a request, and totals.
//!
//! Promises: bytes and text are counted when they are handed to the connection; a client that leaves is noticed by the
//! connection that drops, and the row says when. Refuses to know: what should have been sent.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::exchange::Request;
use crate::limits::{COUNTED_BYTES_MAX, KEPT_BODY_BYTES_MAX, LEDGER_ROWS_MAX};
use crate::tokens;

/// All rows.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// The index of the next row.
    next: u64,
    /// Requests before this index belong to a ledger that was cleared.
    cleared: u64,
    rows: VecDeque<Row>,
    totals: Totals,
}

#[derive(Clone, Debug, Default, Serialize)]
struct Totals {
    requests: u64,
    complete: u64,
    client_gone: u64,
    faulted: u64,
    prompt_tokens: u64,
    completion_tokens: u64,
    bytes_sent: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Outcome {
    InFlight,
    Complete,
    ClientGone,
    Fault,
}

#[derive(Clone, Debug, Serialize)]
struct Row {
    index: u64,
    request_id: Option<String>,
    method: String,
    path: String,
    model: Option<String>,
    stream: bool,
    script: Option<String>,
    recording: Option<String>,
    /// What the request asked for.
    tokens_max: Option<u64>,
    choices: usize,
    prompt_tokens: u64,
    /// Of what was sent so far.
    completion_tokens: u64,
    /// Whether some text was too long to be counted.
    counted_in_part: bool,
    reported_usage: Option<Value>,
    status: Option<u16>,
    writes: u64,
    bytes_sent: u64,
    outcome: Outcome,
    fault: Option<String>,
    began_ms: u64,
    headers_ms: Option<u64>,
    ended_ms: Option<u64>,
    #[serde(skip)]
    said: Vec<String>,
    #[serde(skip)]
    headers: Map<String, Value>,
    #[serde(skip)]
    body: Vec<u8>,
}

impl Row {
    fn count(&mut self) {
        self.completion_tokens = self.said.iter().map(|text| tokens::count(text)).sum();
    }

    fn shown(&self, bodies: bool) -> Value {
        let mut row = self.clone();
        if row.outcome == Outcome::InFlight {
            row.count();
        }
        let mut shown = serde_json::to_value(&row).unwrap_or_default();
        if bodies {
            shown["headers"] = Value::Object(row.headers);
            shown["body"] = json!(String::from_utf8_lossy(&row.body));
        }
        shown
    }
}

impl Ledger {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        // A panic while counting spoils that count at most.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens a row; it is closed by its handle, at the latest when that drops.
    pub(crate) fn open(self: &Arc<Self>, request: &Request) -> Open {
        let prompt_tokens = if request.json.is_null() {
            0
        } else {
            tokens::prompt(&request.json)
        };
        let headers = request.headers.iter().map(|(name, value)| {
            (
                name.as_str().to_owned(),
                json!(String::from_utf8_lossy(value.as_bytes())),
            )
        });
        let mut inner = self.inner();
        let index = inner.next;
        inner.next += 1;
        inner.totals.requests += 1;
        inner.totals.prompt_tokens += prompt_tokens;
        if inner.rows.len() == LEDGER_ROWS_MAX {
            inner.rows.pop_front();
        }
        inner.rows.push_back(Row {
            index,
            request_id: request.id(),
            method: request.method.to_string(),
            path: request.path.clone(),
            model: request.json["model"].as_str().map(str::to_owned),
            stream: request.stream(),
            script: request.named("x-script"),
            recording: request.named("x-recording"),
            tokens_max: request.tokens_max(),
            choices: request.choices(),
            prompt_tokens,
            completion_tokens: 0,
            counted_in_part: request.body.len() > COUNTED_BYTES_MAX,
            reported_usage: None,
            status: None,
            writes: 0,
            bytes_sent: 0,
            outcome: Outcome::InFlight,
            fault: None,
            began_ms: now_ms(),
            headers_ms: None,
            ended_ms: None,
            said: Vec::new(),
            headers: headers.collect(),
            body: request.body[..request.body.len().min(KEPT_BODY_BYTES_MAX)].to_vec(),
        });
        Open {
            ledger: Arc::clone(self),
            index,
            ended: false,
        }
    }

    /// The ledger as JSON.
    pub(crate) fn shown(&self, bodies: bool) -> Value {
        let (totals, rows) = {
            let inner = self.inner();
            (inner.totals.clone(), inner.rows.clone())
        };
        let in_flight = rows
            .iter()
            .filter(|row| row.outcome == Outcome::InFlight)
            .count();
        let left_out = totals.requests - rows.len() as u64;
        let mut totals = serde_json::to_value(totals).unwrap_or_default();
        totals["in_flight"] = json!(in_flight);
        json!({
            "tokenizer": tokens::NAME,
            "now_ms": now_ms(),
            "totals": totals,
            "rows_left_out": left_out,
            "requests": rows.iter().map(|row| row.shown(bodies)).collect::<Vec<_>>(),
        })
    }

    /// Forgets every row; requests under way are not counted any more.
    pub(crate) fn clear(&self) {
        let mut inner = self.inner();
        inner.cleared = inner.next;
        inner.rows.clear();
        inner.totals = Totals::default();
    }
}

/// The handle of a row under way. Dropped without an end, the client has gone.
#[derive(Debug)]
pub(crate) struct Open {
    ledger: Arc<Ledger>,
    index: u64,
    ended: bool,
}

impl Open {
    /// The row's number, unique in the provider's life.
    pub(crate) fn index(&self) -> u64 {
        self.index
    }

    fn change(&self, change: impl FnOnce(&mut Totals, &mut Row)) {
        let mut inner = self.ledger.inner();
        if self.index < inner.cleared {
            return;
        }
        let Inner { rows, totals, .. } = &mut *inner;
        // Rows are numbered without gaps, so that the place follows from the first.
        let first = rows.front().map_or(0, |row| row.index);
        let place = self
            .index
            .checked_sub(first)
            .and_then(|place| usize::try_from(place).ok());
        if let Some(row) = place.and_then(|place| rows.get_mut(place)) {
            change(totals, row);
        }
    }

    /// Status and headers leave now.
    pub(crate) fn headers(&self, status: u16, usage: Option<Value>) {
        self.change(|_, row| {
            row.status = Some(status);
            row.headers_ms = Some(now_ms());
            row.reported_usage = usage;
        });
    }

    /// A write leaves now.
    pub(crate) fn sent(&self, bytes: usize, said: &[(usize, String)]) {
        self.change(|totals, row| {
            row.writes += 1;
            row.bytes_sent += bytes as u64;
            totals.bytes_sent += bytes as u64;
            for (choice, text) in said {
                if row.said.len() <= *choice {
                    row.said.resize(choice + 1, String::new());
                }
                if row.said[*choice].len() + text.len() <= COUNTED_BYTES_MAX {
                    row.said[*choice].push_str(text);
                } else {
                    row.counted_in_part = true;
                }
            }
        });
    }

    /// Everything was sent.
    pub(crate) fn complete(&mut self) {
        self.end(Outcome::Complete, None);
    }

    /// The script's fault has happened.
    pub(crate) fn fault(&mut self, kind: String) {
        self.end(Outcome::Fault, Some(kind));
    }

    fn end(&mut self, outcome: Outcome, fault: Option<String>) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        self.change(|totals, row| {
            row.outcome = outcome;
            row.fault = fault;
            row.ended_ms = Some(now_ms());
            row.count();
            row.said = Vec::new();
            totals.completion_tokens += row.completion_tokens;
            match outcome {
                Outcome::Complete => totals.complete += 1,
                Outcome::ClientGone => totals.client_gone += 1,
                Outcome::Fault => totals.faulted += 1,
                Outcome::InFlight => {}
            }
        });
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.end(Outcome::ClientGone, None);
    }
}

fn now_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
