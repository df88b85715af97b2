//! The cheap phases before any plugin: authenticate, pin, gate, parse, select.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use hmac::{Hmac, Mac as _};
use http::request::Parts;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use pointsman_domain::{Digest, ErrorKind, GatewayError, Value};
use pointsman_wire::openai::{ChatRequest, ParseLimits};
use sha2::{Digest as _, Sha256};

use super::{Exchange, Stop};
use crate::limits;

/// Request headers that plugins may read; everything else, credentials first of all, stays with the host.
const VIEW_HEADERS: [&str; 6] =
    ["user-agent", "accept-language", "x-pointsman-conversation", "x-pointsman-priority", "x-request-id", "x-session-id"];
/// Prefix of headers that callers may add for their own policies.
const VIEW_HEADER_PREFIX: &str = "x-policy-";

impl Exchange {
    /// Key → tenant and scopes, from headers alone.
    pub(super) fn authenticate(&mut self, parts: &Parts) -> Result<(), GatewayError> {
        parts.uri.path().clone_into(&mut self.endpoint);
        self.principal = Some(self.worker.tenants.authenticate(&parts.headers, "chat", self.at_ms)?);
        Ok(())
    }

    /// Takes the snapshot once; it is held to the last byte.
    pub(super) fn pin(&mut self) -> Result<(), GatewayError> {
        let snapshot = self.worker.snapshot.load_full();
        let principal = self.principal.as_ref().expect("`authenticate` ran before");
        let policy = snapshot.policy_for(&principal.policy).ok_or_else(|| {
            GatewayError::new(
                ErrorKind::NoPolicy,
                format!("tenant {} has no active policy; set `policy` for it in the tenants file", principal.tenant),
            )
        })?;
        self.policy = Some(policy);
        self.snapshot = Some(snapshot);
        Ok(())
    }

    /// Refuses before anything expensive.
    pub(super) fn gate(&mut self) -> Result<(), GatewayError> {
        self.in_flight = Some(self.worker.admit()?);
        Ok(())
    }

    /// Bounded read, one parse; the original bytes are kept.
    pub(super) async fn parse(&mut self, parts: &Parts, body: Incoming) -> Result<(), Stop> {
        let bytes = self.read_body(parts, body).await?;
        self.request_digest = Digest(Sha256::digest(&bytes).into());
        let parse_limits = ParseLimits { messages_max: limits::MESSAGES_MAX, ..ParseLimits::default() };
        let chat = ChatRequest::parse(bytes, &parse_limits)?;
        chat.model().clone_into(&mut self.model);
        self.streaming = chat.streaming();
        self.chat = Some(chat);
        Ok(())
    }

    async fn read_body(&mut self, parts: &Parts, mut body: Incoming) -> Result<Bytes, Stop> {
        let data = &self.worker.config.data;
        let (bytes_max, timeout) = (data.body_bytes_max, Duration::from_millis(data.body_timeout_ms));
        let too_large = || {
            GatewayError::new(
                ErrorKind::BodyTooLarge,
                format!("the request body is larger than {bytes_max} bytes (data.body-bytes-max)"),
            )
        };
        let declared = parts.headers.get(http::header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<usize>().ok());
        if declared.is_some_and(|length| length > bytes_max) {
            return Err(too_large().into());
        }
        let read = async {
            let mut all = BytesMut::with_capacity(declared.unwrap_or(4096).min(bytes_max));
            while let Some(frame) = body.frame().await {
                let Ok(frame) = frame else { return Err(Stop::Gone) };
                let Ok(chunk) = frame.into_data() else { continue };
                if all.len() + chunk.len() > bytes_max {
                    return Err(too_large().into());
                }
                all.extend_from_slice(&chunk);
            }
            Ok(all.freeze())
        };
        tokio::time::timeout(timeout, read).await.unwrap_or_else(|_| {
            let message = format!("the request body did not arrive within {} ms", timeout.as_millis());
            Err(GatewayError::new(ErrorKind::RequestTimeout, message).into())
        })
    }

