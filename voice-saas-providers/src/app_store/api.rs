//! The App Store Server API. Every signed text in an answer is checked like one from a client.

use http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;
use voice_saas_core::provider::{
    ErrorKind, ProviderError,
    app_store::{
        AppStore, OriginalTransactionId, SignedDataError, StoreEnvironment, StoreNotification,
        StoreSubscription, StoreTransaction, TransactionId,
    },
    telephony::ProviderPage,
};

use super::{Apple, NAME};
use crate::http::{Effect, Failure, Request};

/// A refusal.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Refusal {
    error_code: i64,
    #[serde(default)]
    error_message: String,
}

#[derive(Deserialize)]
struct Statuses {
    #[serde(default)]
    data: Vec<Group>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Group {
    #[serde(default)]
    last_transactions: Vec<LastTransaction>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LastTransaction {
    status: i64,
    signed_transaction_info: String,
    signed_renewal_info: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct History {
    #[serde(default)]
    has_more: bool,
    revision: Option<String>,
    #[serde(default)]
    signed_transactions: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Notifications {
    #[serde(default)]
    has_more: bool,
    pagination_token: Option<String>,
    #[serde(default)]
    notification_history: Vec<Sent>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Sent {
    signed_payload: String,
}

const SUBSCRIPTIONS: &str = "read subscriptions";
const TRANSACTIONS: &str = "read transactions";
const NOTIFICATIONS: &str = "read notifications";
const SET_TOKEN: &str = "set an account token";

pub(super) async fn subscriptions(
    apple: &Apple,
    environment: StoreEnvironment,
    transaction: &TransactionId,
) -> Result<Vec<StoreSubscription>, ProviderError> {
    let id = segment(SUBSCRIPTIONS, transaction.as_str())?;
    let request = Request::get(SUBSCRIPTIONS, format!("/inApps/v1/subscriptions/{id}"));
    let answer = send(apple, environment, SUBSCRIPTIONS, request).await?;
    let statuses: Statuses = answer.json()?;
    let last = statuses
        .data
        .into_iter()
        .flat_map(|group| group.last_transactions);
    last.map(|last| {
        let renewal = last.signed_renewal_info.as_deref();
        let read = apple.read_subscription(last.status, &last.signed_transaction_info, renewal);
        read.map_err(|error| unexpected(SUBSCRIPTIONS, error))
    })
    .collect()
}

pub(super) async fn transactions(
    apple: &Apple,
    environment: StoreEnvironment,
    transaction: &TransactionId,
    page: Option<&str>,
) -> Result<ProviderPage<StoreTransaction>, ProviderError> {
    let id = segment(TRANSACTIONS, transaction.as_str())?;
    let path = format!("/inApps/v2/history/{id}");
    let mut request = Request::get(TRANSACTIONS, path).query("sort", "ASCENDING");
    if let Some(revision) = page {
        request = request.query("revision", revision);
    }
    let history: History = send(apple, environment, TRANSACTIONS, request).await?.json()?;
    let items = history.signed_transactions.iter().map(|signed| {
        apple
            .transaction(signed)
            .map_err(|error| unexpected(TRANSACTIONS, error))
    });
    Ok(ProviderPage {
        items: items.collect::<Result<_, _>>()?,
        next: history.revision.filter(|_| history.has_more),
    })
}

pub(super) async fn notifications(
    apple: &Apple,
    environment: StoreEnvironment,
    (from, until): (Timestamp, Timestamp),
    page: Option<&str>,
) -> Result<ProviderPage<StoreNotification>, ProviderError> {
    let body = json!({"startDate": from.as_millisecond(), "endDate": until.as_millisecond()});
    let mut request = Request::post(NOTIFICATIONS, "/inApps/v1/notifications/history")
        .effect(Effect::Read)
        .json(&body);
    if let Some(token) = page {
        request = request.query("paginationToken", token);
    }
    let sent: Notifications = send(apple, environment, NOTIFICATIONS, request).await?.json()?;
    let mut items = Vec::with_capacity(sent.notification_history.len());
    for sent in sent.notification_history {
        match apple.read_notification(&sent.signed_payload) {
            Ok(notification) => items.push(notification),
            // One that cannot be believed must not hide those behind it.
            Err(error) => tracing::warn!(%error, "skipped a notification of the past"),
        }
    }
    Ok(ProviderPage {
        items,
        next: sent.pagination_token.filter(|_| sent.has_more),
    })
}

pub(super) async fn set_account_token(
    apple: &Apple,
    environment: StoreEnvironment,
    subscription: &OriginalTransactionId,
    token: Uuid,
) -> Result<(), ProviderError> {
    let id = segment(SET_TOKEN, subscription.as_str())?;
    let path = format!("/inApps/v1/transactions/{id}/appAccountToken");
    let request = Request::put(SET_TOKEN, path).json(&json!({ "appAccountToken": token }));
    send(apple, environment, SET_TOKEN, request).await?;
    Ok(())
}

async fn send(
    apple: &Apple,
    environment: StoreEnvironment,
    operation: &'static str,
    request: Request,
) -> Result<crate::http::Response, ProviderError> {
    let token = apple
        .signer
        .token(apple.ambient.now())
        .ok_or_else(|| ProviderError::new(NAME, operation, ErrorKind::Unauthorized))?;
    apple.client(environment).send(request.bearer(token)).await
}

/// Ids are digits; anything else could lead to another path.
fn segment<'a>(operation: &'static str, id: &'a str) -> Result<&'a str, ProviderError> {
    if !id.is_empty() && id.len() <= 64 && id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        Ok(id)
    } else {
        Err(ProviderError::new(NAME, operation, ErrorKind::Invalid).with_detail("this is no id of Apple's"))
    }
}

fn unexpected(operation: &'static str, error: SignedDataError) -> ProviderError {
    ProviderError::new(NAME, operation, ErrorKind::UnexpectedAnswer)
        .with_detail(error.to_string())
        .with_source(error)
}

/// Reads a refusal: `{"errorCode": 4040010, "errorMessage": "…"}`, of which the first three digits are the status.
pub(super) fn classify(status: StatusCode, _: &HeaderMap, body: &[u8]) -> Failure {
    let mut failure = Failure::by_status(status);
    let Ok(refusal) = serde_json::from_slice::<Refusal>(body) else {
        return failure;
    };
    match refusal.error_code {
        // Apple's own word for these: retryable.
        4_040_002 | 4_040_004 | 4_040_006 => failure.kind = ErrorKind::RateLimited { retry_after: None },
        // It is there, and this cannot be done with it.
        4_000_047 | 4_000_185 | 4_000_187 => failure.kind = ErrorKind::Conflict,
        _ => {}
    }
    failure.detail = Some(format!("{}: {}", refusal.error_code, refusal.error_message));
    failure
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(status: u16, code: i64, expected: ErrorKind) {
        let body = json!({"errorCode": code, "errorMessage": "why"}).to_string();
        let status = StatusCode::from_u16(status).unwrap();
        let failure = classify(status, &HeaderMap::new(), body.as_bytes());
        assert_eq!(failure.kind, expected, "{code}");
        assert_eq!(failure.detail.unwrap(), format!("{code}: why"));
    }

    #[test]
    fn refusals_are_sorted_by_apples_codes() {
        check(404, 4_040_010, ErrorKind::NotFound);
        check(404, 4_040_002, ErrorKind::RateLimited { retry_after: None });
        check(400, 4_000_006, ErrorKind::Invalid);
        check(400, 4_000_187, ErrorKind::Conflict);
        check(429, 4_290_000, ErrorKind::RateLimited { retry_after: None });
        check(500, 5_000_001, ErrorKind::ServerError);
        let bare = classify(StatusCode::UNAUTHORIZED, &HeaderMap::new(), b"");
        assert_eq!(bare.kind, ErrorKind::Unauthorized);
    }

    #[test]
    fn an_id_cannot_lead_to_another_path() {
        assert!(segment("x", "2000000123456789").is_ok());
        for wrong in ["", "1/../2", "1?x", "é", &"1".repeat(65)] {
            assert_eq!(
                segment("x", wrong).unwrap_err().kind(),
                ErrorKind::Invalid,
                "{wrong}"
            );
        }
    }
}
