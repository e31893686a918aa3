//! Stripe's test cards (page `testing`): what happens when they are put on file, and when they are charged.

use serde_json::{Value, json};

use super::wire::ApiError;
use crate::emulator::id;

/// Why a bank refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Decline {
    code: &'static str,
    bank_says: Option<&'static str>,
    message: &'static str,
}

impl Decline {
    const fn card(bank_says: &'static str) -> Self {
        Self {
            code: "card_declined",
            bank_says: Some(bank_says),
            message: "Your card was declined.",
        }
    }

    const fn other(code: &'static str, message: &'static str) -> Self {
        Self {
            code,
            bank_says: None,
            message,
        }
    }

    pub(super) fn error(self) -> ApiError {
        ApiError::declined(self.code, self.bank_says, self.message)
    }

    /// Whether the customer could confirm the payment.
    pub(super) fn asks(self) -> bool {
        self.code == "authentication_required"
    }
}

/// A card as the test environment knows it.
#[derive(Debug)]
pub(super) struct TestCard {
    name: &'static str,
    brand: &'static str,
    last4: &'static str,
    attach: Option<Decline>,
    charge: Option<Decline>,
}

const fn good(name: &'static str, brand: &'static str, last4: &'static str) -> TestCard {
    TestCard {
        name,
        brand,
        last4,
        attach: None,
        charge: None,
    }
}

const fn refused(name: &'static str, last4: &'static str, decline: Decline) -> TestCard {
    TestCard {
        name,
        brand: "visa",
        last4,
        attach: Some(decline),
        charge: Some(decline),
    }
}

const CARDS: &[TestCard] = &[
    good("pm_card_visa", "visa", "4242"),
    good("pm_card_mastercard", "mastercard", "4444"),
    good("pm_card_amex", "amex", "8431"),
    TestCard {
        name: "pm_card_chargeCustomerFail",
        brand: "visa",
        last4: "0341",
        attach: None,
        charge: Some(Decline::card("generic_decline")),
    },
    TestCard {
        name: "pm_card_authenticationRequired",
        brand: "visa",
        last4: "3184",
        attach: None,
        charge: Some(Decline::other(
            "authentication_required",
            "Your card was declined. This transaction requires authentication.",
        )),
    },
    refused(
        "pm_card_visa_chargeDeclined",
        "0002",
        Decline::card("generic_decline"),
    ),
    refused(
        "pm_card_visa_chargeDeclinedInsufficientFunds",
        "9995",
        Decline {
            message: "Your card has insufficient funds.",
            ..Decline::card("insufficient_funds")
        },
    ),
    refused(
        "pm_card_visa_chargeDeclinedLostCard",
        "9987",
        Decline::card("lost_card"),
    ),
    refused(
        "pm_card_visa_chargeDeclinedStolenCard",
        "9979",
        Decline::card("stolen_card"),
    ),
    refused(
        "pm_card_visa_chargeDeclinedVelocityLimitExceeded",
        "6975",
        Decline::card("card_velocity_exceeded"),
    ),
    refused(
        "pm_card_chargeDeclinedExpiredCard",
        "0069",
        Decline::other("expired_card", "Your card has expired."),
    ),
    refused(
        "pm_card_chargeDeclinedIncorrectCvc",
        "0127",
        Decline::other("incorrect_cvc", "Your card's security code is incorrect."),
    ),
    refused(
        "pm_card_chargeDeclinedProcessingError",
        "0119",
        Decline::other(
            "processing_error",
            "An error occurred while processing your card. Try again in a little bit.",
        ),
    ),
    refused("pm_card_radarBlock", "0019", Decline::card("fraudulent")),
];

/// The names of the cards, for the pages.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    CARDS.iter().map(|card| card.name)
}

/// A test card by its name.
pub(super) fn find(name: &str) -> Option<&'static TestCard> {
    CARDS.iter().find(|card| card.name == name)
}

impl TestCard {
    /// Puts it on file: the object that the customer gets, with an id of its own.
    pub(super) fn attach(&self, customer: &str, now: i64) -> Result<Value, ApiError> {
        match self.attach {
            Some(decline) => Err(decline.error()),
            None => Ok(json!({
                "id": format!("pm_{}", id::hex(24)), "object": "payment_method", "allow_redisplay": "unspecified",
                "billing_details": {
                    "address": {"city": null, "country": null, "line1": null, "line2": null,
                        "postal_code": null, "state": null},
                    "email": null, "name": null, "phone": null, "tax_id": null,
                },
                "card": {
                    "brand": self.brand,
                    "checks": {"address_line1_check": null, "address_postal_code_check": null, "cvc_check": "pass"},
                    "country": "US", "display_brand": self.brand, "exp_month": 12, "exp_year": 2034,
                    "fingerprint": id::hex(16), "funding": "credit", "last4": self.last4,
                    "networks": {"available": [self.brand], "preferred": null}, "regulated_status": "unregulated",
                },
                "created": now, "customer": customer, "customer_account": null, "livemode": false, "metadata": {},
                "type": "card",
            })),
        }
    }

    /// Why its bank does not pay.
    pub(super) fn charge(&self) -> Option<Decline> {
        self.charge
    }
}
