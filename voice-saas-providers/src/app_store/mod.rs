//! Apple's App Store: signed transactions and notifications, and the App Store Server API (version 1.21).
//!
//! What Apple signs is believed on its own: a chain of three certificates to Apple's root, with the marks that Apple puts
//! on certificates of this purpose, the app's bundle id, and the environment. Whether a certificate was revoked is not
//! asked for; validity is reckoned at the time of signing, so that kept transactions stay good.
//!
//! ```no_run
//! use voice_saas_core::provider::app_store::{AppStore, SignedDataError};
//! use voice_saas_providers::app_store::{ApiKey, Apple};
//!
//! let p8 = "-----BEGIN PRIVATE KEY-----…";
//! let key = ApiKey::new("57246542-96fe-1a63-e053-0824d011072a", "2X9R4HXF34", p8.into());
//! let apple = Apple::builder("com.example.app", key).with_app_id(1_234_567_890).build()?;
//! assert_eq!(apple.transaction("a.b.c"), Err(SignedDataError::Malformed("its header is not base64url")));
//! # Ok::<(), voice_saas_core::provider::ProviderError>(())
//! ```

mod api;
mod builder;
mod claims;
mod jws;
mod read;
#[cfg(test)]
mod tests;
mod token;

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::Value;
use uuid::Uuid;
use voice_saas_core::{
    clock::Ambient,
    provider::{
        ProviderError, ProviderName,
        app_store::{
            AppStore, OriginalTransactionId, SignedDataError, StoreEnvironment, StoreNotification,
            StoreSubscription, StoreTransaction, TransactionId,
        },
        telephony::ProviderPage,
    },
};

use self::{claims::Claims, jws::Chain, token::Signer};
use crate::http::Client;

pub use builder::AppleBuilder;
pub use token::ApiKey;

/// The name under which everything of the App Store's is kept.
pub const NAME: ProviderName = ProviderName::new("app_store");

/// One app in Apple's App Store.
///
/// Cheap to clone; clones share connections and limits.
#[derive(Debug, Clone)]
pub struct Apple {
    bundle_id: String,
    app_id: Option<u64>,
    accepted: Vec<StoreEnvironment>,
    chain: Chain,
    signer: Signer,
    production: Client,
    sandbox: Client,
    ambient: Ambient,
}

impl Apple {
    /// The app with this bundle id, in production alone.
    pub fn builder(bundle_id: impl Into<String>, key: ApiKey) -> AppleBuilder {
        AppleBuilder::new(bundle_id.into(), key)
    }

    /// Checks any signed text of Apple's, a transaction, a renewal or a notification, and answers what it says, as
    /// JSON.
    ///
    /// # Errors
    /// `Malformed`, `Forged`, `WrongApp`, `WrongEnvironment`.
    pub fn verify(&self, signed: &str) -> Result<Value, SignedDataError> {
        Ok(self.claims(signed)?.into_json())
    }

    fn claims(&self, signed: &str) -> Result<Claims, SignedDataError> {
        let claims = self.chain.verify(signed, self.ambient.now())?;
        self.admit(&claims)?;
        Ok(claims)
    }

    /// Whether the text is about this app, in an environment that is accepted.
    fn admit(&self, claims: &Claims) -> Result<(), SignedDataError> {
        let place = claims.place();
        // A renewal names no app; it comes within a text that does.
        let names_app = place.bundle_id.is_some() || claims.is_notification();
        if names_app && place.bundle_id != Some(&*self.bundle_id) {
            return Err(SignedDataError::WrongApp);
        }
        let environment = place.environment.ok_or(SignedDataError::WrongEnvironment)?;
        if !self.accepted.contains(&environment) {
            return Err(SignedDataError::WrongEnvironment);
        }
        let is_live = environment == StoreEnvironment::Production;
        if is_live && claims.is_notification() && place.app_id != self.app_id {
            return Err(SignedDataError::WrongApp);
        }
        Ok(())
    }

    fn client(&self, environment: StoreEnvironment) -> &Client {
        match environment {
            StoreEnvironment::Production => &self.production,
            StoreEnvironment::Sandbox => &self.sandbox,
        }
    }
}

#[async_trait]
impl AppStore for Apple {
    fn name(&self) -> ProviderName {
        NAME
    }

    fn transaction(&self, signed: &str) -> Result<StoreTransaction, SignedDataError> {
        let claims = self.claims(signed.trim())?;
        // A renewal and a transaction look alike from outside.
        if claims.text("bundleId").is_none() {
            return Err(SignedDataError::WrongApp);
        }
        read::transaction(&claims)
    }

    fn notification(&self, body: &[u8]) -> Result<StoreNotification, SignedDataError> {
        let signed = read::payload(body)?;
        self.read_notification(&signed)
    }

    async fn subscriptions(
        &self,
        environment: StoreEnvironment,
        transaction: &TransactionId,
    ) -> Result<Vec<StoreSubscription>, ProviderError> {
        api::subscriptions(self, environment, transaction).await
    }

    async fn transactions(
        &self,
        environment: StoreEnvironment,
        transaction: &TransactionId,
        page: Option<&str>,
    ) -> Result<ProviderPage<StoreTransaction>, ProviderError> {
        api::transactions(self, environment, transaction, page).await
    }

    async fn notifications(
        &self,
        environment: StoreEnvironment,
        from: Timestamp,
        until: Timestamp,
        page: Option<&str>,
    ) -> Result<ProviderPage<StoreNotification>, ProviderError> {
        api::notifications(self, environment, (from, until), page).await
    }

    async fn set_account_token(
        &self,
        environment: StoreEnvironment,
        subscription: &OriginalTransactionId,
        token: Uuid,
    ) -> Result<(), ProviderError> {
        api::set_account_token(self, environment, subscription, token).await
    }
}
