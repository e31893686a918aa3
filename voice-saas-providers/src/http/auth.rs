//! How requests prove who sends them.

use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use voice_saas_core::secret::{ExposeSecret, SecretString};

/// What is added to every request to prove who sends it.
pub(crate) enum Auth {
    /// Nothing.
    None,
    /// User name and password (RFC 7617).
    Basic { user: String, password: SecretString },
    /// A header of the provider's own.
    Header { name: HeaderName, value: SecretString },
    /// Several headers of the provider's own.
    Headers(Vec<(HeaderName, SecretString)>),
}

impl Auth {
    /// The headers, marked as sensitive; `None` when a value cannot be a header.
    pub(super) fn headers(&self) -> Option<HeaderMap> {
        let secret = |value: &str| {
            let mut value = HeaderValue::try_from(value).ok()?;
            value.set_sensitive(true);
            Some(value)
        };
        match self {
            Self::None => Some(HeaderMap::new()),
            Self::Basic { user, password } => {
                let pair = STANDARD.encode(format!("{user}:{}", password.expose_secret()));
                let value = secret(&format!("Basic {pair}"))?;
                Some(HeaderMap::from_iter([(header::AUTHORIZATION, value)]))
            }
            Self::Header { name, value } => Some(HeaderMap::from_iter([(
                name.clone(),
                secret(value.expose_secret())?,
            )])),
            Self::Headers(headers) => headers
                .iter()
                .map(|(name, value)| Some((name.clone(), secret(value.expose_secret())?)))
                .collect(),
        }
    }
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Basic { user, .. } => f
                .debug_struct("Basic")
                .field("user", user)
                .finish_non_exhaustive(),
            Self::Header { name, .. } => f
                .debug_struct("Header")
                .field("name", name)
                .finish_non_exhaustive(),
            Self::Headers(headers) => f
                .debug_set()
                .entries(headers.iter().map(|(name, _)| name))
                .finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> [Auth; 3] {
        [
            Auth::Basic {
                user: "AC1".into(),
                password: "hunter2".into(),
            },
            Auth::Header {
                name: HeaderName::from_static("xi-api-key"),
                value: "hunter2".into(),
            },
            Auth::Headers(vec![
                (header::AUTHORIZATION, "hunter2".into()),
                (HeaderName::from_static("x-api-key"), "hunter2".into()),
            ]),
        ]
    }

    #[test]
    fn secrets_do_not_print() {
        for auth in all() {
            let headers = auth.headers().unwrap();
            let printed = format!("{auth:?} {headers:?}");
            assert!(!printed.contains("hunter2"), "{printed}");
            assert!(!printed.contains(&STANDARD.encode("AC1:hunter2")), "{printed}");
        }
    }

    #[test]
    fn basic_is_base64_of_user_and_password() {
        let [basic, header, several] = all();
        assert_eq!(
            basic.headers().unwrap()["authorization"],
            "Basic QUMxOmh1bnRlcjI="
        );
        assert_eq!(header.headers().unwrap()["xi-api-key"], "hunter2");
        let several = several.headers().unwrap();
        assert_eq!(
            (&several["authorization"], &several["x-api-key"]),
            (&"hunter2".parse().unwrap(), &"hunter2".parse().unwrap())
        );
        assert!(Auth::None.headers().unwrap().is_empty());
    }

    #[test]
    fn a_secret_with_a_line_break_is_refused() {
        let auth = Auth::Header {
            name: HeaderName::from_static("xi-api-key"),
            value: "hunter2\n".into(),
        };
        assert!(auth.headers().is_none());
    }
}
