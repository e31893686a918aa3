//! A mailer that keeps what it is given.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;

use crate::provider::{
    ErrorKind, ProviderError, ProviderName, Recovery,
    mail::{Mailer, OutgoingMail},
};

/// Keeps every mail, unless it was told to fail. Clones share what they keep.
#[derive(Debug, Clone, Default)]
pub struct MemoryMailer(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    taken: Vec<OutgoingMail>,
    failures: VecDeque<ErrorKind>,
}

impl MemoryMailer {
    /// One that has nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets the next attempt fail like this; a second one is for the attempt after it. An attempt that ends unclear has
    /// taken the mail all the same.
    pub fn fail_next(&self, kind: ErrorKind) {
        self.state().failures.push_back(kind);
    }

    /// What it was given, oldest first.
    pub fn mails(&self) -> Vec<OutgoingMail> {
        self.state().taken.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Mailer for MemoryMailer {
    fn name(&self) -> ProviderName {
        ProviderName::new("memory")
    }

    async fn send(&self, mail: &OutgoingMail) -> Result<(), ProviderError> {
        let mut state = self.state();
        let failure = state.failures.pop_front();
        if failure.is_none_or(|kind| kind.recovery() == Recovery::Reconcile) {
            state.taken.push(mail.clone());
        }
        match failure {
            None => Ok(()),
            Some(kind) => Err(ProviderError::new(self.name(), "send a mail", kind)),
        }
    }
}
