//! The phases that run plugins, and what a policy may do about a failure in each.

use pointsman_domain::Role;

use crate::choice::choice;

choice! {
    /// A stage of a request that runs plugins.
    Phase {
        /// Labels.
        Classify = "classify",
        /// Pass, edit, deny.
        GuardRequest = "guard-request",
        /// A variant.
        Split = "split",
        /// A plan.
        Route = "route",
        /// The answer: pass, edit, cut.
        GuardResponse = "guard-response",
        /// Cost.
        Account = "account",
    }
    later []
}

impl Phase {
    /// How many there are.
    pub const COUNT: usize = Self::ALL.len();

    /// The role that its plugins play.
    #[must_use]
    pub const fn role(self) -> Role {
        match self {
            Self::Classify => Role::Classifier,
            Self::GuardRequest => Role::RequestGuard,
            Self::Split => Role::Splitter,
            Self::Route => Role::Router,
            Self::GuardResponse => Role::ResponseGuard,
            Self::Account => Role::Accountant,
        }
    }

    /// Guards run when their `when` cannot be told; others are skipped.
    #[must_use]
    pub const fn is_guard(self) -> bool {
        matches!(self, Self::GuardRequest | Self::GuardResponse)
    }

    /// Steps after `opened` is recorded.
    #[must_use]
    pub const fn is_late(self) -> bool {
        matches!(self, Self::GuardResponse | Self::Account)
    }

    /// Whether the variant is known.
    #[must_use]
    pub const fn knows_variant(self) -> bool {
        matches!(self, Self::Route | Self::GuardResponse | Self::Account)
    }

    /// What a policy may say about a failure, the default first.
    #[must_use]
    pub const fn on_faults(self) -> &'static [OnFault] {
        match self {
            Self::Classify => &[OnFault::Skip, OnFault::Deny],
            Self::GuardRequest | Self::GuardResponse => &[OnFault::Deny, OnFault::Skip],
            Self::Split | Self::Route | Self::Account => &[OnFault::Fallback, OnFault::Deny],
        }
    }

    /// What happens where a policy says nothing.
    #[must_use]
    pub const fn default_on_fault(self) -> OnFault {
        self.on_faults()[0]
    }
}

choice! {
    /// What the policy does about a step's failure.
    OnFault {
        /// The request is refused, or the answer cut.
        Deny = "deny",
        /// As if the step were not there.
        Skip = "skip",
        /// The first variant; the next router, at last the default plan; unpriced lines.
        Fallback = "fallback",
    }
    later []
}
