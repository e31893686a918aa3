//! A tenant's numbers: found, bought, changed and given back.

use axum::{
    extract::{FromRef, State},
    http::StatusCode,
    response::Response,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};
use voice_saas_core::{
    VoiceSaas,
    auth::Principal,
    id::{AgentId, NumberId, SagaId},
    number::{
        ImportRequest, NumberFilter, NumberStatus, Ownership, PhoneNumber, ProvisionRequest, Provisioned,
        Released,
    },
    page::PageRequest,
    phone::{Country, E164},
    provider::telephony::{AvailableNumber, NumberKind, NumberQuery, ProviderNumberId},
    validate::Checks,
};

use crate::{
    ApiState, Problem, Scoped,
    idempotency::{Answer, Once},
    json::Json,
    page::{self, Listed},
    query::{self, Query},
    scope::Id,
    view::Money,
};

/// Searching, buying, listing, changing and releasing numbers.
pub fn numbers_router<S>() -> OpenApiRouter<S>
where
    S: Clone + Send + Sync + 'static,
    ApiState: FromRef<S>,
{
    OpenApiRouter::default()
        .routes(routes!(list_available_numbers))
        .routes(routes!(provision_number, list_numbers))
        .routes(routes!(import_number))
        .routes(routes!(get_number, update_number, release_number))
}

/// What a number can carry.
#[derive(Serialize, ToSchema)]
struct CapabilitiesView {
    voice: bool,
    sms: bool,
    mms: bool,
}

impl From<voice_saas_core::provider::telephony::NumberCapabilities> for CapabilitiesView {
    fn from(capabilities: voice_saas_core::provider::telephony::NumberCapabilities) -> Self {
        Self {
            voice: capabilities.voice,
            sms: capabilities.sms,
            mms: capabilities.mms,
        }
    }
}

/// A phone number that the tenant holds.
#[derive(Serialize, ToSchema)]
pub(crate) struct NumberView {
    #[schema(value_type = String)]
    id: NumberId,
    #[schema(value_type = String, example = "+12125550142")]
    pub(crate) phone_number: E164,
    /// The carrier.
    #[schema(example = "twilio")]
    provider: String,
    /// The carrier's id, once it is bought.
    #[schema(value_type = Option<String>)]
    pub(crate) provider_id: Option<ProviderNumberId>,
    friendly_name: String,
    capabilities: CapabilitiesView,
    /// `pending`, `waiting_for_documents`, `active`, `inactive`, `quarantined` or `released`.
    #[schema(value_type = String)]
    pub(crate) status: NumberStatus,
    /// `bought`; `imported`: it stays in the carrier's account when it is released; or `pool`: it is lent by the
    /// operator, and goes back to them.
    #[schema(value_type = String)]
    owned: Ownership,
    #[schema(value_type = String, example = "US")]
    country: Country,
    monthly_cost: Option<Money>,
    /// The agents that answer it, first choice first.
    #[schema(value_type = Vec<String>)]
    agent_ids: Vec<AgentId>,
    #[schema(value_type = Option<String>, format = DateTime)]
    provisioned_at: Option<Timestamp>,
    /// From when on it is to be given back, once somebody asked for that.
    #[schema(value_type = Option<String>, format = DateTime)]
    release_at: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    released_at: Option<Timestamp>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
}

impl From<PhoneNumber> for NumberView {
    fn from(number: PhoneNumber) -> Self {
        Self {
            id: number.id,
            phone_number: number.number,
            provider: number.provider,
            provider_id: number.provider_id,
            friendly_name: number.friendly_name,
            capabilities: number.capabilities.into(),
            status: number.status,
            owned: number.owned,
            country: number.country,
            monthly_cost: number.monthly_cost.map(Money::from),
            agent_ids: number.agents,
            provisioned_at: number.provisioned_at,
            release_at: number.release_at,
            released_at: number.released_at,
            created_at: number.created_at,
        }
    }
}

/// A purchase that the carrier takes its time for. The library goes on with it: the number shows up in the list
/// with the status `pending`, then `active`, or vanishes.
#[derive(Serialize, ToSchema)]
pub(crate) struct PendingNumberView {
    /// `pending`.
    #[schema(value_type = String)]
    status: NumberStatus,
    /// The work that goes on.
    #[schema(value_type = String)]
    provisioning_id: SagaId,
    #[schema(value_type = Option<String>)]
    id: Option<NumberId>,
    /// The number that was chosen, if it came that far.
    #[schema(value_type = Option<String>)]
    phone_number: Option<E164>,
}

