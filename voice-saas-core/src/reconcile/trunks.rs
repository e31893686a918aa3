//! SIP trunks, at carriers and at media sides. A trunk is found by its tag, which is our id of it.

use std::collections::HashMap;

use async_trait::async_trait;

use super::{
    Action, Classification, Finding, Observation, Resolution, ResourceKind, accounts,
    inventory::{ActionError, Inventory, Listed, Look, LookError, ROWS, Refusal, Unseen, confirmed, made_at},
    repo::KnownTrunk,
};
use crate::{
    VoiceSaas,
    id::{JobId, TenantId, TrunkId},
    provider::{
        ProviderError, ProviderName,
        telephony::{ProviderTrunk, TrunkProvider},
    },
    scope::{Actor, SystemScope, TenantScope},
    trunk::{TrunkStatus, align_trunk},
};

#[derive(Debug)]
pub(super) struct Trunks;

/// What names it at its provider: our tag, or what it is made of. Names that others gave are not unique.
fn key(found: &ProviderTrunk) -> String {
    if found.tag.parse::<TrunkId>().is_ok() {
        found.tag.clone()
    } else {
        found.handle.value().to_string()
    }
}

/// What people call it: its number, or else its name.
fn subject(found: &ProviderTrunk) -> String {
    match found.numbers.first() {
        Some(number) => number.to_string(),
        None if found.tag.is_empty() => key(found),
        None => found.tag.clone(),
    }
}

fn classify(found: &ProviderTrunk, row: Option<&KnownTrunk>) -> Option<(Classification, &'static str)> {
    if found.tag.parse::<TrunkId>().is_err() {
        return Some((Classification::Foreign, "it bears no tag of ours"));
    }
    match row.map(|row| row.status) {
        None => Some((
            Classification::Orphan,
            "its tag is of our form, but in none of our books: another installation's, perhaps",
        )),
        Some(TrunkStatus::Failed | TrunkStatus::Deleted) => {
            Some((Classification::Orphan, "its trunk was taken away in our books"))
        }
        // Its number's state decides whether it should be.
        Some(TrunkStatus::Active) => match (row.is_some_and(|row| row.takes_calls), found.complete) {
            (true, false) => Some((
                Classification::Drifted,
                "a part of it is not there, so that it carries nothing",
            )),
            (false, true) => Some((
                Classification::Drifted,
                "it takes calls, and its number is out of service",
            )),
            (true, true) | (false, false) => None,
        },
        // What is left of one that is stuck waits for its job, which operators see.
        Some(_) => None,
    }
}

#[async_trait]
impl Inventory for Trunks {
    fn kind(&self) -> ResourceKind {
        ResourceKind::Trunk
    }

    fn providers(&self, app: &VoiceSaas) -> Vec<ProviderName> {
        let sides = app.all_telephony().iter().filter(|side| side.trunks().is_some());
        sides.map(|side| side.name()).collect()
    }

    async fn list(&self, look: &Look<'_>, page: Option<&str>) -> Result<Listed, LookError> {
        let (account, page) = accounts::enter(look.app, look.provider, page).await?;
        let page = account.trunks()?.list(page.as_deref()).await?;
        let ids: Vec<TrunkId> = page
            .items
            .iter()
            .filter_map(|found| found.tag.parse().ok())
            .collect();
        let rows = look.begin().await?.reconciliation().trunks(&ids).await?;
        let rows: HashMap<TrunkId, KnownTrunk> = rows.into_iter().map(|row| (row.id, row)).collect();
        let mut listed = Listed {
            next: accounts::next(look.app, &account, page.next).await?,
            ..Listed::default()
        };
        for found in &page.items {
            listed.seen.push(key(found));
            let id: Option<TrunkId> = found.tag.parse().ok();
            let made = id.and_then(|id| made_at(id.as_uuid()));
            let row = id.and_then(|id| rows.get(&id));
            // Its row is not written yet.
            if row.is_none() && look.is_young(made) {
                continue;
            }
            if let Some((classification, detail)) = classify(found, row) {
                let kind = ResourceKind::Trunk;
                let seen = Observation::new(look.provider, kind, key(found), classification, subject(found))
                    .of_tenant(row.map(|row| row.tenant).or(account.tenant))
                    .with_terms(row.map(|row| row.created_at).or(made), None)
                    .with_detail(detail);
                listed.findings.push(seen);
            }
        }
        Ok(listed)
    }

