//! Agents, and the numbers that they answer.

use axum::{
    extract::{FromRef, State},
    http::StatusCode,
    response::Response,
};
use jiff::Timestamp;
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use voice_saas_core::{
    agent::{Agent, AgentChange, AgentWithNumber},
    id::{AgentId, NumberId},
    number::{NumberStatus, PhoneNumber, ProvisionRequest, Provisioned},
    phone::{Country, E164},
    provider::{
        telephony::ProviderNumberId,
        voice_agent::{Binding, Variables},
    },
};

use crate::{
    ApiState, Problem, Scoped,
    idempotency::{Answer, Once},
    json::Json,
    number::{self, NumberView, PendingNumberView, ReleasedView},
    page::{Listed, Pagination},
    query::Query,
    scope::Id,
};

/// Making, changing and deleting agents, and linking them to numbers.
pub fn agents_router<S>() -> OpenApiRouter<S>
where
    S: Clone + Send + Sync + 'static,
    ApiState: FromRef<S>,
{
    OpenApiRouter::default()
        .routes(routes!(create_agent, list_agents))
        .routes(routes!(get_agent, update_agent, delete_agent))
        .routes(routes!(set_agent_numbers, list_agent_numbers))
        .routes(routes!(provision_agent_number, release_agent_number))
}

/// An agent in its present version.
#[derive(Serialize, ToSchema)]
struct AgentView {
    #[schema(value_type = String)]
    id: AgentId,
    name: String,
    /// Its instructions; `{{name}}` stands for a variable.
    system_prompt: String,
    /// What it says first; empty = it waits for the caller.
    first_message: String,
    /// BCP 47.
    #[schema(example = "en")]
    language: String,
    /// The platform's id of a voice; `null` = the platform's default.
    voice: Option<String>,
    tone: Option<String>,
    /// Its platform.
    #[schema(example = "elevenlabs")]
    provider: String,
    /// `shared` or `dedicated`: whether it has an agent of its own at the platform.
    #[schema(value_type = String)]
    binding: Binding,
    /// Whether it answers.
    active: bool,
    /// Grows with every edit; a call keeps the version that it began with.
    version: u32,
    /// Defaults of the variables that its prompts use.
    #[schema(value_type = Object)]
    variables: Variables,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
}

impl From<Agent> for AgentView {
    fn from(agent: Agent) -> Self {
        let spec = agent.spec;
        Self {
            id: spec.id,
            name: spec.name,
            system_prompt: spec.system_prompt,
            first_message: spec.first_message,
            language: spec.language,
            voice: spec.voice,
            tone: agent.tone,
            provider: agent.provider,
            binding: spec.binding,
            active: agent.active,
            version: agent.version,
            variables: spec.variables,
            created_at: agent.created_at,
            updated_at: agent.updated_at,
        }
    }
}

/// An agent that was made together with a number and a key of its own.
#[derive(Serialize, ToSchema)]
struct AgentWithNumberView {
    #[serde(flatten)]
    agent: AgentView,
    #[schema(value_type = Option<String>, example = "+12125550142")]
    phone_number: Option<E164>,
    /// `active`, or `pending` while it is still being bought.
    #[schema(value_type = String)]
    phone_number_status: NumberStatus,
    /// The carrier's id of the number.
    #[schema(value_type = Option<String>)]
    phone_number_sid: Option<ProviderNumberId>,
    #[schema(value_type = Option<String>)]
    phone_number_id: Option<NumberId>,
    /// An API key (`read`, `write`), shown this once.
    api_token: String,
}

