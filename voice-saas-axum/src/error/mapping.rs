//! Which problem each of the library's errors is.

use std::time::Duration;

use axum::http::StatusCode;
use serde_json::json;
use voice_saas_core::{
    agent::AgentError,
    auth::{AccountError, AuthError, Forbidden},
    call::{CallError, InboundError, MediaRefused, ToolRefused},
    number::{NumberError, PoolError, PortError},
    page::PageError,
    plan::PlanId,
    provider::{ErrorKind, ProviderError, Recovery, telephony::WebhookError},
    reconcile::ReconciliationError,
    store::{StoreError, StoreErrorKind},
    trunk::TrunkError,
    usage::Refusal,
    validate::Invalid,
};

use super::Problem;

impl From<Invalid> for Problem {
    fn from(invalid: Invalid) -> Self {
        let mut problem = Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "invalid_request",
            "the request cannot be accepted",
        );
        problem.errors = invalid.errors;
        problem
    }
}

impl From<Forbidden> for Problem {
    fn from(forbidden: Forbidden) -> Self {
        let needed = serde_json::to_value(forbidden.needed).unwrap_or_default();
        Self::new(
            StatusCode::FORBIDDEN,
            "forbidden",
            "the role or scope is not enough for this",
        )
        .with_member("needed_role", needed)
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error.kind() {
            StoreErrorKind::NotFound => Self::not_found(),
            StoreErrorKind::Conflict => Self::new(
                StatusCode::CONFLICT,
                "conflict",
                "something with the same key is there already",
            ),
            StoreErrorKind::Stale => Self::new(
                StatusCode::CONFLICT,
                "conflict",
                "somebody else changed it in the meantime; read it again",
            ),
            StoreErrorKind::TenantClosed => Self::new(
                StatusCode::CONFLICT,
                "tenant_closed",
                "the tenant is being closed, or is closed; nothing new begins there",
            ),
            StoreErrorKind::Unavailable => {
                tracing::warn!(error = %super::Chain(&error), "the store is not available");
                Self::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "unavailable",
                    "the service is busy; try again in a moment",
                )
                .with_retry_after(Duration::from_secs(1))
            }
            _ => Self::internal(&error),
        }
    }
}

impl From<AuthError> for Problem {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::Unauthenticated => Self::unauthenticated(),
            AuthError::Store(error) => error.into(),
            error => Self::internal(&error),
        }
    }
}

impl From<AccountError> for Problem {
    fn from(error: AccountError) -> Self {
        match error {
            AccountError::Invalid(invalid) => invalid.into(),
            AccountError::EmailTaken => Self::new(
                StatusCode::CONFLICT,
                "email_taken",
                "somebody registered with this address before",
            ),
            AccountError::Unauthenticated => Self::unauthenticated(),
            AccountError::Forbidden(forbidden) => forbidden.into(),
            AccountError::Store(error) => error.into(),
            error => Self::internal(&error),
        }
    }
}

impl From<AgentError> for Problem {
    fn from(error: AgentError) -> Self {
        match error {
            AgentError::Invalid(invalid) => invalid.into(),
            AgentError::Forbidden(forbidden) => forbidden.into(),
            AgentError::Stale => Self::new(
                StatusCode::CONFLICT,
                "conflict",
                "somebody else changed the agent in the meantime; read it again",
            ),
            AgentError::Plan(refusal) => refusal.into(),
            AgentError::Number(error) => error.into(),
            AgentError::Provider(error) => error.into(),
            AgentError::Store(error) => error.into(),
            error => Self::internal(&error),
        }
    }
}

