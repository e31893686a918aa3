//! Phone numbers at carriers.

use std::collections::{HashMap, HashSet};

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::json;

use super::{
    Action, Classification, Finding, Observation, Resolution, ResourceKind,
    accounts::{self, Account},
    inventory::{ActionError, Inventory, Listed, Look, LookError, ROWS, Refusal, Unseen, confirmed, made_at},
    pool::{self, Pooled},
    repo::KnownSaga,
};
use crate::{
    VoiceSaas,
    event::DomainEvent,
    id::{EventId, FindingId, JobId, NumberId, PoolNumberId, SagaId, TenantId},
    number::{IMPORT, NumberStatus, Ownership, PhoneNumber, facet, webhooks},
    phone::E164,
    provider::{
        ProviderName,
        telephony::{Capability, ProviderNumber, ProviderSubaccountId, TelephonyProvider},
    },
    scope::{Actor, SystemScope, TenantScope},
    store::{StoreError, StoreErrorKind},
};

#[derive(Debug)]
pub(super) struct Numbers;

pub(super) fn can(carrier: &dyn TelephonyProvider, capability: Capability) -> bool {
    carrier.capabilities().contains(&capability)
}

/// In which way the number is not set up as we left it.
fn drift(app: &VoiceSaas, account: &Account, row: &PhoneNumber, found: &ProviderNumber) -> Option<String> {
    let carrier = &*account.carrier;
    if row.account != account.id {
        let name =
            |id: Option<&ProviderSubaccountId>| id.map_or("the operator's", |id| id.as_str()).to_owned();
        let (there, known) = (name(account.id.as_ref()), name(row.account.as_ref()));
        return Some(format!(
            "the account that holds it is {there}, in our books it is {known}"
        ));
    }
    if row.provider_id.as_ref() != Some(&found.id) {
        let known = row.provider_id.as_ref().map_or("none", |id| id.as_str());
        return Some(format!(
            "the carrier's id is {}, in our books it is {known}",
            found.id
        ));
    }
    let expected = webhooks(app, &row.provider).voice;
    if can(carrier, Capability::ConfigureNumbers) && found.voice_url.as_deref() != Some(expected.as_str()) {
        let there = found.voice_url.as_deref().unwrap_or("nowhere");
        return Some(format!("its calls are reported to {there} instead of {expected}"));
    }
    let tag = name_of(carrier, row)?;
    (found.friendly_name != tag.to_string())
        .then(|| format!("it is named {:?} instead of {tag}", found.friendly_name))
}

/// Under which name it was bought, where the carrier keeps one; a number of the pool bears the pool's.
pub(super) fn name_of(carrier: &dyn TelephonyProvider, row: &PhoneNumber) -> Option<SagaId> {
    let named = row.owned != Ownership::Pool && can(carrier, Capability::NameNumbers);
    row.saga.filter(|_| named)
}

pub(super) fn observe(
    look: &Look<'_>,
    found: &ProviderNumber,
    classification: Classification,
) -> Observation {
    let (id, number) = (found.id.as_str(), found.number.as_str());
    Observation::new(look.provider, ResourceKind::Number, id, classification, number)
        .with_terms(found.held_since, found.monthly_price)
}

/// A number that bears a tag of our form and that nobody holds.
fn untold(look: &Look<'_>, found: &ProviderNumber, saga: Option<&KnownSaga>) -> Observation {
    let (classification, detail) = match saga {
        // It was in the account before, and stays there.
        Some(saga) if saga.kind == IMPORT => (
            Classification::Foreign,
            "this tenant imported it, and has let go of it",
        ),
        Some(_) => (
            Classification::Orphan,
            "it was bought for this tenant, who does not hold it",
        ),
        None => (
            Classification::Orphan,
            "its tag is of our form, but in none of our books: another installation's, perhaps",
        ),
    };
    observe(look, found, classification)
        .of_tenant(saga.map(|saga| saga.tenant))
        .with_detail(detail)
}

#[async_trait]
impl Inventory for Numbers {
    fn kind(&self) -> ResourceKind {
        ResourceKind::Number
    }

    fn providers(&self, app: &VoiceSaas) -> Vec<ProviderName> {
        let listing = app
            .all_telephony()
            .iter()
            .filter(|carrier| carrier.numbers().is_some() && can(&***carrier, Capability::ListNumbers));
        listing.map(|carrier| carrier.name()).collect()
    }