impl AgentWithNumberView {
    fn answer(made: AgentWithNumber) -> Result<Answer, Problem> {
        let (status, phone_number_status, number) = match made.number {
            Provisioned::Done(number) => (StatusCode::CREATED, number.status, Some(*number)),
            Provisioned::Pending { number, .. } => (
                StatusCode::ACCEPTED,
                NumberStatus::Pending,
                number.map(|number| *number),
            ),
        };
        let number: Option<PhoneNumber> = number;
        let view = Self {
            agent: made.agent.into(),
            phone_number_id: number.as_ref().map(|number| number.id),
            phone_number_sid: number.as_ref().and_then(|number| number.provider_id.clone()),
            phone_number: number.map(|number| number.number),
            phone_number_status,
            api_token: made.api_token.expose_secret().to_owned(),
        };
        Answer::json(status, &view)
    }
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct AgentRequest {
    name: String,
    system_prompt: Option<String>,
    first_message: Option<String>,
    /// `en` unless told otherwise.
    language: Option<String>,
    voice: Option<String>,
    tone: Option<String>,
    provider: Option<String>,
    /// `shared` (unless told otherwise) or `dedicated`.
    #[schema(value_type = Option<String>)]
    binding: Option<Binding>,
    /// Whether it answers; `true` unless told otherwise.
    active: Option<bool>,
    /// Whether to buy it a number and make it an API key at once.
    #[serde(default)]
    provision_phone: bool,
    /// For `provision_phone`.
    area_code: Option<String>,
    /// For `provision_phone`; `US` unless told otherwise.
    country: Option<String>,
    #[schema(value_type = Option<Object>)]
    variables: Option<Variables>,
}

impl AgentRequest {
    fn read(self) -> Result<(AgentChange, Option<ProvisionRequest>), Problem> {
        let country = number::country(self.country.as_deref())?.unwrap_or(Country::US);
        let request = self
            .provision_phone
            .then(|| ProvisionRequest::new(country).with_area_code(self.area_code));
        let mut new = AgentChange::default();
        new.name = Some(self.name);
        new.system_prompt = self.system_prompt;
        new.first_message = self.first_message;
        new.language = self.language;
        new.voice = self.voice;
        new.tone = self.tone;
        new.provider = self.provider;
        new.binding = self.binding;
        new.active = self.active;
        new.variables = self.variables;
        Ok((new, request))
    }
}

/// Makes an agent, with a number and a key of its own if `provision_phone` says so. When no number can be had, no
/// agent is made either.
#[utoipa::path(
    post, path = "/v1/agents", tag = "Agents",
    params(("idempotency-key" = Option<String>, Header, description = "Sent again, gets the same answer")),
    request_body = AgentRequest,
    responses(
        (status = 201, description = "Made; the fields about a number only with `provision_phone`", body = AgentWithNumberView),
        (status = 202, description = "Made, and its number is still being bought", body = AgentWithNumberView),
    )
)]
async fn create_agent(once: Once<AgentRequest>) -> Result<Response, Problem> {
    once.answer(async |app, principal, request: AgentRequest| {
        let agents = app.agents();
        match request.read()? {
            (new, None) => {
                let agent = agents.create(&principal, new).await?;
                Answer::json(StatusCode::CREATED, &AgentView::from(agent))
            }
            (new, Some(request)) => {
                AgentWithNumberView::answer(agents.create_with_number(&principal, new, request).await?)
            }
        }
    })
    .await
}

/// The tenant's agents, newest first.
#[utoipa::path(
    get, path = "/v1/agents", tag = "Agents",
    params(Pagination),
    responses((status = 200, description = "The agents", body = Listed<AgentView>))
)]
async fn list_agents(
    State(api): State<ApiState>,
    scoped: Scoped,
    Query(pagination): Query<Pagination>,
) -> Result<axum::Json<Listed<AgentView>>, Problem> {
    let page = api
        .app()
        .agents()
        .list(scoped.principal(), pagination.request()?)
        .await?;
    Ok(axum::Json(Listed::of(page, AgentView::from)))
}

/// One agent.
#[utoipa::path(
    get, path = "/v1/agents/{id}", tag = "Agents",
    params(("id" = String, Path)),
    responses((status = 200, description = "The agent", body = AgentView))
)]
async fn get_agent(
    State(api): State<ApiState>,
    scoped: Scoped,
    Id(id): Id<AgentId>,
) -> Result<axum::Json<AgentView>, Problem> {
    let agent = api.app().agents().get(scoped.principal(), id).await?;
    Ok(axum::Json(agent.into()))
}

/// What to change; what is left out stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct AgentPatch {
    name: Option<String>,
    system_prompt: Option<String>,
    first_message: Option<String>,
    language: Option<String>,
    voice: Option<String>,
    tone: Option<String>,
    /// Cannot be changed: must be what it is.
    provider: Option<String>,
    /// Cannot be changed: must be what it is.
    #[schema(value_type = Option<String>)]
    binding: Option<Binding>,
    active: Option<bool>,
    /// All of them: those that are left out are gone.
    #[schema(value_type = Option<Object>)]
    variables: Option<std::collections::BTreeMap<String, Value>>,
}

impl From<AgentPatch> for AgentChange {
    fn from(patch: AgentPatch) -> Self {
        let mut change = Self::default();
        change.name = patch.name;
        change.system_prompt = patch.system_prompt;
        change.first_message = patch.first_message;
        change.language = patch.language;
        change.voice = patch.voice;
        change.tone = patch.tone;
        change.provider = patch.provider;
        change.binding = patch.binding;
        change.active = patch.active;
        change.variables = patch.variables;
        change
    }
}