impl From<NumberError> for Problem {
    fn from(error: NumberError) -> Self {
        match error {
            NumberError::Invalid(invalid) => invalid.into(),
            NumberError::Forbidden(forbidden) => forbidden.into(),
            NumberError::Unavailable { nearby_area_codes } => Self::new(
                StatusCode::CONFLICT,
                "number_unavailable",
                "no such number can be had; these area codes have some",
            )
            .with_member("nearby_area_codes", nearby_area_codes),
            NumberError::AlreadyAssigned => Self::new(
                StatusCode::CONFLICT,
                "number_already_assigned",
                "the agent has a number already, or is getting one",
            ),
            NumberError::Pending => Self::new(
                StatusCode::CONFLICT,
                "number_pending",
                "the number is still being bought; try again in a moment",
            ),
            NumberError::Releasing => Self::new(
                StatusCode::CONFLICT,
                "number_releasing",
                "the number is being given back; there is no way back",
            ),
            NumberError::Illegal(change) => {
                Self::new(StatusCode::CONFLICT, "number_status", change.to_string())
            }
            NumberError::NotInAccount { provider } => Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "number_not_in_account",
                "the account at the carrier does not hold the number; have the carrier assign it, or move it in, \
                 then import it again",
            )
            .with_member("provider", provider),
            NumberError::ImportForbidden => Self::new(
                StatusCode::FORBIDDEN,
                "import_by_operator",
                "numbers of the carrier's account are given to tenants by the operator; ask for this one",
            ),
            NumberError::RequirementsMissing { requirements } => Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "requirements_missing",
                "the country of the number asks for an address or documents first; register them with the carrier \
                 and send their ids as address_id and bundle_id",
            )
            .with_member("requirements", serde_json::to_value(requirements).unwrap_or_default()),
            NumberError::Plan(refusal) => refusal.into(),
            NumberError::Carrier { provider, retryable } => provider_failed(&provider, retryable),
            NumberError::Provider(error) => error.into(),
            NumberError::Store(error) => error.into(),
            error => Self::internal(&error),
        }
    }
}

impl From<PortError> for Problem {
    fn from(error: PortError) -> Self {
        let (conflict, unprocessable) = (StatusCode::CONFLICT, StatusCode::UNPROCESSABLE_ENTITY);
        match error {
            PortError::Invalid(invalid) => invalid.into(),
            PortError::Forbidden(forbidden) => forbidden.into(),
            PortError::Unsupported { provider } => Self::new(
                unprocessable,
                "porting_unsupported",
                "numbers of other carriers cannot be moved to this one through its interface",
            )
            .with_member("provider", provider),
            PortError::Taken => Self::new(
                conflict,
                "number_unavailable",
                "one of the numbers is held here, or is being moved already",
            ),
            PortError::NotPortable { numbers } => {
                let numbers = numbers.into_iter();
                let numbers: Vec<_> = numbers
                    .map(|(number, reason)| json!({ "phone_number": number, "reason": reason }))
                    .collect();
                Self::new(
                    unprocessable,
                    "number_not_portable",
                    "the carrier says that these numbers cannot be moved",
                )
                .with_member("numbers", numbers)
            }
            PortError::Refused {
                provider,
                port,
                reason,
            } => Self::new(unprocessable, "port_refused", reason)
                .with_member("provider", provider)
                .with_member("port_id", port.to_string()),
            PortError::TooLate => Self::new(
                conflict,
                "port_too_late",
                "the losing carrier is letting the numbers go, or has; release them when they are here",
            ),
            PortError::Provider(error) => error.into(),
            PortError::Store(error) => error.into(),
            error => Self::internal(&error),
        }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let upgrade: Vec<&str> = refusal.upgrade.iter().map(PlanId::as_str).collect();
        let mut problem = Self::new(
            StatusCode::PAYMENT_REQUIRED,
            refusal.code.as_str(),
            refusal.reason.clone(),
        )
        .with_member("upgrade", upgrade);
        if let Some(limit) = refusal.limit {
            problem = problem.with_member("limit", limit.as_str());
        }
        if let Some(at) = refusal.again_at {
            problem = problem.with_member("again_at", at.to_string());
        }
        problem
    }
}

impl From<TrunkError> for Problem {
    fn from(error: TrunkError) -> Self {
        match error {
            TrunkError::Forbidden(forbidden) => forbidden.into(),
            TrunkError::NotConfigured => Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "trunks_not_configured",
                "the service has no provider that takes calls by SIP",
            ),
            TrunkError::NumberNotHeld => Self::new(
                StatusCode::CONFLICT,
                "number_not_held",
                "the number is still being bought, or is given back",
            ),
            TrunkError::Foreign { provider } => Self::new(
                StatusCode::CONFLICT,
                "trunk_conflict",
                "the number's calls go through another trunk at the provider; take it away there first",
            )
            .with_member("provider", provider),
            TrunkError::Provider { provider, retryable } => provider_failed(&provider, retryable),
            TrunkError::Pending => Self::new(
                StatusCode::CONFLICT,
                "trunk_pending",
                "the trunk is still being set up or taken away; try again in a moment",
            ),
            TrunkError::Store(error) => error.into(),
            error => Self::internal(&error),
        }
    }
}

