//! The job that submits a port and asks for its state until it is over.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Port, PortStatus, arrive};
use crate::{
    VoiceSaas,
    event::DomainEvent,
    id::{EventId, JobId, PortId},
    job::{JobContext, JobError, JobHandler, NewJob},
    number::NumberStatus,
    provider::{
        ErrorKind, ProviderError, Recovery,
        telephony::{PortRequest, PortingProvider, TelephonyProvider},
    },
    scope::TenantScope,
    store::{StoreError, StoreErrorKind, TenantTx},
};

const KIND: &str = "number.follow_port";

/// Enough for months.
const ATTEMPTS: u16 = 10_000;

/// How old a port may be, and how often it is asked for until then: it moves by hours at first and by days later.
const PACE: [(Duration, Duration); 2] = [
    (Duration::from_hours(1), Duration::from_mins(5)),
    (Duration::from_hours(24), Duration::from_mins(30)),
];
/// How often an older one is asked for.
const SLOWEST: Duration = Duration::from_hours(4);

#[derive(Serialize, Deserialize)]
struct Payload {
    port: PortId,
}

/// The job that follows this port.
pub(super) fn job(app: &VoiceSaas, port: PortId) -> NewJob {
    let ambient = app.ambient();
    NewJob::new(
        JobId::generate(ambient.ids()),
        KIND,
        json!(Payload { port }),
        ambient.now(),
    )
    .with_unique_key(format!("{KIND}:{port}"))
    .with_max_attempts(ATTEMPTS)
}

/// Follows a port. It may be repeated.
#[derive(Debug)]
pub(crate) struct FollowPort;

#[async_trait]
impl JobHandler for FollowPort {
    fn kind(&self) -> &'static str {
        KIND
    }

    async fn run(&self, context: &JobContext<'_>) -> Result<(), JobError> {
        let Payload { port } = context.payload()?;
        follow(context.app(), context.scope()?, port).await
    }
}

/// Does what is next: submits the port, cancels it, or asks how it stands. `Err` while it is open.
pub(super) async fn follow(app: &VoiceSaas, scope: &TenantScope, id: PortId) -> Result<(), JobError> {
    let mut port = app.store().begin(scope).await?.ports().find(id).await?;
    if !port.status.is_open() {
        return Ok(());
    }
    let carrier = app
        .telephony_of(scope, &port.provider, port.account.as_ref())
        .await?;
    let porting = carrier
        .porting()
        .ok_or_else(|| JobError::give_up("the port's carrier moves no numbers in"))?;
    let fresh = port.request.is_none();
    if fresh {
        submit(app, scope, &mut port, &*carrier, porting).await?;
    }
    if port.status.is_open() && port.cancel {
        cancel(app, scope, &mut port, porting).await?;
    }
    if port.status.is_open() && !fresh {
        ask(app, scope, &mut port, porting).await?;
    }
    if port.status.is_open() {
        return Err(JobError::again_after(
            wait(app, &port),
            "the port is not over yet",
        ));
    }
    Ok(())
}

/// How long until the carrier is asked again, less up to a fourth of it.
fn wait(app: &VoiceSaas, port: &Port) -> Duration {
    let since = port.submitted_at.unwrap_or(port.created_at);
    let pace = pace(since, app.ambient().now());
    pace.mul_f64(1.0 - app.ambient().jitter() / 4.0)
}

fn pace(since: Timestamp, now: Timestamp) -> Duration {
    let age = Duration::try_from(now.duration_since(since)).unwrap_or_default();
    let found = PACE.iter().find(|(until, _)| age < *until);
    found.map_or(SLOWEST, |(_, pace)| *pace)
}

