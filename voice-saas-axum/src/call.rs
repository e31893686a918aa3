//! Calls: listed, looked at, ended.

use axum::extract::{FromRef, State};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};
use voice_saas_core::{
    VoiceSaas,
    auth::Principal,
    call::{Call, CallFilter, CallStatus, EndReason, Transcript},
    id::{AgentId, CallId, NumberId},
    ledger::{Account, LedgerEntry},
    money::{self, Currency},
    phone::{Country, E164},
    provider::{
        telephony::ProviderCallId,
        voice_agent::{ConversationId, Direction, Speaker, Turn},
    },
};

use crate::{
    ApiState, Problem, Scoped, call_events,
    page::{self, Listed},
    query::{self, Query},
    scope::Id,
    view::Money,
};

/// Listing calls, looking at one, its transcript and events, and hanging up.
pub fn calls_router<S>() -> OpenApiRouter<S>
where
    S: Clone + Send + Sync + 'static,
    ApiState: FromRef<S>,
{
    OpenApiRouter::default()
        .routes(routes!(list_calls))
        .routes(routes!(get_call))
        .routes(routes!(hang_up_call))
        .routes(routes!(get_transcript))
        .routes(routes!(call_events::call_events))
}

/// A phone call.
#[derive(Serialize, ToSchema)]
struct CallView {
    #[schema(value_type = String)]
    id: CallId,
    /// `inbound` or `outbound`.
    #[schema(value_type = String)]
    direction: Direction,
    /// `scheduled`, `queued`, `dialing`, `ringing`, `in_progress`, `completed`, `busy`, `no_answer`, `failed`,
    /// `canceled`, `rejected` or `expired`.
    #[schema(value_type = String)]
    status: CallStatus,
    /// As the carrier writes it.
    from: String,
    /// As the carrier writes it.
    to: String,
    /// The tenant's number that it uses.
    #[schema(value_type = Option<String>)]
    number_id: Option<NumberId>,
    #[schema(value_type = Option<String>)]
    agent_id: Option<AgentId>,
    /// The version of the agent that it runs.
    agent_version: Option<u32>,
    provider: String,
    #[schema(value_type = Option<String>)]
    provider_call_id: Option<ProviderCallId>,
    /// The agent platform's id of the conversation.
    #[schema(value_type = Option<String>)]
    conversation_id: Option<ConversationId>,
    #[schema(value_type = String, format = DateTime)]
    started_at: Timestamp,
    #[schema(value_type = Option<String>, format = DateTime)]
    answered_at: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    ended_at: Option<Timestamp>,
    duration_seconds: Option<u32>,
    /// Why it ended, or was never connected.
    #[schema(value_type = Option<String>, example = "caller_hung_up")]
    end_reason: Option<EndReason>,
    /// What it was about, when the platform says so.
    summary: Option<String>,
}

impl From<Call> for CallView {
    fn from(call: Call) -> Self {
        Self {
            id: call.id,
            direction: call.direction,
            status: call.status,
            from: call.from,
            to: call.to,
            number_id: call.number,
            agent_id: call.agent.map(|(id, _)| id),
            agent_version: call.agent.map(|(_, version)| version),
            provider: call.provider,
            provider_call_id: call.provider_call,
            conversation_id: call.conversation,
            started_at: call.started_at,
            answered_at: call.answered_at,
            ended_at: call.ended_at,
            duration_seconds: call.duration_seconds,
            end_reason: call.end_reason,
            summary: call.summary,
        }
    }
}

/// A call and what it cost so far.
#[derive(Serialize, ToSchema)]
struct CallWithCostView {
    #[serde(flatten)]
    call: CallView,
    /// What providers charge for it.
    cost: CostView,
    /// What the tenant pays for it; `null` while no plan puts a price on calls.
    price: Option<Money>,
}

/// What a call cost so far; late charges and corrections are added as they come.
#[derive(Serialize, ToSchema)]
struct CostView {
    /// `null` when the items are in several currencies.
    total: Option<Money>,
    items: Vec<CostItemView>,
}

/// One cost of a call.
#[derive(Serialize, ToSchema)]
struct CostItemView {
    #[schema(example = "telephony_inbound")]
    kind: String,
    provider: String,
    #[schema(example = 3)]
    quantity: i64,
    #[schema(example = "minute")]
    unit: String,
    amount: Money,
}

impl From<Vec<LedgerEntry>> for CostView {
    fn from(entries: Vec<LedgerEntry>) -> Self {
        let total = sum(&entries, Currency::USD);
        Self {
            total: total.map(Money::from),
            items: entries
                .into_iter()
                .map(|entry| CostItemView {
                    kind: entry.kind,
                    provider: entry.provider,
                    quantity: entry.quantity,
                    unit: entry.unit,
                    amount: entry.amount.into(),
                })
                .collect(),
        }
    }
}

/// `None` when they are in several currencies.
fn sum(entries: &[LedgerEntry], otherwise: Currency) -> Option<money::Money> {
    let currency = entries.first().map_or(otherwise, |entry| entry.amount.currency());
    let mut amounts = entries.iter().map(|entry| entry.amount);
    amounts
        .try_fold(money::Money::zero(currency), money::Money::checked_add)
        .ok()
}