/// Makes the agent's next version. Calls that run keep theirs.
#[utoipa::path(
    patch, path = "/v1/agents/{id}", tag = "Agents",
    params(("id" = String, Path)),
    request_body = AgentPatch,
    responses((status = 200, description = "The agent as it is now", body = AgentView))
)]
async fn update_agent(
    State(api): State<ApiState>,
    scoped: Scoped,
    Id(id): Id<AgentId>,
    Json(patch): Json<AgentPatch>,
) -> Result<axum::Json<AgentView>, Problem> {
    let agent = api
        .app()
        .agents()
        .update(scoped.principal(), id, patch.into())
        .await?;
    Ok(axum::Json(agent.into()))
}

/// Takes the agent off its numbers and deletes it. Its numbers are kept.
#[utoipa::path(
    delete, path = "/v1/agents/{id}", tag = "Agents",
    params(("id" = String, Path)),
    responses((status = 204, description = "Deleted"))
)]
async fn delete_agent(
    State(api): State<ApiState>,
    scoped: Scoped,
    Id(id): Id<AgentId>,
) -> Result<StatusCode, Problem> {
    api.app().agents().delete(scoped.principal(), id).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct AgentNumbersRequest {
    #[schema(value_type = Vec<String>)]
    number_ids: Vec<NumberId>,
}

fn whole(numbers: Vec<PhoneNumber>) -> axum::Json<Listed<NumberView>> {
    axum::Json(Listed::whole(numbers.into_iter().map(NumberView::from).collect()))
}

/// Lets the agent answer these numbers and no others.
#[utoipa::path(
    put, path = "/v1/agents/{id}/numbers", tag = "Agents",
    params(("id" = String, Path)),
    request_body = AgentNumbersRequest,
    responses((status = 200, description = "The numbers that it answers now", body = Listed<NumberView>))
)]
async fn set_agent_numbers(
    State(api): State<ApiState>,
    scoped: Scoped,
    Id(id): Id<AgentId>,
    Json(request): Json<AgentNumbersRequest>,
) -> Result<axum::Json<Listed<NumberView>>, Problem> {
    let agents = api.app().agents();
    Ok(whole(
        agents
            .set_numbers(scoped.principal(), id, &request.number_ids)
            .await?,
    ))
}

/// The numbers that the agent answers.
#[utoipa::path(
    get, path = "/v1/agents/{id}/numbers", tag = "Agents",
    params(("id" = String, Path)),
    responses((status = 200, description = "The numbers, all of them", body = Listed<NumberView>))
)]
async fn list_agent_numbers(
    State(api): State<ApiState>,
    scoped: Scoped,
    Id(id): Id<AgentId>,
) -> Result<axum::Json<Listed<NumberView>>, Problem> {
    Ok(whole(api.app().agents().numbers(scoped.principal(), id).await?))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct AgentNumberRequest {
    /// Two to five digits.
    area_code: Option<String>,
    /// `US` unless told otherwise.
    country: Option<String>,
}

/// Buys a number for this agent alone.
#[utoipa::path(
    post, path = "/v1/agents/{id}/phone-number", tag = "Agents",
    params(
        ("id" = String, Path),
        ("idempotency-key" = Option<String>, Header, description = "Sent again, gets the same answer"),
    ),
    request_body = AgentNumberRequest,
    responses(
        (status = 201, description = "Bought", body = NumberView),
        (status = 202, description = "Still being bought", body = PendingNumberView),
    )
)]
async fn provision_agent_number(
    Id(id): Id<AgentId>,
    once: Once<AgentNumberRequest>,
) -> Result<Response, Problem> {
    once.answer(async move |app, principal, request: AgentNumberRequest| {
        let country = number::country(request.country.as_deref())?.unwrap_or(Country::US);
        let request = ProvisionRequest::new(country)
            .with_area_code(request.area_code)
            .for_agent(id);
        number::provisioned(app.numbers().provision(&principal, request).await?)
    })
    .await
}

/// Gives the agent's number back to its carrier.
#[utoipa::path(
    delete, path = "/v1/agents/{id}/phone-number", tag = "Agents",
    params(("id" = String, Path)),
    responses(
        (status = 200, description = "No longer paid for", body = ReleasedView),
        (status = 202, description = "The carrier takes its time; the library goes on with it", body = ReleasedView),
    )
)]
async fn release_agent_number(
    State(api): State<ApiState>,
    scoped: Scoped,
    Id(id): Id<AgentId>,
) -> Result<(StatusCode, axum::Json<ReleasedView>), Problem> {
    let numbers = api.app().numbers();
    Ok(number::released(
        numbers.release_for_agent(scoped.principal(), id).await?,
    ))
}