impl From<CallError> for Problem {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Invalid(invalid) => invalid.into(),
            CallError::Forbidden(forbidden) => forbidden.into(),
            CallError::Provider(error) => error.into(),
            CallError::Store(error) => error.into(),
            error => Self::internal(&error),
        }
    }
}

impl From<PoolError> for Problem {
    fn from(error: PoolError) -> Self {
        match error {
            PoolError::Invalid(invalid) => invalid.into(),
            PoolError::UnderWay => Self::new(
                StatusCode::CONFLICT,
                "already_under_way",
                "such numbers are being bought already; look at the job, or try again when it is over",
            ),
            PoolError::InUse(_) => Self::new(
                StatusCode::CONFLICT,
                "number_in_use",
                "the number is being bought, or a tenant has it; it can be given back afterwards",
            ),
            PoolError::Carrier(provider) => provider_failed(&provider, false),
            PoolError::Provider(error) => error.into(),
            PoolError::Store(error) => error.into(),
            error => Self::internal(&error),
        }
    }
}

impl From<ReconciliationError> for Problem {
    fn from(error: ReconciliationError) -> Self {
        let conflict = |code, why| Self::new(StatusCode::CONFLICT, code, why);
        match error {
            ReconciliationError::Invalid(invalid) => invalid.into(),
            ReconciliationError::Refused(why) => conflict("action_refused", why),
            ReconciliationError::UnderWay => conflict(
                "already_under_way",
                "the same is under way already; look at its job, or try again in a moment",
            ),
            ReconciliationError::Provider { provider } => provider_failed(&provider, false),
            ReconciliationError::Store(error) => error.into(),
            error => Self::internal(&error),
        }
    }
}

/// Only searches and hang-ups fail with a bare provider's error, and both may be repeated after any failure that is
/// not final; purchases speak through [`NumberError::Carrier`].
impl From<ProviderError> for Problem {
    fn from(error: ProviderError) -> Self {
        tracing::warn!(
            provider = %error.provider(),
            kind = ?error.kind(),
            detail = error.detail(),
            provider_request_id = error.request_id(),
            error = %super::Chain(&error),
            "a provider failed"
        );
        if error.kind() == ErrorKind::Invalid {
            return Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "refused_by_provider",
                "the provider does not accept this request",
            )
            .with_member("provider", error.provider().as_str());
        }
        let problem = provider_failed(
            error.provider().as_str(),
            !matches!(error.recovery(), Recovery::GiveUp),
        );
        match error.recovery() {
            Recovery::Retry { after: Some(wait) } => problem.with_retry_after(wait),
            _ => problem,
        }
    }
}

fn provider_failed(provider: &str, safe_to_retry: bool) -> Problem {
    let (status, detail) = if safe_to_retry {
        (
            StatusCode::SERVICE_UNAVAILABLE,
            "the provider cannot be used right now; try again in a moment",
        )
    } else {
        (StatusCode::BAD_GATEWAY, "the provider refuses to do this")
    };
    Problem::new(status, "provider_unavailable", detail)
        .with_member("provider", provider)
        .with_member("safe_to_retry", safe_to_retry)
}

impl From<InboundError> for Problem {
    fn from(error: InboundError) -> Self {
        match error {
            InboundError::UnknownProvider => Self::not_found(),
            InboundError::Webhook(error) => error.into(),
            InboundError::Store(error) => error.into(),
            error => Self::internal(&error),
        }
    }
}

impl From<WebhookError> for Problem {
    fn from(error: WebhookError) -> Self {
        match error {
            WebhookError::Forged(why) => {
                tracing::warn!(why, "a webhook was refused");
                Self::new(
                    StatusCode::FORBIDDEN,
                    "forbidden_signature",
                    "the signature does not hold",
                )
            }
            WebhookError::Malformed(why) => Self::new(StatusCode::BAD_REQUEST, "malformed_webhook", why),
            error => Self::internal(&error),
        }
    }
}