    async fn unseen(&self, look: &Look<'_>, after: Option<&str>) -> Result<Unseen, LookError> {
        let after: Option<TrunkId> = after.map(str::parse).transpose().map_err(|_| LookError::Cursor)?;
        let mut tx = look.begin().await?;
        let rows = tx
            .reconciliation()
            .unseen_trunks(look.run, look.provider, look.began, after, ROWS)
            .await?;
        drop(tx);
        let next = rows.last().filter(|_| rows.len() == usize::from(ROWS));
        let next = next.map(|row| row.id.to_string());
        let absent = confirmed(rows, |row| async {
            for account in accounts::candidates(look.app, look.provider, Some(row.tenant)).await? {
                let found = account.trunks()?.find(&row.tag, &row.number).await?;
                if found.is_some_and(|found| found.tag == row.tag) {
                    return Ok(None);
                }
            }
            Ok::<_, LookError>(Some(row))
        });
        let absent = absent.await?;
        // One that was taken away meanwhile is not missed.
        let ids: Vec<TrunkId> = absent.iter().map(|row| row.id).collect();
        let now = look.begin().await?.reconciliation().trunks(&ids).await?;
        let active = |id| {
            now.iter()
                .any(|row| row.id == id && row.status == TrunkStatus::Active)
        };
        let missed = absent.iter().filter(|row| active(row.id));
        Ok(Unseen {
            next,
            findings: missed.map(|row| missing(look.provider, row)).collect(),
        })
    }

    async fn check(&self, app: &VoiceSaas, finding: &Finding, action: Action) -> Result<(), ActionError> {
        use Classification::{Drifted, Foreign, Missing, Orphan};
        match (action, finding.seen.classification) {
            (Action::Release, Orphan) if is_held(app, finding).await? => {
                Err(Refusal("a number's calls go through the trunk").into())
            }
            (Action::Release, Orphan) => Ok(()),
            (Action::Repair, Missing | Drifted) if is_held(app, finding).await? => Ok(()),
            (Action::Release, Foreign) => Err(Refusal("the trunk is not ours").into()),
            (Action::Adopt, _) => Err(Refusal("only numbers can be adopted").into()),
            (Action::Release, _) => Err(Refusal("a number's calls go through the trunk").into()),
            (Action::Repair, Missing | Drifted) => Err(Refusal("no number has the trunk any more").into()),
            (Action::Repair, _) => Err(Refusal("there is nothing to repair").into()),
        }
    }

    async fn apply(
        &self,
        app: &VoiceSaas,
        finding: &Finding,
        action: Action,
        _: Option<TenantId>,
        _: JobId,
    ) -> Result<Resolution, ActionError> {
        if action == Action::Repair {
            return repair(app, finding).await;
        }
        let seen = &finding.seen;
        for account in accounts::candidates(app, &seen.provider, seen.tenant).await? {
            if delete(account.trunks()?, &seen.provider_id).await? {
                return Ok(Resolution::Released);
            }
        }
        Ok(Resolution::Gone)
    }
}

/// Whether it was there. One without a number is found in the list alone.
async fn delete(trunks: &dyn TrunkProvider, wanted: &str) -> Result<bool, ProviderError> {
    let mut after: Option<String> = None;
    loop {
        let page = trunks.list(after.as_deref()).await?;
        if let Some(found) = page.items.iter().find(|found| key(found) == wanted) {
            trunks.delete(&found.handle).await?;
            return Ok(true);
        }
        after = page.next;
        if after.is_none() {
            return Ok(false);
        }
    }
}

fn missing(provider: &str, row: &KnownTrunk) -> Observation {
    let (kind, class) = (ResourceKind::Trunk, Classification::Missing);
    Observation::new(provider, kind, &row.tag, class, row.number.as_str())
        .of_tenant(Some(row.tenant))
        .with_terms(Some(row.created_at), None)
        .with_detail("the provider does not have it, so that its number carries nothing")
}

/// Makes both sides of the trunk as they should be.
async fn repair(app: &VoiceSaas, finding: &Finding) -> Result<Resolution, ActionError> {
    let (Some(tenant), Ok(id)) = (finding.seen.tenant, finding.seen.provider_id.parse::<TrunkId>()) else {
        return Err(Refusal("the finding names no trunk of a tenant").into());
    };
    let scope = TenantScope::mint(tenant, Actor::System("an operator repairs a trunk"));
    align_trunk(app, &scope, id).await?;
    Ok(Resolution::Repaired)
}

/// Whether a trunk of ours that is not over bears the tag.
async fn is_held(app: &VoiceSaas, finding: &Finding) -> Result<bool, ActionError> {
    let Ok(id) = finding.seen.provider_id.parse::<TrunkId>() else {
        return Ok(false);
    };
    let system = SystemScope::mint("look whose trunk it is before an operator's action");
    let mut tx = app.store().begin_system(&system).await?;
    let rows = tx.reconciliation().trunks(&[id]).await?;
    Ok(rows
        .iter()
        .any(|row| !matches!(row.status, TrunkStatus::Failed | TrunkStatus::Deleted)))
}
