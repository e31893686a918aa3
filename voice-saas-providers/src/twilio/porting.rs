//! Ports (pages `phone-numbers/port-in`, `phone-numbers/port-in/port-in-request-api` and `…/portability-api`). In
//! public beta: US numbers, toll-free ones not. Bodies are JSON, unlike anywhere else.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use voice_saas_core::{
    phone::E164,
    provider::{
        ErrorKind, ProviderError,
        telephony::{
            CarrierCustomer, NumberKind, PortAddress, PortOrder, PortRequest, PortRequestId, PortState,
            Portability, PortedNumber, PortingProvider, Removal,
        },
    },
    secret::{ExposeSecret, SecretString},
};

use super::{
    NAME, Twilio, checked, invalid,
    wire::{Scalar, timestamp},
};
use crate::http::{Effect, Request};

const PORTS: &str = "/v1/Porting/PortIn";
const MOST_NUMBERS: usize = 1000;
const LIST_PAGE: u16 = 100;

#[derive(Serialize)]
struct Submission<'a> {
    account_sid: &'a str,
    documents: &'a [String],
    phone_numbers: Vec<SubmittedNumber<'a>>,
    losing_carrier_information: SubmittedCarrier<'a>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    notification_emails: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    target_port_in_date: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bundle_sid: Option<&'a str>,
}

#[derive(Serialize)]
struct SubmittedNumber<'a> {
    phone_number: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pin: Option<&'a str>,
}

#[derive(Serialize)]
struct SubmittedCarrier<'a> {
    customer_type: &'static str,
    customer_name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    account_number: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    account_telephone_number: Option<&'a str>,
    authorized_representative: &'a str,
    authorized_representative_email: &'a str,
    address: SubmittedAddress<'a>,
}

#[derive(Serialize)]
struct SubmittedAddress<'a> {
    street: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    street_2: Option<&'a str>,
    city: &'a str,
    state: &'a str,
    zip: &'a str,
    country: String,
}

#[derive(Deserialize)]
struct PortabilityAnswer {
    #[serde(default)]
    portable: Option<bool>,
    #[serde(default)]
    pin_and_account_number_required: Option<bool>,
    #[serde(default)]
    not_portable_reason: Scalar,
    #[serde(default)]
    number_type: Scalar,
}

#[derive(Deserialize)]
struct FetchedPort {
    port_in_request_sid: String,
    #[serde(default)]
    port_in_request_status: Scalar,
    #[serde(default)]
    signature_request_url: Scalar,
    #[serde(default)]
    order_cancellation_reason: Scalar,
    #[serde(default)]
    phone_numbers: Option<Vec<PortNumberAnswer>>,
}

#[derive(Deserialize)]
struct PortNumberAnswer {
    phone_number: E164,
    #[serde(default)]
    port_in_phone_number_status: Scalar,
    #[serde(default)]
    portable: Option<bool>,
    #[serde(default)]
    not_portability_reason: Scalar,
    #[serde(default)]
    rejection_reason: Scalar,
    #[serde(default)]
    port_date: Scalar,
}

#[derive(Deserialize)]
struct PortList {
    port_in_requests: Vec<PortListed>,
    #[serde(default)]
    meta: PortListMeta,
}

#[derive(Deserialize)]
struct PortListed {
    port_in_request_sid: String,
    #[serde(default)]
    port_in_request_status: Scalar,
}

#[derive(Default, Deserialize)]
struct PortListMeta {
    #[serde(default)]
    next_token: Scalar,
}

impl FetchedPort {
    fn read(self) -> PortRequest {
        let status = self.port_in_request_status.text().unwrap_or_default();
        let numbers = self.phone_numbers.unwrap_or_default();
        PortRequest::new(
            PortRequestId::new(self.port_in_request_sid),
            state(&status),
            status,
            numbers.into_iter().map(PortNumberAnswer::read).collect(),
        )
        .with_details(
            self.signature_request_url.text(),
            self.order_cancellation_reason.text(),
        )
    }
}

impl PortNumberAnswer {
    fn read(self) -> PortedNumber {
        // The document's own example gives a reason for a number that is portable.
        let stuck = self
            .not_portability_reason
            .text()
            .filter(|_| self.portable == Some(false));
        let port_date = self.port_date.text().and_then(|text| timestamp(&text));
        PortedNumber::new(
            self.phone_number,
            self.port_in_phone_number_status.text().unwrap_or_default(),
        )
        .with_outcome(self.rejection_reason.text().or(stuck), port_date)
    }
}

/// `In Review`, `In review`, `in_review`: the documentation writes each word in several ways.
fn state(word: &str) -> PortState {
    let plain: String = word
        .chars()
        .filter(char::is_ascii_alphabetic)
        .map(|letter| letter.to_ascii_lowercase())
        .collect();
    match plain.as_str() {
        "inreview" | "pending" => PortState::Submitted,
        "waitingforsignature" => PortState::WaitingForSignature,
        "inprogress" => PortState::InProgress,
        "actionrequired" => PortState::ActionRequired,
        "completed" => PortState::Completed,
        "canceled" | "cancelled" => PortState::Canceled,
        "expired" => PortState::Expired,
        _ => PortState::Unknown,
    }
}

