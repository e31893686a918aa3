//! SIP trunks, at carriers and at media sides. A trunk is found by its tag, which is our id of it.

use std::collections::HashMap;

use async_trait::async_trait;

use super::{
    Action, Classification, Finding, Observation, Resolution, ResourceKind,
    inventory::{ActionError, Inventory, Listed, Look, LookError, Refusal, Unseen},
    repo::KnownTrunk,
};
use crate::{
    VoiceSaas,
    id::{JobId, TenantId, TrunkId},
    provider::{
        ErrorKind, ProviderError, ProviderName,
        telephony::{ProviderTrunk, TrunkProvider},
    },
    scope::SystemScope,
    trunk::TrunkStatus,
};

const ROWS: u16 = 500;

#[derive(Debug)]
pub(super) struct Trunks;

fn side<'a>(app: &'a VoiceSaas, name: &str) -> Result<&'a dyn TrunkProvider, ProviderError> {
    let side = app.telephony(name).and_then(|side| side.trunks());
    side.ok_or_else(|| {
        ProviderError::new(
            ProviderName::new("voice-saas"),
            "find trunks",
            ErrorKind::Unsupported,
        )
        .with_detail("the provider is not configured, or has no trunks")
    })
}

/// What names it at its provider: our tag, or what it is made of.
fn key(found: &ProviderTrunk) -> String {
    if found.tag.is_empty() {
        found.handle.value().to_string()
    } else {
        found.tag.clone()
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
        Some(TrunkStatus::Active) if !found.complete => Some((
            Classification::Drifted,
            "a part of it is not there, so that it carries nothing",
        )),
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
        let page = side(look.app, look.provider)?.list(page).await?;
        let ids: Vec<TrunkId> = page
            .items
            .iter()
            .filter_map(|found| found.tag.parse().ok())
            .collect();
        let rows = look.begin().await?.reconciliation().trunks(&ids).await?;
        let rows: HashMap<TrunkId, KnownTrunk> = rows.into_iter().map(|row| (row.id, row)).collect();
        let mut listed = Listed {
            next: page.next,
            ..Listed::default()
        };
        for found in &page.items {
            listed.seen.push(key(found));
            let row = found.tag.parse().ok().and_then(|id: TrunkId| rows.get(&id));
            if let Some((classification, detail)) = classify(found, row) {
                let subject = found
                    .numbers
                    .first()
                    .map_or_else(|| key(found), ToString::to_string);
                let kind = ResourceKind::Trunk;
                let seen = Observation::new(look.provider, kind, key(found), classification, subject)
                    .of_tenant(row.map(|row| row.tenant))
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
        let next = rows.last().filter(|_| rows.len() == usize::from(ROWS));
        Ok(Unseen {
            next: next.map(|row| row.id.to_string()),
            findings: rows
                .iter()
                .map(|row| {
                    let (kind, class) = (ResourceKind::Trunk, Classification::Missing);
                    Observation::new(look.provider, kind, &row.tag, class, &row.tag)
                        .of_tenant(Some(row.tenant))
                        .with_detail("the provider does not have it, so that its number carries nothing")
                })
                .collect(),
        })
    }

    async fn check(&self, app: &VoiceSaas, finding: &Finding, action: Action) -> Result<(), ActionError> {
        use Classification::{Foreign, Orphan};
        match (action, finding.seen.classification) {
            (Action::Release, Orphan) if is_held(app, finding).await? => {
                Err(Refusal("a number's calls go through the trunk").into())
            }
            (Action::Release, Orphan) => Ok(()),
            (Action::Release, Foreign) => Err(Refusal("the trunk is not ours").into()),
            (Action::Adopt, _) => Err(Refusal("only numbers can be adopted").into()),
            (Action::Release, _) => Err(Refusal("a number's calls go through the trunk").into()),
            (Action::Repair, _) => Err(Refusal("delete the trunk at its number, and set it up again").into()),
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
        let trunks = side(app, &finding.seen.provider)?;
        // One without a number is found in the list alone.
        let mut after: Option<String> = None;
        loop {
            let page = trunks.list(after.as_deref()).await?;
            if let Some(found) = page
                .items
                .iter()
                .find(|found| key(found) == finding.seen.provider_id)
            {
                trunks.delete(&found.handle).await?;
                return Ok(Resolution::Released);
            }
            after = page.next;
            if after.is_none() {
                return Ok(Resolution::Gone);
            }
        }
    }
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
        .any(|row| matches!(row.status, TrunkStatus::Pending | TrunkStatus::Active)))
}
