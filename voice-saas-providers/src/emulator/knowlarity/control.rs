//! `/_control/knowlarity`: the same as the emulator's methods over HTTP.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::json;
use url::Url;

use super::{KnowlarityPush, KnowlarityScript, MOST_SCRIPTS, PushMethod, PushParameters, call, number};
use crate::emulator::control::{ControlError, LONGEST_PARTY, done, read};
use crate::emulator::world::World;

pub(super) fn set_script(
    world: &World,
    customer: String,
    script: KnowlarityScript,
) -> Result<(), ControlError> {
    let customer = party(customer)?;
    let mut state = world.knowlarity.state_lock();
    if state.scripts.len() >= MOST_SCRIPTS && !state.scripts.contains_key(&customer) {
        return Err(ControlError::TooMany);
    }
    state.scripts.insert(customer, script);
    Ok(())
}

pub(super) fn assign(world: &World, number: String) -> Result<(), ControlError> {
    number::assign(world, party(number)?);
    Ok(())
}

pub(super) fn call(world: &Arc<World>, from: &str, to: &str) -> Result<String, ControlError> {
    let from = party(from.to_owned())?;
    call::receive(world, &from, to).ok_or(ControlError::TooMany)
}

fn party(number: String) -> Result<String, ControlError> {
    if number.is_empty() || number.len() > LONGEST_PARTY {
        return Err(ControlError::Party);
    }
    Ok(number)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ScriptBody {
    customer: String,
    outcome: Outcome,
    seconds: Option<u64>,
    #[serde(default)]
    log_delay_seconds: u64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    Talks,
    AgentMisses,
    CustomerMisses,
    Refused,
    SaysNothing,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PushBody {
    url: Url,
    #[serde(default)]
    parameters: ParametersName,
    #[serde(default)]
    method: MethodName,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ParametersName {
    #[default]
    Classic,
    Newer,
    Custom,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum MethodName {
    #[default]
    Form,
    Json,
    Get,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CallBody {
    from: String,
    to: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NumberBody {
    number: String,
}

/// The control routes.
pub(in crate::emulator) fn router(world: Arc<World>) -> Router {
    Router::new()
        .route("/_control/knowlarity/scripts", post(scripts))
        .route("/_control/knowlarity/push", post(push))
        .route("/_control/knowlarity/numbers", post(numbers))
        .route("/_control/knowlarity/calls", post(calls))
        .with_state(world)
}

async fn scripts(State(world): State<Arc<World>>, body: Bytes) -> Response {
    done(read::<ScriptBody>(&body).and_then(|body| {
        let script = match body.outcome {
            Outcome::Talks => KnowlarityScript::talks(Duration::from_secs(body.seconds.unwrap_or(30))),
            Outcome::AgentMisses => KnowlarityScript::agent_misses(),
            Outcome::CustomerMisses => KnowlarityScript::customer_misses(),
            Outcome::Refused => KnowlarityScript::refused(),
            Outcome::SaysNothing => KnowlarityScript::says_nothing(),
        };
        let script = script.with_log_delay(Duration::from_secs(body.log_delay_seconds));
        set_script(&world, body.customer, script)
    }))
}

async fn push(State(world): State<Arc<World>>, body: Bytes) -> Response {
    done(read::<PushBody>(&body).map(|body| {
        let parameters = match body.parameters {
            ParametersName::Classic => PushParameters::Classic,
            ParametersName::Newer => PushParameters::Newer,
            ParametersName::Custom => PushParameters::Custom,
        };
        let method = match body.method {
            MethodName::Form => PushMethod::Form,
            MethodName::Json => PushMethod::Json,
            MethodName::Get => PushMethod::Get,
        };
        let push = KnowlarityPush::new(body.url);
        world.knowlarity.state_lock().push = Some(push.with_parameters(parameters).with_method(method));
    }))
}

async fn numbers(State(world): State<Arc<World>>, body: Bytes) -> Response {
    done(read::<NumberBody>(&body).and_then(|body| assign(&world, body.number)))
}

async fn calls(State(world): State<Arc<World>>, body: Bytes) -> Response {
    match read::<CallBody>(&body).and_then(|body| call(&world, &body.from, &body.to)) {
        Ok(uuid) => (StatusCode::CREATED, Json(json!({"uuid": uuid}))).into_response(),
        Err(error) => done(Err(error)),
    }
}
