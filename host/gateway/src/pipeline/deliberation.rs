//! What is decided of one request, from `select` to `account`: the part of a request's life that needs no socket.
//!
//! Promises: everything that a plugin, a condition or a price decides happens here, so that serving a request and
//! rehearsing a case run the very same code. Refuses to know: clients, providers, the decision log.

use std::sync::Arc;

use hmac::{Hmac, Mac as _};
use http::HeaderMap;
use pointsman_domain::decision::StepRecord;
use pointsman_domain::plan::Plan;
use pointsman_domain::usage::{CostLine, Usage};
use pointsman_domain::{ErrorKind, GatewayError, Picos, RequestId, RequestView};
use pointsman_plugin::{Call, Tenant};
use pointsman_wire::openai::ChatRequest;
use sha2::Sha256;

use super::embedding::Vectors;
use crate::aside::{self, Hand};
use crate::limits;
use crate::snapshot::PolicyLive;

/// Request headers that plugins may read; everything else, credentials first of all, stays with the host.
const VIEW_HEADERS: [&str; 6] = [
    "user-agent",
    "accept-language",
    "x-pointsman-conversation",
    "x-pointsman-priority",
    "x-request-id",
    "x-session-id",
];
/// Prefix of headers that callers may add for their own policies.
const VIEW_HEADER_PREFIX: &str = "x-policy-";

/// Who asks, and how.
pub(super) struct Caller<'a> {
    pub(super) tenant: &'a str,
    pub(super) key: &'a str,
    pub(super) endpoint: &'a str,
    pub(super) headers: &'a HeaderMap,
    /// Keys conversation ids, so that they hold no content and no caller's id.
    pub(super) pepper: &'a [u8],
    /// What its plugins may ask of its tenant; none in rehearsals.
    pub(super) counts: Option<Arc<dyn Tenant>>,
}

/// What a request may come to, beside its cost.
#[derive(Clone, Copy, Debug)]
pub(super) struct Worst {
    /// Tokens in and out of its dearest attempt.
    pub(super) tokens: u64,
    /// Whether some of it has no price that is known.
    pub(super) unpriced: bool,
}

impl Default for Worst {
    fn default() -> Self {
        Self {
            tokens: 0,
            unpriced: true,
        }
    }
}

/// One request under decision.
pub(super) struct Deliberation {
    pub(super) id: RequestId,
    /// Milliseconds since the epoch: what plugins see as now.
    pub(super) at_ms: u64,
    /// Whose it is; none in rehearsals.
    pub(super) tenant: Option<Arc<dyn Tenant>>,
    pub(super) policy: Arc<PolicyLive>,
    /// Where plugin calls that take long go on; none in rehearsals.
    pub(super) hand: Option<Hand>,
    /// The request as it stands after the edits so far.
    pub(super) chat: ChatRequest,
    pub(super) view: Arc<RequestView>,
    pub(super) conversation: String,
    /// Indexes into the policy's targets that the requested model may use.
    pub(super) candidates: Vec<usize>,
    /// Steps up to and including `reserve`; they go into `opened`.
    pub(super) steps: Vec<StepRecord>,
    /// Steps after it; they go into `closed`.
    pub(super) later_steps: Vec<StepRecord>,
    pub(super) variant: Option<String>,
    pub(super) plan: Option<Plan>,
    pub(super) reserved: Option<Picos>,
    pub(super) worst: Worst,
    pub(super) usages: Vec<Usage>,
    pub(super) cost: Vec<CostLine>,
    /// Of its texts, for the steps that may have them.
    pub(super) vectors: Vectors,
}

