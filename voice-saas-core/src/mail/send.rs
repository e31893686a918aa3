//! Sending what was written down.

use std::time::Duration;

use async_trait::async_trait;
use base64::{Engine, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    VoiceSaas,
    id::JobId,
    job::{Job, JobContext, JobError, JobHandler},
    provider::{ErrorKind, ProviderError, Recovery, mail::OutgoingMail},
};

/// What the job is called.
pub(super) const KIND: &str = "mail.send";

/// The waits between attempts. A relay that is away for a night delays a mail, and does not lose it.
const WAITS: [Duration; 7] = [
    Duration::from_secs(10),
    Duration::from_mins(1),
    Duration::from_mins(5),
    Duration::from_mins(30),
    Duration::from_hours(2),
    Duration::from_hours(6),
    Duration::from_hours(12),
];

/// The first, and one after each wait.
pub(super) const ATTEMPTS: u16 = 8;

/// What lies in the job's row.
#[derive(Serialize, Deserialize)]
pub(super) struct Payload {
    /// For operators.
    template: String,
    /// After this time it has lost its sense.
    not_after: Option<Timestamp>,
    /// The mail, sealed for this job: links in mails are credentials, and readers are nobody's business.
    sealed: String,
}

impl Payload {
    pub(super) fn seal(
        app: &VoiceSaas,
        job: JobId,
        template: &str,
        not_after: Option<Timestamp>,
        mail: &OutgoingMail,
    ) -> Self {
        let plain = serde_json::to_vec(mail).expect("a mail is a struct of texts");
        let sealed = app.sealer().seal(&plain, &place(job), app.ambient());
        Self {
            template: template.to_owned(),
            not_after,
            sealed: STANDARD.encode(sealed),
        }
    }

    fn open(&self, app: &VoiceSaas, job: JobId) -> Option<OutgoingMail> {
        let sealed = STANDARD.decode(&self.sealed).ok()?;
        serde_json::from_slice(&app.sealer().open(&sealed, &place(job))?).ok()
    }
}

fn place(job: JobId) -> Vec<u8> {
    format!("{KIND}:{job}").into_bytes()
}

/// Sends mails.
#[derive(Debug)]
pub(crate) struct SendMail;

#[async_trait]
impl JobHandler for SendMail {
    fn kind(&self) -> &'static str {
        KIND
    }

    async fn run(&self, context: &JobContext<'_>) -> Result<(), JobError> {
        let (app, job) = (context.app(), context.job());
        let payload: Payload = context.payload()?;
        let template = &*payload.template;
        if payload.not_after.is_some_and(|end| app.ambient().now() > end) {
            tracing::info!(template, "a mail has lost its sense before it could be sent");
            return Ok(());
        }
        let mail = payload
            .open(app, job.id)
            .ok_or_else(|| JobError::give_up("the mail was sealed under another key"))?;
        let mailer = app
            .mailer()
            .ok_or_else(|| JobError::give_up("no mailer is configured"))?;
        match mailer.send(&mail).await {
            Ok(()) => {
                tracing::info!(template, to = ?mail.to, "sent a mail");
                Ok(())
            }
            Err(error) => Err(again(&error, job)),
        }
    }
}

/// Whether the mail is tried again. One that may have been taken is: mail that is lost is worse than mail that comes
/// twice, and a second copy bears the same `Message-ID`. So is one that the mailer's own credentials kept back.
fn again(error: &ProviderError, job: &Job) -> JobError {
    let verdict = JobError::provider(error);
    let wait = WAITS[usize::from(job.attempt.saturating_sub(1)).min(WAITS.len() - 1)];
    match error.recovery() {
        Recovery::GiveUp if error.kind() != ErrorKind::Unauthorized => verdict,
        Recovery::Retry { after } => {
            JobError::again_after(wait.max(after.unwrap_or_default()), verdict.detail)
        }
        Recovery::Reconcile | Recovery::GiveUp => JobError::again_after(wait, verdict.detail),
    }
}