/// What came of a request for a number, as an answer: 201, or 202 when it is still being bought.
pub(crate) fn provisioned(outcome: Provisioned) -> Result<Answer, Problem> {
    match outcome {
        Provisioned::Done(number) => Answer::json(StatusCode::CREATED, &NumberView::from(*number)),
        Provisioned::Pending { saga, number } => {
            let view = PendingNumberView {
                status: NumberStatus::Pending,
                provisioning_id: saga,
                id: number.as_ref().map(|number| number.id),
                phone_number: number.map(|number| number.number),
            };
            Answer::json(StatusCode::ACCEPTED, &view)
        }
    }
}

/// Whether a number is no longer paid for.
#[derive(Serialize, ToSchema)]
pub(crate) struct ReleasedView {
    /// `false`: it is not answered any more, and will be given back as soon as the carrier lets us.
    released: bool,
    /// When it is given back, where numbers are kept out of service for a while before.
    #[schema(value_type = Option<String>, format = DateTime)]
    #[serde(skip_serializing_if = "Option::is_none")]
    quarantined_until: Option<Timestamp>,
}

pub(crate) fn released(outcome: Released) -> (StatusCode, axum::Json<ReleasedView>) {
    let (status, quarantined_until) = match outcome {
        Released::Done => (StatusCode::OK, None),
        Released::Pending => (StatusCode::ACCEPTED, None),
        Released::Quarantined { until } => (StatusCode::ACCEPTED, Some(until)),
    };
    let view = ReleasedView {
        released: outcome == Released::Done,
        quarantined_until,
    };
    (status, axum::Json(view))
}

#[derive(Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
struct AvailableQuery {
    /// Two letters; `US` unless told otherwise.
    country: Option<String>,
    /// Two to five digits, where the country has area codes.
    area_code: Option<String>,
    /// Digits that the number contains; letters stand for those of a dial.
    contains: Option<String>,
    /// `local`, `toll_free` or `mobile`.
    r#type: Option<String>,
    /// At most this many: 1 to 200.
    #[param(value_type = Option<u16>)]
    limit: Option<String>,
}

/// A number that can be bought now, and perhaps no longer in a minute.
#[derive(Serialize, ToSchema)]
struct AvailableView {
    #[schema(value_type = String, example = "+12125550142")]
    phone_number: E164,
    friendly_name: String,
    locality: Option<String>,
    region: Option<String>,
    capabilities: CapabilitiesView,
}

impl From<AvailableNumber> for AvailableView {
    fn from(available: AvailableNumber) -> Self {
        Self {
            phone_number: available.number,
            friendly_name: available.friendly_name,
            locality: available.locality,
            region: available.region,
            capabilities: available.capabilities.into(),
        }
    }
}

/// Numbers that can be bought.
#[utoipa::path(
    get, path = "/v1/numbers/available", tag = "Numbers",
    params(AvailableQuery),
    responses((status = 200, description = "Numbers of the carrier", body = Listed<AvailableView>))
)]
async fn list_available_numbers(
    State(api): State<ApiState>,
    scoped: Scoped,
    Query(query): Query<AvailableQuery>,
) -> Result<axum::Json<Listed<AvailableView>>, Problem> {
    let country = country(query.country.as_deref())?.unwrap_or(Country::US);
    let mut search = NumberQuery::new(country);
    if let Some(kind) = query::word::<NumberKind>(query.r#type.as_deref(), "type")? {
        search = search.with_kind(kind);
    }
    let mut checks = Checks::new();
    if let Some(area_code) = query.area_code {
        let digits = (2..=5).contains(&area_code.len()) && area_code.bytes().all(|b| b.is_ascii_digit());
        checks.require(
            digits,
            "/area_code",
            "area_code",
            "must be two to five digits, such as 212",
        );
        search = search.with_area_code(area_code);
    }
    if let Some(contains) = query.contains {
        let plain = (2..=16).contains(&contains.len())
            && contains.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'*');
        checks.require(
            plain,
            "/contains",
            "contains",
            "must be 2 to 16 digits, letters or *",
        );
        search = search.with_contains(contains);
    }
    checks.finish()?;
    if query.limit.is_some() {
        search = search.with_limit(page::request(query.limit.as_deref(), None)?.limit());
    }
    let found = api.app().numbers().available(scoped.principal(), &search).await?;
    Ok(axum::Json(Listed::whole(
        found.into_iter().map(AvailableView::from).collect(),
    )))
}

