//! A tool that tests hold in their hands.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use async_trait::async_trait;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use voice_saas_core::call::{Tool, ToolContext, ToolError};

/// The tool `hold`, which answers when the test lets it go.
#[derive(Debug, Clone)]
pub struct HeldTool(Arc<State>);

#[derive(Debug)]
struct State {
    begun: AtomicU32,
    finished: AtomicU32,
    gate: Semaphore,
}

impl HeldTool {
    pub(crate) fn new() -> Self {
        Self(Arc::new(State {
            begun: AtomicU32::new(0),
            finished: AtomicU32::new(0),
            gate: Semaphore::new(0),
        }))
    }

    /// How often it was begun.
    pub fn begun(&self) -> u32 {
        self.0.begun.load(Ordering::SeqCst)
    }

    /// How often it came to its end.
    pub fn finished(&self) -> u32 {
        self.0.finished.load(Ordering::SeqCst)
    }

    /// Lets it answer once.
    pub fn let_go(&self) {
        self.0.gate.add_permits(1);
    }
}

#[async_trait]
impl Tool for HeldTool {
    fn name(&self) -> &'static str {
        "hold"
    }

    async fn run(&self, _: &ToolContext<'_>, _: &Value) -> Result<Value, ToolError> {
        self.0.begun.fetch_add(1, Ordering::SeqCst);
        let say = |_| ToolError {
            say: "The test is over.".to_owned(),
        };
        self.0.gate.acquire().await.map_err(say)?.forget();
        self.0.finished.fetch_add(1, Ordering::SeqCst);
        Ok(json!({ "held": true }))
    }
}
