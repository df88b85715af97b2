//! The HTTP client side of one data-plane thread: connections, egress rules and provider credentials.
//! Promises that bytes go only where the operator allows, that a secret leaves only for the origins and tenants that
//! it names, and that a dropped answer ends its connection at once.
//! Refuses to know dialects, policies and retries beyond a stale pooled connection; follows no redirects.

mod answer;
mod connection;
mod credential;
mod dial;
mod egress;
mod error;
mod limits;
mod origin;
mod pool;
mod request;
mod resolve;
mod tls;
mod upstream;

pub use answer::Answer;
pub use credential::{Credential, CredentialError};
pub use egress::{EgressRuleError, EgressRules};
pub use error::{UpstreamError, UpstreamErrorKind};
pub use request::Outgoing;
pub use resolve::{Resolve, Resolving, SystemResolver};
pub use tls::{RootError, Roots};
pub use upstream::{Upstream, UpstreamConfig};
