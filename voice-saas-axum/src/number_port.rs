//! Numbers that move in from other carriers: asked about, ordered, followed, given up.

use axum::{
    extract::{FromRef, State},
    http::StatusCode,
    response::Response,
};
use jiff::{Timestamp, civil::Date};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};
use voice_saas_core::{
    VoiceSaas,
    auth::Principal,
    id::{AgentId, NumberId, PortId},
    number::{Canceled, NewPort, Port, PortLine, PortStatus},
    phone::{Country, E164},
    provider::telephony::{
        CarrierCustomer, LosingCarrier, NumberKind, PortAddress, PortNumber, PortOrder, Portability,
    },
    secret::SecretString,
};

use crate::{
    ApiState, Problem, Scoped,
    idempotency::{Answer, Once},
    page::{Listed, Pagination},
    query::Query,
    scope::Id,
};

/// Moving numbers in.
pub fn ports_router<S>() -> OpenApiRouter<S>
where
    S: Clone + Send + Sync + 'static,
    ApiState: FromRef<S>,
{
    OpenApiRouter::default()
        .routes(routes!(check_portability))
        .routes(routes!(order_port, list_ports))
        .routes(routes!(get_port, cancel_port))
}

#[derive(Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
struct PortabilityQuery {
    /// As people of the tenant's country write it.
    #[param(required = true)]
    phone_number: Option<String>,
    /// The gaining carrier.
    #[param(example = "twilio")]
    provider: Option<String>,
}

/// Whether a number can move in.
#[derive(Serialize, ToSchema)]
struct PortabilityView {
    portable: bool,
    /// Why not, in the carrier's words.
    #[schema(example = "MANUAL_PORTING_AVAILABLE")]
    reason: Option<String>,
    /// Whether the losing carrier asks for a PIN and an account number.
    pin_required: bool,
    /// `local`, `toll_free` or `mobile`, when the carrier knows it.
    #[schema(value_type = Option<String>)]
    r#type: Option<NumberKind>,
}

impl From<Portability> for PortabilityView {
    fn from(portability: Portability) -> Self {
        Self {
            portable: portability.portable,
            reason: portability.reason,
            pin_required: portability.pin_required,
            r#type: portability.kind,
        }
    }
}

/// Whether a number can be moved in from its carrier. Nothing is ordered.
#[utoipa::path(
    get, path = "/v1/numbers/portability", tag = "Numbers",
    params(PortabilityQuery),
    responses((status = 200, description = "Whether it can, and why not", body = PortabilityView))
)]
async fn check_portability(
    State(api): State<ApiState>,
    scoped: Scoped,
    Query(query): Query<PortabilityQuery>,
) -> Result<axum::Json<PortabilityView>, Problem> {
    let number = query.phone_number.as_deref().unwrap_or_default();
    let number = number_of(
        number,
        home(api.app(), scoped.principal()).await?,
        "/phone_number",
    )?;
    let ports = api.app().ports();
    let portability = ports
        .portability(scoped.principal(), &number, query.provider.as_deref())
        .await?;
    Ok(axum::Json(portability.into()))
}

/// The tenant's own country.
async fn home(app: &VoiceSaas, principal: &Principal) -> Result<Country, Problem> {
    Ok(app.tenants().get(principal).await?.country)
}

fn number_of(text: &str, country: Country, pointer: &str) -> Result<E164, Problem> {
    E164::read(text, country).map_err(|error| Problem::field(pointer, "phone_number", error.to_string()))
}

/// One number, and the PIN that lets it go.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct PortNumberBody {
    /// As people of the tenant's country write it.
    #[schema(example = "+16175551212")]
    phone_number: String,
    /// The losing carrier's PIN for it, where it has one.
    #[schema(value_type = Option<String>, format = Password)]
    pin: Option<SecretString>,
}

/// The customer's address, exactly as the losing carrier has it.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct PortAddressBody {
    street: String,
    /// Building or floor.
    street_2: Option<String>,
    city: String,
    /// As the losing carrier spells it.
    state: String,
    zip: String,
    /// Two letters.
    #[schema(example = "US")]
    country: String,
}

