//! One attempt at a saga, by a tenant of its own.

use tokio::task::JoinHandle;

use crate::{
    account::{Account, Holding},
    api::{Answer, Api, Call},
    saga::Saga,
    system::System,
};

/// A saga that is about to be asked for.
#[derive(Debug)]
pub(crate) struct Trial {
    saga: Saga,
    before: Account,
    pub(crate) user: Api,
    call: Call,
    pub(crate) given: Vec<String>,
}

impl Trial {
    /// Makes what must be there before.
    pub(crate) async fn prepare(system: &System, saga: Saga) -> Result<Self, String> {
        let trial = Self::prepare_beside_others(system, saga).await?;
        system.quiet().await?;
        Ok(trial)
    }

    /// The same while others are under way.
    pub(crate) async fn prepare_beside_others(system: &System, saga: Saga) -> Result<Self, String> {
        let before = Account::of(system).await?;
        let user = system.register().await?;
        let prepared = saga.prepare(system, &user).await?;
        Ok(Self {
            saga,
            before,
            user,
            call: prepared.call,
            given: prepared.given,
        })
    }

    /// Arms what leads the saga onto its way.
    pub(crate) async fn open(&self, system: &System) -> Result<(), String> {
        for arm in self.saga.opening() {
            system.arm(*arm).await?;
        }
        Ok(())
    }

    /// Sends the request that begins it.
    pub(crate) fn ask(&self, system: &System) -> JoinHandle<Result<Answer, String>> {
        let asking = if self.call.by_operator {
            system.operator()
        } else {
            self.user.at(system.api())
        };
        let call = self.call.clone();
        tokio::spawn(async move { asking.send(&call).await })
    }

    /// What there is, when it is the same on all sides.
    pub(crate) async fn compare(&self, system: &System) -> Result<Holding, String> {
        let users = std::slice::from_ref(&self.user);
        Account::compare(&self.before, system, users, &self.given).await
    }

    /// Whether the saga ended as it should.
    pub(crate) async fn check(&self, system: &System) -> Result<(), String> {
        check(self.saga.ends_with(), self.compare(system).await?)
    }
}

/// What was expected and what there is.
pub(crate) fn check(expected: Holding, found: Holding) -> Result<(), String> {
    if found == expected {
        Ok(())
    } else {
        Err(format!("UNEXPECTED: {found} on all sides, and not {expected}"))
    }
}
