//! What the carrier is told of a port, and how it lies in the store until then.

use std::fmt;

use jiff::{Timestamp, civil::Date, tz::TimeZone};
use serde::{Deserialize, Serialize};

use crate::{
    auth::looks_like_email,
    clock::Ambient,
    id::{AgentId, PortId},
    phone::E164,
    provider::telephony::{CarrierCustomer, LosingCarrier, PortAddress, PortNumber, PortOrder},
    secret::{ExposeSecret, Sealer, SecretString},
    validate::{Checks, Invalid},
};

/// The most numbers of one order.
const MOST_NUMBERS: usize = 100;
/// The most papers of one order, and the most people who get the letter.
const MOST_PAPERS: usize = 20;

/// A port to be ordered.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct NewPort {
    /// What the carrier is to be told.
    pub order: PortOrder,
    /// The gaining carrier; the default one unless told otherwise.
    pub provider: Option<String>,
    /// The agent that is to answer the numbers.
    pub agent: Option<AgentId>,
}

impl NewPort {
    /// To the default carrier, answered by nobody yet.
    pub fn new(order: PortOrder) -> Self {
        Self {
            order,
            provider: None,
            agent: None,
        }
    }

    /// To this carrier.
    #[must_use]
    pub fn with_provider(mut self, provider: Option<String>) -> Self {
        self.provider = provider;
        self
    }

    /// To be answered by this agent.
    #[must_use]
    pub fn with_agent(mut self, agent: Option<AgentId>) -> Self {
        self.agent = agent;
        self
    }

    /// What is wrong with it, whatever the carrier.
    pub(super) fn check(&self, now: Timestamp) -> Result<(), Invalid> {
        let mut checks = Checks::new();
        let order = &self.order;
        let count = |many: usize, most: usize| (1..=most).contains(&many);
        checks.require(
            count(order.numbers.len(), MOST_NUMBERS),
            "/numbers",
            "count",
            "must be 1 to 100 numbers",
        );
        for (index, number) in order.numbers.iter().enumerate() {
            let again = order.numbers[..index]
                .iter()
                .any(|other| other.number == number.number);
            let pointer = format!("/numbers/{index}/phone_number");
            checks.require(!again, &pointer, "repeated", "must not be named twice");
            secret(&mut checks, number.pin.as_ref(), &format!("/numbers/{index}/pin"));
        }
        checks.require(
            count(order.documents.len(), MOST_PAPERS),
            "/documents",
            "count",
            "must be the carrier's ids of 1 to 20 papers, such as a bill of the losing carrier",
        );
        for (index, document) in order.documents.iter().enumerate() {
            checks.length(document, 1..=100, &format!("/documents/{index}"));
        }
        checks.require(
            order.notify.len() <= MOST_PAPERS,
            "/notify",
            "count",
            "must be at most 20 addresses",
        );
        for (index, address) in order.notify.iter().enumerate() {
            email(&mut checks, address, &format!("/notify/{index}"));
        }
        if let Some(bundle) = &order.bundle {
            checks.length(bundle, 1..=100, "/bundle_id");
        }
        let today = now.to_zoned(TimeZone::UTC).date();
        checks.require(
            order.target_date.is_none_or(|date| date > today),
            "/target_date",
            "past",
            "must lie ahead; carriers want about a week's notice",
        );
        losing_carrier(&mut checks, &order.losing_carrier);
        checks.finish()
    }
}

fn losing_carrier(checks: &mut Checks, carrier: &LosingCarrier) {
    let address = &carrier.address;
    for (text, field) in [
        (&carrier.customer, "customer_name"),
        (&carrier.representative, "representative"),
        (&address.street, "address/street"),
        (&address.city, "address/city"),
        (&address.state, "address/state"),
        (&address.zip, "address/zip"),
    ] {
        checks.length(text, 1..=200, &format!("/losing_carrier/{field}"));
    }
    if let Some(street_2) = &address.street_2 {
        checks.length(street_2, 1..=200, "/losing_carrier/address/street_2");
    }
    email(
        checks,
        &carrier.representative_email,
        "/losing_carrier/representative_email",
    );
    secret(
        checks,
        carrier.account_number.as_ref(),
        "/losing_carrier/account_number",
    );
}

fn email(checks: &mut Checks, address: &str, pointer: &str) {
    checks.require(
        looks_like_email(address),
        pointer,
        "email",
        "must be an email address",
    );
}

fn secret(checks: &mut Checks, secret: Option<&SecretString>, pointer: &str) {
    if let Some(secret) = secret {
        checks.length(secret.expose_secret(), 1..=100, pointer);
    }
}

/// An order as it lies in the store: names, addresses, account number and PINs, which nobody reads there.
#[derive(Clone, PartialEq, Eq)]
pub struct SealedOrder(Vec<u8>);

impl SealedOrder {
    /// What the store holds.
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// For the store.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub(super) fn seal(order: &PortOrder, port: PortId, sealer: &Sealer, ambient: &Ambient) -> Option<Self> {
        let plain = serde_json::to_vec(&Plain::from(order)).ok()?;
        Some(Self(sealer.seal(&plain, port.to_string().as_bytes(), ambient)))
    }

    /// `None` when it was sealed under another key.
    pub(super) fn open(&self, port: PortId, sealer: &Sealer) -> Option<PortOrder> {
        let plain = sealer.open(&self.0, port.to_string().as_bytes())?;
        Some(serde_json::from_slice::<Plain>(&plain).ok()?.into())
    }
}

impl fmt::Debug for SealedOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealedOrder")
    }
}