/// The customer as the losing carrier knows it. What differs from its books is the usual reason for a rejection.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct LosingCarrierBody {
    customer_name: String,
    /// `business` or `individual`.
    #[schema(value_type = String)]
    customer_type: CarrierCustomer,
    address: PortAddressBody,
    /// Who signs for the customer: first and last name.
    representative: String,
    /// Where the letter to be signed is sent.
    representative_email: String,
    /// The customer's account number; mobile numbers need it.
    #[schema(value_type = Option<String>, format = Password)]
    account_number: Option<SecretString>,
    /// The number that the account is kept under.
    account_phone_number: Option<String>,
}

impl LosingCarrierBody {
    fn read(self, home: Country) -> Result<LosingCarrier, Problem> {
        let wrong = |error: String| Problem::field("/losing_carrier/address/country", "country", error);
        let country = self.address.country.parse::<Country>();
        let mut address = PortAddress::new(
            self.address.street,
            self.address.city,
            self.address.state,
            self.address.zip,
            country.map_err(|error| wrong(error.to_string()))?,
        );
        address.street_2 = self.address.street_2;
        let phone = self
            .account_phone_number
            .map(|text| number_of(&text, home, "/losing_carrier/account_phone_number"))
            .transpose()?;
        Ok(LosingCarrier::new(
            self.customer_name,
            self.customer_type,
            address,
            self.representative,
            self.representative_email,
        )
        .with_account(self.account_number, phone))
    }
}

/// Which numbers to move in, and what the losing carrier wants to hear. PINs and account numbers are shown to nobody, and
/// kept only until the carrier has them.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct PortBody {
    /// 1 to 100 numbers of one customer at one carrier.
    numbers: Vec<PortNumberBody>,
    losing_carrier: LosingCarrierBody,
    /// The gaining carrier's ids of papers that it was given before, such as a bill of the losing carrier.
    documents: Vec<String>,
    /// Who else gets the signed letter.
    #[serde(default)]
    notify: Vec<String>,
    /// The day that is wished for; carriers want about a week's notice, and the losing one decides.
    #[schema(value_type = Option<String>, format = Date)]
    target_date: Option<Date>,
    /// The gaining carrier's id of approved papers, where the country asks for some.
    bundle_id: Option<String>,
    /// To be answered by this agent when they are here.
    #[schema(value_type = Option<String>)]
    agent_id: Option<AgentId>,
    /// The gaining carrier.
    #[schema(example = "twilio")]
    provider: Option<String>,
}

impl PortBody {
    fn read(self, home: Country) -> Result<NewPort, Problem> {
        let mut numbers = Vec::with_capacity(self.numbers.len());
        for (index, body) in self.numbers.into_iter().enumerate() {
            let pointer = format!("/numbers/{index}/phone_number");
            let number = PortNumber::new(number_of(&body.phone_number, home, &pointer)?);
            numbers.push(match body.pin {
                Some(pin) => number.with_pin(pin),
                None => number,
            });
        }
        let mut order = PortOrder::new(numbers, self.losing_carrier.read(home)?, self.documents);
        order.notify = self.notify;
        order.target_date = self.target_date;
        order.bundle = self.bundle_id;
        Ok(NewPort::new(order)
            .with_agent(self.agent_id)
            .with_provider(self.provider))
    }
}

/// One number of a port.
#[derive(Serialize, ToSchema)]
struct PortLineView {
    #[schema(value_type = String, example = "+16175551212")]
    phone_number: E164,
    /// Its entry among the numbers: `pending` until it is here.
    #[schema(value_type = String)]
    number_id: NumberId,
    /// How far it has come, in the carrier's words.
    carrier_status: Option<String>,
    /// Why it cannot move, or why the losing carrier refused, in the carrier's words.
    #[schema(example = "INVALID_PIN")]
    reason: Option<String>,
    /// When it moves, once the losing carrier has said so.
    #[schema(value_type = Option<String>, format = DateTime)]
    port_date: Option<Timestamp>,
}

impl From<PortLine> for PortLineView {
    fn from(line: PortLine) -> Self {
        Self {
            phone_number: line.number,
            number_id: line.id,
            carrier_status: line.status,
            reason: line.reason,
            port_date: line.port_date,
        }
    }
}

