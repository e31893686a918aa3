//! Phone numbers in E.164 form, and the countries that number them.
//!
//! ```
//! use voice_saas_core::phone::{Country, E164};
//!
//! let number = E164::read("(212) 555-0142", Country::US)?;
//! assert_eq!(number.as_str(), "+12125550142");
//! assert_eq!(format!("{number:?}"), "E164(+1******0142)"); // logs never show a whole number
//! # Ok::<(), voice_saas_core::phone::PhoneError>(())
//! ```

use std::{fmt, str::FromStr};

use rlibphonenumber::{PHONE_NUMBER_UTIL, PhoneNumberFormat, Region};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A phone number in E.164 form: a plus and seven to fifteen digits.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct E164(Box<str>);

/// Why a text is no phone number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PhoneError {
    /// Not of E.164 form.
    #[error("not an E.164 phone number: it must be a plus and seven to fifteen digits, such as +12125550142")]
    NotE164,
    /// Not readable as a number of that country.
    #[error("not a phone number that can be dialled in or from {0}")]
    Unreadable(Country),
    /// Not a two-letter country code with phone numbers of its own.
    #[error("not a country: use two letters, such as US")]
    UnknownCountry,
}

impl E164 {
    /// Reads what people write, as seen from `country`: national, international, with separators.
    ///
    /// # Errors
    /// `Unreadable` when no phone number of a possible length comes out.
    pub fn read(text: &str, country: Country) -> Result<Self, PhoneError> {
        let number = PHONE_NUMBER_UTIL
            .parse(text.trim(), Some(country.0))
            .map_err(|_| PhoneError::Unreadable(country))?;
        if number.is_possible_with_reason().is_err() {
            return Err(PhoneError::Unreadable(country));
        }
        number.format_as(PhoneNumberFormat::E164).parse()
    }

    /// The number with its plus.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The country that numbers it, when one is known.
    pub fn country(&self) -> Option<Country> {
        PHONE_NUMBER_UTIL
            .parse(self.as_str(), None)
            .ok()?
            .get_region_code()
            .map(Country)
    }

    /// The number with its middle hidden, for logs: `+1******0142`.
    pub fn masked(&self) -> String {
        let (head, tail) = (&self.0[..2], &self.0[self.0.len() - 4..]);
        format!("{head}{}{tail}", "*".repeat(self.0.len() - 6))
    }
}

impl FromStr for E164 {
    type Err = PhoneError;

    fn from_str(text: &str) -> Result<Self, PhoneError> {
        let digits = text.strip_prefix('+').ok_or(PhoneError::NotE164)?;
        let right = (7..=15).contains(&digits.len())
            && digits.bytes().all(|b| b.is_ascii_digit())
            && !digits.starts_with('0');
        if right {
            Ok(Self(text.into()))
        } else {
            Err(PhoneError::NotE164)
        }
    }
}

impl fmt::Display for E164 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for E164 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "E164({})", self.masked())
    }
}

impl Serialize for E164 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for E164 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

/// A country by its two letters (ISO 3166-1 alpha-2).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Country(Region);

impl Country {
    /// The United States.
    pub const US: Self = Self(Region::US);

    /// What its numbers begin with in E.164 form: a plus and one to three digits, such as `+1`.
    pub fn calling_code(self) -> Option<String> {
        let code = PHONE_NUMBER_UTIL.get_country_code_for_region(self.0)?;
        Some(format!("+{code}"))
    }

    /// The two letters, in upper case.
    pub fn code(self) -> String {
        self.0.to_string()
    }
}

impl FromStr for Country {
    type Err = PhoneError;

    fn from_str(text: &str) -> Result<Self, PhoneError> {
        let text = text.trim();
        if text.len() != 2 || !text.bytes().all(|b| b.is_ascii_alphabetic()) {
            return Err(PhoneError::UnknownCountry);
        }
        let region = Region::from_str(&text.to_ascii_uppercase()).map_err(|_| PhoneError::UnknownCountry)?;
        Ok(Self(region))
    }
}

impl fmt::Display for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.code())
    }
}

impl fmt::Debug for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Country({self})")
    }
}

impl Serialize for Country {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Country {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write_becomes_e164() {
        let india: Country = "in".parse().unwrap();
        for (text, country, e164) in [
            ("212-555-0142", Country::US, "+12125550142"),
            ("+44 20 7946 0958", Country::US, "+442079460958"),
            ("098765 43210", india, "+919876543210"),
        ] {
            assert_eq!(E164::read(text, country).unwrap().as_str(), e164, "{text}");
        }
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for text in ["", "call me", "12", "+", "999999999999999999999"] {
            assert!(E164::read(text, Country::US).is_err(), "{text}");
        }
        for text in [
            "12125550142",
            "+1 212",
            "+0212555014",
            "+1212555014a",
            "anonymous",
        ] {
            assert_eq!(text.parse::<E164>(), Err(PhoneError::NotE164), "{text}");
        }
    }

    #[test]
    fn a_number_knows_its_country() {
        let number: E164 = "+442079460958".parse().unwrap();
        assert_eq!(number.country().unwrap().code(), "GB");
        assert_eq!(number.country().unwrap().calling_code().unwrap(), "+44");
        assert_eq!(Country::US.calling_code().unwrap(), "+1");
        assert!("XX1".parse::<Country>().is_err());
    }
}