#[derive(Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
struct CallListQuery {
    /// Only these.
    status: Option<String>,
    /// `inbound` or `outbound`.
    direction: Option<String>,
    /// Only those that this agent took.
    agent_id: Option<String>,
    /// Only those from this number.
    from: Option<String>,
    /// Only those to this number.
    to: Option<String>,
    /// Only those that began at this time (RFC 3339) or later.
    since: Option<String>,
    /// Only those that began before this time (RFC 3339).
    until: Option<String>,
    /// At most this many entries: 1 to 200, 50 unless told otherwise.
    #[param(value_type = Option<u16>)]
    limit: Option<String>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

impl CallListQuery {
    async fn filter(&self, app: &VoiceSaas, principal: &Principal) -> Result<CallFilter, Problem> {
        let mut filter = CallFilter::default();
        filter.status = query::word(self.status.as_deref(), "status")?;
        filter.direction = query::word(self.direction.as_deref(), "direction")?;
        filter.agent = query::parameter(self.agent_id.as_deref(), "agent_id")?;
        filter.since = query::parameter(self.since.as_deref(), "since")?;
        filter.until = query::parameter(self.until.as_deref(), "until")?;
        if self.from.is_some() || self.to.is_some() {
            let country = app.tenants().get(principal).await?.country;
            filter.from = self.from.as_deref().map(|text| party(text, country));
            filter.to = self.to.as_deref().map(|text| party(text, country));
        }
        Ok(filter)
    }
}

/// Who a call is from or to, as the carrier writes it: a number in E.164, or else a word such as `anonymous`. An
/// unescaped plus arrives as a blank.
fn party(text: &str, country: Country) -> String {
    let plus = text.strip_prefix(' ').map(|rest| format!("+{rest}"));
    let text = plus.as_deref().unwrap_or(text);
    E164::read(text, country).map_or_else(|_| text.to_owned(), |number| number.to_string())
}

/// The tenant's calls, newest first.
#[utoipa::path(
    get, path = "/v1/calls", tag = "Calls",
    params(CallListQuery),
    responses((status = 200, description = "The calls", body = Listed<CallView>))
)]
async fn list_calls(
    State(api): State<ApiState>,
    scoped: Scoped,
    Query(query): Query<CallListQuery>,
) -> Result<axum::Json<Listed<CallView>>, Problem> {
    let request = page::request(query.limit.as_deref(), query.cursor.as_deref())?;
    let filter = query.filter(api.app(), scoped.principal()).await?;
    let page = api
        .app()
        .calls()
        .list(scoped.principal(), &filter, request)
        .await?;
    Ok(axum::Json(Listed::of(page, CallView::from)))
}

/// One call and what it cost so far.
#[utoipa::path(
    get, path = "/v1/calls/{id}", tag = "Calls",
    params(("id" = String, Path)),
    responses((status = 200, description = "The call", body = CallWithCostView))
)]
async fn get_call(
    State(api): State<ApiState>,
    scoped: Scoped,
    Id(id): Id<CallId>,
) -> Result<axum::Json<CallWithCostView>, Problem> {
    let (call, entries) = api.app().calls().get(scoped.principal(), id).await?;
    let of = |account| {
        let entries = entries.iter().filter(|entry| entry.account == account);
        entries.cloned().collect::<Vec<_>>()
    };
    let (costs, prices) = (of(Account::Cost), of(Account::Price));
    let price = sum(&prices, Currency::USD).filter(|_| !prices.is_empty());
    Ok(axum::Json(CallWithCostView {
        call: call.into(),
        cost: costs.into(),
        price: price.map(Money::from),
    }))
}

/// Ends a call that runs. Ending one that is over is no error.
#[utoipa::path(
    post, path = "/v1/calls/{id}/hangup", tag = "Calls",
    params(("id" = String, Path)),
    responses((status = 200, description = "The call; its status follows when the carrier reports the end", body = CallView))
)]
async fn hang_up_call(
    State(api): State<ApiState>,
    scoped: Scoped,
    Id(id): Id<CallId>,
) -> Result<axum::Json<CallView>, Problem> {
    let call = api.app().calls().hang_up(scoped.principal(), id).await?;
    Ok(axum::Json(call.into()))
}

/// What was said in a call.
#[derive(Serialize, ToSchema)]
struct TranscriptView {
    #[schema(value_type = String)]
    call_id: CallId,
    /// Whether it is the platform's own record, or what was heard while the call ran.
    complete: bool,
    turns: Vec<TurnView>,
}

/// One turn of a conversation.
#[derive(Serialize, ToSchema)]
struct TurnView {
    /// `caller` or `agent`.
    #[schema(value_type = String)]
    speaker: Speaker,
    text: String,
    /// Since the beginning of the conversation.
    offset_seconds: f64,
}

impl From<Turn> for TurnView {
    fn from(turn: Turn) -> Self {
        Self {
            speaker: turn.speaker,
            text: turn.text,
            offset_seconds: turn.offset.as_secs_f64(),
        }
    }
}

/// What was said.
#[utoipa::path(
    get, path = "/v1/calls/{id}/transcript", tag = "Calls",
    params(("id" = String, Path)),
    responses((status = 200, description = "The transcript", body = TranscriptView))
)]
async fn get_transcript(
    State(api): State<ApiState>,
    scoped: Scoped,
    Id(id): Id<CallId>,
) -> Result<axum::Json<TranscriptView>, Problem> {
    let Transcript { turns, complete } = api.app().calls().transcript(scoped.principal(), id).await?;
    Ok(axum::Json(TranscriptView {
        call_id: id,
        complete,
        turns: turns.into_iter().map(TurnView::from).collect(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_in_a_filter_may_be_written_as_people_write_it() {
        let check = |text: &str, expected: &str| assert_eq!(party(text, Country::US), expected, "{text}");
        check("(212) 555-0142", "+12125550142");
        check("+442079460958", "+442079460958");
        check(" 442079460958", "+442079460958");
        check("anonymous", "anonymous");
    }

    #[test]
    fn a_call_without_costs_cost_nothing() {
        let cost = CostView::from(Vec::new());
        assert_eq!(cost.total, Some(money::Money::zero(Currency::USD).into()));
    }
}
