//! Mail: letters, and sending them.
//!
//! A mail is written down in the unit of work of the change that it tells of, and a job sends it: no request waits for
//! a relay, and none fails with it. What is written down is sealed, for a link in a mail is a credential.
//!
//! Each mail is sent once as far as SMTP allows. A relay that takes a mail and is cut off before it says so, or a
//! process that dies between the relay's yes and the job's end, leaves it open whether the mail is on its way. It is
//! sent again then, under the same `Message-ID`: RFC 5321 asks for that, and mail that is lost is worse than mail that
//! comes twice.
//!
//! ```
//! use std::time::Duration;
//!
//! use voice_saas_core::mail::{Letterhead, template};
//!
//! let head = Letterhead::new("Acme Voice");
//! let link = "https://app.example.com/reset?token=abc".parse()?;
//! let letter = template::reset_password(&head, &link, Duration::from_secs(3600));
//! assert_eq!(letter.subject(), "Reset your password for Acme Voice");
//! assert!(letter.text().contains("once, for 1 hour"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod address;
mod letter;
mod send;
pub mod template;

use jiff::Timestamp;
use serde_json::json;

use self::send::{ATTEMPTS, KIND, Payload};
use crate::{
    VoiceSaas,
    id::JobId,
    job::NewJob,
    provider::mail::OutgoingMail,
    store::{StoreError, SystemTx, TenantTx},
};

pub use address::{EmailAddress, NotAnAddress};
pub use letter::{Letter, Letterhead};

pub(crate) use send::SendMail;

/// A mail to be sent.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct NewMail {
    /// To whom.
    pub to: EmailAddress,
    /// Its words.
    pub letter: Letter,
    /// What it is about, such as `payment_failed:in_123:2`. While a mail with this key waits, another is not written.
    pub key: String,
    /// Who gets the answer.
    pub reply_to: Option<EmailAddress>,
    /// After this time it has lost its sense, and is not sent any more.
    pub not_after: Option<Timestamp>,
}

impl NewMail {
    /// This letter to this address.
    pub fn new(to: EmailAddress, letter: Letter, key: impl Into<String>) -> Self {
        Self {
            to,
            letter,
            key: key.into(),
            reply_to: None,
            not_after: None,
        }
    }

    /// Answered to this address.
    #[must_use]
    pub fn with_reply_to(mut self, reply_to: EmailAddress) -> Self {
        self.reply_to = Some(reply_to);
        self
    }

    /// Not sent after this time.
    #[must_use]
    pub fn with_not_after(mut self, not_after: Timestamp) -> Self {
        self.not_after = Some(not_after);
        self
    }
}

/// Mail: see [`VoiceSaas::mail`].
#[derive(Debug)]
pub struct Mails<'a> {
    app: &'a VoiceSaas,
}

impl<'a> Mails<'a> {
    pub(crate) fn new(app: &'a VoiceSaas) -> Self {
        Self { app }
    }

    /// Writes a mail down in the tenant's unit of work; it is sent once that is committed. `false` when one with its
    /// key waits already.
    ///
    /// # Errors
    /// `Store`.
    pub async fn write(&self, tx: &mut dyn TenantTx, mail: &NewMail) -> Result<bool, StoreError> {
        let job = self.job(mail);
        tx.jobs().enqueue(&job, self.app.ambient().now()).await
    }

    /// The same for a mail of the platform's own, to somebody who belongs to no tenant yet.
    ///
    /// # Errors
    /// `Store`.
    pub async fn write_system(&self, tx: &mut dyn SystemTx, mail: &NewMail) -> Result<bool, StoreError> {
        let job = self.job(mail);
        tx.job_queue()
            .enqueue_system(&job, self.app.ambient().now())
            .await
    }

    fn job(&self, mail: &NewMail) -> NewJob {
        let (app, now) = (self.app, self.app.ambient().now());
        let id = JobId::generate(app.ambient().ids());
        let letter = &mail.letter;
        let outgoing = OutgoingMail::new(
            id.to_string(),
            mail.to.clone(),
            letter.subject(),
            letter.text(),
            letter.html(),
            now,
        )
        .with_reply_to(mail.reply_to.clone());
        let payload = Payload::seal(app, id, letter.template(), mail.not_after, &outgoing);
        NewJob::new(id, KIND, json!(payload), now)
            .with_max_attempts(ATTEMPTS)
            .with_unique_key(format!("{KIND}:{}", mail.key))
    }
}
