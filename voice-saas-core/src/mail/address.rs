//! E-mail addresses.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize};

use crate::auth::looks_like_email;

/// An address that mail may be sent to. It prints as its first letter and its domain.
#[derive(Clone, PartialEq, Eq, Hash, Serialize)]
pub struct EmailAddress(String);

/// A text that is no e-mail address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an e-mail address")]
pub struct NotAnAddress;

impl EmailAddress {
    /// Reads an address such as `jane@example.com`, without a name and without brackets.
    ///
    /// # Errors
    /// `NotAnAddress`; a line break is never part of one.
    pub fn parse(text: &str) -> Result<Self, NotAnAddress> {
        if looks_like_email(text) {
            Ok(Self(text.to_owned()))
        } else {
            Err(NotAnAddress)
        }
    }

    /// The whole address.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for EmailAddress {
    type Err = NotAnAddress;

    fn from_str(text: &str) -> Result<Self, NotAnAddress> {
        Self::parse(text)
    }
}

impl fmt::Debug for EmailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (local, domain) = self.0.split_once('@').unwrap_or_default();
        let first: String = local.chars().take(1).collect();
        write!(f, "{first}***@{domain}")
    }
}

impl<'de> Deserialize<'de> for EmailAddress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_one_line_and_one_address() {
        assert!(EmailAddress::parse("jane@example.com").is_ok());
        for wrong in [
            "",
            "jane",
            "Jane <jane@example.com>",
            "jane@example.com\r\nBcc: all@example.com",
            "jane@example.com, joe@example.com",
        ] {
            assert_eq!(EmailAddress::parse(wrong), Err(NotAnAddress), "{wrong}");
        }
    }

    #[test]
    fn logs_show_whose_mail_it_is_only_by_a_letter() {
        let address = EmailAddress::parse("jane@example.com").unwrap();
        assert_eq!(format!("{address:?}"), "j***@example.com");
    }
}