    async fn list(&self, look: &Look<'_>, page: Option<&str>) -> Result<Listed, LookError> {
        let (account, page) = accounts::enter(look.app, look.provider, page).await?;
        let (carrier, numbers) = (&*account.carrier, account.numbers()?);
        // A number that is given back while the page is on its way is not an orphan.
        let asked_at = look.app.ambient().now();
        let page = numbers.list(page.as_deref()).await?;
        let wanted: Vec<E164> = page.items.iter().map(|found| found.number.clone()).collect();
        let tags: Vec<SagaId> = page
            .items
            .iter()
            .filter_map(|found| found.friendly_name.parse().ok())
            .collect();
        let mut tx = look.begin().await?;
        let repo = tx.reconciliation();
        // Where numbers bear no names, what was bought and given back is known by its rows alone, however old.
        let named = can(carrier, Capability::NameNumbers);
        let since = if named { asked_at } else { Timestamp::MIN };
        let rows = repo.numbers(look.provider, &wanted, since).await?;
        let sagas = repo.sagas(&tags).await?.into_iter();
        let sagas: HashMap<SagaId, KnownSaga> = sagas.map(|saga| (saga.id, saga)).collect();
        let pooled = Pooled::of(&mut *tx, look.provider, &wanted, asked_at).await?;
        drop(tx);
        let (rows, over): (Vec<_>, Vec<_>) = rows
            .iter()
            .partition(|(_, row)| named || row.status != NumberStatus::Released);
        let rows: HashMap<&E164, &(TenantId, PhoneNumber)> =
            rows.into_iter().map(|row| (&row.1.number, row)).collect();
        let over: HashMap<&E164, TenantId> = over
            .into_iter()
            .filter(|(_, row)| row.owned == Ownership::Bought)
            .map(|(tenant, row)| (&row.number, *tenant))
            .collect();

        let mut listed = Listed {
            next: accounts::next(look.app, &account, page.next).await?,
            ..Listed::default()
        };
        for found in &page.items {
            listed.seen.push(found.id.as_str().to_owned());
            if !rows.contains_key(&found.number)
                && let Some(seen) = pooled.judge(look, &account, found).await?
            {
                listed.findings.extend(seen);
                continue;
            }
            let tag: Option<SagaId> = found.friendly_name.parse().ok();
            let mut observation = match (rows.get(&found.number), tag) {
                // Its purchase, or its release, is under way.
                (Some((_, row)), _)
                    if matches!(row.status, NumberStatus::Pending | NumberStatus::Released) =>
                {
                    continue;
                }
                (Some((tenant, row)), _) => match drift(look.app, &account, row, found) {
                    None => continue,
                    Some(detail) => observe(look, found, Classification::Drifted)
                        .of_tenant(Some(*tenant))
                        .with_detail(detail),
                },
                (None, Some(tag)) => match sagas.get(&tag) {
                    // Its purchase is under way, or its row is not written yet.
                    Some(saga) if saga.under_way => continue,
                    _ if look.is_young(found.held_since.or_else(|| made_at(tag.as_uuid()))) => continue,
                    saga => untold(look, found, saga),
                },
                (None, None) if over.contains_key(&found.number) => {
                    observe(look, found, Classification::Orphan)
                        .of_tenant(over.get(&found.number).copied())
                        .with_detail(BY_HAND)
                }
                (None, None) => observe(look, found, Classification::Foreign).with_detail(format!(
                    "it is named {:?}, and nobody here holds it",
                    found.friendly_name
                )),
            };
            observation.tenant = observation.tenant.or(account.tenant);
            listed.findings.push(observation);
        }
        Ok(listed)
    }

