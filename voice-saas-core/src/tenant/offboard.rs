//! Closing a tenant, as a saga: what it holds at providers is given back, its credentials are revoked, and its rows stay.
//!
//! There is no way back. A step that cannot go on leaves the saga stuck where it is, and its job dead with the reason;
//! an operator lets it try again.

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Role, TenantStatus, Tenants};
use crate::{
    auth::{AccountError, Principal},
    event::DomainEvent,
    id::{EventId, SagaId, TenantId},
    job::{JobError, Retry},
    number::{NumberFilter, NumberStatus, end_for_off_boarding, give_back},
    page::{Cursor, PageRequest},
    saga::{self, Saga, SagaStatus, SagaStep, StepContext, StepError},
    scope::SystemScope,
    store::{StoreErrorKind, TenantTx},
    subaccount,
    trunk::delete_trunk,
};

/// What the saga and its job are called.
const KIND: &str = "tenant.off_board";

/// Other work of the tenant gets this long between two looks.
const PATIENCE: Duration = Duration::from_secs(5);

/// The off-boarding of a tenant, under way or done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct OffBoarding {
    /// Its saga: the same whenever it is asked for.
    pub id: SagaId,
}

/// A tenant is closed once, so its own id names the saga.
fn saga_of(tenant: TenantId) -> SagaId {
    SagaId::from_uuid(tenant.as_uuid())
}

impl Tenants<'_> {
    /// Closes the caller's tenant. Its numbers are not answered from now on; what it holds at providers is given back by
    /// and by. Asking again is no error, and does nothing more.
    ///
    /// # Errors
    /// `Forbidden` for all but owners, `Store`.
    pub async fn off_board(&self, principal: &Principal) -> Result<OffBoarding, AccountError> {
        let scope = principal.require(Role::Owner)?;
        let app = self.app();
        let id = saga_of(scope.tenant_id());
        let mut tx = app.store().begin(scope).await?;
        let mut tenant = tx.tenant().get().await?;
        if tenant.status.is_ending() {
            return Ok(OffBoarding { id });
        }
        tenant.status = TenantStatus::Closing;
        tx.tenant().update(&tenant).await?;
        match saga::begin_as(
            app,
            &mut *tx,
            &OffBoardTenant,
            &State {},
            id,
            Some(KIND.to_owned()),
        )
        .await
        {
            // Somebody else in the tenant was faster.
            Err(error) if error.kind() == StoreErrorKind::Conflict => return Ok(OffBoarding { id }),
            begun => begun?,
        };
        tx.commit().await?;
        tracing::info!(tenant.id = %tenant.id, saga.id = %id, actor = ?scope.actor(), "a tenant is being closed");
        app.routes().forget_all();
        app.store().wake_jobs().await?;
        Ok(OffBoarding { id })
    }
}

/// The steps read all that they need from the tenant's rows.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct State {}

/// The off-boarding of a tenant.
#[derive(Debug)]
pub(crate) struct OffBoardTenant;

impl Saga for OffBoardTenant {
    type State = State;

    fn kind(&self) -> &'static str {
        KIND
    }

    fn steps(&self) -> &'static [&'static dyn SagaStep<State>] {
        &[
            &LetWorkEnd,
            &EndPorts,
            &DeleteTrunks,
            &ReleaseNumbers,
            &DeleteAgents,
            &RevokeCredentials,
            &CloseSubaccounts,
            &Close,
        ]
    }

    fn is_forward_only(&self) -> bool {
        true
    }
}

/// The largest page.
fn page(after: Option<Cursor>) -> Result<PageRequest, StepError> {
    PageRequest::new(PageRequest::MAX, after).map_err(|error| StepError::again(error.to_string(), None))
}

/// What a job's failure means for a step that does the job's work.
fn step_error(error: JobError) -> StepError {
    match error.retry {
        Retry::Never => StepError::give_up(error.detail, Value::Null),
        Retry::Later => StepError::again(error.detail, None),
        Retry::After(wait) => StepError::again(error.detail, Some(wait)),
    }
}