/// Submits the port, or finds that it was submitted.
async fn submit(
    app: &VoiceSaas,
    scope: &TenantScope,
    port: &mut Port,
    carrier: &dyn TelephonyProvider,
    porting: &dyn PortingProvider,
) -> Result<(), JobError> {
    let begun_before = port.attempts > 0;
    if begun_before {
        if let Some(found) = look(port, porting).await? {
            return Ok(accept(app, scope, port, found).await?);
        }
        if is_here(port, carrier).await? {
            port.order = None;
            port.status = PortStatus::Arriving;
            return Ok(record(app, scope, port, true).await?);
        }
    }
    if port.cancel {
        return Ok(end(app, scope, port, PortStatus::Canceled, None).await?);
    }
    let order = port
        .order
        .as_ref()
        .and_then(|order| order.open(port.id, app.sealer()))
        .ok_or_else(|| JobError::give_up("the port's order was sealed under another key"))?;
    // The intent, before the act: whoever finds this row after a crash knows that the carrier may have it.
    port.attempts = port.attempts.saturating_add(1);
    record(app, scope, port, false).await?;
    let error = match porting.submit(&order).await {
        Ok(request) => return Ok(accept(app, scope, port, request).await?),
        Err(error) => error,
    };
    match error.recovery() {
        Recovery::GiveUp if error.kind() == ErrorKind::Conflict && begun_before => {
            match look(port, porting).await? {
                Some(found) => Ok(accept(app, scope, port, found).await?),
                None => Err(JobError::again(
                    "the carrier has the port, and does not show it yet",
                )),
            }
        }
        Recovery::GiveUp => {
            tracing::warn!(detail = error.detail(), "a port was refused: {error}");
            let reason = refusal(&error).to_owned();
            Ok(end(app, scope, port, PortStatus::Refused, Some(reason)).await?)
        }
        Recovery::Retry { .. } | Recovery::Reconcile => Err(JobError::provider(&error)),
    }
}