/// What is sealed.
#[derive(Serialize, Deserialize)]
struct Plain {
    numbers: Vec<(E164, Option<String>)>,
    customer: String,
    customer_kind: CarrierCustomer,
    address: PortAddress,
    representative: String,
    representative_email: String,
    account_number: Option<String>,
    account_phone: Option<E164>,
    documents: Vec<String>,
    notify: Vec<String>,
    target_date: Option<Date>,
    bundle: Option<String>,
}

fn exposed(secret: Option<&SecretString>) -> Option<String> {
    secret.map(|secret| secret.expose_secret().to_owned())
}

impl From<&PortOrder> for Plain {
    fn from(order: &PortOrder) -> Self {
        let carrier = &order.losing_carrier;
        let numbers = order.numbers.iter();
        Self {
            numbers: numbers
                .map(|number| (number.number.clone(), exposed(number.pin.as_ref())))
                .collect(),
            customer: carrier.customer.clone(),
            customer_kind: carrier.customer_kind,
            address: carrier.address.clone(),
            representative: carrier.representative.clone(),
            representative_email: carrier.representative_email.clone(),
            account_number: exposed(carrier.account_number.as_ref()),
            account_phone: carrier.account_phone.clone(),
            documents: order.documents.clone(),
            notify: order.notify.clone(),
            target_date: order.target_date,
            bundle: order.bundle.clone(),
        }
    }
}

impl From<Plain> for PortOrder {
    fn from(plain: Plain) -> Self {
        let numbers = plain.numbers.into_iter().map(|(number, pin)| {
            let number = PortNumber::new(number);
            match pin {
                Some(pin) => number.with_pin(pin.into()),
                None => number,
            }
        });
        let carrier = LosingCarrier::new(
            plain.customer,
            plain.customer_kind,
            plain.address,
            plain.representative,
            plain.representative_email,
        )
        .with_account(plain.account_number.map(SecretString::from), plain.account_phone);
        let mut order = Self::new(numbers.collect(), carrier, plain.documents).with_notify(plain.notify);
        order.target_date = plain.target_date;
        order.bundle = plain.bundle;
        order
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use uuid::Uuid;

    use super::*;
    use crate::{auth::SecretKey, phone::Country};

    fn order() -> PortOrder {
        let address = PortAddress::new("1 Main St", "Boston", "MA", "02101", Country::US);
        let carrier = LosingCarrier::new(
            "Acme Dental",
            CarrierCustomer::Business,
            address,
            "Ann Smith",
            "ann@example.com",
        )
        .with_account(Some("account-4711".into()), None);
        let number = PortNumber::new("+16175551212".parse().unwrap()).with_pin("pin-4711".into());
        PortOrder::new(vec![number], carrier, vec!["RD1".into()])
    }

    #[test]
    fn an_order_comes_out_as_it_was_sealed_for_its_own_port_alone() {
        let (key, ambient) = (Sealer::new(&SecretKey::new([7; 32]).unwrap()), Ambient::system());
        let [port, other] = [1, 2].map(|id| PortId::from_uuid(Uuid::from_u128(id)));
        let sealed = SealedOrder::seal(&order(), port, &key, &ambient).unwrap();
        assert_eq!(format!("{sealed:?}"), "SealedOrder");
        let holds = |word: &[u8]| sealed.as_bytes().windows(word.len()).any(|bytes| bytes == word);
        assert!(!holds(b"4711") && !holds(b"Acme") && !holds(b"617555"));
        assert!(sealed.open(other, &key).is_none());
        let opened = sealed.open(port, &key).unwrap();
        assert_eq!(
            serde_json::to_value(Plain::from(&opened)).unwrap(),
            serde_json::to_value(Plain::from(&order())).unwrap()
        );
    }

    #[rstest]
    #[case::no_number("/numbers", |order: &mut PortOrder| order.numbers.clear())]
    #[case::a_number_twice("/numbers/1/phone_number", |order: &mut PortOrder| {
        let again = order.numbers[0].clone();
        order.numbers.push(again);
    })]
    #[case::an_empty_pin("/numbers/0/pin", |order: &mut PortOrder| order.numbers[0].pin = Some("".into()))]
    #[case::no_paper("/documents", |order: &mut PortOrder| order.documents.clear())]
    #[case::a_paper_without_name("/documents/0", |order: &mut PortOrder| order.documents[0].clear())]
    #[case::nobody_to_notify("/notify/0", |order: &mut PortOrder| order.notify.push("ann".into()))]
    #[case::today("/target_date", |order: &mut PortOrder| order.target_date = Some("2026-11-21".parse().unwrap()))]
    #[case::no_bundle("/bundle_id", |order: &mut PortOrder| order.bundle = Some(String::new()))]
    #[case::no_customer(
        "/losing_carrier/customer_name",
        |order: &mut PortOrder| order.losing_carrier.customer.clear()
    )]
    #[case::no_letter(
        "/losing_carrier/representative_email",
        |order: &mut PortOrder| order.losing_carrier.representative_email = "ann@".into()
    )]
    #[case::no_street(
        "/losing_carrier/address/street",
        |order: &mut PortOrder| order.losing_carrier.address.street.clear()
    )]
    #[case::an_empty_account(
        "/losing_carrier/account_number",
        |order: &mut PortOrder| order.losing_carrier.account_number = Some("".into())
    )]
    fn a_wrong_field_is_named(#[case] pointer: &str, #[case] spoil: fn(&mut PortOrder)) {
        let now = "2026-11-21T09:00:00Z".parse().unwrap();
        let mut order = order();
        assert!(NewPort::new(order.clone()).check(now).is_ok());
        spoil(&mut order);
        let invalid = NewPort::new(order).check(now).unwrap_err();
        let pointers: Vec<_> = invalid
            .errors
            .iter()
            .map(|error| error.pointer.as_str())
            .collect();
        assert_eq!(pointers, [pointer]);
    }
}
