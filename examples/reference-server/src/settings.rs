//! What can be set, by environment, by flag, or by the same keys in a TOML file.

use std::{net::SocketAddr, path::PathBuf};

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
    /// A rate table in place of the built-in one
    rates_file: PathBuf = "RATES_FILE",
    /// Whether this process runs jobs: `on`, `off` or `only` [default: on]
    worker: String = "WORKER",
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

    /// Twilio's credentials, when it is configured.
    pub(crate) fn twilio(&self) -> Result<Option<(&str, &SecretString)>, SettingsError> {
        match (&self.twilio_account_sid, &self.twilio_auth_token) {
            (Some(sid), Some(token)) => Ok(Some((sid, token))),
            (None, None) => Ok(None),
            (Some(_), None) => Err(half("Twilio", "TWILIO_AUTH_TOKEN", "TWILIO_ACCOUNT_SID")),
            (None, Some(_)) => Err(half("Twilio", "TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN")),
        }
    }

    /// ElevenLabs' key and webhook secret, when it is configured.
    pub(crate) fn elevenlabs(&self) -> Result<Option<(&SecretString, &SecretString)>, SettingsError> {
        match (&self.elevenlabs_api_key, &self.elevenlabs_webhook_secret) {
            (Some(key), Some(secret)) => Ok(Some((key, secret))),
            (None, None) => Ok(None),
            (Some(_), None) => Err(half(
                "ElevenLabs",
                "ELEVENLABS_WEBHOOK_SECRET",
                "ELEVENLABS_API_KEY",
            )),
            (None, Some(_)) => Err(half(
                "ElevenLabs",
                "ELEVENLABS_API_KEY",
                "ELEVENLABS_WEBHOOK_SECRET",
            )),
        }
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

fn half(provider: &'static str, missing: &'static str, given: &'static str) -> SettingsError {
    SettingsError::HalfConfigured {
        provider,
        missing,
        given,
    }
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
    fn a_half_configured_provider_names_what_is_missing() {
        let settings = Settings {
            twilio_account_sid: Some("AC1".to_owned()),
            ..Settings::default()
        };
        let error = settings.twilio().unwrap_err().to_string();
        assert!(error.contains("TWILIO_AUTH_TOKEN is missing"), "{error}");
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
