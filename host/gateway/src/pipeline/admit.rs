//! The cheap phases before any plugin: authenticate, pin, gate, parse, select.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http::request::Parts;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use pointsman_domain::{Digest, ErrorKind, GatewayError};
use pointsman_plugin::Tenant;
use pointsman_wire::openai::{ChatRequest, ParseLimits};
use sha2::{Digest as _, Sha256};

use super::body::Pieces;
use super::deliberation::{Caller, Deliberation};
use super::{Exchange, Stop};
use crate::aside::Hand;
use crate::limits;
use crate::tenants::Principal;

impl Exchange {
    /// Key → tenant and scopes, from headers alone.
    pub(super) fn authenticate(&mut self, parts: &Parts) -> Result<(), GatewayError> {
        parts.uri.path().clone_into(&mut self.endpoint);
        let (pepper, at_ms) = (&self.worker.pepper, self.at_ms);
        let principal = self
            .snapshot
            .authenticate(pepper, &parts.headers, "chat", at_ms)?;
        self.observed.tag.of_tenant(&principal.tenant);
        self.principal = Some(principal);
        Ok(())
    }

    /// The tenant's part of the snapshot, which is held to the last byte.
    pub(super) fn pin(&mut self) -> Result<(), GatewayError> {
        let principal = self.principal.as_ref().expect("`authenticate` ran before");
        let policy = self.snapshot.policy_of(principal)?;
        self.observed.tag.of_policy(&policy.name, policy.version);
        self.policy = Some(policy);
        Ok(())
    }

    /// Refuses before anything expensive.
    pub(super) fn gate(&mut self) -> Result<(), GatewayError> {
        let principal = self.principal.as_ref().expect("`authenticate` ran before");
        self.in_flight = Some(self.worker.admit(&principal.tenant_meter)?);
        self.admit()
    }

    /// Bounded read, one parse; the original bytes are kept.
    pub(super) async fn parse(&mut self, parts: &Parts, body: Incoming) -> Result<(), Stop> {
        let pieces = self.read_body(parts, body).await?;
        let read = self.aside(pieces.len(), move || read(pieces.join()));
        let (digest, chat) = read.await;
        self.request_digest = digest;
        let chat = chat?;
        if chat.model().len() > limits::MODEL_BYTES_MAX {
            let message = format!("`model` must be at most {} bytes", limits::MODEL_BYTES_MAX);
            let error = GatewayError::new(ErrorKind::InvalidField, message);
            return Err(error.with_param("model").into());
        }
        chat.model().clone_into(&mut self.model);
        self.streaming = chat.streaming();
        self.chat = Some(chat);
        Ok(())
    }

    /// Does what takes as long as a body of so many bytes is large: here, or aside where others would feel it.
    async fn aside<T: Send + 'static>(
        &self,
        bytes: usize,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> T {
        if bytes < limits::ASIDE_BYTES_MIN {
            return work();
        }
        self.hand().run(work).await
    }

    /// The tenant's way to the threads for what takes long.
    fn hand(&self) -> Hand {
        let principal = self.principal.as_ref().expect("`authenticate` ran before");
        let turns = &principal.tenant_meter.held().turns;
        self.worker.aside.hand(turns)
    }

