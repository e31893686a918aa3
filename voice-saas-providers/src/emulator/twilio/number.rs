//! Owned numbers: `IncomingPhoneNumbers`.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};

use super::State;
use super::inventory::{self, Offer};
use super::wire::{ApiError, Form, page};
use crate::emulator::clock::rfc2822;
use crate::emulator::id;
use crate::emulator::world::World;

/// Parameters of buying and updating, and the field that returns each.
const PARAMETERS: [(&str, &str); 24] = [
    ("FriendlyName", "friendly_name"),
    ("VoiceUrl", "voice_url"),
    ("VoiceMethod", "voice_method"),
    ("VoiceFallbackUrl", "voice_fallback_url"),
    ("VoiceFallbackMethod", "voice_fallback_method"),
    ("VoiceApplicationSid", "voice_application_sid"),
    ("VoiceCallerIdLookup", "voice_caller_id_lookup"),
    ("VoiceReceiveMode", "voice_receive_mode"),
    ("StatusCallback", "status_callback"),
    ("StatusCallbackMethod", "status_callback_method"),
    ("SmsUrl", "sms_url"),
    ("SmsMethod", "sms_method"),
    ("SmsFallbackUrl", "sms_fallback_url"),
    ("SmsFallbackMethod", "sms_fallback_method"),
    ("SmsApplicationSid", "sms_application_sid"),
    ("TrunkSid", "trunk_sid"),
    ("AddressSid", "address_sid"),
    ("BundleSid", "bundle_sid"),
    ("IdentitySid", "identity_sid"),
    ("EmergencyStatus", "emergency_status"),
    ("EmergencyAddressSid", "emergency_address_sid"),
    ("ApiVersion", "api_version"),
    ("AccountSid", "account_sid"),
    ("PhoneNumber", "phone_number"),
];
/// The most numbers that can be owned at once.
const MOST_NUMBERS: usize = 20_000;
const LONGEST_FRIENDLY_NAME: usize = 64;

/// A number that the account owns: its JSON, whose fields the call engine reads too.
#[derive(Debug, Clone)]
pub(super) struct OwnedNumber {
    fields: Value,
}

impl OwnedNumber {
    pub(super) fn new(account: &str, offer: &Offer, now: &str) -> Self {
        let sid = id::sid("PN");
        let uri = uri(account, &sid);
        let fields = json!({
            "sid": sid, "account_sid": account, "phone_number": offer.phone_number,
            "friendly_name": offer.friendly_name(), "capabilities": offer.capabilities.json(),
            "address_requirements": offer.address_requirements, "address_sid": null, "identity_sid": null,
            "bundle_sid": null, "beta": false, "origin": "twilio", "status": "in-use", "type": offer.owned_type,
            "trunk_sid": null, "voice_url": "", "voice_method": "POST", "voice_fallback_url": "",
            "voice_fallback_method": "POST", "voice_application_sid": "", "voice_caller_id_lookup": false,
            "voice_receive_mode": "voice", "sms_url": "", "sms_method": "POST", "sms_fallback_url": "",
            "sms_fallback_method": "POST", "sms_application_sid": "", "status_callback": "",
            "status_callback_method": "POST", "emergency_status": "Inactive", "emergency_address_sid": null,
            "emergency_address_status": "unregistered", "api_version": "2010-04-01", "date_created": now,
            "date_updated": now, "uri": uri,
        });
        Self { fields }
    }

    pub(super) fn json(&self) -> Value {
        self.fields.clone()
    }