    /// Conversation, model and the view that plugins see.
    pub(super) fn select(&mut self, parts: &Parts) -> Result<(), GatewayError> {
        let policy = self.policy();
        let Some(candidates) = policy.models.get(&self.model) else {
            let mut names: Vec<&str> = policy.models.keys().map(String::as_str).collect();
            names.sort_unstable();
            let message = format!("the model `{}` does not exist; this policy offers: {}", self.model, names.join(", "));
            return Err(GatewayError::new(ErrorKind::UnknownModel, message).with_param("model"));
        };
        self.candidates.clone_from(candidates);
        let mut view = self.chat_request().view();
        self.conversation = self.conversation_id(parts, &view);
        let principal = self.principal.as_ref().expect("`authenticate` ran before");
        view.set_field("tenant", principal.tenant.as_str());
        view.set_field("key", principal.key.as_str());
        view.set_field("endpoint", self.endpoint.as_str());
        view.set_field("conversation", self.conversation.as_str());
        view.set_field("policy", policy.name.as_str());
        view.set_field("version", i64::try_from(policy.version).unwrap_or(i64::MAX));
        for (name, value) in &parts.headers {
            let name = name.as_str();
            if (VIEW_HEADERS.contains(&name) || name.starts_with(VIEW_HEADER_PREFIX))
                && let Ok(value) = value.to_str()
            {
                view.headers.push((name.to_owned(), value.to_owned()));
            }
        }
        self.view = Arc::new(view);
        Ok(())
    }

    /// Header, then the dialect's user field, then system prompt and first user message; always under the node's
    /// pepper, so that a record holds no content and no caller's id.
    fn conversation_id(&self, parts: &Parts, view: &pointsman_domain::RequestView) -> String {
        let principal = self.principal.as_ref().expect("`authenticate` ran before");
        let mut mac = Hmac::<Sha256>::new_from_slice(self.worker.tenants.pepper()).expect("HMAC takes any key length");
        mac.update(principal.tenant.as_bytes());
        mac.update(b"\0");
        let header = parts.headers.get("x-pointsman-conversation").map(http::HeaderValue::as_bytes);
        if let Some(named) = header.or_else(|| self.chat_request().user().map(str::as_bytes)) {
            mac.update(named);
        } else {
            let mut users = 0;
            for segment in view.segments.iter().filter(|segment| segment.kind == "text") {
                users += u32::from(segment.role == "user");
                mac.update(segment.text.as_bytes());
                if users == 1 {
                    break;
                }
            }
        }
        hex::encode(&mac.finalize().into_bytes()[..16])
    }

    /// A step's or rollout's bucket for this conversation, independent of every other step's.
    pub(super) fn bucket(&self, salt: &str) -> u32 {
        let mut mac = Hmac::<Sha256>::new_from_slice(salt.as_bytes()).expect("HMAC takes any key length");
        mac.update(self.conversation.as_bytes());
        let bytes = mac.finalize().into_bytes();
        let number = u64::from_be_bytes(bytes[..8].try_into().expect("eight bytes"));
        u32::try_from(number % u64::from(limits::BUCKETS)).expect("below BUCKETS")
    }

    /// Replaces the view after an edit, keeping what earlier phases learnt.
    pub(super) fn refresh_view(&mut self) {
        let fresh = self.chat_request().view();
        let old = Arc::make_mut(&mut self.view);
        let mut view = fresh;
        for (name, value) in std::mem::take(&mut old.fields) {
            if view.field(&name).is_none() {
                view.fields.push((name, value));
            }
        }
        view.labels = std::mem::take(&mut old.labels);
        view.headers = std::mem::take(&mut old.headers);
        *old = view;
    }

    pub(super) fn view_flag(&self, name: &str) -> bool {
        matches!(self.view.field(name), Some(Value::Flag(true)))
    }
}
