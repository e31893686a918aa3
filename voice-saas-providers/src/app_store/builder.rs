//! Putting the adapter together.

use std::{fmt, time::Duration};

use url::Url;
use voice_saas_core::{
    clock::Ambient,
    provider::{ErrorKind, ProviderError, app_store::StoreEnvironment},
};

use super::{ApiKey, Apple, NAME, api, jws::Chain, token::Signer};
use crate::http::{Client, RetryPolicy};

/// `Apple Root CA - G3`, from `apple.com/certificateauthority`.
pub(super) const APPLE_ROOT: &[u8] = include_bytes!("AppleRootCA-G3.cer");
const PRODUCTION: &str = "https://api.storekit.apple.com";
const SANDBOX: &str = "https://api.storekit-sandbox.apple.com";

/// Builds an [`Apple`].
pub struct AppleBuilder {
    bundle_id: String,
    app_id: Option<u64>,
    key: ApiKey,
    accepted: Vec<StoreEnvironment>,
    root: Vec<u8>,
    urls: Option<(Url, Url)>,
    retry: RetryPolicy,
    concurrency: usize,
    ambient: Ambient,
}

impl fmt::Debug for AppleBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AppleBuilder")
            .field("bundle_id", &self.bundle_id)
            .field("app_id", &self.app_id)
            .field("key", &self.key)
            .field("accepted", &self.accepted)
            .field("retry", &self.retry)
            .finish_non_exhaustive()
    }
}

impl AppleBuilder {
    pub(super) fn new(bundle_id: String, key: ApiKey) -> Self {
        Self {
            bundle_id,
            app_id: None,
            key,
            accepted: vec![StoreEnvironment::Production],
            root: APPLE_ROOT.to_vec(),
            urls: None,
            retry: RetryPolicy::default(),
            concurrency: 10,
            ambient: Ambient::system(),
        }
    }

    /// The app's number at Apple, which notifications from production name. Required unless only the sandbox is
    /// accepted.
    #[must_use]
    pub fn with_app_id(mut self, app_id: u64) -> Self {
        self.app_id = Some(app_id);
        self
    }

    /// Believes what these environments sign. By default production alone: in the sandbox plans cost nothing. Apple's
    /// reviewers and `TestFlight` buy there.
    #[must_use]
    pub fn with_environments(mut self, accepted: impl IntoIterator<Item = StoreEnvironment>) -> Self {
        self.accepted = accepted.into_iter().collect();
        self
    }

    /// Trusts this root (a certificate in DER) in place of Apple's: whoever has its key can sign any purchase. For tests
    /// and for the emulator.
    #[must_use]
    pub fn with_root(mut self, root: impl Into<Vec<u8>>) -> Self {
        self.root = root.into();
        self
    }

    /// Asks these servers in place of Apple's: production, sandbox.
    #[must_use]
    pub fn with_base_urls(mut self, production: Url, sandbox: Url) -> Self {
        self.urls = Some((production, sandbox));
        self
    }

    /// When requests are sent again.
    #[must_use]
    pub fn with_retry(mut self, retry: RetryPolicy) -> Self {
        self.retry = retry;
        self
    }

    /// How many requests may be under way at a time, in each environment, by default 10.
    #[must_use]
    pub fn with_concurrency(mut self, requests: usize) -> Self {
        self.concurrency = requests;
        self
    }

    /// Takes the time from here: tokens begin then, and a text that does not say when it was signed is judged by it.
    #[must_use]
    pub fn with_ambient(mut self, ambient: Ambient) -> Self {
        self.ambient = ambient;
        self
    }

    /// Puts it together, without asking the network.
    ///
    /// # Errors
    /// `Invalid` when the bundle id is empty, the app's number is missing where it is needed, the key or the root cannot
    /// be read, or a base URL is none.
    pub fn build(self) -> Result<Apple, ProviderError> {
        let wrong =
            |detail| ProviderError::new(NAME, "be configured", ErrorKind::Invalid).with_detail(detail);
        if self.bundle_id.is_empty() {
            return Err(wrong("the bundle id is empty"));
        }
        if self.accepted.is_empty() {
            return Err(wrong("no environment is accepted"));
        }
        if self.accepted.contains(&StoreEnvironment::Production) && self.app_id.is_none() {
            return Err(wrong("the app's number is missing, which production needs"));
        }
        let signer = Signer::new(self.key, self.bundle_id.clone())
            .ok_or_else(|| wrong("the private key is no P-256 key in PKCS #8, as a .p8 file holds it"))?;
        let chain = Chain::new(&self.root).ok_or_else(|| wrong("the root is no certificate in DER"))?;
        let apples = |url: &str| Url::parse(url).map_err(|_| wrong("a base URL is none"));
        let (production, sandbox) = match self.urls {
            Some(urls) => urls,
            None => (apples(PRODUCTION)?, apples(SANDBOX)?),
        };
        let client = |url| {
            Client::builder(NAME, url)
                .with_retry(self.retry)
                .with_timeout(Duration::from_secs(10))
                .with_concurrency(self.concurrency)
                .with_classifier(api::classify)
                .build()
        };
        Ok(Apple {
            bundle_id: self.bundle_id,
            app_id: self.app_id,
            accepted: self.accepted,
            chain,
            signer,
            production: client(production)?,
            sandbox: client(sandbox)?,
            ambient: self.ambient,
        })
    }
}
