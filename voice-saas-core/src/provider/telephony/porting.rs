//! Numbers that move in from other carriers.
//!
//! A port takes days to weeks and a person's signature, so it is a workflow and no call: an order is submitted once,
//! and its [`PortState`] is asked for until it is [final](PortState::is_final).

use std::fmt;

use async_trait::async_trait;
use jiff::{Timestamp, civil::Date};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::{NumberKind, Removal, opaque_ids};
use crate::{
    phone::{Country, E164},
    provider::ProviderError,
};

opaque_ids! {
    /// A carrier's id of a port, such as Twilio's `KW…` SID.
    PortRequestId;
}

/// Whether a number can move in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Portability {
    /// Whether it can.
    pub portable: bool,
    /// Why not, in the carrier's words.
    pub reason: Option<String>,
    /// Whether the losing carrier's PIN and account number are needed.
    pub pin_required: bool,
    /// Its kind, when the carrier knows it.
    pub kind: Option<NumberKind>,
}

impl Portability {
    /// A number that can move in, or for which no reason is given.
    pub fn new(portable: bool) -> Self {
        Self {
            portable,
            reason: None,
            pin_required: false,
            kind: None,
        }
    }

    /// Why not.
    #[must_use]
    pub fn with_reason(mut self, reason: Option<String>) -> Self {
        self.reason = reason;
        self
    }

    /// What else is known of it.
    #[must_use]
    pub fn with_terms(mut self, pin_required: bool, kind: Option<NumberKind>) -> Self {
        self.pin_required = pin_required;
        self.kind = kind;
        self
    }
}

/// A number to be moved, and what the losing carrier wants to hear.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PortNumber {
    /// The number.
    pub number: E164,
    /// The PIN that lets it go, where its carrier has one.
    pub pin: Option<SecretString>,
}

impl PortNumber {
    /// A number without a PIN.
    pub fn new(number: E164) -> Self {
        Self { number, pin: None }
    }

    /// With this PIN.
    #[must_use]
    pub fn with_pin(mut self, pin: SecretString) -> Self {
        self.pin = Some(pin);
        self
    }
}

/// Whom the losing carrier takes the number from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum CarrierCustomer {
    /// A business.
    Business,
    /// A person.
    Individual,
}

/// The customer's address, exactly as the losing carrier has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PortAddress {
    /// Street and house.
    pub street: String,
    /// Building or floor.
    pub street_2: Option<String>,
    /// City.
    pub city: String,
    /// State, spelt as the losing carrier spells it.
    pub state: String,
    /// Postal code.
    pub zip: String,
    /// Country.
    pub country: Country,
}

impl PortAddress {
    /// An address of one line and a city.
    pub fn new(
        street: impl Into<String>,
        city: impl Into<String>,
        state: impl Into<String>,
        zip: impl Into<String>,
        country: Country,
    ) -> Self {
        Self {
            street: street.into(),
            street_2: None,
            city: city.into(),
            state: state.into(),
            zip: zip.into(),
            country,
        }
    }

    /// With a second line.
    #[must_use]
    pub fn with_street_2(mut self, street_2: impl Into<String>) -> Self {
        self.street_2 = Some(street_2.into());
        self
    }
}

/// The customer as the losing carrier knows it. What differs from its books is the usual reason for a rejection.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct LosingCarrier {
    /// The customer's name.
    pub customer: String,
    /// Business or person.
    pub customer_kind: CarrierCustomer,
    /// The customer's address.
    pub address: PortAddress,
    /// Who signs for the customer: first and last name.
    pub representative: String,
    /// Where the letter to be signed is sent.
    pub representative_email: String,
    /// The customer's account number; mobile numbers need it.
    pub account_number: Option<SecretString>,
    /// The number that the account is kept under.
    pub account_phone: Option<E164>,
}

impl LosingCarrier {
    /// A customer without an account number.
    pub fn new(
        customer: impl Into<String>,
        customer_kind: CarrierCustomer,
        address: PortAddress,
        representative: impl Into<String>,
        representative_email: impl Into<String>,
    ) -> Self {
        Self {
            customer: customer.into(),
            customer_kind,
            address,
            representative: representative.into(),
            representative_email: representative_email.into(),
            account_number: None,
            account_phone: None,
        }
    }

    /// With the account that the number belongs to.
    #[must_use]
    pub fn with_account(mut self, number: Option<SecretString>, phone: Option<E164>) -> Self {
        self.account_number = number;
        self.account_phone = phone;
        self
    }
}

/// An order to move numbers in.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PortOrder {
    /// The numbers; all of one customer at one carrier.
    pub numbers: Vec<PortNumber>,
    /// The customer at that carrier.
    pub losing_carrier: LosingCarrier,
    /// The carrier's ids of papers that it was given before, such as a bill.
    pub documents: Vec<String>,
    /// Who else gets the signed letter.
    pub notify: Vec<String>,
    /// The day that is wished for; the losing carrier decides.
    pub target_date: Option<Date>,
    /// The carrier's id of approved papers, where the country asks for some.
    pub bundle: Option<String>,
}