    async fn read_body(&mut self, parts: &Parts, mut body: Incoming) -> Result<Pieces, Stop> {
        let data = &self.worker.config.data;
        let (bytes_max, timeout) = (
            data.body_bytes_max,
            Duration::from_millis(data.body_timeout_ms),
        );
        let too_large = || {
            GatewayError::new(
                ErrorKind::BodyTooLarge,
                format!("the request body is larger than {bytes_max} bytes (data.body-bytes-max)"),
            )
        };
        let declared = parts
            .headers
            .get(http::header::CONTENT_LENGTH)
            .and_then(|v| v.to_str().ok()?.parse::<usize>().ok());
        if declared.is_some_and(|length| length > bytes_max) {
            return Err(too_large().into());
        }
        let principal = self.principal.as_ref().expect("`authenticate` ran before");
        let room = self.worker.body_room(&principal.tenant_meter);
        let room = self.body_room.insert(room);
        let read = async {
            let mut all = Pieces::of(declared);
            let mut turn_ends = limits::READ_TURN_BYTES;
            while let Some(frame) = body.frame().await {
                let frame = frame.map_err(|error| broken_off(&error))?;
                let Ok(chunk) = frame.into_data() else {
                    continue;
                };
                if all.len() + chunk.len() > bytes_max {
                    return Err(too_large().into());
                }
                room.grow(chunk.len())?;
                all.push(&chunk);
                if all.len() >= turn_ends {
                    turn_ends = all.len() + limits::READ_TURN_BYTES;
                    tokio::task::yield_now().await;
                }
            }
            Ok(all)
        };
        tokio::time::timeout(timeout, read)
            .await
            .unwrap_or_else(|_| {
                let message = format!(
                    "the request body did not arrive within {} ms",
                    timeout.as_millis()
                );
                Err(GatewayError::new(ErrorKind::RequestTimeout, message).into())
            })
    }

    /// Conversation, candidates and the view that plugins see: from here on the request is under decision.
    pub(super) async fn select(&mut self, parts: &Parts) -> Result<(), GatewayError> {
        self.claim_instances()?;
        let chat = self.chat.take().expect("`parse` ran before");
        let principal = self.principal.as_ref().expect("`authenticate` ran before");
        principal.tenant_meter.began(self.at_ms);
        let (id, policy, at_ms) = (self.id.clone(), self.policy(), self.at_ms);
        let pepper = &self.worker.pepper;
        let bytes = chat.body().len();
        let mut decided = if bytes < limits::ASIDE_BYTES_MIN {
            let caller = caller(principal, &self.endpoint, &parts.headers, pepper);
            Deliberation::select(id, at_ms, policy, chat, &caller)?
        } else {
            let (principal, endpoint) = (principal.clone(), self.endpoint.clone());
            let (headers, pepper) = (parts.headers.clone(), Arc::clone(pepper));
            let select = move || {
                let caller = caller(&principal, &endpoint, &headers, &pepper);
                Deliberation::select(id, at_ms, policy, chat, &caller)
            };
            self.aside(bytes, select).await?
        };
        if let Some(left) = self.money_left() {
            let view = Arc::make_mut(&mut decided.view);
            view.set_field("budget-left-pico-usd", left);
        }
        decided.hand = Some(self.hand());
        self.decided = Some(decided);
        Ok(())
    }
}

fn caller<'a>(
    principal: &'a Principal,
    endpoint: &'a str,
    headers: &'a HeaderMap,
    pepper: &'a [u8],
) -> Caller<'a> {
    Caller {
        tenant: &principal.tenant,
        key: &principal.key,
        endpoint,
        headers,
        pepper,
        counts: Some(Arc::clone(&principal.tenant_meter) as Arc<dyn Tenant>),
    }
}

/// The body's digest, and what it says.
fn read(body: Bytes) -> (Digest, Result<ChatRequest, GatewayError>) {
    let digest = Digest(Sha256::digest(&body).into());
    let parse_limits = ParseLimits {
        messages_max: limits::MESSAGES_MAX,
        ..ParseLimits::default()
    };
    (digest, ChatRequest::parse(body, &parse_limits))
}

/// The caller left in the middle of the body, or what it sends is none.
fn broken_off(error: &hyper::Error) -> Stop {
    use std::error::Error as _;
    use std::io::{Error, ErrorKind as Io};
    let cause = error
        .source()
        .and_then(|cause| cause.downcast_ref::<Error>());
    if cause.is_some_and(|cause| matches!(cause.kind(), Io::InvalidInput | Io::InvalidData)) {
        let message = "the request body is not framed as HTTP asks: its chunks are broken";
        return GatewayError::new(ErrorKind::InvalidField, message).into();
    }
    Stop::Gone
}
