//! Giving ports up.

use std::time::Duration;

use super::{
    Port, PortError, PortStatus, Ports,
    follow::{self, follow, is_stale},
    service::PATIENCE,
};
use crate::{
    VoiceSaas, auth::Principal, id::PortId, job::JobError, scope::TenantScope, store::StoreError,
    tenant::Role,
};

/// How often a wish to cancel is written anew when somebody else wrote the port in between.
const TRIES: u8 = 5;

/// The closing of a tenant looks this often for numbers of a port that it is too late to cancel.
const TOO_LATE: Duration = Duration::from_hours(12);
/// The same for numbers that are here and being put into service.
const NEARLY: Duration = Duration::from_mins(1);

/// What came of giving a port up.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "callers answer both")]
pub enum Canceled {
    /// It is over, and its numbers stay where they are.
    Done(Box<Port>),
    /// The carrier takes its time; the library goes on with it.
    Pending(Box<Port>),
}

impl Ports<'_> {
    /// Gives the port up. Doing it again is no error.
    ///
    /// # Errors
    /// `Forbidden`; `TooLate` when the losing carrier is letting the numbers go, or has; `Store` (`NotFound`).
    pub async fn cancel(&self, principal: &Principal, id: PortId) -> Result<Canceled, PortError> {
        let scope = principal.require(Role::Member)?;
        let app = self.app();
        let port = wish(app, scope, id).await?;
        if port.status.is_open() {
            app.jobs().run_now(port.job, PATIENCE).await?;
        }
        let port = Box::new(app.store().begin(scope).await?.ports().find(id).await?);
        match port.status {
            PortStatus::Canceled | PortStatus::Expired | PortStatus::Refused => Ok(Canceled::Done(port)),
            PortStatus::Arriving | PortStatus::Completed => Err(PortError::TooLate),
            _ if port.cancel => Ok(Canceled::Pending(port)),
            // The carrier has said no.
            _ => Err(PortError::TooLate),
        }
    }
}

/// Writes down that an open port is to be canceled, and that a job does it, whatever became of the last one.
async fn wish(app: &VoiceSaas, scope: &TenantScope, id: PortId) -> Result<Port, StoreError> {
    let mut tries = TRIES;
    loop {
        let mut tx = app.store().begin(scope).await?;
        let mut port = tx.ports().find(id).await?;
        if !port.status.is_open() {
            return Ok(port);
        }
        port.cancel = true;
        let job = follow::job(app, id);
        if tx.jobs().enqueue(&job, app.ambient().now()).await? {
            port.job = job.id;
        }
        match tx.ports().save(&mut port).await {
            Err(error) if is_stale(&error) && tries > 0 => tries -= 1,
            saved => {
                saved?;
                tx.commit().await?;
                return Ok(port);
            }
        }
    }
}

/// Ends every port of a tenant that is being closed: those that can be are canceled, the numbers of the others are
/// waited for, to be given back.
///
/// # Errors
/// While one is not over.
pub(crate) async fn end_for_off_boarding(app: &VoiceSaas, scope: &TenantScope) -> Result<(), JobError> {
    loop {
        let ports = app.store().begin(scope).await?.ports().unfinished().await?;
        if ports.is_empty() {
            return Ok(());
        }
        for port in ports {
            end_one(app, scope, port.id).await?;
        }
    }
}

async fn end_one(app: &VoiceSaas, scope: &TenantScope, id: PortId) -> Result<(), JobError> {
    let port = wish(app, scope, id).await?;
    if port.status == PortStatus::Arriving {
        return Err(JobError::again_after(
            NEARLY,
            format!("the numbers of {id} are being put into service"),
        ));
    }
    let followed = follow(app, scope, id).await;
    let port = app.store().begin(scope).await?.ports().find(id).await?;
    match followed {
        _ if port.status.is_over() => Ok(()),
        Err(error) if port.cancel => Err(error),
        _ => Err(JobError::again_after(
            TOO_LATE,
            format!("it is too late to cancel {id}; its numbers are waited for"),
        )),
    }
}
