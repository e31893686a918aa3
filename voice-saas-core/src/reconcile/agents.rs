//! Agents at voice-agent platforms.

use std::collections::HashMap;

use async_trait::async_trait;

use super::{
    Action, Classification, Finding, Observation, Resolution, ResourceKind,
    inventory::{ActionError, Inventory, Listed, Look, LookError, ROWS, Refusal, Unseen, confirmed, made_at},
    repo::KnownAgent,
};
use crate::{
    VoiceSaas,
    agent::enqueue_ensure,
    id::{AgentId, JobId, TenantId},
    provider::{
        ErrorKind, ProviderError, ProviderName,
        voice_agent::{ProviderAgent, ProviderAgentId, VoiceAgentProvider},
    },
    scope::{Actor, SystemScope, TenantScope},
};

#[derive(Debug)]
pub(super) struct Agents;

fn platform<'a>(app: &'a VoiceSaas, name: &str) -> Result<&'a dyn VoiceAgentProvider, ProviderError> {
    let platform = app.voice_agents(name).map(|platform| &**platform);
    platform.ok_or_else(|| {
        ProviderError::new(
            ProviderName::new("voice-saas"),
            "find a platform",
            ErrorKind::Unsupported,
        )
        .with_detail("the voice-agent platform is not configured")
    })
}

fn classify(found: &ProviderAgent, row: Option<&KnownAgent>) -> Option<(Classification, &'static str)> {
    if found.name.parse::<AgentId>().is_err() {
        return Some((Classification::Foreign, "it was not made by this library"));
    }
    match row {
        None => Some((
            Classification::Orphan,
            "its tag is of our form, but in none of our books: another installation's, perhaps",
        )),
        Some(row) if row.deleted => Some((Classification::Orphan, "its agent was deleted")),
        // Without an object in our books it is being made at this moment.
        Some(row) => match &row.object {
            Some(object) if *object != found.id => {
                Some((Classification::Orphan, "its agent has another object"))
            }
            _ => None,
        },
    }
}

#[async_trait]
impl Inventory for Agents {
    fn kind(&self) -> ResourceKind {
        ResourceKind::Agent
    }

    fn providers(&self, app: &VoiceSaas) -> Vec<ProviderName> {
        let dedicated = app
            .all_voice_agents()
            .iter()
            .filter(|platform| platform.capabilities().dedicated);
        dedicated.map(|platform| platform.name()).collect()
    }

    async fn list(&self, look: &Look<'_>, page: Option<&str>) -> Result<Listed, LookError> {
        let platform = platform(look.app, look.provider)?;
        let page = platform.list_agents(page).await?;
        let ids: Vec<AgentId> = page
            .items
            .iter()
            .filter_map(|found| found.name.parse().ok())
            .collect();
        let rows = look.begin().await?.reconciliation().agents(&ids).await?;
        let rows: HashMap<AgentId, KnownAgent> = rows.into_iter().map(|row| (row.id, row)).collect();
        let mut listed = Listed {
            next: page.next,
            ..Listed::default()
        };
        for found in page.items {
            listed.seen.push(found.id.as_str().to_owned());
            if platform.is_shared(&found) {
                continue;
            }
            let id: Option<AgentId> = found.name.parse().ok();
            let made = id.and_then(|id| made_at(id.as_uuid()));
            let row = id.and_then(|id| rows.get(&id));
            // Its row is not written yet.
            if row.is_none() && look.is_young(made) {
                continue;
            }
            if let Some((classification, detail)) = classify(&found, row) {
                let (kind, id) = (ResourceKind::Agent, found.id.as_str());
                let seen = Observation::new(look.provider, kind, id, classification, found.name);
                let tenant = row.map(|row| row.tenant);
                let seen = seen.with_detail(detail).of_tenant(tenant);
                listed.findings.push(seen.with_terms(made, None));
            }
        }
        Ok(listed)
    }

