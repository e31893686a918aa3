//! Numbers of the operator's pool among those at carriers: no tenant's, and not nobody's.

use std::collections::HashMap;

use jiff::Timestamp;

use super::{
    Action, Classification, Finding, Observation, Resolution, ResourceKind,
    accounts::Account,
    inventory::{ActionError, Look, LookError, ROWS, Refusal, Unseen, confirmed},
    numbers::{can, e164, held, observe},
};
use crate::{
    VoiceSaas,
    id::{PoolNumberId, SagaId},
    number::{Lending, PoolNumber, PoolStatus, take_back, webhooks},
    phone::E164,
    provider::telephony::{Capability, ProviderNumber},
    scope::SystemScope,
    store::{StoreError, SystemTx},
};

/// The numbers of a page that are the pool's.
pub(super) struct Pooled(HashMap<E164, PoolNumber>);

impl Pooled {
    /// Looks them up, with those that were retired since the carrier was asked.
    pub(super) async fn of(
        tx: &mut dyn SystemTx,
        provider: &str,
        wanted: &[E164],
        asked_at: Timestamp,
    ) -> Result<Self, StoreError> {
        let rows = tx.number_pool().numbers(provider, wanted, asked_at).await?;
        // Of a number that was retired and bought again, the row that counts comes last.
        let (retired, held): (Vec<_>, Vec<_>) = rows
            .into_iter()
            .partition(|row| row.status == PoolStatus::Retired);
        let rows = retired.into_iter().chain(held);
        Ok(Self(rows.map(|row| (row.number.clone(), row)).collect()))
    }

    /// What is to be said of a number that no tenant holds; `None` when it is none of the pool's business.
    pub(super) async fn judge(
        &self,
        look: &Look<'_>,
        account: &Account,
        found: &ProviderNumber,
    ) -> Result<Option<Vec<Observation>>, LookError> {
        let Some(row) = self.0.get(&found.number) else {
            let tagged = found.friendly_name.parse::<PoolNumberId>().is_ok();
            return Ok(tagged.then(|| vec![orphan(look, found)]));
        };
        let detail = match (row.status, row.lending) {
            // Its purchase, or its end, is under way.
            (PoolStatus::Buying | PoolStatus::Retiring | PoolStatus::Retired, _) => None,
            (PoolStatus::Lent, Some(lending)) => abandoned(look, lending).await?,
            _ => drift(look.app, account, row, found),
        };
        let seen = detail.map(|detail| observe(look, found, Classification::Drifted).with_detail(detail));
        Ok(Some(seen.into_iter().collect()))
    }
}

fn orphan(look: &Look<'_>, found: &ProviderNumber) -> Observation {
    observe(look, found, Classification::Orphan)
        .with_detail("it was bought for a pool, ours or another installation's, and no pool here has it")
}

/// Whether the number is lent to work that is over, to a tenant who does not hold it.
async fn abandoned(look: &Look<'_>, lending: Lending) -> Result<Option<String>, LookError> {
    if lending.since >= look.began || under_way(look.app, lending.saga).await? {
        return Ok(None);
    }
    Ok(Some(format!(
        "it is lent to {}, who does not hold it",
        lending.tenant
    )))
}

async fn under_way(app: &VoiceSaas, saga: SagaId) -> Result<bool, StoreError> {
    let system = SystemScope::mint("look whether a number of the pool is being put into service");
    let mut tx = app.store().begin_system(&system).await?;
    let sagas = tx.reconciliation().sagas(&[saga]).await?;
    Ok(sagas.iter().any(|saga| saga.under_way))
}

/// In which way the number is not set up as we left it.
fn drift(app: &VoiceSaas, account: &Account, row: &PoolNumber, found: &ProviderNumber) -> Option<String> {
    if account.id.is_some() {
        return Some("it is in a tenant's account, and the operator's own in our books".to_owned());
    }
    if row.provider_id.as_ref() != Some(&found.id) {
        let known = row.provider_id.as_ref().map_or("none", |id| id.as_str());
        return Some(format!(
            "the carrier's id is {}, in our books it is {known}",
            found.id
        ));
    }
    let expected = webhooks(app, &row.provider).voice;
    if found.voice_url.as_deref() != Some(expected.as_str()) {
        let there = found.voice_url.as_deref().unwrap_or("nowhere");
        return Some(format!("its calls are reported to {there} instead of {expected}"));
    }
    (found.friendly_name != row.id.to_string())
        .then(|| format!("it is named {:?} instead of {}", found.friendly_name, row.id))
}

/// Where the pool's rows begin, after those of tenants.
pub(super) fn first() -> String {
    PoolNumberId::from_uuid(uuid::Uuid::nil()).to_string()
}

