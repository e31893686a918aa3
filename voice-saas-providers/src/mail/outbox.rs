//! Mail as files, for development: nothing leaves the machine.

use std::{
    io,
    path::{Path, PathBuf},
};

use async_trait::async_trait;
use voice_saas_core::provider::{
    ErrorKind, ProviderError, ProviderName,
    mail::{Mailer, OutgoingMail},
};

use super::{
    Sender,
    message::{self, OPERATION},
};

/// The name under which it is known.
pub const OUTBOX: ProviderName = ProviderName::new("outbox");

/// Writes each mail as a file into a folder, `{id}.eml`, which mail programs open, and names the file in the log. A mail
/// that is sent again takes the place of its first copy.
#[derive(Debug, Clone)]
pub struct Outbox {
    folder: PathBuf,
    sender: Sender,
}

impl Outbox {
    /// Into this folder, which is made with the first mail.
    pub fn new(folder: impl Into<PathBuf>, sender: Sender) -> Self {
        Self {
            folder: folder.into(),
            sender,
        }
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    async fn write(&self, id: &str, bytes: &[u8]) -> io::Result<PathBuf> {
        tokio::fs::create_dir_all(&self.folder).await?;
        let file = self.folder.join(format!("{id}.eml"));
        // Whoever looks into the folder finds whole mails alone.
        let unfinished = self.folder.join(format!("{id}.part"));
        tokio::fs::write(&unfinished, bytes).await?;
        tokio::fs::rename(&unfinished, &file).await?;
        Ok(file)
    }
}

#[async_trait]
impl Mailer for Outbox {
    fn name(&self) -> ProviderName {
        OUTBOX
    }

    async fn send(&self, mail: &OutgoingMail) -> Result<(), ProviderError> {
        let message = message::build(OUTBOX, &self.sender, mail)?;
        let written = self.write(&mail.id, &message.formatted()).await;
        let file = written.map_err(|error| {
            ProviderError::new(OUTBOX, OPERATION, ErrorKind::Unreachable)
                .with_detail(format!("the folder cannot be written to: {}", error.kind()))
                .with_source(error)
        })?;
        // The words may hold a link that lets its reader in; they stay in the file.
        tracing::info!(to = ?mail.to, subject = mail.subject, file = %file.display(), "a mail lies in the outbox");
        Ok(())
    }
}
