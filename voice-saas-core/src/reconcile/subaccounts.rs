//! Tenants' own accounts at carriers. One is found by its tag, which is the tenant's id.

use async_trait::async_trait;

use super::{
    Action, Classification, Finding, Observation, Resolution, ResourceKind,
    accounts::scope,
    inventory::{ActionError, Inventory, Listed, Look, LookError, ROWS, Refusal, Unseen},
};
use crate::{
    VoiceSaas,
    id::{JobId, SubaccountId, TenantId},
    provider::{
        ErrorKind, ProviderError, ProviderName,
        telephony::{
            ProviderSubaccount, ProviderSubaccountId, SubaccountProvider, SubaccountState, TelephonyProvider,
        },
    },
    scope::SystemScope,
    subaccount::{Subaccount, SubaccountStatus},
};

#[derive(Debug)]
pub(super) struct Subaccounts;

fn accounts<'a>(app: &'a VoiceSaas, name: &str) -> Result<&'a dyn SubaccountProvider, ProviderError> {
    let accounts = app.telephony(name).and_then(|carrier| carrier.subaccounts());
    accounts.ok_or_else(|| {
        ProviderError::new(
            ProviderName::new("voice-saas"),
            "find accounts",
            ErrorKind::Unsupported,
        )
        .with_detail("the carrier is not configured, or has no accounts within the account")
    })
}

fn classify(
    found: &ProviderSubaccount,
    tag: Option<TenantId>,
    rows: &[(TenantId, Subaccount)],
) -> Option<(Classification, &'static str)> {
    let held = rows
        .iter()
        .any(|(_, row)| row.provider_id.as_ref() == Some(&found.id));
    let opening = rows
        .iter()
        .any(|(tenant, row)| row.status == SubaccountStatus::Opening && Some(*tenant) == tag);
    match (held, tag) {
        (true, _) if found.state == SubaccountState::Suspended => Some((
            Classification::Drifted,
            "it is suspended, so that its tenant makes and takes no calls",
        )),
        (true, _) => None,
        // Whoever opens it, or the next who needs it, finds it there.
        (false, Some(_)) if opening => None,
        (false, Some(_)) => Some((
            Classification::Orphan,
            "it bears a tenant's id, and is not that tenant's account in our books",
        )),
        (false, None) => Some((Classification::Foreign, "it bears no tag of ours")),
    }
}

#[async_trait]
impl Inventory for Subaccounts {
    fn kind(&self) -> ResourceKind {
        ResourceKind::Subaccount
    }

    fn providers(&self, app: &VoiceSaas) -> Vec<ProviderName> {
        let carriers = app.all_telephony().iter();
        carriers
            .filter(|carrier| carrier.subaccounts().is_some())
            .map(|carrier| carrier.name())
            .collect()
    }

    async fn list(&self, look: &Look<'_>, page: Option<&str>) -> Result<Listed, LookError> {
        let page = accounts(look.app, look.provider)?.list(page).await?;
        // A closed one stays in the list for a while, and is nothing any more.
        let there: Vec<&ProviderSubaccount> = page
            .items
            .iter()
            .filter(|found| found.state != SubaccountState::Closed)
            .collect();
        let ids: Vec<ProviderSubaccountId> = there.iter().map(|found| found.id.clone()).collect();
        let tags: Vec<TenantId> = there.iter().filter_map(|found| found.tag.parse().ok()).collect();
        let mut tx = look.begin().await?;
        let repo = tx.reconciliation();
        let rows = repo.known_subaccounts(look.provider, &ids, &tags).await?;
        let mut listed = Listed {
            next: page.next,
            ..Listed::default()
        };
        for found in there {
            listed.seen.push(found.id.as_str().to_owned());
            let tag: Option<TenantId> = found.tag.parse().ok();
            let Some((class, detail)) = classify(found, tag, &rows) else {
                continue;
            };
            let tenant = match tag {
                Some(tag) => tx.tenant(tag).await?.map(|tenant| tenant.id),
                None => None,
            };
            let seen = Observation::new(
                look.provider,
                ResourceKind::Subaccount,
                found.id.as_str(),
                class,
                &found.tag,
            )
            .of_tenant(tenant)
            .with_detail(detail);
            listed.findings.push(seen);
        }
        Ok(listed)
    }