/// The pool's numbers that no page showed and the carrier does not have, after this one.
pub(super) async fn unseen(look: &Look<'_>, after: PoolNumberId) -> Result<Unseen, LookError> {
    let account = Account::operators(look.app, look.provider)?;
    let numbers = account.numbers()?;
    let mut tx = look.begin().await?;
    let rows = tx
        .number_pool()
        .unseen(look.run, look.provider, look.began, Some(after), ROWS)
        .await?;
    drop(tx);
    let next = rows.last().filter(|_| rows.len() == usize::from(ROWS));
    let next = next.map(|row| row.id.to_string());
    let absent = confirmed(rows, |row| async {
        let found = numbers.find(&row.number).await?;
        Ok::<_, LookError>(found.is_none().then_some(row))
    });
    let mut findings = Vec::new();
    for row in absent.await? {
        // One that was given back meanwhile is not missed.
        let now = look.begin().await?.number_pool().find(row.id).await?;
        if matches!(now.status, PoolStatus::Free | PoolStatus::Quarantined) {
            findings.push(missing(&row));
        }
    }
    Ok(Unseen { findings, next })
}

fn missing(row: &PoolNumber) -> Observation {
    let id = row
        .provider_id
        .as_ref()
        .map_or_else(|| row.id.to_string(), ToString::to_string);
    let (kind, class) = (ResourceKind::Number, Classification::Missing);
    Observation::new(&row.provider, kind, id, class, row.number.as_str())
        .with_detail("it is in the pool, and the carrier's account does not hold it")
        .with_terms(row.provisioned_at, row.monthly_cost)
}

/// The pool's row for the number, unless it is retired.
pub(super) async fn of_finding(
    app: &VoiceSaas,
    finding: &Finding,
) -> Result<Option<PoolNumber>, ActionError> {
    let number = e164(finding)?;
    let system = SystemScope::mint("look whether a number is the pool's before an operator's action");
    let mut tx = app.store().begin_system(&system).await?;
    let rows = tx
        .number_pool()
        .numbers(&finding.seen.provider, &[number], Timestamp::MAX)
        .await?;
    Ok(rows.into_iter().next())
}

/// Whether an action may be taken with a number of the pool that no tenant holds.
pub(super) fn check(finding: &Finding, action: Action) -> Result<(), ActionError> {
    match (action, finding.seen.classification) {
        (Action::Repair, Classification::Missing | Classification::Drifted) => Ok(()),
        _ => Err(Refusal("the number is the pool's").into()),
    }
}

/// Gives an orphan back that was bought for a pool.
pub(super) async fn release(
    app: &VoiceSaas,
    finding: &Finding,
    account: &Account,
    found: &ProviderNumber,
) -> Result<Resolution, ActionError> {
    if found.friendly_name.parse::<PoolNumberId>().is_err() {
        return Err(Refusal("somebody has renamed the number: it is not ours any more").into());
    }
    if of_finding(app, finding).await?.is_some() {
        return Err(Refusal("the number is the pool's").into());
    }
    if held(app, finding).await?.is_some() {
        return Err(Refusal("a tenant holds the number").into());
    }
    account.numbers()?.release(&found.id).await?;
    Ok(Resolution::Released)
}

/// Sets a number of the pool up again, or writes down that it is gone.
pub(super) async fn repair(
    app: &VoiceSaas,
    finding: &Finding,
    account: &Account,
    found: Option<ProviderNumber>,
) -> Result<Resolution, ActionError> {
    let Some(mut row) = of_finding(app, finding).await? else {
        return Ok(Resolution::Gone);
    };
    if let Some(lending) = row.lending {
        if under_way(app, lending.saga).await? {
            return Err(Refusal("the number is being put into service").into());
        }
        take_back(app, lending.tenant, lending.saga).await?;
        return Ok(Resolution::Repaired);
    }
    let system = SystemScope::mint("an operator repairs a number of the pool");
    let Some(found) = found else {
        row.turn(PoolStatus::Retiring).map_err(StoreError::from)?;
        row.turn(PoolStatus::Retired).map_err(StoreError::from)?;
        row.retired_at = Some(app.ambient().now());
        let mut tx = app.store().begin_system(&system).await?;
        tx.number_pool().update(&mut row).await?;
        tx.commit().await?;
        return Ok(Resolution::Repaired);
    };
    if row.provider_id.as_ref() != Some(&found.id) {
        row.provider_id = Some(found.id.clone());
        let mut tx = app.store().begin_system(&system).await?;
        tx.number_pool().update(&mut row).await?;
        tx.commit().await?;
    }
    let numbers = account.numbers()?;
    let wanted = webhooks(app, &row.provider);
    let elsewhere = found.voice_url.as_deref() != Some(wanted.voice.as_str());
    if elsewhere && can(&*account.carrier, Capability::ConfigureNumbers) {
        numbers.configure(&found.id, &wanted).await?;
    }
    let tag = row.id.to_string();
    if found.friendly_name != tag && can(&*account.carrier, Capability::NameNumbers) {
        numbers.rename(&found.id, &tag).await?;
    }
    Ok(Resolution::Repaired)
}