/// Reads a country, for a field of this name.
pub(crate) fn country(text: Option<&str>) -> Result<Option<Country>, Problem> {
    query::parameter(text, "country")
}

/// Which number to buy: any of the country, one of an area, or exactly this one.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NumberRequest {
    /// Two letters; `US` unless told otherwise, or the country of `phone_number`.
    #[schema(example = "US")]
    country: Option<String>,
    /// Two to five digits.
    #[schema(example = "212")]
    area_code: Option<String>,
    /// Exactly this one, as people of the tenant's country write it.
    phone_number: Option<String>,
    /// To be answered by this agent.
    #[schema(value_type = Option<String>)]
    agent_id: Option<AgentId>,
    /// From this carrier.
    #[schema(example = "twilio")]
    provider: Option<String>,
    /// The carrier's id of the buyer's address, where the country asks for one.
    address_id: Option<String>,
    /// The carrier's id of the buyer's approved papers, where the country asks for some.
    bundle_id: Option<String>,
}

impl NumberRequest {
    async fn read(self, app: &VoiceSaas, principal: &Principal) -> Result<ProvisionRequest, Problem> {
        let country = country(self.country.as_deref())?;
        let number = match self.phone_number {
            None => None,
            Some(text) => {
                let written_in = match country {
                    Some(country) => country,
                    None => app.tenants().get(principal).await?.country,
                };
                let number = E164::read(&text, written_in)
                    .map_err(|error| Problem::field("/phone_number", "phone_number", error.to_string()))?;
                Some(number)
            }
        };
        let country = country
            .or_else(|| number.as_ref().and_then(E164::country))
            .unwrap_or(Country::US);
        let request = ProvisionRequest::new(country)
            .with_area_code(self.area_code)
            .with_number(number)
            .with_provider(self.provider)
            .with_requirements(self.address_id, self.bundle_id);
        Ok(match self.agent_id {
            Some(agent) => request.for_agent(agent),
            None => request,
        })
    }
}

/// Buys a number. Whatever happens in between, it ends up with the tenant or not bought at all.
#[utoipa::path(
    post, path = "/v1/numbers", tag = "Numbers",
    params(("idempotency-key" = Option<String>, Header, description = "Sent again, gets the same answer")),
    request_body = NumberRequest,
    responses(
        (status = 201, description = "Bought", body = NumberView),
        (status = 202, description = "Still being bought", body = PendingNumberView),
    )
)]
async fn provision_number(once: Once<NumberRequest>) -> Result<Response, Problem> {
    once.answer(async |app, principal, request: NumberRequest| {
        let request = request.read(&app, &principal).await?;
        provisioned(app.numbers().provision(&principal, request).await?)
    })
    .await
}

/// A number that the carrier's account holds already.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ImportBody {
    /// As people of the tenant's country write it.
    phone_number: String,
    /// The carrier; `knowlarity` unless told otherwise.
    #[schema(example = "knowlarity")]
    provider: Option<String>,
    /// What people shall call it.
    label: Option<String>,
}

/// Takes a number into service that the carrier's account holds already. It is never given back to the carrier.
#[utoipa::path(
    post, path = "/v1/numbers/import", tag = "Numbers",
    params(("idempotency-key" = Option<String>, Header, description = "Sent again, gets the same answer")),
    request_body = ImportBody,
    responses(
        (status = 201, description = "In service", body = NumberView),
        (status = 202, description = "Still being imported", body = PendingNumberView),
    )
)]
async fn import_number(once: Once<ImportBody>) -> Result<Response, Problem> {
    once.answer(async |app, principal, body: ImportBody| {
        let country = app.tenants().get(&principal).await?.country;
        let number = E164::read(&body.phone_number, country)
            .map_err(|error| Problem::field("/phone_number", "phone_number", error.to_string()))?;
        let provider = body.provider.unwrap_or_else(|| "knowlarity".to_owned());
        let request = ImportRequest::new(number, provider).with_label(body.label);
        provisioned(app.numbers().import(&principal, request).await?)
    })
    .await
}

