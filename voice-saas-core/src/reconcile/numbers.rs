//! Phone numbers at carriers.

use std::collections::HashMap;

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::json;

use super::{
    Action, Classification, Finding, Observation, Resolution, ResourceKind,
    inventory::{ActionError, Inventory, Listed, Look, LookError, Refusal, Unseen},
    repo::KnownSaga,
};
use crate::{
    VoiceSaas,
    event::DomainEvent,
    id::{EventId, JobId, NumberId, SagaId, TenantId},
    number::{IMPORT, NumberStatus, Ownership, PhoneNumber, webhooks},
    phone::E164,
    provider::{
        ErrorKind, ProviderError, ProviderName,
        telephony::{Capability, NumberProvider, ProviderNumber, TelephonyProvider},
    },
    scope::{Actor, SystemScope, TenantScope},
    store::{StoreError, StoreErrorKind},
};

const ROWS: u16 = 500;

#[derive(Debug)]
pub(super) struct Numbers;

/// The carrier, if it has numbers.
fn carrier<'a>(
    app: &'a VoiceSaas,
    name: &str,
) -> Result<(&'a dyn TelephonyProvider, &'a dyn NumberProvider), ProviderError> {
    app.telephony(name)
        .and_then(|carrier| Some((&**carrier, carrier.numbers()?)))
        .ok_or_else(|| {
            ProviderError::new(
                ProviderName::new("voice-saas"),
                "find a carrier",
                ErrorKind::Unsupported,
            )
            .with_detail("the carrier is not configured, or its numbers are out of reach")
        })
}

fn can(carrier: &dyn TelephonyProvider, capability: Capability) -> bool {
    carrier.capabilities().contains(&capability)
}

/// In which way the number is not set up as we left it.
fn drift(
    app: &VoiceSaas,
    carrier: &dyn TelephonyProvider,
    row: &PhoneNumber,
    found: &ProviderNumber,
) -> Option<String> {
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
    let tag = row.saga.filter(|_| can(carrier, Capability::NameNumbers))?;
    (found.friendly_name != tag.to_string())
        .then(|| format!("it is named {:?} instead of {tag}", found.friendly_name))
}

