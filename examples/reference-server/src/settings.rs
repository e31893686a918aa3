//! What can be set, by environment, by flag, or by the same keys in a TOML file.

use std::{
    net::SocketAddr,
    num::{NonZeroU16, NonZeroU32},
    path::PathBuf,
    time::Duration,
};

use clap::Args;
use secrecy::SecretString;
use serde::Deserialize;
use url::Url;

macro_rules! settings {
    ($($(#[$doc:meta])* $field:ident: $type:ty = $env:literal,)*) => {
        /// Every setting, as far as it was given. Flags win over the environment, and both over the file.
        #[derive(Debug, Default, Clone, Args, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub(crate) struct Settings {
            $(
                $(#[$doc])*
                #[arg(long, env = $env, hide_env_values = true, global = true)]
                #[serde(alias = $env)]
                pub(crate) $field: Option<$type>,
            )*
        }

        impl Settings {
            /// These settings, and where they leave something open, those.
            pub(crate) fn or(self, file: Self) -> Self {
                Self { $($field: self.$field.or(file.$field),)* }
            }
        }
    };
}

settings! {
    /// Where the server listens [default: 127.0.0.1:8080]
    bind_addr: SocketAddr = "BIND_ADDR",
    /// What providers call [default: made from the address above]
    public_url: Url = "PUBLIC_URL",
    /// `sqlite:FILE`, `sqlite::memory:` or `postgres://…` [default: sqlite:voice-saas.db]
    database_url: SecretString = "DATABASE_URL",
    /// Signs tokens; at least 32 characters [default mode: made and kept beside the database]
    secret_key: SecretString = "SECRET_KEY",
    /// The operators' credential [default mode: made and kept beside the database]
    operator_token: SecretString = "OPERATOR_TOKEN",
    /// Origins that browsers may call from, separated by commas
    cors_origins: String = "CORS_ORIGINS",
    /// How calls reach their agents: `bridge` or `register_call` [default: bridge]
    voice_attach: String = "VOICE_ATTACH",
    /// A plan catalogue in place of the built-in one
    plans_file: PathBuf = "PLANS_FILE",
    /// A rate table in place of the built-in one
    rates_file: PathBuf = "RATES_FILE",
    /// Whether this process runs jobs: `on`, `off` or `only` [default: on]
    worker: String = "WORKER",
    /// How long after a crash another worker takes a job over [default: 30]
    job_lease_seconds: NonZeroU16 = "JOB_LEASE_SECONDS",
    /// How long a number that is given back is kept out of service before [default: not at all]
    number_quarantine_hours: NonZeroU32 = "NUMBER_QUARANTINE_HOURS",
    /// How often what exists at providers is compared with the database [default: when an operator asks for it]
    reconcile_every_hours: NonZeroU32 = "RECONCILE_EVERY_HOURS",
    /// Where the built-in emulator listens [default: 127.0.0.1:8089]
    emulator_addr: SocketAddr = "EMULATOR_ADDR",
    /// An emulator that runs elsewhere
    emulator_url: Url = "EMULATOR_URL",
    /// Twilio: the account
    twilio_account_sid: String = "TWILIO_ACCOUNT_SID",
    /// Twilio: its auth token
    twilio_auth_token: SecretString = "TWILIO_AUTH_TOKEN",
    /// Twilio: another scheme, host and port
    twilio_base_url: Url = "TWILIO_BASE_URL",
    /// ElevenLabs: the key
    elevenlabs_api_key: SecretString = "ELEVENLABS_API_KEY",
    /// ElevenLabs: another scheme, host and port
    elevenlabs_base_url: Url = "ELEVENLABS_BASE_URL",
    /// ElevenLabs: the agent that serves all shared agents [default: found or made by name]
    elevenlabs_agent_id: String = "ELEVENLABS_AGENT_ID",
    /// ElevenLabs: signs post-call webhooks
    elevenlabs_webhook_secret: SecretString = "ELEVENLABS_WEBHOOK_SECRET",
    /// LiveKit: the project or server, such as `wss://my-project.livekit.cloud`
    livekit_url: Url = "LIVEKIT_URL",
    /// LiveKit: the API key
    livekit_api_key: String = "LIVEKIT_API_KEY",
    /// LiveKit: its secret, which signs webhooks too
    livekit_api_secret: SecretString = "LIVEKIT_API_SECRET",
    /// LiveKit: where carriers send calls, such as `abc123.sip.livekit.cloud`
    livekit_sip_host: String = "LIVEKIT_SIP_HOST",
    /// LiveKit: the agent that answers calls of numbers with a SIP trunk [default: voice-agent]
    livekit_agent_name: String = "LIVEKIT_AGENT_NAME",
    /// LiveKit: where the carrier of calls out is kept: `inline` (it comes with each call) or `stored` [default: inline]
    livekit_outbound: String = "LIVEKIT_OUTBOUND",
    /// LiveKit: another address for requests
    livekit_base_url: Url = "LIVEKIT_BASE_URL",
    /// Knowlarity: the SR API key
    knowlarity_authorization: SecretString = "KNOWLARITY_AUTHORIZATION",
    /// Knowlarity: the application's access key
    knowlarity_api_key: SecretString = "KNOWLARITY_API_KEY",
    /// Knowlarity: the plan that numbers are taken from [default: numbers are imported only]
    knowlarity_plan_id: String = "KNOWLARITY_PLAN_ID",
    /// Knowlarity: ends the address of pushes, `…/webhooks/knowlarity/{secret}` [default: none are taken]
    knowlarity_webhook_secret: SecretString = "KNOWLARITY_WEBHOOK_SECRET",
    /// Knowlarity: another scheme, host and port
    knowlarity_base_url: Url = "KNOWLARITY_BASE_URL",
}

/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SettingsError {
    #[error("{path} cannot be read")]
    File {
        path: PathBuf,
        source: config::ConfigError,
    },
    #[error(
        "{provider} is half configured: {missing} is missing. Set it, or unset {given} to use the emulator"
    )]
    HalfConfigured {
        provider: &'static str,
        missing: &'static str,
        given: &'static str,
    },
    #[error("{setting} must be {expected}")]
    Value {
        setting: &'static str,
        expected: &'static str,
    },
    #[error("SECRET_KEY must be set once a real provider is configured: at least 32 random characters")]
    SecretKeyMissing,
}

