//! Pointing the webhooks of all numbers to the present public URL, after it has changed.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::time::Instant;

use super::{NumberStatus, Numbers, provision::webhooks};
use crate::{
    VoiceSaas,
    id::JobId,
    job::{JobContext, JobError, JobHandler, NewJob},
    phone::E164,
    provider::{
        ProviderError, Recovery,
        telephony::{Capability, ProviderNumber, ProviderPage},
    },
    reconcile::{
        LookError, ReconciliationError,
        accounts::{self, Account},
    },
    scope::SystemScope,
    store::{StoreError, SystemTx},
    validate::Invalid,
};

const KIND: &str = "number.repoint_webhooks";

/// A claim ends after this long, so that a process that stops waits no longer for it.
const SLICE: Duration = Duration::from_secs(20);

#[derive(Debug, Serialize, Deserialize)]
struct Payload {
    dry_run: bool,
    provider: Option<String>,
}

/// How far it has come; written with each page.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Progress {
    /// The carrier whose list is being walked, and its page.
    carrier: Option<String>,
    page: Option<String>,
    /// Carriers behind it.
    done: Vec<String>,
    /// Carriers that could not be walked, and why.
    failed: HashMap<String, String>,
    listed: u64,
    /// Held by a tenant or the pool, and pointing elsewhere.
    elsewhere: u64,
    repointed: u64,
    /// The carrier refuses to point them anywhere: those on a trunk.
    refused: u64,
}

impl Numbers<'_> {
    /// Begins to point the webhooks of all numbers that tenants and the pool hold to the present public URL; a dry run only counts
    /// them. The job says how far it is.
    ///
    /// # Errors
    /// `Invalid` for an unknown carrier, `UnderWay`, `Store`.
    pub async fn repoint_webhooks(
        &self,
        dry_run: bool,
        provider: Option<String>,
    ) -> Result<JobId, ReconciliationError> {
        let app = self.app();
        if let Some(name) = &provider
            && app.telephony(name).is_none()
        {
            return Err(Invalid::field("/provider", "unknown", "no such carrier").into());
        }
        let now = app.ambient().now();
        let id = JobId::generate(app.ambient().ids());
        let job = NewJob::new(id, KIND, json!(Payload { dry_run, provider }), now)
            .with_unique_key(KIND)
            .with_max_attempts(5_000);
        let mut tx = begin(app).await?;
        if !tx.job_queue().enqueue_system(&job, now).await? {
            return Err(ReconciliationError::UnderWay);
        }
        tx.commit().await?;
        tracing::info!(job.id = %id, dry_run, "an operator points webhooks to the present address");
        app.store().wake_jobs().await?;
        Ok(id)
    }
}

async fn begin(app: &VoiceSaas) -> Result<Box<dyn SystemTx>, StoreError> {
    let system = SystemScope::mint("point webhooks to the present address");
    app.store().begin_system(&system).await
}

/// Points webhooks to the present public URL.
#[derive(Debug)]
pub(crate) struct RepointWebhooks;

#[async_trait]
impl JobHandler for RepointWebhooks {
    fn kind(&self) -> &'static str {
        KIND
    }

    async fn run(&self, context: &JobContext<'_>) -> Result<(), JobError> {
        let payload: Payload = context.payload()?;
        let mut progress: Progress = context.progress()?.unwrap_or_default();
        let app = context.app();
        let until = Instant::now() + SLICE;
        for carrier in app.all_telephony() {
            let name = carrier.name().as_str();
            let able = [Capability::ListNumbers, Capability::ConfigureNumbers];
            let able = able.iter().all(|needed| carrier.capabilities().contains(needed));
            if carrier.numbers().is_none() || !able {
                continue;
            }
            let wanted = payload.provider.as_deref().is_none_or(|wanted| wanted == name);
            if !wanted || progress.done.iter().any(|done| done == name) || progress.failed.contains_key(name)
            {
                continue;
            }
            if progress.carrier.as_deref() != Some(name) {
                progress.carrier = Some(name.to_owned());
                progress.page = None;
            }
            walk(context, &payload, &mut progress, name, until).await?;
            progress.carrier = None;
            save(context, &progress).await?;
        }
        if progress.failed.is_empty() {
            tracing::info!(
                ?progress,
                dry_run = payload.dry_run,
                "webhooks point to the present address"
            );
        } else {
            tracing::error!(
                ?progress,
                "the webhooks of some carriers do not point to the present address"
            );
        }
        Ok(())
    }
}

