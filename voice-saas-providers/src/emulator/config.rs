//! How an emulator is set up.

use std::net::SocketAddr;
use std::path::PathBuf;

use secrecy::SecretString;
use url::Url;

use super::id;

/// Where the emulator listens, and the credentials it accepts.
///
/// Credentials that are not given are made afresh, in the providers' real shapes.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct EmulatorConfig {
    pub(super) listen: SocketAddr,
    pub(super) recordings: PathBuf,
    pub(super) post_call_url: Option<Url>,
    pub(super) twilio_account_sid: String,
    pub(super) twilio_auth_token: SecretString,
    pub(super) elevenlabs_api_key: SecretString,
    pub(super) elevenlabs_webhook_secret: SecretString,
    pub(super) knowlarity_authorization: SecretString,
    pub(super) knowlarity_api_key: SecretString,
    pub(super) livekit_api_key: String,
    pub(super) livekit_api_secret: SecretString,
    pub(super) stripe_secret_key: SecretString,
    pub(super) stripe_webhook_secret: SecretString,
}

impl EmulatorConfig {
    /// An emulator on this address; port 0 takes a free one.
    #[must_use]
    pub fn new(listen: SocketAddr) -> Self {
        Self {
            listen,
            recordings: std::env::temp_dir()
                .join("voice-saas-emulator")
                .join("recordings"),
            post_call_url: None,
            twilio_account_sid: id::sid("AC"),
            twilio_auth_token: id::hex(32).into(),
            elevenlabs_api_key: format!("sk_{}", id::hex(48)).into(),
            elevenlabs_webhook_secret: format!("wsec_{}", id::hex(64)).into(),
            knowlarity_authorization: id::uuid().into(),
            knowlarity_api_key: id::hex(40).into(),
            livekit_api_key: format!("API{}", id::hex(12)),
            livekit_api_secret: id::hex(44).into(),
            stripe_secret_key: format!("sk_test_{}", id::hex(48)).into(),
            stripe_webhook_secret: format!("whsec_{}", id::hex(32)).into(),
        }
    }

    /// The folder for what callers heard; made when the first call ends. Default: `voice-saas-emulator/recordings`
    /// in the folder for temporary files.
    #[must_use]
    pub fn with_recordings(mut self, folder: impl Into<PathBuf>) -> Self {
        self.recordings = folder.into();
        self
    }

    /// The account that owns every number and call.
    #[must_use]
    pub fn with_twilio(mut self, account_sid: impl Into<String>, auth_token: SecretString) -> Self {
        self.twilio_account_sid = account_sid.into();
        self.twilio_auth_token = auth_token;
        self
    }

    /// The key of the agents workspace, and the secret that signs its post-call webhooks.
    #[must_use]
    pub fn with_elevenlabs(mut self, api_key: SecretString, webhook_secret: SecretString) -> Self {
        self.elevenlabs_api_key = api_key;
        self.elevenlabs_webhook_secret = webhook_secret;
        self
    }

    /// The SR API key of the Knowlarity account, and the application's access key.
    #[must_use]
    pub fn with_knowlarity(mut self, authorization: SecretString, api_key: SecretString) -> Self {
        self.knowlarity_authorization = authorization;
        self.knowlarity_api_key = api_key;
        self
    }

    /// The key of the LiveKit project and its secret, which sign its webhooks too.
    #[must_use]
    pub fn with_livekit(mut self, api_key: impl Into<String>, api_secret: SecretString) -> Self {
        self.livekit_api_key = api_key.into();
        self.livekit_api_secret = api_secret;
        self
    }

    /// The secret key of the Stripe account, and the secret that signs its webhooks.
    #[must_use]
    pub fn with_stripe(mut self, secret_key: SecretString, webhook_secret: SecretString) -> Self {
        self.stripe_secret_key = secret_key;
        self.stripe_webhook_secret = webhook_secret;
        self
    }

    /// Where post-call webhooks go when neither the agent nor the workspace names a webhook.
    #[must_use]
    pub fn with_post_call_url(mut self, url: Url) -> Self {
        self.post_call_url = Some(url);
        self
    }
}