impl Deliberation {
    /// Select: conversation, candidates of the requested model, and the view that plugins see.
    pub(super) fn select(
        id: RequestId,
        at_ms: u64,
        policy: Arc<PolicyLive>,
        chat: ChatRequest,
        caller: &Caller<'_>,
    ) -> Result<Self, GatewayError> {
        let Some(candidates) = policy.models.get(chat.model()) else {
            let message = format!(
                "the model `{}` does not exist; this policy offers: {}",
                chat.model(),
                policy.model_names.join(", ")
            );
            return Err(GatewayError::new(ErrorKind::UnknownModel, message).with_param("model"));
        };
        let candidates = candidates.clone();
        let mut view = chat.view();
        let conversation = conversation_id(caller, &chat, &view);
        view.set_field("tenant", caller.tenant);
        view.set_field("key", caller.key);
        view.set_field("endpoint", caller.endpoint);
        view.set_field("conversation", conversation.as_str());
        view.set_field("policy", policy.name.as_str());
        view.set_field("version", i64::try_from(policy.version).unwrap_or(i64::MAX));
        view.set_field("time-ms", i64::try_from(at_ms).unwrap_or(i64::MAX));
        for (name, value) in caller.headers {
            let name = name.as_str();
            if (VIEW_HEADERS.contains(&name) || name.starts_with(VIEW_HEADER_PREFIX))
                && let Ok(value) = value.to_str()
            {
                view.headers.push((name.to_owned(), value.to_owned()));
            }
        }
        Ok(Self {
            id,
            at_ms,
            tenant: caller.counts.clone(),
            policy,
            hand: None,
            chat,
            view: Arc::new(view),
            conversation,
            candidates,
            steps: Vec::new(),
            later_steps: Vec::new(),
            variant: None,
            plan: None,
            reserved: None,
            worst: Worst::default(),
            usages: Vec::new(),
            cost: Vec::new(),
            vectors: Vectors::default(),
        })
    }

    /// The inputs of a plugin call in `phase`.
    pub(super) fn call(&mut self, phase: &'static str) -> Call {
        Arc::make_mut(&mut self.view).set_field("phase", phase);
        Call {
            view: Arc::clone(&self.view),
            request_id: self.id.clone(),
            now_ms: self.at_ms,
            prices: Some(Arc::clone(&self.policy.price_book)),
            tenant: self.tenant.clone(),
            vectors: Arc::clone(&self.vectors.lent),
        }
    }

    /// Runs a plugin call: elsewhere, where it takes long.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        call: impl Future<Output = T> + Send + 'static,
    ) -> T {
        aside::run(self.hand.as_ref(), call).await
    }

    /// A step's or rollout's bucket for this conversation, independent of every other step's.
    pub(super) fn bucket(&self, salt: &str) -> u32 {
        let mac = keyed(salt.as_bytes(), |mac| {
            mac.update(self.conversation.as_bytes());
        });
        let number = u64::from_be_bytes(mac[..8].try_into().expect("eight bytes"));
        u32::try_from(number % u64::from(limits::BUCKETS)).expect("below BUCKETS")
    }

    /// Takes an edited request: replaces the view, keeping what earlier phases learnt.
    pub(super) fn edited(&mut self, chat: ChatRequest) {
        self.chat = chat;
        let mut view = self.chat.view();
        let old = Arc::make_mut(&mut self.view);
        for (name, value) in std::mem::take(&mut old.fields) {
            if view.field(&name).is_none() {
                view.fields.push((name, value));
            }
        }
        view.labels = std::mem::take(&mut old.labels);
        view.headers = std::mem::take(&mut old.headers);
        *old = view;
    }
}

/// Header, then the dialect's user field, then system prompt and first user message; always under the node's pepper.
fn conversation_id(caller: &Caller<'_>, chat: &ChatRequest, view: &RequestView) -> String {
    let mac = keyed(caller.pepper, |mac| {
        mac.update(caller.tenant.as_bytes());
        mac.update(b"\0");
        let header = caller.headers.get("x-pointsman-conversation");
        let named = header
            .map(http::HeaderValue::as_bytes)
            .or_else(|| chat.user().map(str::as_bytes));
        if let Some(named) = named {
            mac.update(named);
            return;
        }
        for segment in view
            .segments
            .iter()
            .filter(|segment| segment.kind == "text")
        {
            mac.update(segment.text.as_bytes());
            if segment.role == "user" {
                return;
            }
        }
    });
    hex::encode(&mac[..16])
}

fn keyed(key: &[u8], feed: impl FnOnce(&mut Hmac<Sha256>)) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes any key length");
    feed(&mut mac);
    mac.finalize().into_bytes().into()
}