    /// A text field; empty and null are both none.
    pub(super) fn text(&self, field: &str) -> Option<&str> {
        self.fields
            .get(field)
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty())
    }

    pub(super) fn phone_number(&self) -> &str {
        self.text("phone_number").unwrap_or_default()
    }

    pub(super) fn sid(&self) -> &str {
        self.text("sid").unwrap_or_default()
    }

    /// The account that holds it.
    pub(super) fn account(&self) -> &str {
        self.text("account_sid").unwrap_or_default()
    }

    /// Sends its calls to a trunk, or no longer.
    pub(super) fn set_trunk(&mut self, trunk: Option<&str>, now: &str) {
        self.fields["trunk_sid"] = json!(trunk);
        if trunk.is_some() {
            self.fields["voice_application_sid"] = json!("");
        }
        self.fields["date_updated"] = json!(now);
    }

    /// Hands it to another account, whose trunks are others.
    fn transfer(&mut self, account: &str) {
        self.fields["uri"] = json!(uri(account, self.sid()));
        self.fields["account_sid"] = json!(account);
        self.fields["trunk_sid"] = Value::Null;
    }

    /// Sets every parameter that the form holds.
    fn configure(&mut self, form: &Form, now: &str) -> Result<(), ApiError> {
        for (parameter, field) in PARAMETERS {
            let Some(value) = form.get(parameter) else {
                continue;
            };
            match parameter {
                "PhoneNumber" | "AccountSid" => continue,
                "FriendlyName" if value.chars().count() > LONGEST_FRIENDLY_NAME => {
                    return Err(ApiError::refused(
                        20001,
                        "FriendlyName is longer than 64 characters",
                    ));
                }
                _ if parameter.ends_with("Method") && !matches!(value, "GET" | "POST") => {
                    return Err(ApiError::refused(
                        20001,
                        format!("{parameter} must be GET or POST"),
                    ));
                }
                _ if is_url(parameter) && !value.is_empty() && !is_http(value) => {
                    return Err(ApiError::refused(
                        21_205,
                        format!("{parameter} is not a valid URL"),
                    ));
                }
                _ => {}
            }
            let value = if parameter == "VoiceCallerIdLookup" {
                json!(value.eq_ignore_ascii_case("true"))
            } else {
                json!(value)
            };
            self.fields[field] = value;
        }
        // A trunk and an application exclude each other: the one set last wins.
        if form.given("TrunkSid").is_some() {
            self.fields["voice_application_sid"] = json!("");
        } else if form.given("VoiceApplicationSid").is_some() {
            self.fields["trunk_sid"] = Value::Null;
        }
        self.fields["date_updated"] = json!(now);
        Ok(())
    }
}

fn uri(account: &str, sid: &str) -> String {
    format!("/2010-04-01/Accounts/{account}/IncomingPhoneNumbers/{sid}.json")
}

fn is_url(parameter: &str) -> bool {
    parameter.ends_with("Url") || parameter == "StatusCallback"
}

fn is_http(value: &str) -> bool {
    url::Url::parse(value).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}

/// Whether the text has the form of an E.164 number.
pub(super) fn is_e164(number: &str) -> bool {
    let digits = number.strip_prefix('+').unwrap_or_default();
    (7..=15).contains(&digits.len())
        && digits.bytes().all(|byte| byte.is_ascii_digit())
        && !digits.starts_with('0')
}

impl State {
    pub(super) fn owns(&self, phone_number: &str) -> bool {
        self.numbers
            .values()
            .any(|number| number.phone_number() == phone_number)
    }

    pub(super) fn number_called(&self, phone_number: &str) -> Option<&OwnedNumber> {
        self.numbers
            .values()
            .find(|number| number.phone_number() == phone_number)
    }

    pub(super) fn number_by_sid(&mut self, account: &str, sid: &str) -> Option<(u64, &mut OwnedNumber)> {
        self.numbers
            .iter_mut()
            .find(|(_, number)| number.sid() == sid && number.account() == account)
            .map(|(seq, it)| (*seq, it))
    }

    /// A trunk that is named must be there.
    fn check_trunk(&self, account: &str, form: &Form) -> Result<(), ApiError> {
        match form.given("TrunkSid") {
            Some(trunk) if !self.has_trunk(account, trunk) => {
                Err(ApiError::refused(20_001, format!("There is no trunk {trunk}")))
            }
            _ => Ok(()),
        }
    }

    /// Which number a purchase is for.
    fn choose(&self, form: &Form, kind: Option<&str>) -> Result<Offer, ApiError> {
        if let Some(number) = form.given("PhoneNumber") {
            if !is_e164(number) || number == "+15005550001" {
                return Err(ApiError::refused(
                    21_421,
                    format!("{number} is not a valid number"),
                ));
            }
            let offer = inventory::find(number).filter(|_| !self.owns(number));
            return offer.ok_or_else(|| ApiError::refused(21_422, format!("{number} is not available")));
        }
        match form.given("AreaCode") {
            Some(code) if kind.is_none() => inventory::in_area_code(code, "Local", |number| {
                self.owns(number)
            })
            .ok_or_else(|| ApiError::refused(21_452, format!("No phone numbers found in area code {code}"))),
            _ => Err(ApiError::refused(21_421, "PhoneNumber or AreaCode is required")),
        }
    }
}

pub(super) fn search(
    world: &World,
    path: &str,
    country: &str,
    kind: &str,
    query: &Form,
) -> Result<Response, ApiError> {
    let state = world.twilio.state_lock();
    let found = inventory::search(path, country, kind, query, |number| state.owns(number))?;
    Ok(Json(found).into_response())
}