macro_rules! step {
    ($(#[$doc:meta])* $step:ident, $name:literal, $run:ident) => {
        $(#[$doc])*
        #[derive(Debug)]
        struct $step;

        #[async_trait]
        impl SagaStep<State> for $step {
            fn name(&self) -> &'static str {
                $name
            }

            async fn run(&self, context: &mut StepContext<'_>, _: &mut State) -> Result<(), StepError> {
                $run(context).await
            }

            async fn undo(&self, _: &mut StepContext<'_>, _: &mut State) -> Result<(), StepError> {
                Err(StepError::give_up("there is no way back from closing a tenant", Value::Null))
            }
        }
    };
}

step! {
    /// Waits for sagas that began before: what they buy must be there to be given back. None begins any more.
    LetWorkEnd, "let other work end", let_work_end
}
step! {
    /// Cancels ports, and waits for the numbers of those that it is too late to cancel: they are there to be given back then.
    EndPorts, "end ports", end_ports
}
step! {
    /// Takes trunks away while their numbers are still there.
    DeleteTrunks, "delete trunks", delete_trunks
}
step! {
    /// Gives numbers back, those in quarantine too.
    ReleaseNumbers, "release numbers", release_numbers
}
step! {
    /// Deletes agents and their objects at platforms.
    DeleteAgents, "delete agents", delete_agents
}
step! {
    /// Ends API keys and sessions.
    RevokeCredentials, "revoke credentials", revoke_credentials
}
step! {
    /// Closes the tenant's own accounts at carriers, once nothing of the tenant's is in them.
    CloseSubaccounts, "close subaccounts", close_subaccounts
}
step! {
    /// Makes sure that nothing is left, and says so.
    Close, "close", close
}

async fn let_work_end(context: &mut StepContext<'_>) -> Result<(), StepError> {
    let mut tx = context.app.store().begin(context.scope).await?;
    check_others(&mut *tx, context.saga()).await
}

async fn check_others(tx: &mut dyn TenantTx, own: SagaId) -> Result<(), StepError> {
    let sagas = tx.sagas().unfinished().await?;
    let mut others = sagas.iter().filter(|saga| saga.id != own).peekable();
    let Some(first) = others.peek() else {
        return Ok(());
    };
    let detail = format!("{} of kind {} is not over", first.id, first.kind);
    if others.any(|saga| saga.status == SagaStatus::Stuck) {
        let detail = format!("{detail}; retry the dead job of the stuck one first");
        return Err(StepError::give_up(detail, Value::Null));
    }
    Err(StepError::again(detail, Some(PATIENCE)))
}

async fn end_ports(context: &mut StepContext<'_>) -> Result<(), StepError> {
    end_for_off_boarding(context.app, context.scope)
        .await
        .map_err(step_error)
}

async fn delete_trunks(context: &mut StepContext<'_>) -> Result<(), StepError> {
    let (app, scope) = (context.app, context.scope);
    let mut after = None;
    loop {
        let trunks = app
            .store()
            .begin(scope)
            .await?
            .trunks()
            .list(page(after)?)
            .await?;
        for trunk in &trunks.data {
            delete_trunk(app, scope, trunk.id).await.map_err(step_error)?;
        }
        after = trunks.next;
        if after.is_none() {
            return Ok(());
        }
    }
}

async fn release_numbers(context: &mut StepContext<'_>) -> Result<(), StepError> {
    let (app, scope) = (context.app, context.scope);
    let mut after = None;
    loop {
        let filter = NumberFilter::default();
        let numbers = app
            .store()
            .begin(scope)
            .await?
            .numbers()
            .list(filter, page(after)?)
            .await?;
        for number in numbers.data {
            if number.status == NumberStatus::Active {
                let mut number = number.clone();
                number
                    .turn(NumberStatus::Inactive)
                    .map_err(crate::store::StoreError::from)?;
                let mut tx = app.store().begin(scope).await?;
                tx.numbers().update(&number).await?;
                tx.commit().await?;
                app.routes().forget(&number.number).await;
            }
            give_back(app, scope, number.id).await.map_err(step_error)?;
        }
        after = numbers.next;
        if after.is_none() {
            return Ok(());
        }
    }
}

async fn delete_agents(context: &mut StepContext<'_>) -> Result<(), StepError> {
    let (app, scope) = (context.app, context.scope);
    loop {
        let agents = app.store().begin(scope).await?.agents().list(page(None)?).await?;
        for agent in &agents.data {
            // The object first: what is not in our books any more is found by the reconciler alone.
            if let Some(object) = &agent.provider_agent {
                let platform = app.voice_agents(&agent.provider).ok_or_else(|| {
                    let detail = format!("the platform {} is not configured", agent.provider);
                    StepError::give_up(detail, Value::Null)
                })?;
                let deleted = platform.delete_agent(object).await;
                deleted.map_err(|error| StepError::provider(&error, Value::Null))?;
            }
            let mut tx = app.store().begin(scope).await?;
            match tx.agents().delete(agent.spec.id).await {
                Err(error) if error.is_not_found() => {}
                deleted => {
                    deleted?;
                    tx.commit().await?;
                }
            }
        }
        if agents.next.is_none() {
            return Ok(());
        }
    }
}

async fn revoke_credentials(context: &mut StepContext<'_>) -> Result<(), StepError> {
    let (app, scope) = (context.app, context.scope);
    let now = app.ambient().now();
    let mut tx = app.store().begin(scope).await?;
    for key in tx.api_keys().list().await? {
        tx.api_keys().revoke(key.id, now).await?;
    }
    tx.commit().await?;
    let system = SystemScope::mint("end the sessions of a tenant that is being closed");
    let mut tx = app.store().begin_system(&system).await?;
    tx.accounts().revoke_tenant(scope.tenant_id(), now).await?;
    tx.commit().await?;
    Ok(())
}

async fn close_subaccounts(context: &mut StepContext<'_>) -> Result<(), StepError> {
    subaccount::close_all(context.app, context.scope).await
}

async fn close(context: &mut StepContext<'_>) -> Result<(), StepError> {
    let (app, scope) = (context.app, context.scope);
    let ambient = app.ambient();
    let mut tx = app.store().begin(scope).await?;
    let mut tenant = tx.tenant().get().await?;
    if tenant.status == TenantStatus::Closed {
        return Ok(());
    }
    check_others(&mut *tx, context.saga()).await?;
    let numbers = tx
        .numbers()
        .list(NumberFilter::default(), page(None)?)
        .await?
        .data;
    let trunks = tx.trunks().list(page(None)?).await?.data;
    let agents = tx.agents().list(page(None)?).await?.data;
    if !(numbers.is_empty() && trunks.is_empty() && agents.is_empty()) {
        let left = (numbers.len(), trunks.len(), agents.len());
        let detail = format!(
            "{} numbers, {} trunks and {} agents are left",
            left.0, left.1, left.2
        );
        return Err(StepError::give_up(detail, Value::Null));
    }
    tenant.status = TenantStatus::Closed;
    tx.tenant().update(&tenant).await?;
    let id = EventId::generate(ambient.ids());
    let event = DomainEvent::new(
        id,
        "tenant.closed",
        json!({ "tenant_id": tenant.id }),
        ambient.now(),
    );
    tx.outbox().publish(&event).await?;
    tx.commit().await?;
    app.routes().forget_all();
    Ok(())
}