fn observe(look: &Look<'_>, found: &ProviderNumber, classification: Classification) -> Observation {
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
        let (carrier, numbers) = carrier(look.app, look.provider)?;
        // A number that is given back while the page is on its way is not an orphan.
        let asked_at = look.app.ambient().now();
        let page = numbers.list(page).await?;
        let wanted: Vec<E164> = page.items.iter().map(|found| found.number.clone()).collect();
        let tags: Vec<SagaId> = page
            .items
            .iter()
            .filter_map(|found| found.friendly_name.parse().ok())
            .collect();
        let mut tx = look.begin().await?;
        let repo = tx.reconciliation();
        let rows = repo.numbers(look.provider, &wanted, asked_at).await?;
        let sagas = repo.sagas(&tags).await?.into_iter();
        let sagas: HashMap<SagaId, KnownSaga> = sagas.map(|saga| (saga.id, saga)).collect();
        drop(tx);
        let rows: HashMap<&E164, &(TenantId, PhoneNumber)> =
            rows.iter().map(|row| (&row.1.number, row)).collect();

        let mut listed = Listed {
            next: page.next,
            ..Listed::default()
        };
        for found in &page.items {
            listed.seen.push(found.id.as_str().to_owned());
            let tag: Option<SagaId> = found.friendly_name.parse().ok();
            let observation = match (rows.get(&found.number), tag) {
                // Its purchase, or its release, is under way.
                (Some((_, row)), _)
                    if matches!(row.status, NumberStatus::Pending | NumberStatus::Released) =>
                {
                    continue;
                }
                (Some((tenant, row)), _) => match drift(look.app, carrier, row, found) {
                    None => continue,
                    Some(detail) => observe(look, found, Classification::Drifted)
                        .of_tenant(Some(*tenant))
                        .with_detail(detail),
                },
                (None, Some(tag)) => untold(look, found, sagas.get(&tag)),
                (None, None) => observe(look, found, Classification::Foreign).with_detail(format!(
                    "it is named {:?}, and nobody here holds it",
                    found.friendly_name
                )),
            };
            listed.findings.push(observation);
        }
        Ok(listed)
    }

    async fn unseen(&self, look: &Look<'_>, after: Option<&str>) -> Result<Unseen, LookError> {
        let after: Option<NumberId> = after.map(str::parse).transpose().map_err(|_| LookError::Cursor)?;
        let mut tx = look.begin().await?;
        let rows = tx
            .reconciliation()
            .unseen_numbers(look.run, look.provider, look.began, after, ROWS)
            .await?;
        let next = rows.last().filter(|_| rows.len() == usize::from(ROWS));
        Ok(Unseen {
            next: next.map(|(_, row)| row.id.to_string()),
            findings: rows.iter().map(|(tenant, row)| missing(*tenant, row)).collect(),
        })
    }

    async fn check(&self, app: &VoiceSaas, finding: &Finding, action: Action) -> Result<(), ActionError> {
        use Classification::{Drifted, Foreign, Missing, Orphan};
        let held = held(app, finding).await?.is_some();
        match (action, finding.seen.classification) {
            (Action::Adopt, Orphan | Foreign) | (Action::Release, Orphan) if held => {
                Err(Refusal("a tenant holds the number").into())
            }
            (Action::Adopt | Action::Release, Orphan) | (Action::Adopt, Foreign) => Ok(()),
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
        let (carrier, numbers) = carrier(app, &finding.seen.provider)?;
        let number = e164(finding)?;
        let found = numbers.find(&number).await?;
        match action {
            Action::Release => release(app, finding, numbers, found).await,
            Action::Adopt => {
                let tenant = tenant.ok_or(Refusal("a tenant must be named"))?;
                match found.filter(|found| found.id.as_str() == finding.seen.provider_id) {
                    Some(found) => adopt(app, carrier, tenant, found, key).await,
                    None => Ok(Resolution::Gone),
                }
            }
            Action::Repair => repair(app, carrier, finding, found).await,
        }
    }
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

fn e164(finding: &Finding) -> Result<E164, Refusal> {
    let number = finding.seen.subject.parse();
    number.map_err(|_| Refusal("the finding names no number"))
}

/// Who holds the number in our books.
async fn held(app: &VoiceSaas, finding: &Finding) -> Result<Option<(TenantId, PhoneNumber)>, ActionError> {
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
    numbers: &dyn NumberProvider,
    found: Option<ProviderNumber>,
) -> Result<Resolution, ActionError> {
    let Some(found) = found.filter(|found| found.id.as_str() == finding.seen.provider_id) else {
        return Ok(Resolution::Gone);
    };
    if found.friendly_name.parse::<SagaId>().is_err() {
        return Err(Refusal("somebody has renamed the number: it is not ours any more").into());
    }
    // Looked at again after the carrier's answer: somebody may have adopted it meanwhile.
    if held(app, finding).await?.is_some() {
        return Err(Refusal("a tenant holds the number").into());
    }
    numbers.release(&found.id).await?;
    Ok(Resolution::Released)
}

/// The row first: a call that comes in before the number points to us finds its tenant then.
async fn adopt(
    app: &VoiceSaas,
    carrier: &dyn TelephonyProvider,
    tenant: TenantId,
    found: ProviderNumber,
    key: JobId,
) -> Result<Resolution, ActionError> {
    let tag = found
        .friendly_name
        .parse()
        .unwrap_or(SagaId::from_uuid(key.as_uuid()));
    let row = adopted(app, carrier.name(), tenant, &found, tag).await?;
    set_up(app, carrier, &row, &found).await?;
    Ok(Resolution::Adopted)
}

/// The tenant's row for it: an earlier attempt's, or a fresh one.
async fn adopted(
    app: &VoiceSaas,
    provider: ProviderName,
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
    let mut row = PhoneNumber::pending(id, found.number.clone(), provider.as_str(), country, tag, now);
    row.status = NumberStatus::Active;
    // What was never bought by us is not ours to give back.
    if found.friendly_name.parse::<SagaId>().is_err() {
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
    carrier: &dyn TelephonyProvider,
    finding: &Finding,
    found: Option<ProviderNumber>,
) -> Result<Resolution, ActionError> {
    let Some((tenant, mut row)) = held(app, finding).await? else {
        return Ok(Resolution::Gone);
    };
    let scope = TenantScope::mint(tenant, Actor::System("an operator repairs a number"));
    if let Some(found) = found {
        if row.provider_id.as_ref() != Some(&found.id) {
            row.provider_id = Some(found.id.clone());
            let mut tx = app.store().begin(&scope).await?;
            tx.numbers().update(&row).await?;
            tx.commit().await?;
        }
        set_up(app, carrier, &row, &found).await?;
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
    if let Some(tag) = row.saga.filter(|_| can(carrier, Capability::NameNumbers)) {
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