pub(super) fn buy(
    world: &World,
    account: &str,
    kind: Option<&str>,
    form: &Form,
) -> Result<Response, ApiError> {
    let now = rfc2822(world.clock.now());
    let mut state = world.twilio.state_lock();
    let offer = state.choose(form, kind)?;
    if kind.is_some_and(|kind| !kind.eq_ignore_ascii_case(offer.owned_type)) {
        return Err(ApiError::refused(
            21_422,
            format!("{} is not available", offer.phone_number),
        ));
    }
    if offer.address_requirements != "none" && form.given("AddressSid").is_none() {
        return Err(ApiError::refused(
            21_615,
            "An address is required for this number",
        ));
    }
    if offer.bundle && form.given("BundleSid").is_none() {
        return Err(ApiError::refused(
            21_649,
            "An approved bundle is required for this number",
        ));
    }
    if state.numbers.len() >= MOST_NUMBERS {
        return Err(ApiError::refused(21_404, "The account holds too many numbers"));
    }
    let mut number = OwnedNumber::new(account, &offer, &now);
    state.check_trunk(account, form)?;
    number.configure(form, &now)?;
    let answer = number.json();
    let seq = state.next_seq();
    state.numbers.insert(seq, number);
    Ok((StatusCode::CREATED, Json(answer)).into_response())
}

pub(super) fn list(world: &World, account: &str, path: &str, query: &Form) -> Response {
    let state = world.twilio.state_lock();
    let wanted = |number: &OwnedNumber| {
        number.account() == account
            && query
                .given("PhoneNumber")
                .is_none_or(|pattern| contains(number.phone_number(), pattern))
            && query
                .given("FriendlyName")
                .is_none_or(|name| number.text("friendly_name") == Some(name))
            && query
                .given("Origin")
                .is_none_or(|origin| number.text("origin") == Some(origin))
    };
    let items = state.numbers.iter().rev().filter(|(_, number)| wanted(number));
    page(
        path,
        "incoming_phone_numbers",
        query,
        items.map(|(seq, number)| (*seq, number.json())),
    )
}

/// Partial match, where `*` stands for any one digit.
fn contains(number: &str, pattern: &str) -> bool {
    let (number, pattern) = (number.as_bytes(), pattern.as_bytes());
    pattern.len() <= number.len()
        && number.windows(pattern.len()).any(|window| {
            window
                .iter()
                .zip(pattern)
                .all(|(have, want)| have == want || (*want == b'*' && have.is_ascii_digit()))
        })
}

pub(super) fn fetch(world: &World, account: &str, path: &str, sid: &str) -> Result<Response, ApiError> {
    let mut state = world.twilio.state_lock();
    let (_, number) = state
        .number_by_sid(account, sid)
        .ok_or_else(|| ApiError::not_found(path))?;
    Ok(Json(number.json()).into_response())
}

pub(super) fn update(
    world: &World,
    account: &str,
    path: &str,
    sid: &str,
    form: &Form,
) -> Result<Response, ApiError> {
    let now = rfc2822(world.clock.now());
    let mut state = world.twilio.state_lock();
    let target = form.given("AccountSid").filter(|target| *target != account);
    if target.is_some_and(|target| !state.has_account(&world.twilio, target) || !state.is_active(target)) {
        return Err(ApiError::refused(20_001, "AccountSid is not an account of yours"));
    }
    state.check_trunk(account, form)?;
    let (_, number) = state
        .number_by_sid(account, sid)
        .ok_or_else(|| ApiError::not_found(path))?;
    // A refused update changes nothing, not even the fields before the one that was wrong.
    let mut changed = number.clone();
    changed.configure(form, &now)?;
    if let Some(target) = target {
        changed.transfer(target);
    }
    *number = changed;
    Ok(Json(number.json()).into_response())
}

pub(super) fn release(world: &World, account: &str, path: &str, sid: &str) -> Result<Response, ApiError> {
    let mut state = world.twilio.state_lock();
    let (seq, _) = state
        .number_by_sid(account, sid)
        .ok_or_else(|| ApiError::not_found(path))?;
    state.numbers.remove(&seq);
    Ok(StatusCode::NO_CONTENT.into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn list_filters_match_partially_and_with_wildcards() {
        assert!(contains("+14155550100", "+14155550100"));
        assert!(contains("+14155550100", "5550"));
        assert!(contains("+14155550100", "415****100"));
        assert!(!contains("+14155550100", "416"));
        assert!(!contains("+1415", "+14155550100"));
    }

    #[test]
    fn only_e164_is_a_number() {
        assert!(is_e164("+14155550100"));
        for wrong in ["14155550100", "+0123456789", "+1415555010a", "+1", ""] {
            assert!(!is_e164(wrong), "{wrong}");
        }
    }
}
