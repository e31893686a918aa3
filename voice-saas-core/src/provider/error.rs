//! What went wrong at a provider, and what may be done next.

use std::{fmt, time::Duration};

use super::ProviderName;

/// The boxed cause of an error.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What may be done after a provider's failure.
#[expect(
    clippy::exhaustive_enums,
    reason = "every caller must decide for each of the three"
)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recovery {
    /// The provider did nothing: send again, but not before `after`.
    Retry {
        /// The wait that the provider asked for.
        after: Option<Duration>,
    },
    /// The provider may have acted (timeout, 5xx): look first, then decide.
    Reconcile,
    /// The same call would fail again.
    GiveUp,
}

/// The kinds of failure that the library tells apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The request never reached the provider.
    Unreachable,
    /// The provider refused for load, and did nothing.
    RateLimited {
        /// `Retry-After`, when it came.
        retry_after: Option<Duration>,
    },
    /// No answer in time: the provider may have acted.
    TimedOut,
    /// The connection broke before the whole answer was there: the provider may have acted.
    Interrupted,
    /// A 5xx: the provider may have acted.
    ServerError,
    /// An answer that is not what the provider's documentation says: it may have acted.
    UnexpectedAnswer,
    /// Our credentials are wrong or lack a permission.
    Unauthorized,
    /// The thing does not exist (any more).
    NotFound,
    /// It exists already, or its state forbids this.
    Conflict,
    /// The phone number cannot be bought (any more).
    NumberUnavailable,
    /// No number fits the search.
    NoInventory,
    /// An address, a bundle or another document is missing.
    RequirementsMissing,
    /// The request is wrong in itself.
    Invalid,
    /// The provider refuses to do this for this account.
    Forbidden,
    /// The provider's plan or balance is used up.
    QuotaExceeded,
    /// The customer's bank refused to pay; [`ProviderError::decline`] says why.
    PaymentDeclined,
    /// The adapter cannot do this at all.
    Unsupported,
}

impl ErrorKind {
    /// What may be done next.
    pub const fn recovery(self) -> Recovery {
        match self {
            Self::Unreachable => Recovery::Retry { after: None },
            Self::RateLimited { retry_after } => Recovery::Retry { after: retry_after },
            Self::TimedOut | Self::Interrupted | Self::ServerError | Self::UnexpectedAnswer => {
                Recovery::Reconcile
            }
            Self::Unauthorized
            | Self::NotFound
            | Self::Conflict
            | Self::NumberUnavailable
            | Self::NoInventory
            | Self::RequirementsMissing
            | Self::Invalid
            | Self::Forbidden
            | Self::QuotaExceeded
            | Self::PaymentDeclined
            | Self::Unsupported => Recovery::GiveUp,
        }
    }
}

/// Why a bank refused to pay: the source of a [`PaymentDeclined`](ErrorKind::PaymentDeclined).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the payment was declined: {code}")]
#[expect(clippy::exhaustive_structs, reason = "adapters build it")]
pub struct PaymentDecline {
    /// The bank's reason in the provider's words, such as `insufficient_funds`.
    pub code: String,
    /// What may be shown to the customer.
    pub message: Option<String>,
    /// Whether the bank would pay if the customer were there to confirm.
    pub needs_customer: bool,
}

/// A provider's failure.
///
/// `Display` names the provider and the operation; the cause is its `source`. The [`detail`](Self::detail) is
/// for operators and never reaches a customer.
#[derive(Debug)]
pub struct ProviderError {
    provider: ProviderName,
    operation: &'static str,
    kind: ErrorKind,
    detail: Option<String>,
    request_id: Option<String>,
    source: Option<BoxError>,
}

impl ProviderError {
    /// `operation` completes "could not …", for instance `"buy a number"`.
    pub fn new(provider: ProviderName, operation: &'static str, kind: ErrorKind) -> Self {
        Self {
            provider,
            operation,
            kind,
            detail: None,
            request_id: None,
            source: None,
        }
    }

    /// Adds what the provider said, for operators. Must hold no secret.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// Adds the id that the provider's support will ask for.
    #[must_use]
    pub fn with_request_id(mut self, request_id: impl Into<String>) -> Self {
        self.request_id = Some(request_id.into());
        self
    }

    /// Adds the cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<BoxError>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Who failed.
    pub fn provider(&self) -> ProviderName {
        self.provider
    }

    /// What could not be done.
    pub fn operation(&self) -> &'static str {
        self.operation
    }

    /// The kind of failure.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What may be done next.
    pub fn recovery(&self) -> Recovery {
        self.kind.recovery()
    }

    /// What the provider said, for operators.
    pub fn detail(&self) -> Option<&str> {
        self.detail.as_deref()
    }

    /// Why the bank refused to pay.
    pub fn decline(&self) -> Option<&PaymentDecline> {
        self.source.as_deref()?.downcast_ref()
    }

    /// The id that the provider's support will ask for.
    pub fn request_id(&self) -> Option<&str> {
        self.request_id.as_deref()
    }
}

impl fmt::Display for ProviderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} could not {}", self.provider, self.operation)
    }
}

impl std::error::Error for ProviderError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source
            .as_deref()
            .map(|source| source as &(dyn std::error::Error + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_timeout_one_looks_before_one_acts() {
        assert_eq!(ErrorKind::TimedOut.recovery(), Recovery::Reconcile);
        assert_eq!(ErrorKind::ServerError.recovery(), Recovery::Reconcile);
    }

    #[test]
    fn a_declined_payment_tells_why() {
        let decline = PaymentDecline {
            code: "insufficient_funds".to_owned(),
            message: None,
            needs_customer: false,
        };
        let error = ProviderError::new(ProviderName::new("test"), "charge", ErrorKind::PaymentDeclined)
            .with_source(decline.clone());
        assert_eq!(error.decline(), Some(&decline));
        assert_eq!(error.recovery(), Recovery::GiveUp);
    }

    #[test]
    fn a_rate_limit_hands_on_the_wait_that_the_provider_asked_for() {
        let wait = Some(Duration::from_secs(7));
        assert_eq!(
            ErrorKind::RateLimited { retry_after: wait }.recovery(),
            Recovery::Retry { after: wait }
        );
    }
}
