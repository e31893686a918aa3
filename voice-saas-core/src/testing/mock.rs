//! Mocks of the ports, for injecting one failure or for proving that a call is made once or never. For anything
//! that keeps state, use the emulator.
//!
//! ```
//! use voice_saas_core::{
//!     provider::{
//!         ErrorKind, ProviderError, ProviderName,
//!         telephony::{CallProvider, ProviderCallId},
//!     },
//!     testing::mock::MockCallProvider,
//! };
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let mut calls = MockCallProvider::new();
//! calls.expect_hang_up().once().returning(|_| {
//!     Err(ProviderError::new(ProviderName::new("twilio"), "hang up", ErrorKind::TimedOut))
//! });
//! assert!(calls.hang_up(&ProviderCallId::new("CA1")).await.is_err());
//! # }
//! ```

use async_trait::async_trait;

use crate::{
    event::{DomainEvent, EventSink},
    id::TenantId,
    provider::{
        ProviderError,
        telephony::{CallProvider, ProviderCall, ProviderCallId, Removal},
    },
};

mockall::mock! {
    /// Single calls at a carrier.
    #[derive(Debug)]
    pub CallProvider {}

    #[async_trait]
    impl CallProvider for CallProvider {
        async fn fetch(&self, id: &ProviderCallId) -> Result<ProviderCall, ProviderError>;
        async fn hang_up(&self, id: &ProviderCallId) -> Result<Removal, ProviderError>;
    }
}

mockall::mock! {
    /// Who wants to know.
    #[derive(Debug)]
    pub EventSink {}

    #[async_trait]
    impl EventSink for EventSink {
        async fn deliver(
            &self,
            tenant: TenantId,
            event: &DomainEvent,
        ) -> Result<(), Box<dyn std::error::Error + Send + Sync>>;
    }
}
