//! Agents sent into rooms (page `agents/server/agent-dispatch`).

use async_trait::async_trait;
use livekit_protocol as proto;
use voice_saas_core::provider::{
    ErrorKind, ProviderError,
    telephony::{
        DispatchJob, DispatchJobStatus, DispatchOrder, DispatchProvider, ProviderDispatch,
        ProviderDispatchId, Removal,
    },
};

use super::{LiveKit, token::Grant, twirp::Rpc};
use crate::http::Effect;

const DISPATCH: Rpc = Rpc::new(
    "dispatch an agent",
    "AgentDispatchService/CreateDispatch",
    Effect::Once,
);
const LIST: Rpc = Rpc::new(
    "list an agent's dispatches",
    "AgentDispatchService/ListDispatch",
    Effect::Read,
);
const DELETE: Rpc = Rpc::new(
    "call an agent back",
    "AgentDispatchService/DeleteDispatch",
    Effect::Read,
);

fn read(dispatch: proto::AgentDispatch) -> ProviderDispatch {
    let jobs = dispatch.state.map(|state| state.jobs).unwrap_or_default();
    let order = DispatchOrder::new(dispatch.agent_name, dispatch.room, dispatch.metadata);
    ProviderDispatch::new(ProviderDispatchId::new(dispatch.id), order)
        .with_jobs(jobs.into_iter().map(job).collect())
}

fn job(job: proto::Job) -> DispatchJob {
    let state = job.state.unwrap_or_default();
    let status = match proto::JobStatus::try_from(state.status) {
        Ok(proto::JobStatus::JsPending) => DispatchJobStatus::Pending,
        Ok(proto::JobStatus::JsRunning) => DispatchJobStatus::Running,
        Ok(proto::JobStatus::JsSuccess) => DispatchJobStatus::Succeeded,
        Ok(proto::JobStatus::JsFailed) => DispatchJobStatus::Failed,
        Err(_) => DispatchJobStatus::Unknown,
    };
    DispatchJob::new(job.id, status, Some(state.error).filter(|text| !text.is_empty()))
}

#[async_trait]
impl DispatchProvider for LiveKit {
    async fn dispatch(&self, order: &DispatchOrder) -> Result<ProviderDispatch, ProviderError> {
        if order.agent_name.is_empty() || order.room.is_empty() {
            return Err(DISPATCH.error(ErrorKind::Invalid, "the agent or the room has no name"));
        }
        let message = proto::CreateAgentDispatchRequest {
            agent_name: order.agent_name.clone(),
            room: order.room.clone(),
            metadata: order.metadata.clone(),
            ..Default::default()
        };
        let grant = Grant::RoomAdmin(&order.room);
        self.twirp.call(DISPATCH, grant, &message).await.map(read)
    }

    async fn list(&self, room: &str) -> Result<Vec<ProviderDispatch>, ProviderError> {
        let message = proto::ListAgentDispatchRequest {
            room: room.to_owned(),
            ..Default::default()
        };
        let answer: Result<proto::ListAgentDispatchResponse, _> =
            self.twirp.call(LIST, Grant::RoomAdmin(room), &message).await;
        match answer {
            Ok(answer) => Ok(answer.agent_dispatches.into_iter().map(read).collect()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    async fn delete(&self, room: &str, id: &ProviderDispatchId) -> Result<Removal, ProviderError> {
        let message = proto::DeleteAgentDispatchRequest {
            dispatch_id: id.as_str().to_owned(),
            room: room.to_owned(),
        };
        let deleted: Result<proto::AgentDispatch, _> =
            self.twirp.call(DELETE, Grant::RoomAdmin(room), &message).await;
        super::room::removed(deleted)
    }
}
