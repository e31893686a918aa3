//! The task beside a bridge: it writes down what happens, and runs the tools that the agent calls, so that the
//! audio never waits for either.

use tokio::sync::mpsc;

use super::{Call, CallEventKind, tool};
use crate::{
    VoiceSaas,
    media::{BridgeOutlets, ToolRequest},
    scope::TenantScope,
    store::StoreError,
};

/// Events that may wait for the store.
const JOURNAL: usize = 512;
/// Events written in one unit of work.
const BATCH: usize = 64;
/// Tools that may run at once for one call.
const TOOLS: usize = 4;

/// The task beside a bridge.
pub(crate) struct Attendant {
    outlets: BridgeOutlets,
    task: tokio::task::JoinHandle<()>,
}

impl Attendant {
    pub(crate) fn start(app: VoiceSaas, scope: TenantScope, call: Call) -> Self {
        let (journal, events) = mpsc::channel(JOURNAL);
        let (tools, requests) = mpsc::channel(TOOLS);
        let outlets = BridgeOutlets {
            journal: journal.clone(),
            tools,
        };
        let task = tokio::spawn(async move {
            let tools = run_tools(&app, &scope, &call, requests, journal);
            let journal = write_events(&app, &scope, &call, events);
            tokio::join!(tools, journal);
        });
        Self { outlets, task }
    }

    pub(crate) fn outlets(&self) -> BridgeOutlets {
        BridgeOutlets {
            journal: self.outlets.journal.clone(),
            tools: self.outlets.tools.clone(),
        }
    }

    pub(crate) fn note(&self, kind: CallEventKind) {
        // The journal is empty when a bridge begins and drained when it ends: there is room.
        let _ = self.outlets.journal.try_send(kind);
    }

    /// Waits until everything is written down. All other outlets must be gone.
    pub(crate) async fn finish(self) {
        drop(self.outlets);
        if let Err(error) = self.task.await {
            tracing::error!("the attendant of a call failed: {error}");
        }
    }
}

async fn run_tools(
    app: &VoiceSaas,
    scope: &TenantScope,
    call: &Call,
    mut requests: mpsc::Receiver<ToolRequest>,
    journal: mpsc::Sender<CallEventKind>,
) {
    while let Some(request) = requests.recv().await {
        let (tool, is_error) = tool::run_for_agent(app, scope, call, request).await;
        let _ = journal.send(CallEventKind::ToolAnswered { tool, is_error }).await;
    }
}

async fn write_events(
    app: &VoiceSaas,
    scope: &TenantScope,
    call: &Call,
    mut events: mpsc::Receiver<CallEventKind>,
) {
    let mut batch = Vec::with_capacity(BATCH);
    while events.recv_many(&mut batch, BATCH).await > 0 {
        match write(app, scope, call, &batch).await {
            Ok(up_to) => app.live().wrote_events(call.id, up_to),
            Err(error) => {
                metrics::counter!("voice_saas_call_events_lost_total").increment(batch.len() as u64);
                tracing::error!(call.id = %call.id, lost = batch.len(), "call events were not written: {error}");
            }
        }
        batch.clear();
    }
}

async fn write(
    app: &VoiceSaas,
    scope: &TenantScope,
    call: &Call,
    batch: &[CallEventKind],
) -> Result<u32, StoreError> {
    let now = app.ambient().now();
    let mut tx = app.store().begin(scope).await?;
    let mut up_to = 0;
    for kind in batch {
        if let CallEventKind::AgentReady { conversation } = kind {
            let mut row = tx.calls().find_for_update(call.id).await?;
            row.conversation = Some(conversation.clone());
            tx.calls().update(&row).await?;
        }
        up_to = tx.calls().append(call.id, now, kind).await?.sequence;
    }
    tx.commit().await?;
    Ok(up_to)
}