impl PortOrder {
    /// Moves `numbers`, proved by `documents`.
    pub fn new(numbers: Vec<PortNumber>, losing_carrier: LosingCarrier, documents: Vec<String>) -> Self {
        Self {
            numbers,
            losing_carrier,
            documents,
            notify: Vec::new(),
            target_date: None,
            bundle: None,
        }
    }

    /// Sends the signed letter to these addresses too.
    #[must_use]
    pub fn with_notify(mut self, emails: Vec<String>) -> Self {
        self.notify = emails;
        self
    }

    /// On this day, if it can be.
    #[must_use]
    pub fn with_target_date(mut self, date: Date) -> Self {
        self.target_date = Some(date);
        self
    }

    /// With these approved papers.
    #[must_use]
    pub fn with_bundle(mut self, bundle: impl Into<String>) -> Self {
        self.bundle = Some(bundle.into());
        self
    }
}

/// How far a port has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PortState {
    /// Submitted, and looked at by the gaining carrier.
    Submitted,
    /// The customer's representative has a letter to sign.
    WaitingForSignature,
    /// With the losing carrier.
    InProgress,
    /// Somebody must correct something; the reasons are those of the numbers.
    ActionRequired,
    /// The numbers are here.
    Completed,
    /// Given up, by us or by one of the carriers.
    Canceled,
    /// The letter was not signed in time.
    Expired,
    /// A word that this library does not know.
    Unknown,
}

impl PortState {
    /// Whether nothing follows.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Canceled | Self::Expired)
    }
}

/// One number of a port.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PortedNumber {
    /// The number.
    pub number: E164,
    /// How far it has come, in the carrier's words.
    pub status: String,
    /// Why it cannot move, or why the losing carrier refused, in the carrier's words.
    pub reason: Option<String>,
    /// When it moves, once the losing carrier has said so.
    pub port_date: Option<Timestamp>,
}

impl PortedNumber {
    /// A number that nothing speaks against.
    pub fn new(number: E164, status: impl Into<String>) -> Self {
        Self {
            number,
            status: status.into(),
            reason: None,
            port_date: None,
        }
    }

    /// What stands in its way, and when it moves.
    #[must_use]
    pub fn with_outcome(mut self, reason: Option<String>, port_date: Option<Timestamp>) -> Self {
        self.reason = reason;
        self.port_date = port_date;
        self
    }
}

/// A port in the carrier's books.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PortRequest {
    /// The carrier's id.
    pub id: PortRequestId,
    /// How far it has come.
    pub state: PortState,
    /// The same in the carrier's words.
    pub status: String,
    /// Its numbers.
    pub numbers: Vec<PortedNumber>,
    /// Where the letter is signed.
    pub signature_url: Option<String>,
    /// Why it was given up.
    pub reason: Option<String>,
}

impl PortRequest {
    /// A port of these numbers.
    pub fn new(
        id: PortRequestId,
        state: PortState,
        status: impl Into<String>,
        numbers: Vec<PortedNumber>,
    ) -> Self {
        Self {
            id,
            state,
            status: status.into(),
            numbers,
            signature_url: None,
            reason: None,
        }
    }

    /// Where the letter is signed, and why the port was given up.
    #[must_use]
    pub fn with_details(mut self, signature_url: Option<String>, reason: Option<String>) -> Self {
        self.signature_url = signature_url;
        self.reason = reason;
        self
    }
}

/// Numbers that move in from other carriers.
#[async_trait]
pub trait PortingProvider: fmt::Debug + Send + Sync + 'static {
    /// Whether the number can move in. To be asked before an order is submitted.
    async fn portability(&self, number: &E164) -> Result<Portability, ProviderError>;

    /// Submits the order. Never sent twice: after a failure whose recovery is
    /// [`Reconcile`](crate::provider::Recovery::Reconcile) the caller looks with [`find`](Self::find) first.
    ///
    /// # Errors
    /// `Conflict` when one of the numbers is being moved already, `RequirementsMissing` when a paper is missing.
    async fn submit(&self, order: &PortOrder) -> Result<PortRequest, ProviderError>;

    /// The port as the carrier has it.
    async fn fetch(&self, id: &PortRequestId) -> Result<PortRequest, ProviderError>;

    /// The open port of this number. May ask for every open port of the account, so it is for recovery alone.
    async fn find(&self, number: &E164) -> Result<Option<PortRequest>, ProviderError>;

    /// Gives the port up.
    ///
    /// # Errors
    /// `Conflict` when it is too late.
    async fn cancel(&self, id: &PortRequestId) -> Result<Removal, ProviderError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_end_is_final() {
        let states = [
            PortState::Submitted,
            PortState::WaitingForSignature,
            PortState::InProgress,
            PortState::ActionRequired,
            PortState::Completed,
            PortState::Canceled,
            PortState::Expired,
            PortState::Unknown,
        ];
        let last: Vec<_> = states.into_iter().filter(|state| state.is_final()).collect();
        assert_eq!(
            last,
            [PortState::Completed, PortState::Canceled, PortState::Expired]
        );
    }

    #[test]
    fn what_the_losing_carrier_wants_to_hear_does_not_print() {
        let number = PortNumber::new("+12125550142".parse().unwrap()).with_pin("hunter2".into());
        assert!(!format!("{number:?}").contains("hunter2"));
    }
}
