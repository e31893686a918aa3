//! Server tools: the agent calls the webhook that a tool's configuration names.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};
use tokio::sync::mpsc;

use super::brain::ToolCall;
use super::initiation::{Session, render};
use crate::emulator::world::World;

const DEFAULT_SECONDS: u64 = 20;
const LARGEST_RESULT: usize = 64 * 1024;

/// What a tool answered.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) id: String,
    pub(super) result: String,
    pub(super) is_error: bool,
}

/// The server tools of one conversation and the calls of them that are under way.
pub(super) struct Calls {
    world: Arc<World>,
    configs: Vec<Value>,
    variables: Map<String, Value>,
    outcomes: mpsc::Receiver<Outcome>,
    report: mpsc::Sender<Outcome>,
}

impl Calls {
    pub(super) fn new(world: &Arc<World>, session: &Session) -> Self {
        let state = world.elevenlabs.state_lock();
        let configs = session
            .tool_ids
            .iter()
            .filter_map(|id| state.tool(id))
            .map(|tool| tool["tool_config"].clone());
        let configs = configs.filter(|config| config["type"] == "webhook").collect();
        let (report, outcomes) = mpsc::channel(8);
        Self {
            world: Arc::clone(world),
            configs,
            variables: session.variables.clone(),
            outcomes,
            report,
        }
    }

    fn config(&self, call: &ToolCall) -> Option<&Value> {
        self.configs
            .iter()
            .find(|config| config["name"] == call.name.as_str())
    }

    /// Whether the service calls this tool itself; the others are the client's.
    pub(super) fn runs_here(&self, call: &ToolCall) -> bool {
        self.config(call).is_some()
    }

    /// Calls the tool's webhook; the outcome comes from [`next`](Self::next).
    pub(super) fn start(&self, call: ToolCall) {
        let Some(config) = self.config(&call).cloned() else {
            return;
        };
        let (world, variables, report) = (
            Arc::clone(&self.world),
            self.variables.clone(),
            self.report.clone(),
        );
        self.world.tasks.spawn(async move {
            let outcome = request(&world, &config, &variables, &call.parameters).await;
            let is_error = outcome.is_err();
            let result = outcome.unwrap_or_else(|error| error);
            // The conversation may have ended meanwhile.
            let _ = report
                .send(Outcome {
                    id: call.id,
                    result,
                    is_error,
                })
                .await;
        });
    }

    /// The next outcome. Never ends, because a tool may be called at any time.
    pub(super) async fn next(&mut self) -> Option<Outcome> {
        self.outcomes.recv().await
    }
}

async fn request(
    world: &World,
    config: &Value,
    variables: &Map<String, Value>,
    given: &Value,
) -> Result<String, String> {
    let schema = &config["api_schema"];
    let mut address = render(schema["url"].as_str().unwrap_or_default(), variables);
    for (name, property) in schema["path_params_schema"].as_object().into_iter().flatten() {
        let value = property_value(property, variables, &given[name.as_str()]);
        address = address.replace(&format!("{{{name}}}"), &text_of(&value));
    }
    let method = schema["method"].as_str().unwrap_or("GET");
    let method = reqwest::Method::from_bytes(method.as_bytes()).map_err(|error| error.to_string())?;
    let mut url = url::Url::parse(&address).map_err(|error| error.to_string())?;
    for (name, property) in schema["query_params_schema"]["properties"]
        .as_object()
        .into_iter()
        .flatten()
    {
        let value = property_value(property, variables, &given[name.as_str()]);
        url.query_pairs_mut().append_pair(name, &text_of(&value));
    }
    let seconds = config["response_timeout_secs"]
        .as_u64()
        .unwrap_or(DEFAULT_SECONDS)
        .clamp(1, 300);
    let mut request = world
        .http
        .request(method, url)
        .timeout(Duration::from_secs(seconds));
    for (name, value) in schema["request_headers"].as_object().into_iter().flatten() {
        request = request.header(name, header_value(world, value, variables));
    }
    if schema["request_body_schema"].is_object() {
        request = request.json(&property_value(&schema["request_body_schema"], variables, given));
    }
    let mut response = world
        .send(request)
        .await
        .map_err(|error| error.without_url().to_string())?;
    let status = response.status();
    let mut body = Vec::new();
    while let Some(chunk) = response
        .chunk()
        .await
        .map_err(|error| error.without_url().to_string())?
    {
        body.extend_from_slice(&chunk);
        if body.len() > LARGEST_RESULT {
            return Err("the answer is too long".into());
        }
    }
    let body = String::from_utf8_lossy(&body).into_owned();
    if status.is_success() {
        Ok(body)
    } else {
        Err(format!("HTTP {}: {body}", status.as_u16()))
    }
}

/// A parameter: bound to a variable or a constant by the configuration, else what the agent filled in.
fn property_value(property: &Value, variables: &Map<String, Value>, given: &Value) -> Value {
    if let Some(name) = property["dynamic_variable"]
        .as_str()
        .filter(|name| !name.is_empty())
    {
        return variables.get(name).cloned().unwrap_or_default();
    }
    match property.get("constant_value") {
        None | Some(Value::Null) => {}
        Some(Value::String(empty)) if empty.is_empty() => {}
        Some(constant) => return constant.clone(),
    }
    match property["properties"].as_object() {
        Some(properties) => {
            let field = |(name, property): (&String, &Value)| {
                let value = property_value(property, variables, &given[name.as_str()]);
                (!value.is_null()).then(|| (name.clone(), value))
            };
            Value::Object(properties.iter().filter_map(field).collect())
        }
        None => given.clone(),
    }
}

/// A header: a plain text, a secret, or a variable.
fn header_value(world: &World, value: &Value, variables: &Map<String, Value>) -> String {
    if let Some(secret) = value["secret_id"].as_str() {
        return world
            .elevenlabs
            .state_lock()
            .secret(secret)
            .unwrap_or_default()
            .to_owned();
    }
    match value["variable_name"].as_str() {
        Some(name) => variables.get(name).map(text_of).unwrap_or_default(),
        None => render(value.as_str().unwrap_or_default(), variables),
    }
}

fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn bound_parameters_cannot_be_filled_in_by_the_agent() {
        let schema = json!({"type": "object", "properties": {
            "slot": {"type": "string", "description": "start"},
            "call": {"type": "string", "dynamic_variable": "call_ref"},
            "source": {"type": "string", "constant_value": "voice"},
            "note": {"type": "string", "description": "optional"},
        }});
        let variables = json!({"call_ref": "c_1"})
            .as_object()
            .cloned()
            .unwrap_or_default();
        let given = json!({"slot": "9:00", "call": "c_other", "source": "web"});
        let expected = json!({"slot": "9:00", "call": "c_1", "source": "voice"});
        assert_eq!(property_value(&schema, &variables, &given), expected);
    }
}
