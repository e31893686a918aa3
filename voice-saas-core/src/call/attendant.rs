//! The task beside a bridge: it writes down what happens, and runs the tools that the agent calls, so that the
//! audio never waits for either.

use std::pin::pin;

use tokio::{sync::mpsc, task::JoinHandle};
use tokio_util::sync::CancellationToken;

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
/// Tools that may wait for the one that runs: a call's tools run one after another.
const TOOLS: usize = 4;

/// The task beside a bridge.
pub(crate) struct Attendant {
    outlets: BridgeOutlets,
    over: CancellationToken,
    writing: JoinHandle<()>,
}

/// Whose events and tools these are.
#[derive(Clone)]
struct Desk {
    app: VoiceSaas,
    scope: TenantScope,
    call: Call,
}

impl Attendant {
    pub(crate) fn start(app: VoiceSaas, scope: TenantScope, call: Call) -> Self {
        let (journal, events) = mpsc::channel(JOURNAL);
        let (tools, requests) = mpsc::channel(TOOLS);
        let outlets = BridgeOutlets {
            journal: journal.clone(),
            tools,
        };
        let over = CancellationToken::new();
        let tasks = app.tasks().clone();
        let desk = Desk { app, scope, call };
        // Tracked: a service that stops waits for a tool that outlives its call.
        tasks.spawn(desk.clone().run_tools(requests, journal, over.clone()));
        let writing = tokio::spawn(desk.write_events(events));
        Self {
            outlets,
            over,
            writing,
        }
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

    /// Waits until everything that happened is written down, but for no tool. All other outlets must be gone.
    pub(crate) async fn finish(self) {
        self.over.cancel();
        drop(self.outlets);
        if let Err(error) = self.writing.await {
            tracing::error!("the attendant of a call failed: {error}");
        }
    }
}

impl Desk {
    /// Runs tools until the call is over. One that runs then is let finish: cut off in the middle, it may have done
    /// what the caller wanted and nobody would know. One that waits then is not begun.
    async fn run_tools(
        self,
        mut requests: mpsc::Receiver<ToolRequest>,
        journal: mpsc::Sender<CallEventKind>,
        over: CancellationToken,
    ) {
        while let Some(request) = requests.recv().await {
            if over.is_cancelled() {
                let _ = journal.send(not_begun(request)).await;
                continue;
            }
            let mut running = pin!(tool::run_for_agent(&self.app, &self.scope, &self.call, request));
            tokio::select! {
                biased;
                answered = &mut running => {
                    let _ = journal.send(answered).await;
                }
                () = over.cancelled() => {
                    while let Some(request) = requests.recv().await {
                        let _ = journal.send(not_begun(request)).await;
                    }
                    // Whoever waits for the last event waits no longer.
                    drop(journal);
                    self.answered_late(running.await).await;
                    return;
                }
            }
        }
    }

    /// Writes down what came of a tool after the audio ended, unless the call's end is on record: nothing follows it.
    async fn answered_late(&self, answered: CallEventKind) {
        metrics::counter!("voice_saas_tools_outlived_call_total").increment(1);
        let written = async {
            let mut tx = self.app.store().begin(&self.scope).await?;
            let row = tx.calls().find_for_update(self.call.id).await?;
            if row.status.is_terminal() {
                return Ok(false);
            }
            tx.calls()
                .append(self.call.id, self.app.ambient().now(), &answered)
                .await?;
            tx.commit().await?;
            Ok(true)
        };
        let written: Result<bool, StoreError> = written.await;
        tracing::info!(call.id = %self.call.id, ?answered, ?written, "a tool outlived its call");
    }

    async fn write_events(self, mut events: mpsc::Receiver<CallEventKind>) {
        let id = self.call.id;
        let mut batch = Vec::with_capacity(BATCH);
        while events.recv_many(&mut batch, BATCH).await > 0 {
            match self.write(&batch).await {
                Ok(up_to) => self.app.live().wrote_events(id, up_to),
                Err(error) => {
                    metrics::counter!("voice_saas_call_events_lost_total").increment(batch.len() as u64);
                    tracing::error!(call.id = %id, lost = batch.len(), "call events were not written: {error}");
                }
            }
            batch.clear();
        }
    }

    async fn write(&self, batch: &[CallEventKind]) -> Result<u32, StoreError> {
        let (app, id) = (&self.app, self.call.id);
        let now = app.ambient().now();
        let mut tx = app.store().begin(&self.scope).await?;
        let mut up_to = 0;
        for kind in batch {
            if let CallEventKind::AgentReady { conversation } = kind {
                let mut row = tx.calls().find_for_update(id).await?;
                row.conversation = Some(conversation.clone());
                tx.calls().update(&row).await?;
            }
            up_to = tx.calls().append(id, now, kind).await?.sequence;
        }
        tx.commit().await?;
        Ok(up_to)
    }
}

fn not_begun(request: ToolRequest) -> CallEventKind {
    CallEventKind::ToolAnswered {
        tool: request.call.name,
        is_error: true,
    }
}
