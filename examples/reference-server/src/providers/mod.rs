//! The providers: real where credentials are set, emulated where not. One file each.

mod elevenlabs;
mod emulated;
mod knowlarity;
mod livekit;
mod twilio;

use url::Url;
use voice_saas_core::{VoiceSaasBuilder, trunk::SipMedia};
use voice_saas_providers::emulator::Emulator;

pub(crate) use self::emulated::start as start_emulator;
use self::{
    elevenlabs::ElevenLabsKeys, emulated::Emulated, knowlarity::KnowlarityKeys, livekit::LiveKitKeys,
    twilio::TwilioKeys,
};
use crate::{
    Failure,
    settings::{Settings, SettingsError},
};

/// What opens one provider, from the settings or from the emulator.
trait Keys: Sized {
    /// The provider, for people.
    const NAME: &'static str;

    /// Those that are set; `None` = it is emulated.
    fn given(settings: &Settings) -> Result<Option<Self>, SettingsError>;

    /// The emulator's own.
    fn emulated(emulator: &Emulated) -> Result<Self, serde_json::Error>;

    /// Where the emulator is told what to call, and what that is; at the real provider, that is set by hand.
    fn report(&self, public_url: &Url) -> Option<(&'static str, Url)>;

    /// Gives the library the adapter. `emulator`: where it is, if it plays this provider.
    fn add_to(
        self,
        builder: VoiceSaasBuilder,
        settings: &Settings,
        emulator: Option<&Url>,
        public_url: &Url,
    ) -> Result<VoiceSaasBuilder, Failure>;
}

/// One provider: what opens it, and where the emulator is, if that plays it.
#[derive(Debug, Clone)]
struct Provider<K> {
    keys: K,
    emulator: Option<Url>,
}

impl<K: Keys + Clone> Provider<K> {
    fn new(given: Option<K>, emulated: Option<&Emulated>) -> Result<Self, Failure> {
        if let Some(keys) = given {
            return Ok(Self { keys, emulator: None });
        }
        let emulated = emulated.ok_or("no emulator runs")?;
        let keys = K::emulated(emulated)
            .map_err(|error| format!("the emulator has no credentials for {}: {error}", K::NAME))?;
        Ok(Self {
            keys,
            emulator: Some(emulated.url.clone()),
        })
    }

    fn is_real(&self) -> bool {
        self.emulator.is_none()
    }

    async fn report_to(&self, public_url: &Url) -> Result<(), Failure> {
        match (&self.emulator, self.keys.report(public_url)) {
            (Some(emulator), Some((control, url))) => emulated::report(emulator, control, &url).await,
            _ => Ok(()),
        }
    }

    fn add_to(
        &self,
        builder: VoiceSaasBuilder,
        settings: &Settings,
        public_url: &Url,
    ) -> Result<VoiceSaasBuilder, Failure> {
        let keys = self.keys.clone();
        keys.add_to(builder, settings, self.emulator.as_ref(), public_url)
    }
}

/// Every provider, and the emulator of those that are not real.
#[derive(Debug)]
pub(crate) struct Providers {
    twilio: Provider<TwilioKeys>,
    elevenlabs: Provider<ElevenLabsKeys>,
    livekit: Provider<LiveKitKeys>,
    knowlarity: Provider<KnowlarityKeys>,
    /// Where the emulated providers are, if any is emulated.
    pub(crate) emulator_url: Option<Url>,
    /// The emulator, when this process runs it.
    pub(crate) emulator: Option<Emulator>,
}

/// Whether any provider is real.
///
/// # Errors
/// One is half configured.
pub(crate) fn any_is_real(settings: &Settings) -> Result<bool, SettingsError> {
    Ok(TwilioKeys::given(settings)?.is_some()
        || ElevenLabsKeys::given(settings)?.is_some()
        || LiveKitKeys::given(settings)?.is_some()
        || KnowlarityKeys::given(settings)?.is_some())
}

impl Providers {
    /// Starts or finds the emulator, if any provider needs it.
    pub(crate) async fn new(settings: &Settings) -> Result<Self, Failure> {
        let twilio = TwilioKeys::given(settings)?;
        let elevenlabs = ElevenLabsKeys::given(settings)?;
        let livekit = LiveKitKeys::given(settings)?;
        let knowlarity = KnowlarityKeys::given(settings)?;
        let all_real = twilio.is_some() && elevenlabs.is_some() && livekit.is_some() && knowlarity.is_some();
        let mut emulated = if all_real {
            None
        } else {
            Some(Emulated::find_or_start(settings).await?)
        };
        Ok(Self {
            twilio: Provider::new(twilio, emulated.as_ref())?,
            elevenlabs: Provider::new(elevenlabs, emulated.as_ref())?,
            livekit: Provider::new(livekit, emulated.as_ref())?,
            knowlarity: Provider::new(knowlarity, emulated.as_ref())?,
            emulator_url: emulated.as_ref().map(|emulated| emulated.url.clone()),
            emulator: emulated.as_mut().and_then(|emulated| emulated.here.take()),
        })
    }