    async fn unseen(&self, look: &Look<'_>, after: Option<&str>) -> Result<Unseen, LookError> {
        if let Some(Ok(after)) = after.map(str::parse) {
            return pool::unseen(look, after).await;
        }
        let after: Option<NumberId> = after.map(str::parse).transpose().map_err(|_| LookError::Cursor)?;
        let mut tx = look.begin().await?;
        let rows = tx
            .reconciliation()
            .unseen_numbers(look.run, look.provider, look.began, after, ROWS)
            .await?;
        drop(tx);
        let next = rows.last().filter(|_| rows.len() == usize::from(ROWS));
        let next = next.map_or_else(pool::first, |(_, row)| row.id.to_string());
        let absent = confirmed(rows, |row| async {
            let (scope, account) = (accounts::scope(row.0), row.1.account.as_ref());
            let found = match look.app.telephony_of(&scope, look.provider, account).await {
                // With its account the number is gone.
                Err(error) if error.is_gone() => None,
                carrier => facet(&*carrier?)?.find(&row.1.number).await?,
            };
            Ok::<_, LookError>(found.is_none().then_some(row))
        });
        let absent = absent.await?;
        // One that was given back meanwhile is not missed.
        let asked: Vec<E164> = absent.iter().map(|(_, row)| row.number.clone()).collect();
        let mut tx = look.begin().await?;
        let held = tx.reconciliation();
        let held = held.numbers(look.provider, &asked, Timestamp::MAX).await?;
        let held = held
            .into_iter()
            .filter(|(_, row)| row.status == NumberStatus::Active);
        let held: HashSet<NumberId> = held.map(|(_, row)| row.id).collect();
        let missed = absent.iter().filter(|(_, row)| held.contains(&row.id));
        Ok(Unseen {
            next: Some(next),
            findings: missed.map(|(tenant, row)| missing(*tenant, row)).collect(),
        })
    }

    async fn check(&self, app: &VoiceSaas, finding: &Finding, action: Action) -> Result<(), ActionError> {
        use Classification::{Drifted, Foreign, Missing, Orphan};
        let held = held(app, finding).await?.is_some();
        if !held && pool::of_finding(app, finding).await?.is_some() {
            return pool::check(finding, action);
        }
        match (action, finding.seen.classification) {
            (Action::Adopt, Orphan | Foreign) | (Action::Release, Orphan) if held => {
                Err(Refusal("a tenant holds the number").into())
            }
            (Action::Release, Orphan) => check_by_hand(app, finding).await,
            (Action::Adopt, Orphan | Foreign) => Ok(()),
            (Action::Repair, Missing | Drifted) if held => Ok(()),
            (Action::Repair, Missing | Drifted) => Err(Refusal("no tenant holds the number any more").into()),
            (Action::Release, Foreign) => Err(Refusal("the number is not ours; adopt it first").into()),
            (Action::Release, _) => Err(Refusal("a tenant holds the number; release it there").into()),
            (Action::Adopt, _) => Err(Refusal("a tenant holds the number already").into()),
            (Action::Repair, _) => Err(Refusal("the number is nobody's: adopt or release it").into()),
        }
    }

    async fn apply(
        &self,
        app: &VoiceSaas,
        finding: &Finding,
        action: Action,
        tenant: Option<TenantId>,
        key: JobId,
    ) -> Result<Resolution, ActionError> {
        let (account, found) = locate(app, finding).await?;
        match action {
            Action::Release => release(app, finding, &account, found).await,
            Action::Adopt => {
                let tenant = tenant.ok_or(Refusal("a tenant must be named"))?;
                match found.filter(|found| found.id.as_str() == finding.seen.provider_id) {
                    Some(_) if account.tenant.is_some_and(|whose| whose != tenant) => {
                        Err(Refusal("the number is in another tenant's account").into())
                    }
                    Some(found) => adopt(app, &account, tenant, found, key).await,
                    None => Ok(Resolution::Gone),
                }
            }
            Action::Repair => repair(app, &account, finding, found).await,
        }
    }
}

/// What has to be done by hand where the carrier's interface does not take numbers back.
const BY_HAND: &str = "to be given back by hand: the tenant who had it has let go of it, and its carrier takes numbers \
                       back in no other way";

/// Leaves a number of the tenant's that its carrier takes back by hand alone to an operator, as an orphan: the finding
/// stays until the carrier's list does not show the number any more.
pub(crate) async fn leave_by_hand(
    app: &VoiceSaas,
    tenant: TenantId,
    provider: &str,
    id: &str,
    number: &E164,
) -> Result<(), StoreError> {
    let ambient = app.ambient();
    let seen = Observation::new(
        provider,
        ResourceKind::Number,
        id,
        Classification::Orphan,
        number.as_str(),
    )
    .of_tenant(Some(tenant))
    .with_detail(BY_HAND);
    let finding = Finding::new(FindingId::generate(ambient.ids()), seen, ambient.now());
    let system = SystemScope::mint("leave a number to an operator");
    let mut tx = app.store().begin_system(&system).await?;
    tx.reconciliation().report(&finding).await?;
    tx.commit().await?;
    tracing::warn!(tenant.id = %tenant, provider, "a number is to be given back by hand");
    metrics::counter!("voice_saas_numbers_left_by_hand_total", "provider" => provider.to_owned())
        .increment(1);
    Ok(())
}

