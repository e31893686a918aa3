//! Mail: over SMTP ([`Smtp`], feature `smtp`), or as files in a folder ([`Outbox`], feature `outbox`).
//!
//! Both build the same MIME message: plain text beside HTML, `Message-ID` from the mail's own id, and
//! `Auto-Submitted: auto-generated`, so that no absence notice answers it.

mod message;
#[cfg(feature = "outbox")]
mod outbox;
#[cfg(feature = "smtp")]
mod smtp;

pub use message::{Sender, SenderError};
#[cfg(feature = "outbox")]
pub use outbox::{OUTBOX, Outbox};
#[cfg(feature = "smtp")]
pub use smtp::{SMTP, Smtp, SmtpBuilder};
