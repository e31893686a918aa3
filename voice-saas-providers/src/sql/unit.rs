//! Units of work: an open transaction, and whose rows it may touch.

use std::fmt;

use async_trait::async_trait;
use sqlx::types::Uuid;
use voice_saas_core::{
    agent::AgentRepo,
    auth::ApiKeyRepo,
    call::CallRepo,
    entitlement::EntitlementRepo,
    event::Outbox,
    idempotency::IdempotencyRepo,
    job::JobRepo,
    ledger::LedgerRepo,
    number::{NumberRepo, PortRepo},
    saga::SagaRepo,
    store::{StoreError, TenantTx},
    subaccount::SubaccountRepo,
    tenant::TenantRepo,
    trunk::TrunkRepo,
    usage::UsageRepo,
};

/// An open transaction. Dropped = rolled back.
pub(super) enum Tx {
    #[cfg(feature = "sqlite")]
    Sqlite(super::sqlite::Unit),
    #[cfg(feature = "postgres")]
    Postgres(sqlx::Transaction<'static, sqlx::Postgres>),
    /// A connection that looks and does not write: each statement sees what is committed by then.
    #[cfg(feature = "postgres")]
    PostgresReading(sqlx::pool::PoolConnection<sqlx::Postgres>),
}

impl Tx {
    /// Makes it all true.
    pub(super) async fn commit(self) -> Result<(), StoreError> {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(unit) => unit.commit().await,
            #[cfg(feature = "postgres")]
            Self::PostgresReading(_) => Ok(()),
            #[cfg(feature = "postgres")]
            Self::Postgres(tx) => tx
                .commit()
                .await
                .map_err(|error| super::error::failed("commit", error)),
        }
    }
}

/// A unit of work within one tenant. It is every repository of that tenant itself.
pub(super) struct TenantUnit {
    pub(super) tx: Tx,
    pub(super) tenant: Uuid,
}

/// A unit of work across tenants.
pub(super) struct SystemUnit {
    pub(super) tx: Tx,
}

impl fmt::Debug for TenantUnit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TenantUnit")
            .field("tenant", &self.tenant)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for SystemUnit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SystemUnit").finish_non_exhaustive()
    }
}

#[async_trait]
impl TenantTx for TenantUnit {
    fn tenant(&mut self) -> &mut dyn TenantRepo {
        self
    }

    fn entitlements(&mut self) -> &mut dyn EntitlementRepo {
        self
    }

    fn usage(&mut self) -> &mut dyn UsageRepo {
        self
    }

    fn api_keys(&mut self) -> &mut dyn ApiKeyRepo {
        self
    }

    fn numbers(&mut self) -> &mut dyn NumberRepo {
        self
    }

    fn subaccounts(&mut self) -> &mut dyn SubaccountRepo {
        self
    }

    fn ports(&mut self) -> &mut dyn PortRepo {
        self
    }

    fn trunks(&mut self) -> &mut dyn TrunkRepo {
        self
    }

    fn agents(&mut self) -> &mut dyn AgentRepo {
        self
    }

    fn calls(&mut self) -> &mut dyn CallRepo {
        self
    }

    fn ledger(&mut self) -> &mut dyn LedgerRepo {
        self
    }

    fn sagas(&mut self) -> &mut dyn SagaRepo {
        self
    }

    fn jobs(&mut self) -> &mut dyn JobRepo {
        self
    }

    fn outbox(&mut self) -> &mut dyn Outbox {
        self
    }

    fn idempotency(&mut self) -> &mut dyn IdempotencyRepo {
        self
    }

    async fn commit(self: Box<Self>) -> Result<(), StoreError> {
        self.tx.commit().await
    }
}