/// Whether the number may be given back here: one that is given back by hand is settled once the carrier does not have
/// it any more.
async fn check_by_hand(app: &VoiceSaas, finding: &Finding) -> Result<(), ActionError> {
    let carrier = app.telephony(&finding.seen.provider);
    if carrier.is_none_or(|carrier| can(&**carrier, Capability::ReleaseNumbers)) {
        return Ok(());
    }
    match locate(app, finding).await? {
        (_, Some(_)) => Err(Refusal("the carrier takes numbers back by hand alone, and has it still").into()),
        (_, None) => Ok(()),
    }
}

/// The number's account, and the number if it is there: in the one where it was seen rather than in another.
async fn locate(
    app: &VoiceSaas,
    finding: &Finding,
) -> Result<(Account, Option<ProviderNumber>), ActionError> {
    let (number, seen) = (e164(finding)?, &finding.seen);
    let mut other = None;
    for account in accounts::candidates(app, &seen.provider, seen.tenant).await? {
        let found = account.numbers()?.find(&number).await?;
        if found
            .as_ref()
            .is_some_and(|found| found.id.as_str() == seen.provider_id)
        {
            return Ok((account, found));
        }
        if other.is_none() || found.is_some() {
            other = Some((account, found));
        }
    }
    other.ok_or_else(|| Refusal("the finding's carrier is not configured").into())
}

fn missing(tenant: TenantId, row: &PhoneNumber) -> Observation {
    let id = row
        .provider_id
        .as_ref()
        .map_or_else(|| row.id.to_string(), ToString::to_string);
    let kind = ResourceKind::Number;
    Observation::new(
        &row.provider,
        kind,
        id,
        Classification::Missing,
        row.number.as_str(),
    )
    .of_tenant(Some(tenant))
    .with_detail("the carrier's account does not hold it")
    .with_terms(row.provisioned_at, row.monthly_cost)
}

pub(super) fn e164(finding: &Finding) -> Result<E164, Refusal> {
    let number = finding.seen.subject.parse();
    number.map_err(|_| Refusal("the finding names no number"))
}

/// Who holds the number in our books.
pub(super) async fn held(
    app: &VoiceSaas,
    finding: &Finding,
) -> Result<Option<(TenantId, PhoneNumber)>, ActionError> {
    let number = e164(finding)?;
    let system = SystemScope::mint("look whose number it is before an operator's action");
    let mut tx = app.store().begin_system(&system).await?;
    let rows = tx
        .reconciliation()
        .numbers(&finding.seen.provider, &[number], Timestamp::MAX)
        .await?;
    Ok(rows.into_iter().find(|(_, row)| row.status.holds()))
}

async fn release(
    app: &VoiceSaas,
    finding: &Finding,
    account: &Account,
    found: Option<ProviderNumber>,
) -> Result<Resolution, ActionError> {
    let Some(found) = found.filter(|found| found.id.as_str() == finding.seen.provider_id) else {
        return Ok(Resolution::Gone);
    };
    let Ok(tag) = found.friendly_name.parse::<SagaId>() else {
        return pool::release(app, finding, account, &found).await;
    };
    let system = SystemScope::mint("look whether a purchase is under way before an operator's action");
    let mut tx = app.store().begin_system(&system).await?;
    let sagas = tx.reconciliation().sagas(&[tag]).await?;
    drop(tx);
    if sagas.iter().any(|saga| saga.under_way) {
        return Err(Refusal("the purchase of the number is under way").into());
    }
    // Looked at again after the carrier's answer: somebody may have adopted it meanwhile.
    if held(app, finding).await?.is_some() {
        return Err(Refusal("a tenant holds the number").into());
    }
    account.numbers()?.release(&found.id).await?;
    Ok(Resolution::Released)
}

/// The row first: a call that comes in before the number points to us finds its tenant then.
async fn adopt(
    app: &VoiceSaas,
    account: &Account,
    tenant: TenantId,
    found: ProviderNumber,
    key: JobId,
) -> Result<Resolution, ActionError> {
    let tag = found
        .friendly_name
        .parse()
        .unwrap_or(SagaId::from_uuid(key.as_uuid()));
    let row = adopted(app, account, tenant, &found, tag).await?;
    set_up(app, &*account.carrier, &row, &found).await?;
    Ok(Resolution::Adopted)
}