/// The port that an attempt whose answer was lost has made.
async fn look(port: &Port, porting: &dyn PortingProvider) -> Result<Option<PortRequest>, JobError> {
    for line in &port.lines {
        let found = porting.find(&line.number).await.map_err(|error| later(&error))?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// Whether the port was over before anybody could look for it: then the account holds its numbers.
async fn is_here(port: &Port, carrier: &dyn TelephonyProvider) -> Result<bool, JobError> {
    let (Some(numbers), Some(line)) = (carrier.numbers(), port.lines.first()) else {
        return Ok(false);
    };
    let held = numbers.find(&line.number).await.map_err(|error| later(&error))?;
    Ok(held.is_some())
}

/// A failed look is repeated, whatever the failure: nothing may be submitted without it.
fn later(error: &ProviderError) -> JobError {
    match error.recovery() {
        Recovery::Retry { .. } | Recovery::Reconcile => JobError::provider(error),
        Recovery::GiveUp => JobError::again_after(SLOWEST, format!("could not look for the port: {error}")),
    }
}

/// Why an order was not accepted. The carrier's own words are for operators.
fn refusal(error: &ProviderError) -> &'static str {
    match error.kind() {
        ErrorKind::Conflict => "a number is being moved already by another order",
        ErrorKind::RequirementsMissing => "a paper is missing or was not approved",
        ErrorKind::Invalid => "the carrier does not accept something in the order; mind that it wants notice",
        _ => "the carrier refuses to do this now",
    }
}

async fn accept(
    app: &VoiceSaas,
    scope: &TenantScope,
    port: &mut Port,
    request: PortRequest,
) -> Result<(), StoreError> {
    let news = port.hear(request, app.ambient().now());
    record(app, scope, port, news).await
}

/// Cancels the port at the carrier, unless it is too late.
async fn cancel(
    app: &VoiceSaas,
    scope: &TenantScope,
    port: &mut Port,
    porting: &dyn PortingProvider,
) -> Result<(), JobError> {
    let Some(request) = &port.request else {
        return Ok(());
    };
    match porting.cancel(request).await {
        Ok(_) => Ok(end(app, scope, port, PortStatus::Canceled, None).await?),
        Err(error) if error.kind() == ErrorKind::Conflict => {
            port.cancel = false;
            Ok(record(app, scope, port, false).await?)
        }
        // Canceling twice does no harm.
        Err(error) if error.recovery() != Recovery::GiveUp => Err(JobError::provider(&error)),
        Err(error) => {
            tracing::warn!(
                detail = error.detail(),
                "a port is not canceled and still followed: {error}"
            );
            Ok(())
        }
    }
}

/// Asks the carrier how the port stands.
async fn ask(
    app: &VoiceSaas,
    scope: &TenantScope,
    port: &mut Port,
    porting: &dyn PortingProvider,
) -> Result<(), JobError> {
    let Some(request) = &port.request else {
        return Ok(());
    };
    match porting.fetch(request).await {
        Ok(request) => Ok(accept(app, scope, port, request).await?),
        Err(error) => {
            port.checked_at = Some(app.ambient().now());
            record(app, scope, port, false).await?;
            let pace = wait(app, port);
            let wait = match error.recovery() {
                Recovery::Retry { after: Some(after) } => after.max(pace),
                _ => pace,
            };
            Err(JobError::again_after(wait, error.to_string()))
        }
    }
}

async fn end(
    app: &VoiceSaas,
    scope: &TenantScope,
    port: &mut Port,
    status: PortStatus,
    reason: Option<String>,
) -> Result<(), StoreError> {
    port.end(status, reason, app.ambient().now());
    record(app, scope, port, true).await
}

/// Writes the port down with what follows from where it stands, and tells of it when it is news.
async fn record(app: &VoiceSaas, scope: &TenantScope, port: &mut Port, news: bool) -> Result<(), StoreError> {
    let mut tx = app.store().begin(scope).await?;
    tx.ports().save(port).await?;
    match port.status {
        PortStatus::Arriving => arrive::begin(app, &mut *tx, port).await?,
        PortStatus::Canceled | PortStatus::Expired | PortStatus::Refused => {
            let_go(app, &mut *tx, port).await?;
        }
        _ => {}
    }
    if news {
        publish(app, &mut *tx, port).await?;
    }
    tx.commit().await?;
    match port.status {
        PortStatus::Arriving => app.store().wake_jobs().await?,
        status if status.is_over() => {
            for line in &port.lines {
                app.routes().forget(&line.number).await;
            }
        }
        _ => {}
    }
    Ok(())
}

/// Lets go of numbers that do not come.
async fn let_go(app: &VoiceSaas, tx: &mut dyn TenantTx, port: &Port) -> Result<(), StoreError> {
    for line in &port.lines {
        let mut number = tx.numbers().find(line.id).await?;
        if number.status == NumberStatus::Pending {
            number.turn(NumberStatus::Released)?;
            number.released_at = Some(app.ambient().now());
            tx.numbers().update(&number).await?;
        }
    }
    Ok(())
}

/// Tells whoever wants to know that a port has come further.
pub(super) async fn publish(app: &VoiceSaas, tx: &mut dyn TenantTx, port: &Port) -> Result<(), StoreError> {
    let numbers: Vec<_> = port.lines.iter().map(|line| &line.number).collect();
    let payload = json!({ "port_id": port.id, "status": port.status, "phone_numbers": numbers });
    let ambient = app.ambient();
    let id = EventId::generate(ambient.ids());
    let event = DomainEvent::new(id, "number.port_updated", payload, ambient.now());
    tx.outbox().publish(&event).await
}

/// Whether a writer came second and may read again.
pub(super) fn is_stale(error: &StoreError) -> bool {
    error.kind() == StoreErrorKind::Stale
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_port_is_asked_for_less_often() {
        let start = Timestamp::UNIX_EPOCH;
        let after = |age| pace(start, start + age);
        assert_eq!(after(Duration::ZERO), Duration::from_mins(5));
        assert_eq!(after(Duration::from_mins(59)), Duration::from_mins(5));
        assert_eq!(after(Duration::from_hours(1)), Duration::from_mins(30));
        assert_eq!(after(Duration::from_hours(23)), Duration::from_mins(30));
        assert_eq!(after(Duration::from_hours(24)), Duration::from_hours(4));
        assert_eq!(after(Duration::from_hours(24 * 30)), Duration::from_hours(4));
    }
}