#[async_trait]
impl PortingProvider for Twilio {
    async fn portability(&self, number: &E164) -> Result<Portability, ProviderError> {
        const CHECK: &str = "check whether a number can be ported";
        let digits = number.as_str().trim_start_matches('+');
        let request = Request::get(CHECK, format!("/v1/Porting/Portability/PhoneNumber/%2B{digits}"));
        let answer: PortabilityAnswer = self.hosts.numbers.send(request).await?.json()?;
        let kind = match answer.number_type.as_str() {
            Some("LOCAL") => Some(NumberKind::Local),
            Some("MOBILE") => Some(NumberKind::Mobile),
            Some("TOLL-FREE") => Some(NumberKind::TollFree),
            _ => None,
        };
        Ok(Portability::new(answer.portable == Some(true))
            .with_reason(answer.not_portable_reason.text())
            .with_terms(answer.pin_and_account_number_required == Some(true), kind))
    }

    async fn submit(&self, order: &PortOrder) -> Result<PortRequest, ProviderError> {
        const SUBMIT: &str = "submit a port";
        if !(1..=MOST_NUMBERS).contains(&order.numbers.len()) {
            return Err(invalid(SUBMIT, "a port has 1 to 1000 numbers"));
        }
        if order.documents.is_empty() {
            return Err(ProviderError::new(NAME, SUBMIT, ErrorKind::RequirementsMissing)
                .with_detail("a bill of the losing carrier must be uploaded first"));
        }
        let request = Request::post(SUBMIT, PORTS)
            .json(&submission(&self.account_sid, order))
            .effect(Effect::Once);
        let port: FetchedPort = self.hosts.numbers.send(request).await?.json()?;
        Ok(port.read())
    }

    async fn fetch(&self, id: &PortRequestId) -> Result<PortRequest, ProviderError> {
        const FETCH: &str = "fetch a port";
        let request = Request::get(FETCH, port_path(FETCH, id)?);
        let port: FetchedPort = self.hosts.numbers.send(request).await?.json()?;
        Ok(port.read())
    }

    /// The list holds no numbers, so each open port is fetched.
    async fn find(&self, number: &E164) -> Result<Option<PortRequest>, ProviderError> {
        const FIND: &str = "find a port";
        let mut token: Option<String> = None;
        loop {
            let mut request = Request::get(FIND, format!("{PORTS}/PortInRequests")).query("Size", LIST_PAGE);
            if let Some(token) = token {
                request = request.query("Token", token);
            }
            let page: PortList = self.hosts.numbers.send(request).await?.json()?;
            for listed in page.port_in_requests {
                if state(listed.port_in_request_status.as_str().unwrap_or_default()).is_final() {
                    continue;
                }
                let port =
                    PortingProvider::fetch(self, &PortRequestId::new(listed.port_in_request_sid)).await?;
                if !port.state.is_final() && port.numbers.iter().any(|ported| ported.number == *number) {
                    return Ok(Some(port));
                }
            }
            token = page.meta.next_token.text();
            if token.is_none() {
                return Ok(None);
            }
        }
    }

    async fn cancel(&self, id: &PortRequestId) -> Result<Removal, ProviderError> {
        const CANCEL: &str = "cancel a port";
        let request = Request::delete(CANCEL, port_path(CANCEL, id)?);
        let Err(error) = self.hosts.numbers.send(request).await else {
            return Ok(Removal::Removed);
        };
        match error.kind() {
            ErrorKind::NotFound => Ok(Removal::AlreadyGone),
            // How Twilio refuses to cancel what is over is not documented, so the port itself is asked.
            ErrorKind::Invalid | ErrorKind::Conflict => match PortingProvider::fetch(self, id).await?.state {
                PortState::Canceled | PortState::Expired => Ok(Removal::AlreadyGone),
                PortState::Completed | PortState::InProgress => {
                    Err(ProviderError::new(NAME, CANCEL, ErrorKind::Conflict)
                        .with_detail("the port has come too far")
                        .with_source(error))
                }
                _ => Err(error),
            },
            _ => Err(error),
        }
    }
}

fn port_path(operation: &'static str, id: &PortRequestId) -> Result<String, ProviderError> {
    Ok(format!("{PORTS}/{}", checked(operation, id.as_str())?))
}

fn submission<'a>(account_sid: &'a str, order: &'a PortOrder) -> Submission<'a> {
    let secret = |secret: &'a Option<SecretString>| secret.as_ref().map(ExposeSecret::expose_secret);
    let carrier = &order.losing_carrier;
    Submission {
        account_sid,
        documents: &order.documents,
        phone_numbers: order
            .numbers
            .iter()
            .map(|number| SubmittedNumber {
                phone_number: number.number.as_str(),
                pin: secret(&number.pin),
            })
            .collect(),
        losing_carrier_information: SubmittedCarrier {
            customer_type: match carrier.customer_kind {
                CarrierCustomer::Individual => "Individual",
                _ => "Business",
            },
            customer_name: &carrier.customer,
            account_number: secret(&carrier.account_number),
            account_telephone_number: carrier.account_phone.as_ref().map(E164::as_str),
            authorized_representative: &carrier.representative,
            authorized_representative_email: &carrier.representative_email,
            address: submitted_address(&carrier.address),
        },
        notification_emails: &order.notify,
        target_port_in_date: order.target_date.map(|date| date.to_string()),
        bundle_sid: order.bundle.as_deref(),
    }
}

fn submitted_address(address: &PortAddress) -> SubmittedAddress<'_> {
    SubmittedAddress {
        street: &address.street,
        street_2: address.street_2.as_deref(),
        city: &address.city,
        state: &address.state,
        zip: &address.zip,
        country: address.country.code(),
    }
}

#[cfg(test)]
mod tests;
