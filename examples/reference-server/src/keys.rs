//! The service's own secrets in default mode: made once, and kept beside the database, readable by their owner.

use std::{
    fmt::Write as _,
    fs, io,
    io::Write as _,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use secrecy::{ExposeSecret, SecretString};
use voice_saas_core::{auth::SecretKey, clock::Ambient};

use crate::{
    Failure, providers,
    settings::{Settings, SettingsError},
};

/// Where the service's secrets come from.
#[derive(Debug)]
pub(crate) struct Keys {
    pub(crate) secret_key: SecretKey,
    pub(crate) operator_token: Option<SecretString>,
    /// The file in which the operators' credential lies, when it was made here.
    pub(crate) operator_token_file: Option<PathBuf>,
}

/// Takes the secrets that were set, and makes the others as far as default mode allows.
pub(crate) fn keys(settings: &Settings) -> Result<Keys, Failure> {
    let real = providers::any_is_real(settings)?;
    let beside = database_file(&settings.database_url());
    let secret_key = match &settings.secret_key {
        Some(key) => key.clone(),
        None if real => return Err(SettingsError::SecretKeyMissing.into()),
        None => match &beside {
            Some(database) => kept(&database.with_extension("key"))?,
            None => fresh(),
        },
    };
    let (operator_token, operator_token_file) = match (&settings.operator_token, &beside) {
        (Some(token), _) => (Some(token.clone()), None),
        (None, Some(database)) if !real => {
            let file = database.with_extension("operator-token");
            (Some(kept(&file)?), Some(file))
        }
        (None, _) => (None, None),
    };
    Ok(Keys {
        secret_key: SecretKey::new(secret_key.expose_secret().as_bytes())?,
        operator_token,
        operator_token_file,
    })
}

/// The file of an embedded database; none for one in memory or on a server.
fn database_file(url: &SecretString) -> Option<PathBuf> {
    let path = url
        .expose_secret()
        .strip_prefix("sqlite:")?
        .trim_start_matches("//");
    let path = path.split('?').next().unwrap_or(path);
    (path != ":memory:" && !path.is_empty()).then(|| PathBuf::from(path))
}

fn fresh() -> SecretString {
    let mut hex = String::with_capacity(64);
    for byte in Ambient::system().random::<32>() {
        let _ = write!(hex, "{byte:02x}");
    }
    hex.into()
}

fn kept(file: &Path) -> Result<SecretString, io::Error> {
    match fs::read_to_string(file) {
        Ok(text) => Ok(text.trim().into()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let secret = fresh();
            let mut out = fs::OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(file)?;
            writeln!(out, "{}", secret.expose_secret())?;
            Ok(secret)
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_secrets_lie_beside_a_database_file_and_nowhere_for_other_databases() {
        for (url, file) in [
            ("sqlite:voice-saas.db", Some("voice-saas.db")),
            ("sqlite:///var/lib/x.db?mode=rwc", Some("/var/lib/x.db")),
            ("sqlite::memory:", None),
            ("postgres://localhost/x", None),
        ] {
            assert_eq!(database_file(&url.into()), file.map(PathBuf::from), "{url}");
        }
    }

    #[test]
    fn a_real_provider_needs_a_secret_key_of_its_own() {
        let settings = Settings {
            twilio_account_sid: Some("AC1".to_owned()),
            twilio_auth_token: Some("token".into()),
            database_url: Some("sqlite::memory:".into()),
            ..Settings::default()
        };
        assert!(keys(&settings).unwrap_err().to_string().contains("SECRET_KEY"));
    }
}
