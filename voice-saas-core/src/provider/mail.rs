//! The port to whoever carries mail.

use std::fmt;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{ProviderError, ProviderName};
use crate::mail::EmailAddress;

/// A mail, ready to be sent. From whom it comes is the mailer's own affair.
///
/// It prints neither its words nor its links: a link may be a secret.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct OutgoingMail {
    /// Ours; letters, digits and `_`. The same at every attempt, and part of the `Message-ID`, by which a receiver may
    /// know a second copy.
    pub id: String,
    /// To whom.
    pub to: EmailAddress,
    /// Who gets the answer; by default whoever the mailer says it comes from.
    pub reply_to: Option<EmailAddress>,
    /// Its subject, on one line.
    pub subject: String,
    /// Its words as plain text.
    pub text: String,
    /// The same as HTML.
    pub html: String,
    /// When it was written.
    pub at: Timestamp,
}

impl OutgoingMail {
    /// A mail with this subject and these words.
    pub fn new(
        id: impl Into<String>,
        to: EmailAddress,
        subject: impl Into<String>,
        text: impl Into<String>,
        html: impl Into<String>,
        at: Timestamp,
    ) -> Self {
        Self {
            id: id.into(),
            to,
            reply_to: None,
            subject: subject.into(),
            text: text.into(),
            html: html.into(),
            at,
        }
    }

    /// Answered to this address.
    #[must_use]
    pub fn with_reply_to(mut self, reply_to: Option<EmailAddress>) -> Self {
        self.reply_to = reply_to;
        self
    }
}

impl fmt::Debug for OutgoingMail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutgoingMail")
            .field("id", &self.id)
            .field("to", &self.to)
            .finish_non_exhaustive()
    }
}

/// Carries mail.
#[async_trait]
pub trait Mailer: fmt::Debug + Send + Sync + 'static {
    /// Its name.
    fn name(&self) -> ProviderName;

    /// Hands the mail over, once. When this succeeds, somebody else has promised to deliver it.
    ///
    /// # Errors
    /// `Unreachable` and `RateLimited`: it was certainly not taken, another attempt may do. `NotFound`: there is no such
    /// mailbox. `Forbidden` and `Invalid`: this mail will never be taken. `Unauthorized`: the mailer's credentials are
    /// refused. `TimedOut` and `Interrupted`: it may have been taken, and nobody can say.
    async fn send(&self, mail: &OutgoingMail) -> Result<(), ProviderError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mail_prints_neither_its_words_nor_its_reader() {
        let to = EmailAddress::parse("jane.doe@example.com").unwrap();
        let mail = OutgoingMail::new(
            "mail_1",
            to,
            "hunter1",
            "hunter2",
            "hunter3",
            Timestamp::UNIX_EPOCH,
        );
        let printed = format!("{mail:?}");
        assert!(
            !printed.contains("hunter") && !printed.contains("jane.doe"),
            "{printed}"
        );
    }
}