impl Settings {
    /// Fills what flags and environment leave open from the file.
    pub(crate) fn with_file(self, path: Option<&PathBuf>) -> Result<Self, SettingsError> {
        let Some(path) = path else { return Ok(self) };
        let unreadable = |source| SettingsError::File {
            path: path.clone(),
            source,
        };
        let source = config::File::from(path.as_path()).format(config::FileFormat::Toml);
        let file = config::Config::builder()
            .add_source(source)
            .build()
            .map_err(unreadable)?;
        Ok(self.or(file.try_deserialize().map_err(unreadable)?))
    }

    /// The library's own settings, as far as they are set here.
    pub(crate) fn limits(&self) -> voice_saas_core::Settings {
        let hours = |hours: NonZeroU32| Duration::from_hours(hours.get().into());
        let mut limits = voice_saas_core::Settings::default();
        if let Some(seconds) = self.job_lease_seconds {
            limits.job_lease = Duration::from_secs(seconds.get().into());
        }
        limits.quarantine = self.number_quarantine_hours.map(hours);
        limits.reconcile_every = self.reconcile_every_hours.map(hours);
        limits
    }

    /// Whether this process serves, and whether it runs jobs.
    pub(crate) fn roles(&self) -> Result<Roles, SettingsError> {
        match self.worker.as_deref() {
            None | Some("on") => Ok(Roles {
                serves: true,
                works: true,
            }),
            Some("off") => Ok(Roles {
                serves: true,
                works: false,
            }),
            Some("only") => Ok(Roles {
                serves: false,
                works: true,
            }),
            Some(_) => Err(SettingsError::Value {
                setting: "WORKER",
                expected: "on, off or only",
            }),
        }
    }

    /// Where things are written.
    pub(crate) fn database_url(&self) -> SecretString {
        self.database_url
            .clone()
            .unwrap_or_else(|| "sqlite:voice-saas.db".into())
    }
}

/// What this process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Roles {
    pub(crate) serves: bool,
    pub(crate) works: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> Result<Settings, config::ConfigError> {
        let source = config::File::from_str(text, config::FileFormat::Toml);
        config::Config::builder()
            .add_source(source)
            .build()?
            .try_deserialize()
    }

    #[test]
    fn the_file_takes_the_same_keys_as_the_environment_in_either_case() {
        for text in ["WORKER = 'off'", "worker = 'off'"] {
            let settings = file(text).unwrap();
            assert_eq!(
                settings.roles().unwrap(),
                Roles {
                    serves: true,
                    works: false
                },
                "{text}"
            );
        }
    }

    #[test]
    fn a_misspelt_key_in_the_file_is_refused() {
        assert!(file("TWILIO_ACOUNT_SID = 'x'").is_err());
    }

    #[test]
    fn times_are_given_in_their_unit_and_left_alone_otherwise() {
        let limits = file("number_quarantine_hours = 48\njob_lease_seconds = 5")
            .unwrap()
            .limits();
        assert_eq!(limits.quarantine, Some(Duration::from_hours(48)));
        assert_eq!(limits.job_lease, Duration::from_secs(5));
        assert_eq!(limits.reconcile_every, None);
    }

    #[test]
    fn what_was_given_wins_over_the_file() {
        let given = Settings {
            worker: Some("only".to_owned()),
            ..Settings::default()
        };
        assert_eq!(
            given.or(file("WORKER = 'off'").unwrap()).worker.as_deref(),
            Some("only")
        );
    }

    #[test]
    fn secrets_are_not_printed() {
        let settings = Settings {
            secret_key: Some("hunter2".into()),
            ..Settings::default()
        };
        assert!(!format!("{settings:?}").contains("hunter2"));
    }
}