/// An order to move numbers in, and what came of it.
#[derive(Serialize, ToSchema)]
struct PortView {
    #[schema(value_type = String)]
    id: PortId,
    /// `ordered`, `submitted`, `waiting_for_signature`, `in_progress`, `action_required`, `arriving`, `completed`,
    /// `canceled`, `expired` or `refused`. What needs action is given up, and ordered again rightly.
    #[schema(value_type = String)]
    status: PortStatus,
    /// The same in the carrier's words.
    carrier_status: Option<String>,
    /// Why it was given up or refused.
    reason: Option<String>,
    /// Whether it was asked to be given up, and the carrier has not answered yet.
    cancel_requested: bool,
    /// The gaining carrier.
    #[schema(example = "twilio")]
    provider: String,
    numbers: Vec<PortLineView>,
    #[schema(value_type = Option<String>)]
    agent_id: Option<AgentId>,
    #[schema(value_type = Option<String>, format = Date)]
    target_date: Option<Date>,
    /// Where the letter is signed.
    signature_url: Option<String>,
    #[schema(value_type = Option<String>, format = DateTime)]
    submitted_at: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    ended_at: Option<Timestamp>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
}

impl From<Port> for PortView {
    fn from(port: Port) -> Self {
        Self {
            id: port.id,
            status: port.status,
            carrier_status: port.carrier_status,
            reason: port.reason,
            cancel_requested: port.cancel,
            provider: port.provider,
            numbers: port.lines.into_iter().map(PortLineView::from).collect(),
            agent_id: port.agent,
            target_date: port.target_date,
            signature_url: port.signature_url,
            submitted_at: port.submitted_at,
            ended_at: port.ended_at,
            created_at: port.created_at,
        }
    }
}

/// Orders numbers to be moved in from another carrier. It takes days to weeks, and somebody must sign a letter; the
/// numbers are held for the tenant from now on.
#[utoipa::path(
    post, path = "/v1/numbers/ports", tag = "Numbers",
    params(("idempotency-key" = Option<String>, Header, description = "Sent again, gets the same answer")),
    request_body = PortBody,
    responses((status = 202, description = "Ordered", body = PortView))
)]
async fn order_port(once: Once<PortBody>) -> Result<Response, Problem> {
    once.answer(async |app, principal, body: PortBody| {
        let new = body.read(home(&app, &principal).await?)?;
        let port = app.ports().order(&principal, new).await?;
        Answer::json(StatusCode::ACCEPTED, &PortView::from(port))
    })
    .await
}

/// The tenant's ports, newest first.
#[utoipa::path(
    get, path = "/v1/numbers/ports", tag = "Numbers",
    params(Pagination),
    responses((status = 200, description = "The ports", body = Listed<PortView>))
)]
async fn list_ports(
    State(api): State<ApiState>,
    scoped: Scoped,
    Query(pagination): Query<Pagination>,
) -> Result<axum::Json<Listed<PortView>>, Problem> {
    let page = api
        .app()
        .ports()
        .list(scoped.principal(), pagination.request()?)
        .await?;
    Ok(axum::Json(Listed::of(page, PortView::from)))
}

/// One port. The carrier is asked how it stands, at most once a minute.
#[utoipa::path(
    get, path = "/v1/numbers/ports/{id}", tag = "Numbers",
    params(("id" = String, Path)),
    responses((status = 200, description = "The port", body = PortView))
)]
async fn get_port(
    State(api): State<ApiState>,
    scoped: Scoped,
    Id(id): Id<PortId>,
) -> Result<axum::Json<PortView>, Problem> {
    let port = api.app().ports().get(scoped.principal(), id).await?;
    Ok(axum::Json(port.into()))
}

/// Gives a port up; the numbers stay where they are. Doing it again is no error.
#[utoipa::path(
    delete, path = "/v1/numbers/ports/{id}", tag = "Numbers",
    params(("id" = String, Path)),
    responses(
        (status = 200, description = "Given up", body = PortView),
        (status = 202, description = "The carrier takes its time; the library goes on with it", body = PortView),
    )
)]
async fn cancel_port(
    State(api): State<ApiState>,
    scoped: Scoped,
    Id(id): Id<PortId>,
) -> Result<(StatusCode, axum::Json<PortView>), Problem> {
    let canceled = api.app().ports().cancel(scoped.principal(), id).await?;
    let (status, port) = match canceled {
        Canceled::Done(port) => (StatusCode::OK, port),
        Canceled::Pending(port) => (StatusCode::ACCEPTED, port),
    };
    Ok((status, axum::Json((*port).into())))
}