    async fn unseen(&self, look: &Look<'_>, after: Option<&str>) -> Result<Unseen, LookError> {
        let after: Option<AgentId> = after.map(str::parse).transpose().map_err(|_| LookError::Cursor)?;
        let mut tx = look.begin().await?;
        let rows = tx
            .reconciliation()
            .unseen_agents(look.run, look.provider, look.began, after, ROWS)
            .await?;
        drop(tx);
        let next = rows.last().filter(|_| rows.len() == usize::from(ROWS));
        let next = next.map(|row| row.id.to_string());
        let platform = platform(look.app, look.provider)?;
        let absent = confirmed(rows, |row| async {
            let found = match &row.object {
                Some(object) => platform.find_agent(object).await?,
                None => None,
            };
            Ok(found.is_none().then_some(row))
        });
        let absent = absent.await?;
        // One that was deleted or made anew meanwhile is not missed.
        let ids: Vec<AgentId> = absent.iter().map(|row| row.id).collect();
        let now = look.begin().await?.reconciliation().agents(&ids).await?;
        let missed = absent.into_iter().filter(|row| now.contains(row));
        let findings = missed.filter_map(|row| {
            let (kind, class) = (ResourceKind::Agent, Classification::Missing);
            let object = row.object?;
            let seen = Observation::new(row.provider, kind, object.as_str(), class, row.id.to_string());
            Some(
                seen.of_tenant(Some(row.tenant))
                    .with_terms(made_at(row.id.as_uuid()), None)
                    .with_detail("the platform does not have it"),
            )
        });
        Ok(Unseen {
            findings: findings.collect(),
            next,
        })
    }

    async fn check(&self, app: &VoiceSaas, finding: &Finding, action: Action) -> Result<(), ActionError> {
        use Classification::{Foreign, Missing, Orphan};
        match (action, finding.seen.classification) {
            (Action::Release, Orphan) if is_held(app, finding).await? => {
                Err(Refusal("an agent uses this object").into())
            }
            (Action::Release, Orphan) | (Action::Repair, Missing) => Ok(()),
            (Action::Release, Foreign) => Err(Refusal("the agent is not ours").into()),
            (Action::Adopt, _) => Err(Refusal("only numbers can be adopted").into()),
            (Action::Release, _) => Err(Refusal("an agent uses this object; delete the agent").into()),
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
        let seen = &finding.seen;
        if action == Action::Release {
            let object = ProviderAgentId::new(seen.provider_id.as_str());
            platform(app, &seen.provider)?.delete_agent(&object).await?;
            return Ok(Resolution::Released);
        }
        let (Some(tenant), Ok(id)) = (seen.tenant, seen.subject.parse::<AgentId>()) else {
            return Err(Refusal("the finding names no agent of a tenant").into());
        };
        let scope = TenantScope::mint(tenant, Actor::System("an operator repairs an agent"));
        let mut tx = app.store().begin(&scope).await?;
        let agent = match tx.agents().find(id).await {
            Err(error) if error.is_not_found() => return Ok(Resolution::Gone),
            agent => agent?,
        };
        // Finds that the object is not there, and makes another.
        enqueue_ensure(app, &mut *tx, &agent).await?;
        tx.commit().await?;
        app.store().wake_jobs().await?;
        Ok(Resolution::Repaired)
    }
}

/// Whether an agent of ours uses the object.
async fn is_held(app: &VoiceSaas, finding: &Finding) -> Result<bool, ActionError> {
    let Ok(id) = finding.seen.subject.parse::<AgentId>() else {
        return Ok(false);
    };
    let system = SystemScope::mint("look whose agent it is before an operator's action");
    let mut tx = app.store().begin_system(&system).await?;
    let rows = tx.reconciliation().agents(&[id]).await?;
    let used = |row: &KnownAgent| {
        !row.deleted
            && row
                .object
                .as_ref()
                .is_none_or(|object| object.as_str() == finding.seen.provider_id)
    };
    Ok(rows.iter().any(used))
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn an_object_is_an_orphan_when_its_agent_is_gone_or_has_another() {
        let id = AgentId::from_uuid(Uuid::from_u128(1));
        let found = ProviderAgent {
            id: ProviderAgentId::new("obj1"),
            name: id.to_string(),
        };
        let row = |object: Option<&str>, deleted| KnownAgent {
            tenant: TenantId::from_uuid(Uuid::from_u128(2)),
            id,
            provider: "elevenlabs".to_owned(),
            object: object.map(ProviderAgentId::new),
            deleted,
        };
        let class = |row: Option<KnownAgent>| classify(&found, row.as_ref()).map(|(class, _)| class);
        assert_eq!(class(Some(row(Some("obj1"), false))), None);
        assert_eq!(class(Some(row(None, false))), None);
        assert_eq!(
            class(Some(row(Some("obj2"), false))),
            Some(Classification::Orphan)
        );
        assert_eq!(class(Some(row(Some("obj1"), true))), Some(Classification::Orphan));
        assert_eq!(class(None), Some(Classification::Orphan));
    }
}