#[derive(Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
struct NumberListQuery {
    /// `pending`, `waiting_for_documents`, `active`, `inactive`, `quarantined` or `released`; all but the released
    /// unless told otherwise.
    status: Option<String>,
    /// Only those that this agent answers.
    agent_id: Option<String>,
    /// At most this many entries: 1 to 200, 50 unless told otherwise.
    #[param(value_type = Option<u16>)]
    limit: Option<String>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

impl NumberListQuery {
    fn read(&self) -> Result<(NumberFilter, PageRequest), Problem> {
        let mut filter = NumberFilter::default();
        filter.status = query::word(self.status.as_deref(), "status")?;
        filter.agent = query::parameter(self.agent_id.as_deref(), "agent_id")?;
        Ok((
            filter,
            page::request(self.limit.as_deref(), self.cursor.as_deref())?,
        ))
    }
}

/// The tenant's numbers, newest first.
#[utoipa::path(
    get, path = "/v1/numbers", tag = "Numbers",
    params(NumberListQuery),
    responses((status = 200, description = "The numbers", body = Listed<NumberView>))
)]
async fn list_numbers(
    State(api): State<ApiState>,
    scoped: Scoped,
    Query(query): Query<NumberListQuery>,
) -> Result<axum::Json<Listed<NumberView>>, Problem> {
    let (filter, request) = query.read()?;
    let page = api
        .app()
        .numbers()
        .list(scoped.principal(), filter, request)
        .await?;
    Ok(axum::Json(Listed::of(page, NumberView::from)))
}

/// One number.
#[utoipa::path(
    get, path = "/v1/numbers/{id}", tag = "Numbers",
    params(("id" = String, Path)),
    responses((status = 200, description = "The number", body = NumberView))
)]
async fn get_number(
    State(api): State<ApiState>,
    scoped: Scoped,
    Id(id): Id<NumberId>,
) -> Result<axum::Json<NumberView>, Problem> {
    let number = api.app().numbers().get(scoped.principal(), id).await?;
    Ok(axum::Json(number.into()))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NumberPatch {
    friendly_name: Option<String>,
    /// `active` or `inactive`.
    #[schema(value_type = Option<String>)]
    status: Option<NumberStatus>,
}

impl NumberPatch {
    fn active(&self) -> Result<Option<bool>, Problem> {
        match self.status {
            None => Ok(None),
            Some(NumberStatus::Active) => Ok(Some(true)),
            Some(NumberStatus::Inactive) => Ok(Some(false)),
            Some(_) => Err(Problem::field(
                "/status",
                "status",
                "must be active or inactive; a number is given back with DELETE",
            )),
        }
    }
}

/// Renames a number, or takes it in or out of service.
#[utoipa::path(
    patch, path = "/v1/numbers/{id}", tag = "Numbers",
    params(("id" = String, Path)),
    request_body = NumberPatch,
    responses((status = 200, description = "The number as it is now", body = NumberView))
)]
async fn update_number(
    State(api): State<ApiState>,
    scoped: Scoped,
    Id(id): Id<NumberId>,
    Json(patch): Json<NumberPatch>,
) -> Result<axum::Json<NumberView>, Problem> {
    let active = patch.active()?;
    let numbers = api.app().numbers();
    let number = numbers
        .update(scoped.principal(), id, patch.friendly_name, active)
        .await?;
    Ok(axum::Json(number.into()))
}

/// Gives a number back to its carrier. It is not answered from now on; doing it again is no error.
#[utoipa::path(
    delete, path = "/v1/numbers/{id}", tag = "Numbers",
    params(("id" = String, Path)),
    responses(
        (status = 200, description = "No longer paid for", body = ReleasedView),
        (status = 202, description = "The carrier takes its time; the library goes on with it", body = ReleasedView),
    )
)]
async fn release_number(
    State(api): State<ApiState>,
    scoped: Scoped,
    Id(id): Id<NumberId>,
) -> Result<(StatusCode, axum::Json<ReleasedView>), Problem> {
    Ok(released(
        api.app().numbers().release(scoped.principal(), id).await?,
    ))
}