impl From<MediaRefused> for Problem {
    fn from(error: MediaRefused) -> Self {
        match error {
            MediaRefused::Forbidden => Self::new(
                StatusCode::FORBIDDEN,
                "forbidden",
                "the media token is not good, or was used before",
            ),
            MediaRefused::UnknownProvider => Self::not_found(),
            MediaRefused::Store(error) => {
                tracing::error!(error = %super::Chain(&error), "a media socket was not let in");
                Self::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "unavailable",
                    "the call could not be looked up",
                )
            }
            error => Self::internal(&error),
        }
    }
}

impl From<ToolRefused> for Problem {
    fn from(error: ToolRefused) -> Self {
        match error {
            ToolRefused::Forbidden => Self::new(
                StatusCode::FORBIDDEN,
                "forbidden",
                "the call token is not good for a call that runs",
            ),
            ToolRefused::Tool(error) => Self::new(StatusCode::UNPROCESSABLE_ENTITY, "tool_failed", error.say),
            ToolRefused::Call(error) => error.into(),
            error => Self::internal(&error),
        }
    }
}

impl From<PageError> for Problem {
    fn from(error: PageError) -> Self {
        let pointer = match error {
            PageError::Limit => "/limit",
            _ => "/cursor",
        };
        Self::field(pointer, "page", error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use voice_saas_core::{provider::ProviderName, tenant::Role};

    use super::*;

    #[track_caller]
    fn check(error: impl Into<Problem>, status: u16, code: &str) -> Problem {
        let problem = error.into();
        assert_eq!((problem.status().as_u16(), problem.code()), (status, code));
        problem
    }

    fn provider(kind: ErrorKind) -> ProviderError {
        ProviderError::new(ProviderName::new("twilio"), "search numbers", kind).with_detail("account AC123")
    }

    #[test]
    fn errors_become_the_codes_of_the_contract() {
        let store = |kind| StoreError::new("find a number", kind);
        check(store(StoreErrorKind::NotFound), 404, "not_found");
        check(store(StoreErrorKind::Unavailable), 503, "unavailable");
        check(store(StoreErrorKind::TenantClosed), 409, "tenant_closed");
        check(ReconciliationError::UnderWay, 409, "already_under_way");
        check(
            ReconciliationError::Refused("a tenant holds the number"),
            409,
            "action_refused",
        );
        check(store(StoreErrorKind::Corrupt), 500, "internal");
        check(AccountError::EmailTaken, 409, "email_taken");
        check(AccountError::Unauthenticated, 401, "unauthenticated");
        check(Forbidden { needed: Role::Admin }, 403, "forbidden");
        check(
            AgentError::Number(NumberError::AlreadyAssigned),
            409,
            "number_already_assigned",
        );
        check(WebhookError::Forged("no signature"), 403, "forbidden_signature");
        check(MediaRefused::Forbidden, 403, "forbidden");
        check(
            MediaRefused::Store(store(StoreErrorKind::Internal)),
            503,
            "unavailable",
        );
        check(PageError::Limit, 422, "invalid_request");
    }

    #[test]
    fn no_number_names_area_codes_nearby() {
        let error = NumberError::Unavailable {
            nearby_area_codes: vec!["646".to_owned()],
        };
        let problem = check(error, 409, "number_unavailable");
        assert_eq!(problem.members["nearby_area_codes"], serde_json::json!(["646"]));
    }

    #[test]
    fn a_provider_that_may_work_later_is_told_from_one_that_never_will() {
        let wait = Duration::from_secs(7);
        let busy = check(
            provider(ErrorKind::RateLimited {
                retry_after: Some(wait),
            }),
            503,
            "provider_unavailable",
        );
        assert_eq!(busy.retry_after, Some(wait));
        assert_eq!(busy.members["safe_to_retry"], true);
        assert_eq!(busy.members["provider"], "twilio");
        let refused = check(provider(ErrorKind::Unauthorized), 502, "provider_unavailable");
        assert_eq!(refused.members["safe_to_retry"], false);
        assert!(!String::from_utf8(refused.body()).unwrap().contains("AC123"));
        check(provider(ErrorKind::Invalid), 422, "refused_by_provider");
    }
}
