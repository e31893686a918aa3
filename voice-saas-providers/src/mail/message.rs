//! A mail as a MIME message.

use std::{str::FromStr, time::SystemTime};

use lettre::{
    Message,
    message::{
        Mailbox, MultiPart,
        header::{HeaderName, HeaderValue},
    },
};
use voice_saas_core::{
    mail::EmailAddress,
    provider::{ErrorKind, ProviderError, ProviderName, mail::OutgoingMail},
};

pub(super) const OPERATION: &str = "send a mail";

/// From whom mail comes: `no-reply@example.com`, or `Acme <no-reply@example.com>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sender(Mailbox);

/// A text that names no sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an e-mail address, nor a name with one in angle brackets")]
pub struct SenderError;

impl FromStr for Sender {
    type Err = SenderError;

    fn from_str(text: &str) -> Result<Self, SenderError> {
        if text.chars().any(char::is_control) {
            return Err(SenderError);
        }
        text.parse().map(Self).map_err(|_| SenderError)
    }
}

fn mailbox(address: &EmailAddress) -> Option<Mailbox> {
    Some(Mailbox::new(None, address.as_str().parse().ok()?))
}

/// # Errors
/// `Invalid` when an address cannot be one in a mail.
pub(super) fn build(
    provider: ProviderName,
    sender: &Sender,
    mail: &OutgoingMail,
) -> Result<Message, ProviderError> {
    let invalid = |detail| ProviderError::new(provider, OPERATION, ErrorKind::Invalid).with_detail(detail);
    let Sender(from) = sender;
    // The id is a part of a header, and of a file's name.
    if mail.id.is_empty()
        || !mail
            .id
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    {
        return Err(invalid("the mail's id is no word"));
    }
    let to = mailbox(&mail.to).ok_or_else(|| invalid("no mail can be sent to this address"))?;
    let auto_submitted = HeaderValue::new(
        HeaderName::new_from_ascii_str("Auto-Submitted"),
        "auto-generated".to_owned(),
    );
    let mut builder = Message::builder()
        .message_id(Some(format!("<{}@{}>", mail.id, from.email.domain())))
        .date(SystemTime::from(mail.at))
        .from(from.clone())
        .to(to)
        .subject(&*mail.subject)
        .raw_header(auto_submitted);
    if let Some(reply_to) = &mail.reply_to {
        let reply_to = mailbox(reply_to).ok_or_else(|| invalid("nobody can answer to this address"))?;
        builder = builder.reply_to(reply_to);
    }
    builder
        .multipart(MultiPart::alternative_plain_html(
            mail.text.clone(),
            mail.html.clone(),
        ))
        .map_err(|error| invalid("no message can be made of the mail").with_source(error))
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    const TEST: ProviderName = ProviderName::new("test");

    fn mail() -> OutgoingMail {
        let to = "jane@example.com".parse().unwrap();
        let at: Timestamp = "2026-11-21T09:00:00Z".parse().unwrap();
        OutgoingMail::new("job_0001", to, "Grüße, Jane", "Plain ümlaut.", "<p>Rich.</p>", at)
    }

    fn text(mail: &OutgoingMail) -> String {
        let sender = "Acme <no-reply@example.org>".parse().unwrap();
        String::from_utf8(build(TEST, &sender, mail).unwrap().formatted()).unwrap()
    }

    #[test]
    fn a_message_says_from_whom_it_is_and_that_no_person_wrote_it() {
        let text = text(&mail().with_reply_to(Some("help@example.com".parse().unwrap())));
        for line in [
            "Message-ID: <job_0001@example.org>",
            "Date: Sat, 21 Nov 2026 09:00:00 +0000",
            "From: Acme <no-reply@example.org>",
            "To: jane@example.com",
            "Reply-To: help@example.com",
            "Auto-Submitted: auto-generated",
            "Content-Type: multipart/alternative;",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
        assert!(text.contains("Subject: =?utf-8?"), "{text}");
        let (plain, html) = (text.find("text/plain").unwrap(), text.find("text/html").unwrap());
        assert!(plain < html, "readers take the last form that they know");
    }

    #[test]
    fn a_subject_cannot_add_a_header() {
        let mut mail = mail();
        "Hi\r\nBcc: all@example.com".clone_into(&mut mail.subject);
        let text = text(&mail);
        assert!(!text.lines().any(|line| line.starts_with("Bcc")), "{text}");
    }

    #[test]
    fn an_id_that_would_lead_elsewhere_is_refused() {
        for id in ["", "../x", "a>b", "a b"] {
            let mut mail = mail();
            id.clone_into(&mut mail.id);
            let sender = "no-reply@example.org".parse().unwrap();
            let error = build(TEST, &sender, &mail).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid, "{id}");
        }
    }

    #[test]
    fn a_sender_is_an_address_with_or_without_a_name() {
        for right in ["a@example.com", "Acme Voice <a@example.com>"] {
            assert!(right.parse::<Sender>().is_ok(), "{right}");
        }
        for wrong in ["", "Acme", "a@example.com\nBcc: b@example.com"] {
            assert_eq!(wrong.parse::<Sender>(), Err(SenderError), "{wrong}");
        }
    }
}