    async fn unseen(&self, look: &Look<'_>, after: Option<&str>) -> Result<Unseen, LookError> {
        let after: Option<SubaccountId> = after.map(str::parse).transpose().map_err(|_| LookError::Cursor)?;
        let mut tx = look.begin().await?;
        let rows = tx
            .reconciliation()
            .unseen_subaccounts(look.run, look.provider, look.began, after, ROWS)
            .await?;
        drop(tx);
        let next = rows.last().filter(|_| rows.len() == usize::from(ROWS));
        let next = next.map(|(_, row)| row.id.to_string());
        let accounts = accounts(look.app, look.provider)?;
        let mut findings = Vec::new();
        for (tenant, row) in rows {
            // The list may have shifted under its pages: ask for each.
            let found = accounts.find(&crate::subaccount::tag(tenant)).await?;
            let (Some(id), true) = (&row.provider_id, found.map(|found| found.id) != row.provider_id) else {
                continue;
            };
            let class = Classification::Missing;
            let kind = ResourceKind::Subaccount;
            let seen = Observation::new(look.provider, kind, id.as_str(), class, tenant.to_string())
                .of_tenant(Some(tenant))
                .with_terms(Some(row.created_at), None)
                .with_detail("the carrier has closed it, or never had it");
            findings.push(seen);
        }
        Ok(Unseen { findings, next })
    }

    async fn check(&self, app: &VoiceSaas, finding: &Finding, action: Action) -> Result<(), ActionError> {
        use Classification::{Foreign, Missing, Orphan};
        let id = ProviderSubaccountId::new(finding.seen.provider_id.as_str());
        let system = SystemScope::mint("look whose account it is before an operator's action");
        let mut tx = app.store().begin_system(&system).await?;
        let held = tx.subaccount(&finding.seen.provider, &id).await?;
        let held = held.is_some_and(|(_, row)| row.status != SubaccountStatus::Closed);
        match (action, finding.seen.classification) {
            (Action::Release, Orphan) if held => Err(Refusal("it is a tenant's account").into()),
            (Action::Release, Orphan) => Ok(()),
            (Action::Repair, Missing) if held => Ok(()),
            (Action::Release, Foreign) => Err(Refusal("the account is not ours").into()),
            (Action::Release, _) => Err(Refusal("it is a tenant's account: close the tenant").into()),
            (Action::Adopt, _) => Err(Refusal("only numbers can be adopted").into()),
            (Action::Repair, Classification::Drifted) => {
                Err(Refusal("why it was suspended is not known here: resume it at the carrier").into())
            }
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
        let id = ProviderSubaccountId::new(finding.seen.provider_id.as_str());
        match action {
            Action::Release => close(app, finding, &id).await,
            Action::Adopt | Action::Repair => forget(app, finding, &id).await,
        }
    }
}

/// Closes an account that is in none of our books, if it holds no numbers: they would go with it.
async fn close(
    app: &VoiceSaas,
    finding: &Finding,
    id: &ProviderSubaccountId,
) -> Result<Resolution, ActionError> {
    let accounts = accounts(app, &finding.seen.provider)?;
    let mut after: Option<String> = None;
    let found = loop {
        let page = accounts.list(after.as_deref()).await?;
        if let Some(found) = page.items.into_iter().find(|found| found.id == *id) {
            break Some(found);
        }
        after = page.next;
        if after.is_none() {
            break None;
        }
    };
    let Some(found) = found.filter(|found| found.state != SubaccountState::Closed) else {
        return Ok(Resolution::Gone);
    };
    let secret = found.secret.ok_or(Refusal(
        "its secret is not shown, so that nobody can look into it: close it at the carrier",
    ))?;
    let within = accounts.enter(id, secret)?;
    if let Some(numbers) = TelephonyProvider::numbers(&*within)
        && !numbers.list(None).await?.items.is_empty()
    {
        return Err(Refusal("it holds numbers, which would go with it: settle them first").into());
    }
    accounts.close(id).await?;
    Ok(Resolution::Released)
}

/// Stops pretending that a tenant's account is there: the next purchase opens another.
async fn forget(
    app: &VoiceSaas,
    finding: &Finding,
    id: &ProviderSubaccountId,
) -> Result<Resolution, ActionError> {
    let tenant = finding
        .seen
        .tenant
        .ok_or(Refusal("the finding names no tenant"))?;
    let mut tx = app.store().begin(&scope(tenant)).await?;
    let row = tx.subaccounts().find(&finding.seen.provider, id).await?;
    let Some(mut row) = row.filter(|row| row.status == SubaccountStatus::Open) else {
        return Ok(Resolution::Gone);
    };
    row.status = SubaccountStatus::Closed;
    tx.subaccounts().update(&row).await?;
    tx.commit().await?;
    app.subaccounts().forget(&finding.seen.provider, id).await;
    Ok(Resolution::Repaired)
}