async fn walk(
    context: &JobContext<'_>,
    payload: &Payload,
    progress: &mut Progress,
    name: &str,
    until: Instant,
) -> Result<(), JobError> {
    let app = context.app();
    let mut resumed = progress.page.is_some();
    loop {
        let (account, listed) = match list(app, name, progress.page.as_deref()).await {
            Ok(listed) => listed,
            Err(LookError::Store(error)) => return Err(error.into()),
            Err(error @ LookError::Cursor) => return Err(JobError::give_up(error.to_string())),
            // A cursor that was kept over a pause may be refused. What points to us already is passed over.
            Err(LookError::Provider(error)) if resumed && error.recovery() == Recovery::GiveUp => {
                tracing::warn!(provider = name, "the carrier's list is begun again: {error}");
                (resumed, progress.page) = (false, None);
                continue;
            }
            Err(LookError::Provider(error)) if error.recovery() == Recovery::GiveUp => {
                let why = format!("{error}: {:?}", error.kind());
                progress.failed.insert(name.to_owned(), why);
                return Ok(());
            }
            Err(LookError::Provider(error)) => return Err(JobError::provider(&error)),
        };
        let numbers = account.numbers().map_err(|error| JobError::provider(&error))?;
        resumed = false;
        progress.listed += listed.items.len() as u64;
        for id in elsewhere(app, name, &listed.items).await? {
            progress.elsewhere += 1;
            if payload.dry_run {
                continue;
            }
            match numbers.configure(&id.id, &webhooks(app, name)).await {
                Ok(()) => progress.repointed += 1,
                Err(error) => refused(progress, &error)?,
            }
        }
        progress.page = accounts::next(app, &account, listed.next)
            .await
            .map_err(|error| JobError::again(error.to_string()))?;
        if progress.page.is_none() {
            progress.done.push(name.to_owned());
            return Ok(());
        }
        save(context, progress).await?;
        if Instant::now() >= until || app.is_draining() {
            return Err(JobError::again_after(Duration::ZERO, "to be continued"));
        }
    }
}

/// A page of the numbers at the carrier, in one of the accounts there.
async fn list(
    app: &VoiceSaas,
    name: &str,
    page: Option<&str>,
) -> Result<(Account, ProviderPage<ProviderNumber>), LookError> {
    let (account, page) = accounts::enter(app, name, page).await?;
    let listed = account.numbers()?.list(page.as_deref()).await?;
    Ok((account, listed))
}

/// A number that the carrier will not point anywhere keeps nobody else's waiting.
fn refused(progress: &mut Progress, error: &ProviderError) -> Result<(), JobError> {
    if error.recovery() != Recovery::GiveUp {
        // The page is walked again; what was done on it is passed over then.
        return Err(JobError::provider(error));
    }
    tracing::warn!(
        detail = error.detail(),
        "a number's webhooks were not pointed to us: {error}"
    );
    progress.refused += 1;
    Ok(())
}

/// Those of the page that a tenant or the pool holds and whose calls are reported elsewhere.
async fn elsewhere<'a>(
    app: &VoiceSaas,
    provider: &str,
    page: &'a [ProviderNumber],
) -> Result<Vec<&'a ProviderNumber>, StoreError> {
    let voice = webhooks(app, provider).voice;
    let wrong = page
        .iter()
        .filter(|found| found.voice_url.as_deref() != Some(voice.as_str()));
    let wrong: HashMap<&E164, &ProviderNumber> = wrong.map(|found| (&found.number, found)).collect();
    let wanted: Vec<E164> = wrong.keys().map(|number| (*number).clone()).collect();
    let mut tx = begin(app).await?;
    let rows = tx
        .reconciliation()
        .numbers(provider, &wanted, jiff::Timestamp::MAX)
        .await?;
    let held = rows.iter().filter(|(_, row)| {
        matches!(
            row.status,
            NumberStatus::Active | NumberStatus::Inactive | NumberStatus::Quarantined
        )
    });
    let pooled = tx
        .number_pool()
        .numbers(provider, &wanted, jiff::Timestamp::MAX)
        .await?;
    let pooled = pooled.iter().filter(|row| row.provider_id.is_some());
    // A number that is lent is in both.
    let ours: HashSet<&E164> = held
        .map(|(_, row)| &row.number)
        .chain(pooled.map(|row| &row.number))
        .collect();
    Ok(ours
        .into_iter()
        .filter_map(|number| wrong.get(number).copied())
        .collect())
}

async fn save(context: &JobContext<'_>, progress: &Progress) -> Result<(), JobError> {
    let mut tx = begin(context.app()).await?;
    context.save_progress(&mut *tx, progress).await?;
    Ok(tx.commit().await?)
}
