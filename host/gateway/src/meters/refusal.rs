//! A limit that was met: what the caller is told, and what is counted.

use pointsman_domain::{ErrorKind, GatewayError};
use pointsman_traffic::budget::Exceeded;

use super::{ScopeId, Share};

/// A request that a limit refuses.
#[derive(Debug)]
pub(crate) struct Refusal {
    /// Which limit, as metrics name it.
    pub(crate) limit: &'static str,
    /// `tenant` or `key`.
    pub(crate) scope: &'static str,
    /// For the caller.
    pub(crate) error: Box<GatewayError>,
}

impl Refusal {
    /// `may` is what the scope may do, `next` what the caller can do now.
    pub(super) fn rate(
        limit: &'static str,
        scope: &ScopeId,
        may: &str,
        next: &str,
        retry_after_ms: Option<u64>,
    ) -> Self {
        let (kind, id, set) = (scope.kind(), scope.id(), set_at(scope));
        let message = format!("{kind} `{id}` {may} (limits.{limit}, {set}); {next}");
        let mut error = GatewayError::new(ErrorKind::RateLimited, message);
        error.retry_after_s = retry_after_ms.map(seconds);
        Self {
            limit,
            scope: kind,
            error: Box::new(error),
        }
    }

    /// A tenant holds its share of the node's plugin instances.
    pub(super) fn instances(scope: &ScopeId, share: u32) -> Self {
        let message = format!(
            "requests of tenant `{}` hold {share} plugin instances, its share of this node's; try again in 1 s",
            scope.tenant()
        );
        let mut error = GatewayError::new(ErrorKind::RateLimited, message);
        error.retry_after_s = Some(1);
        Self {
            limit: "instances",
            scope: scope.kind(),
            error: Box::new(error),
        }
    }

    /// A tenant holds as much as one may while others are served.
    pub(super) fn share(scope: &ScopeId, limit: &'static str, of: &str, share: Share) -> Self {
        let message = format!(
            "requests of tenant `{}` hold their share of {of} (data.tenant-percent-max = {}), so that there is room for other tenants; try again in 1 s",
            scope.tenant(),
            share.percent()
        );
        let mut error = GatewayError::new(ErrorKind::RateLimited, message);
        error.retry_after_s = Some(1);
        Self {
            limit,
            scope: scope.kind(),
            error: Box::new(error),
        }
    }

    /// A budget has no room for what the request may cost.
    pub(super) fn budget(
        scope: &ScopeId,
        amount: pointsman_domain::Picos,
        exceeded: &Exceeded,
        now_ms: u64,
    ) -> Self {
        let Exceeded {
            window,
            limit,
            left,
        } = exceeded;
        let period = window.period();
        let message = format!(
            "this request may cost up to ${}, and the {period}'s budget of {} `{}` has ${} left of ${} ({}, {}); ask for fewer tokens, or wait for the next {period} (UTC)",
            amount.to_usd_string(),
            scope.kind(),
            scope.id(),
            (*left).max(pointsman_domain::Picos(0)).to_usd_string(),
            limit.to_usd_string(),
            format_args!("budget.{period}"),
            set_at(scope),
        );
        let mut error = GatewayError::new(ErrorKind::BudgetExceeded, message);
        error.retry_after_s = Some(seconds(window.end_ms().saturating_sub(now_ms)));
        Self {
            limit: match period {
                pointsman_domain::control::Period::Day => "budget-day",
                pointsman_domain::control::Period::Month => "budget-month",
            },
            scope: scope.kind(),
            error: Box::new(error),
        }
    }

    /// What the request may cost is not known, and the policy refuses such requests under a budget.
    pub(super) fn unpriced(scope: &ScopeId) -> Self {
        let message = format!(
            "what this request may cost is not known, {} `{}` has a budget, and the policy refuses what has no price (budget.on-unpriced = \"deny\"); give its target a price",
            scope.kind(),
            scope.id()
        );
        Self {
            limit: "unpriced",
            scope: scope.kind(),
            error: Box::new(GatewayError::new(ErrorKind::BudgetExceeded, message)),
        }
    }
}

/// Where a scope's limits and budgets are set.
fn set_at(scope: &ScopeId) -> String {
    match scope {
        ScopeId::Tenant(id) => format!("set at PUT /admin/v1/tenants/{id}"),
        ScopeId::Key { tenant, .. } => {
            format!("set with the key at POST /admin/v1/tenants/{tenant}/keys")
        }
    }
}

/// Whole seconds, never too few.
fn seconds(ms: u64) -> u32 {
    u32::try_from(ms.div_ceil(1000).max(1)).unwrap_or(u32::MAX)
}
