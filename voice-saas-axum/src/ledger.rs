//! The tenant's ledger.

use axum::extract::{FromRef, State};
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use voice_saas_core::{
    id::{CallId, EntryId},
    ledger::{Account, Balance, LedgerEntry},
    money,
};

use crate::{
    ApiState, Problem, Scoped,
    page::{Listed, Pagination},
    query::Query,
    view::Money,
};

/// The tenant's ledger.
pub fn ledger_router<S>() -> OpenApiRouter<S>
where
    S: Clone + Send + Sync + 'static,
    ApiState: FromRef<S>,
{
    OpenApiRouter::default().routes(routes!(get_ledger))
}

/// The entries, newest first, and the sums of all of them.
#[derive(Serialize, ToSchema)]
struct LedgerView {
    #[serde(flatten)]
    entries: Listed<EntryView>,
    /// One per currency.
    balance: Vec<BalanceView>,
}

/// An entry; it is never changed, and a better figure is another entry.
#[derive(Serialize, ToSchema)]
struct EntryView {
    #[schema(value_type = String)]
    id: EntryId,
    /// What for: a call's id, or the name of something else.
    subject: String,
    /// The call, if it is for one.
    #[schema(value_type = Option<String>)]
    call_id: Option<CallId>,
    /// `cost` (what a provider charges), `price` (what the tenant is charged) or `reservation` (what is kept while a call
    /// runs).
    #[schema(value_type = String)]
    account: Account,
    #[schema(example = "telephony_inbound")]
    kind: String,
    provider: String,
    #[schema(example = 3)]
    quantity: i64,
    #[schema(example = "minute")]
    unit: String,
    /// Negative for a correction downwards.
    amount: Money,
    /// By which rates it was reckoned.
    rating_version: String,
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
}

impl From<LedgerEntry> for EntryView {
    fn from(entry: LedgerEntry) -> Self {
        Self {
            id: entry.id,
            call_id: entry.subject.call(),
            subject: entry.subject.to_string(),
            account: entry.account,
            kind: entry.kind,
            provider: entry.provider,
            quantity: entry.quantity,
            unit: entry.unit,
            amount: entry.amount.into(),
            rating_version: entry.rating_version,
            at: entry.at,
        }
    }
}

/// The sums in one currency.
#[derive(Serialize, ToSchema)]
struct BalanceView {
    /// What providers charged.
    cost: Money,
    /// What the tenant was charged for its usage.
    price: Money,
    /// What is kept for calls that run.
    reserved: Money,
}

impl From<Balance> for BalanceView {
    fn from(balance: Balance) -> Self {
        let money = |micros| money::Money::from_micros(micros, balance.currency).into();
        Self {
            cost: money(balance.cost_micros),
            price: money(balance.price_micros),
            reserved: money(balance.reserved_micros),
        }
    }
}

/// What calls cost and what the tenant was charged: every entry, newest first, and the sums.
#[utoipa::path(
    get, path = "/v1/billing/ledger", tag = "Billing",
    params(Pagination),
    responses((status = 200, description = "The ledger", body = LedgerView))
)]
async fn get_ledger(
    State(api): State<ApiState>,
    scoped: Scoped,
    Query(pagination): Query<Pagination>,
) -> Result<axum::Json<LedgerView>, Problem> {
    let request = pagination.request()?;
    let (page, balances) = api.app().ledger().of_tenant(scoped.principal(), request).await?;
    Ok(axum::Json(LedgerView {
        entries: Listed::of(page, EntryView::from),
        balance: balances.into_iter().map(BalanceView::from).collect(),
    }))
}
