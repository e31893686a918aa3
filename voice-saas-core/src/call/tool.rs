//! What an agent can do during a call.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use serde_json::{Value, json};

use super::{Call, CallError, CallEventKind, token::Purpose};
use crate::{VoiceSaas, media::ToolRequest, provider::voice_agent::AgentCommand, scope::TenantScope};

/// An agent waits no longer than this for a tool.
const PATIENCE: Duration = Duration::from_secs(15);

/// The call for which a tool acts. It comes from the call's own token, never from what the model says.
#[derive(Debug)]
#[non_exhaustive]
pub struct ToolContext<'a> {
    /// The library.
    pub app: &'a VoiceSaas,
    /// The tenant whose call it is.
    pub scope: &'a TenantScope,
    /// The call.
    pub call: &'a Call,
}

/// Why a tool did not do what it was asked; the text is one that the agent may say.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{say}")]
pub struct ToolError {
    /// What the agent may say about it.
    pub say: String,
}

/// Something that an agent can do during a call.
#[async_trait]
pub trait Tool: fmt::Debug + Send + Sync + 'static {
    /// Its name, as the agent calls it.
    fn name(&self) -> &str;

    /// Does it.
    ///
    /// # Errors
    /// `ToolError` with a sentence for the agent.
    async fn run(&self, context: &ToolContext<'_>, arguments: &Value) -> Result<Value, ToolError>;
}

/// All tools, by name.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tools(BTreeMap<String, Arc<dyn Tool>>);

impl Tools {
    pub(crate) fn built_in() -> Self {
        let mut tools = Self::default();
        tools.add(EndCall);
        tools
    }

    pub(crate) fn add(&mut self, tool: impl Tool) {
        self.0.insert(tool.name().to_owned(), Arc::new(tool));
    }

    async fn run(
        &self,
        context: &ToolContext<'_>,
        name: &str,
        arguments: &Value,
    ) -> Result<Value, ToolError> {
        let Some(tool) = self.0.get(name) else {
            return Err(ToolError {
                say: format!("I cannot do that: there is no tool called {name}."),
            });
        };
        let late = || ToolError {
            say: "That takes longer than it should. Let me take a note instead.".to_owned(),
        };
        tokio::time::timeout(PATIENCE, tool.run(context, arguments))
            .await
            .unwrap_or_else(|_| Err(late()))
    }
}

/// Hangs up: where our bridge carries the call, after the agent's last words; else at once.
#[derive(Debug)]
struct EndCall;

#[async_trait]
impl Tool for EndCall {
    fn name(&self) -> &'static str {
        "end_call"
    }

    async fn run(&self, context: &ToolContext<'_>, _: &Value) -> Result<Value, ToolError> {
        if context.app.live().say_goodbye(context.call.id) {
            return Ok(json!({ "ended": true }));
        }
        let ended = context.app.calls().end(context.scope, context.call.id).await;
        match ended {
            Ok(_) => Ok(json!({ "ended": true })),
            Err(error) => {
                tracing::warn!(call.id = %context.call.id, "the agent could not hang up: {error}");
                Err(ToolError {
                    say: "I cannot hang up from here. Please hang up when you are done.".to_owned(),
                })
            }
        }
    }
}

/// Why a tool request is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ToolRefused {
    /// The token is wrong, another call's, or its call is over.
    #[error("the call token is not good for a call that runs")]
    Forbidden,
    /// The tool did not do it.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// The call could not be looked up.
    #[error(transparent)]
    Call(#[from] CallError),
}

/// Runs a tool for the call that the token is bound to.
pub(crate) async fn run_with_token(
    app: &VoiceSaas,
    token: &str,
    name: &str,
    arguments: &Value,
) -> Result<Value, ToolRefused> {
    let (scope, id) = app
        .call_tokens()
        .read(Purpose::Tool, token)
        .ok_or(ToolRefused::Forbidden)?;
    let found = app
        .store()
        .begin(&scope)
        .await
        .map_err(CallError::Store)?
        .calls()
        .find(id)
        .await;
    let call = match found {
        Err(error) if error.is_not_found() => return Err(ToolRefused::Forbidden),
        found => found.map_err(CallError::Store)?,
    };
    if call.status.is_terminal() {
        return Err(ToolRefused::Forbidden);
    }
    let context = ToolContext {
        app,
        scope: &scope,
        call: &call,
    };
    Ok(app.tools().run(&context, name, arguments).await?)
}

/// Runs a tool that the agent called over its socket, and answers it. Returns what happened.
pub(crate) async fn run_for_agent(
    app: &VoiceSaas,
    scope: &TenantScope,
    call: &Call,
    request: ToolRequest,
) -> CallEventKind {
    let context = ToolContext { app, scope, call };
    let result = app
        .tools()
        .run(&context, &request.call.name, &request.call.arguments)
        .await;
    let is_error = result.is_err();
    let result = match result {
        Ok(value) => value.to_string(),
        Err(error) => error.say,
    };
    // The call may be over by now; then nobody waits for the answer.
    let _ = request
        .answer
        .send(AgentCommand::ToolResult {
            id: request.call.id,
            result,
            is_error,
        })
        .await;
    CallEventKind::ToolAnswered {
        tool: request.call.name,
        is_error,
    }
}
