//! Calls that the store takes for live, asked for one by one at their carrier. The store is the list here: a carrier
//! keeps no list of what is live only in our books.

use std::time::Duration;

use async_trait::async_trait;

use super::{
    Action, Classification, Finding, Observation, Resolution, ResourceKind,
    accounts::scope,
    inventory::{ActionError, Inventory, Listed, Look, LookError, Refusal, Unseen},
    repo::LiveCall,
};
use crate::{
    VoiceSaas,
    call::{CallStatus, settle},
    id::{CallId, JobId, TenantId},
    provider::{ErrorKind, ProviderName, telephony::ProviderCallId},
    scope::{Actor, TenantScope},
    subaccount::CarrierError,
};

/// A younger call, or one whose end is younger, may have its callback on the way.
const OLD: Duration = Duration::from_mins(10);
/// Calls asked for between two writes of the progress.
const AT_ONCE: u16 = 25;

#[derive(Debug)]
pub(super) struct Calls;

fn over(look: &Look<'_>, call: &LiveCall, detail: &str) -> Observation {
    let (kind, class) = (ResourceKind::Call, Classification::Missing);
    let id = call.provider_call.as_str();
    Observation::new(look.provider, kind, id, class, call.id.to_string())
        .of_tenant(Some(call.tenant))
        .with_terms(Some(call.started_at), None)
        .with_detail(detail)
}

#[async_trait]
impl Inventory for Calls {
    fn kind(&self) -> ResourceKind {
        ResourceKind::Call
    }

    fn providers(&self, app: &VoiceSaas) -> Vec<ProviderName> {
        let asked = app
            .all_telephony()
            .iter()
            .filter(|carrier| carrier.calls().is_some());
        asked.map(|carrier| carrier.name()).collect()
    }

    async fn list(&self, look: &Look<'_>, page: Option<&str>) -> Result<Listed, LookError> {
        let after: Option<CallId> = page.map(str::parse).transpose().map_err(|_| LookError::Cursor)?;
        let mut tx = look.begin().await?;
        let live = tx
            .reconciliation()
            .live_calls(look.provider, look.began - OLD, after, AT_ONCE)
            .await?;
        drop(tx);
        let mut listed = Listed {
            next: live
                .last()
                .filter(|_| live.len() == usize::from(AT_ONCE))
                .map(|call| call.id.to_string()),
            ..Listed::default()
        };
        for call in live {
            let account = call.account.as_ref();
            let carrier = look
                .app
                .telephony_of(&scope(call.tenant), look.provider, account)
                .await;
            // A closed account carries no calls.
            if carrier.as_ref().is_err_and(CarrierError::is_gone) {
                listed
                    .findings
                    .push(over(look, &call, "its account at the carrier is closed"));
                continue;
            }
            let carrier = carrier?;
            let Some(calls) = carrier.calls() else {
                return Ok(Listed::default());
            };
            let detail = match calls.fetch(&call.provider_call).await {
                Ok(found) if found.ended_at.is_some_and(|ended| ended > look.began - OLD) => continue,
                Ok(found) if CallStatus::of_provider(found.status).is_some_and(CallStatus::is_terminal) => {
                    "the carrier says that it is over"
                }
                Ok(_) => continue,
                Err(error) if error.kind() == ErrorKind::NotFound => "the carrier does not know it",
                // A carrier that cannot be asked for single calls has nothing to say.
                Err(error) if error.kind() == ErrorKind::Unsupported => return Ok(Listed::default()),
                Err(error) => return Err(error.into()),
            };
            listed.findings.push(over(look, &call, detail));
        }
        Ok(listed)
    }

    async fn unseen(&self, _: &Look<'_>, _: Option<&str>) -> Result<Unseen, LookError> {
        // Every live row was on a page of its own list.
        Ok(Unseen::default())
    }

    async fn check(&self, _: &VoiceSaas, _: &Finding, action: Action) -> Result<(), ActionError> {
        match action {
            Action::Repair => Ok(()),
            Action::Adopt | Action::Release => {
                Err(Refusal("a call that is over can only be repaired").into())
            }
        }
    }

    async fn apply(
        &self,
        app: &VoiceSaas,
        finding: &Finding,
        _: Action,
        _: Option<TenantId>,
        _: JobId,
    ) -> Result<Resolution, ActionError> {
        let seen = &finding.seen;
        let tenant = seen.tenant.ok_or(Refusal("the finding names no tenant"))?;
        let scope = TenantScope::mint(tenant, Actor::System("an operator repairs a call"));
        let call = ProviderCallId::new(seen.provider_id.as_str());
        let mut tx = app.store().begin(&scope).await?;
        let call = tx.calls().find_by_provider_call(&seen.provider, &call).await?;
        drop(tx);
        let Some(call) = call.filter(|call| !call.status.is_terminal()) else {
            return Ok(Resolution::Gone);
        };
        if settle::ended_at_carrier(app, &scope, &call).await? {
            Ok(Resolution::Repaired)
        } else {
            Ok(Resolution::Gone)
        }
    }
}