    /// Each provider's name, and whether it is real.
    pub(crate) fn kinds(&self) -> [(&'static str, bool); 4] {
        [
            (TwilioKeys::NAME, self.twilio.is_real()),
            (ElevenLabsKeys::NAME, self.elevenlabs.is_real()),
            (LiveKitKeys::NAME, self.livekit.is_real()),
            (KnowlarityKeys::NAME, self.knowlarity.is_real()),
        ]
    }

    /// Where calls go by SIP, for those who ask for a trunk. None where only one end of it would be real: a real
    /// number's calls are not sent to an emulated room.
    pub(crate) fn sip(&self, settings: &Settings) -> Option<SipMedia> {
        let agent = settings.livekit_agent_name.as_deref();
        (self.twilio.is_real() == self.livekit.is_real()).then(|| self.livekit.keys.sip(agent))
    }

    /// Tells the emulator where to report.
    pub(crate) async fn report_to(&self, public_url: &Url) -> Result<(), Failure> {
        self.twilio.report_to(public_url).await?;
        self.elevenlabs.report_to(public_url).await?;
        self.livekit.report_to(public_url).await?;
        self.knowlarity.report_to(public_url).await
    }

    /// Gives the library its providers. Numbers are bought from the first carrier unless a request names another.
    pub(crate) fn add_to(
        &self,
        builder: VoiceSaasBuilder,
        settings: &Settings,
        public_url: &Url,
    ) -> Result<VoiceSaasBuilder, Failure> {
        let builder = self.twilio.add_to(builder, settings, public_url)?;
        let builder = self.livekit.add_to(builder, settings, public_url)?;
        let builder = self.knowlarity.add_to(builder, settings, public_url)?;
        self.elevenlabs.add_to(builder, settings, public_url)
    }
}

/// Where providers reach us.
fn webhook(public_url: &Url, path: &str) -> Url {
    let mut url = public_url.clone();
    let base = public_url.path().trim_end_matches('/');
    url.set_path(&format!("{base}/webhooks/{path}"));
    url
}

/// Whether all of a provider's settings are given, or none is.
///
/// # Errors
/// Some are and some are not.
fn complete(provider: &'static str, settings: &[(&'static str, bool)]) -> Result<bool, SettingsError> {
    let find = |given| {
        settings
            .iter()
            .find(|setting| setting.1 == given)
            .map(|setting| setting.0)
    };
    match (find(true), find(false)) {
        (Some(given), Some(missing)) => Err(SettingsError::HalfConfigured {
            provider,
            missing,
            given,
        }),
        (given, _) => Ok(given.is_some()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(settings: &Settings, missing: &str) {
        let error = any_is_real(settings).unwrap_err().to_string();
        assert!(error.contains(&format!("{missing} is missing")), "{error}");
    }

    #[test]
    fn a_half_configured_provider_names_what_is_missing() {
        refused(
            &Settings {
                twilio_account_sid: Some("AC1".to_owned()),
                ..Settings::default()
            },
            "TWILIO_AUTH_TOKEN",
        );
        refused(
            &Settings {
                elevenlabs_webhook_secret: Some("wsec".into()),
                ..Settings::default()
            },
            "ELEVENLABS_API_KEY",
        );
        refused(
            &Settings {
                livekit_url: Some("wss://p.livekit.cloud".parse().unwrap()),
                livekit_api_key: Some("API1".to_owned()),
                livekit_api_secret: Some("secret".into()),
                ..Settings::default()
            },
            "LIVEKIT_SIP_HOST",
        );
        refused(
            &Settings {
                knowlarity_api_key: Some("key".into()),
                ..Settings::default()
            },
            "KNOWLARITY_AUTHORIZATION",
        );
    }

    #[test]
    fn nothing_is_real_unless_its_credentials_are_given() {
        assert!(!any_is_real(&Settings::default()).unwrap());
        let knowlarity = Settings {
            knowlarity_authorization: Some("a".into()),
            knowlarity_api_key: Some("k".into()),
            ..Settings::default()
        };
        assert!(any_is_real(&knowlarity).unwrap());
    }

    #[tokio::test]
    async fn what_is_not_configured_is_emulated_and_a_trunk_needs_both_ends_of_one_kind() {
        let emulated = Settings {
            emulator_addr: Some("127.0.0.1:0".parse().unwrap()),
            ..Settings::default()
        };
        let providers = Providers::new(&emulated).await.unwrap();
        assert!(providers.kinds().iter().all(|(_, real)| !real));
        assert_eq!(providers.sip(&emulated).unwrap().provider, "livekit");

        let half = Settings {
            twilio_account_sid: Some("AC1".to_owned()),
            twilio_auth_token: Some("token".into()),
            ..emulated
        };
        let providers = Providers::new(&half).await.unwrap();
        assert_eq!(providers.kinds()[0], ("Twilio", true));
        assert_eq!(providers.sip(&half), None);
    }
}