/// The tenant's row for it: an earlier attempt's, or a fresh one.
async fn adopted(
    app: &VoiceSaas,
    account: &Account,
    tenant: TenantId,
    found: &ProviderNumber,
    tag: SagaId,
) -> Result<PhoneNumber, ActionError> {
    let now = app.ambient().now();
    let scope = TenantScope::mint(tenant, Actor::System("an operator adopts a number"));
    let mut tx = app.store().begin(&scope).await?;
    tx.tenant().require_open().await?;
    let known = tx.numbers().find_by_saga(tag).await?;
    if let Some(row) = known
        && row.number == found.number
        && row.status.holds()
    {
        return Ok(row);
    }
    let country = match found.number.country() {
        Some(country) => country,
        None => tx.tenant().get().await?.country,
    };
    let id = NumberId::generate(app.ambient().ids());
    let provider = account.carrier.name();
    let mut row = PhoneNumber::pending(id, found.number.clone(), provider.as_str(), country, tag, now);
    row.account.clone_from(&account.id);
    row.status = NumberStatus::Active;
    // What was never bought by us is not ours to give back.
    let name = &found.friendly_name;
    if name.parse::<SagaId>().is_err() && name.parse::<PoolNumberId>().is_err() {
        row.owned = Ownership::Imported;
    }
    row.provider_id = Some(found.id.clone());
    row.capabilities = found.capabilities;
    row.monthly_cost = found.monthly_price;
    row.provisioned_at = Some(found.held_since.unwrap_or(now));
    match tx.numbers().add(&row).await {
        Err(error) if error.kind() == StoreErrorKind::Conflict => {
            return Err(Refusal("a tenant holds the number").into());
        }
        added => added?,
    }
    let payload = json!({ "number_id": id, "phone_number": row.number, "adopted": true });
    publish(app, &mut *tx, "number.provisioned", payload).await?;
    tx.commit().await?;
    app.routes().forget(&row.number).await;
    Ok(row)
}

async fn repair(
    app: &VoiceSaas,
    account: &Account,
    finding: &Finding,
    found: Option<ProviderNumber>,
) -> Result<Resolution, ActionError> {
    let Some((tenant, mut row)) = held(app, finding).await? else {
        return pool::repair(app, finding, account, found).await;
    };
    let scope = TenantScope::mint(tenant, Actor::System("an operator repairs a number"));
    if let Some(found) = found {
        if row.provider_id.as_ref() != Some(&found.id) || row.account != account.id {
            row.account.clone_from(&account.id);
            row.provider_id = Some(found.id.clone());
            let mut tx = app.store().begin(&scope).await?;
            tx.numbers().update(&row).await?;
            tx.commit().await?;
        }
        set_up(app, &*account.carrier, &row, &found).await?;
    } else if row.status == NumberStatus::Active {
        row.status = NumberStatus::Inactive;
        let mut tx = app.store().begin(&scope).await?;
        tx.numbers().update(&row).await?;
        let reason = "the carrier's account does not hold it";
        let payload = json!({ "number_id": row.id, "phone_number": row.number, "reason": reason });
        publish(app, &mut *tx, "number.missing", payload).await?;
        tx.commit().await?;
        app.routes().forget(&row.number).await;
    }
    Ok(Resolution::Repaired)
}

/// Points the number to us and puts our tag on it, as far as the carrier can.
async fn set_up(
    app: &VoiceSaas,
    carrier: &dyn TelephonyProvider,
    row: &PhoneNumber,
    found: &ProviderNumber,
) -> Result<(), ActionError> {
    let Some(numbers) = carrier.numbers() else {
        return Ok(());
    };
    let wanted = webhooks(app, &row.provider);
    let elsewhere = found.voice_url.as_deref() != Some(wanted.voice.as_str());
    if elsewhere && can(carrier, Capability::ConfigureNumbers) {
        numbers.configure(&found.id, &wanted).await?;
    }
    if let Some(tag) = name_of(carrier, row) {
        let tag = tag.to_string();
        if found.friendly_name != tag {
            numbers.rename(&found.id, &tag).await?;
        }
    }
    Ok(())
}

async fn publish(
    app: &VoiceSaas,
    tx: &mut dyn crate::store::TenantTx,
    kind: &str,
    payload: serde_json::Value,
) -> Result<(), StoreError> {
    let ambient = app.ambient();
    let event = DomainEvent::new(EventId::generate(ambient.ids()), kind, payload, ambient.now());
    tx.outbox().publish(&event).await
}
