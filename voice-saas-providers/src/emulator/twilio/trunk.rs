//! Elastic SIP trunks: `Trunks` and what hangs on them. Calls over them are not emulated.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::wire::{ApiError, Form, meta_page};
use super::{Ask, State};
use crate::emulator::clock::rfc2822;
use crate::emulator::id;

const LONGEST_NAME: usize = 64;
const DOMAIN: &str = ".pstn.twilio.com";
/// The domain of a deleted trunk stays taken for this long.
const COOLDOWN: Duration = Duration::from_hours(30 * 24);

/// What a request below `/v1/Trunks` is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Route<'a> {
    List,
    Create,
    Fetch(&'a str),
    Update(&'a str),
    Delete(&'a str),
    ListParts(&'a str, Part),
    Add(&'a str, Part),
    FetchPart(&'a str, Part, &'a str),
    UpdateOriginationUrl(&'a str, &'a str),
    Remove(&'a str, Part, &'a str),
}

/// The lists below a trunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    OriginationUrls,
    CredentialLists,
    PhoneNumbers,
}

impl Part {
    fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "OriginationUrls" => Self::OriginationUrls,
            "CredentialLists" => Self::CredentialLists,
            "PhoneNumbers" => Self::PhoneNumbers,
            _ => return None,
        })
    }

    fn key(self) -> &'static str {
        match self {
            Self::OriginationUrls => "origination_urls",
            Self::CredentialLists => "credential_lists",
            Self::PhoneNumbers => "phone_numbers",
        }
    }
}

impl<'a> Route<'a> {
    /// `path` is what follows `/v1/Trunks`.
    pub(super) fn parse(method: &str, path: &'a str) -> Option<Self> {
        let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
        Some(match (method, segments.as_slice()) {
            ("GET", []) => Self::List,
            ("POST", []) => Self::Create,
            ("GET", [trunk]) => Self::Fetch(trunk),
            ("POST", [trunk]) => Self::Update(trunk),
            ("DELETE", [trunk]) => Self::Delete(trunk),
            ("GET", [trunk, part]) => Self::ListParts(trunk, Part::parse(part)?),
            ("POST", [trunk, part]) => Self::Add(trunk, Part::parse(part)?),
            ("GET", [trunk, part, sid]) => Self::FetchPart(trunk, Part::parse(part)?, sid),
            ("POST", [trunk, "OriginationUrls", sid]) => Self::UpdateOriginationUrl(trunk, sid),
            ("DELETE", [trunk, part, sid]) => Self::Remove(trunk, Part::parse(part)?, sid),
            _ => return None,
        })
    }
}

/// A trunk: its JSON, its origination URLs, and the lists of credentials that open it. Its numbers name it themselves.
#[derive(Debug, Clone)]
pub(super) struct Trunk {
    fields: Value,
    origination_urls: BTreeMap<u64, Value>,
    /// List and the time of its attachment.
    credential_lists: BTreeMap<u64, (String, Timestamp)>,
}

impl Trunk {
    fn sid(&self) -> &str {
        self.fields["sid"].as_str().unwrap_or_default()
    }

    fn account(&self) -> &str {
        self.fields["account_sid"].as_str().unwrap_or_default()
    }

    fn domain(&self) -> Option<&str> {
        self.fields["domain_name"].as_str()
    }

    pub(super) fn uses(&self, list: &str) -> bool {
        self.credential_lists.values().any(|(sid, _)| sid == list)
    }

    fn origination_url(&mut self, sid: &str) -> Option<(u64, &mut Value)> {
        let mut urls = self.origination_urls.iter_mut();
        urls.find(|(_, url)| url["sid"] == sid)
            .map(|(seq, url)| (*seq, url))
    }
}

impl State {
    pub(super) fn has_trunk(&self, account: &str, sid: &str) -> bool {
        self.trunk_seq(account, sid).is_some()
    }

    fn trunk_seq(&self, account: &str, sid: &str) -> Option<u64> {
        let mut trunks = self.trunks.iter();
        trunks
            .find(|(_, trunk)| trunk.sid() == sid && trunk.account() == account)
            .map(|(seq, _)| *seq)
    }

    fn trunk(&mut self, ask: &Ask<'_>, sid: &str) -> Result<&mut Trunk, ApiError> {
        let seq = self.trunk_seq(ask.account, sid);
        seq.and_then(|seq| self.trunks.get_mut(&seq))
            .ok_or_else(|| ask.not_found())
    }

    fn is_domain_taken(&self, domain: &str, but: &str, now: Timestamp) -> bool {
        let in_use = |trunk: &Trunk| {
            let same = trunk.domain().is_some_and(|it| it.eq_ignore_ascii_case(domain));
            same && trunk.sid() != but
        };
        self.trunks.values().any(in_use)
            || self
                .cooling_domains
                .get(&domain.to_ascii_lowercase())
                .is_some_and(|deleted| {
                    Duration::try_from(now.duration_since(*deleted)).is_ok_and(|since| since < COOLDOWN)
                })
    }

    fn drop_trunk(&mut self, seq: u64, now: Timestamp) {
        let Some(trunk) = self.trunks.remove(&seq) else {
            return;
        };
        if let Some(domain) = trunk.domain() {
            self.cooling_domains.insert(domain.to_ascii_lowercase(), now);
        }
        for number in self.numbers.values_mut() {
            if number.text("trunk_sid") == Some(trunk.sid()) {
                number.set_trunk(None, &rfc2822(now));
            }
        }
    }

    /// What a closed account had.
    pub(super) fn drop_trunks_of(&mut self, account: &str, now: Timestamp) {
        let theirs = self.trunks.iter().filter(|(_, trunk)| trunk.account() == account);
        for seq in theirs.map(|(seq, _)| *seq).collect::<Vec<_>>() {
            self.drop_trunk(seq, now);
        }
    }

    /// Every trunk with its parts.
    pub(super) fn trunks_json(&self) -> Vec<Value> {
        let trunks = self.trunks.values().rev();
        let whole = |trunk: &Trunk| {
            let numbers = self.numbers.values();
            let numbers = numbers.filter(|number| number.text("trunk_sid") == Some(trunk.sid()));
            let mut whole = trunk.fields.clone();
            whole["phone_numbers"] = numbers.map(|number| json!(number.phone_number())).collect();
            whole["origination_urls"] = trunk.origination_urls.values().cloned().collect();
            let lists = trunk.credential_lists.values();
            whole["credential_lists"] = lists.map(|(sid, _)| json!(sid)).collect();
            whole
        };
        trunks.map(whole).collect()
    }
}

pub(super) fn handle(ask: &Ask<'_>, route: Route<'_>) -> Result<Response, ApiError> {
    match route {
        Route::List => Ok(list(ask)),
        Route::Create => create(ask),
        Route::Fetch(sid) => {
            let mut state = ask.world.twilio.state_lock();
            Ok(Json(state.trunk(ask, sid)?.fields.clone()).into_response())
        }
        Route::Update(sid) => update(ask, sid),
        Route::Delete(sid) => delete(ask, sid),
        Route::ListParts(trunk, part) => {
            let parts = parts(ask, trunk, part)?;
            Ok(meta_page(&ask.url(), part.key(), ask.query, parts.into_iter()))
        }
        Route::FetchPart(trunk, part, sid) => {
            let found = parts(ask, trunk, part)?
                .into_iter()
                .find(|(_, it)| it["sid"] == sid);
            let (_, found) = found.ok_or_else(|| ask.not_found())?;
            Ok(Json(found).into_response())
        }
        Route::Add(trunk, Part::OriginationUrls) => add_origination_url(ask, trunk),
        Route::Add(trunk, Part::CredentialLists) => attach_list(ask, trunk),
        Route::Add(trunk, Part::PhoneNumbers) => attach_number(ask, trunk),
        Route::UpdateOriginationUrl(trunk, sid) => update_origination_url(ask, trunk, sid),
        Route::Remove(trunk, part, sid) => remove(ask, trunk, part, sid),
    }
}

fn list(ask: &Ask<'_>) -> Response {
    let state = ask.world.twilio.state_lock();
    let trunks = state.trunks.iter().rev();
    let trunks = trunks.filter(|(_, trunk)| trunk.account() == ask.account);
    let items = trunks.map(|(seq, trunk)| (*seq, trunk.fields.clone()));
    meta_page(&ask.url(), "trunks", ask.query, items)
}

/// Sets every parameter that the form holds.
fn configure(fields: &mut Value, form: &Form) -> Result<(), ApiError> {
    let wrong = |what: &str| ApiError::refused(20_001, format!("Invalid {what}"));
    if let Some(name) = form.get("FriendlyName") {
        if name.chars().count() > LONGEST_NAME {
            return Err(wrong("FriendlyName"));
        }
        fields["friendly_name"] = json!(name);
    }
    if let Some(domain) = form.given("DomainName") {
        let name = domain.strip_suffix(DOMAIN).unwrap_or_default();
        let right = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        if name.is_empty() || name.len() > 63 || !name.bytes().all(right) {
            return Err(wrong("DomainName: letters, digits and - before .pstn.twilio.com"));
        }
        fields["domain_name"] = json!(domain);
    }
    for (parameter, field, allowed) in [
        (
            "TransferMode",
            "transfer_mode",
            ["disable-all", "enable-all", "sip-only"].as_slice(),
        ),
        (
            "TransferCallerId",
            "transfer_caller_id",
            &["from-transferee", "from-transferor"],
        ),
        (
            "DisasterRecoveryMethod",
            "disaster_recovery_method",
            &["GET", "POST"],
        ),
    ] {
        match form.get(parameter) {
            Some(word) if allowed.contains(&word) => fields[field] = json!(word),
            Some(_) => return Err(wrong(parameter)),
            None => {}
        }
    }
    if let Some(url) = form.get("DisasterRecoveryUrl") {
        fields["disaster_recovery_url"] = json!(Some(url).filter(|url| !url.is_empty()));
    }
    for (parameter, field) in [("Secure", "secure"), ("CnamLookupEnabled", "cnam_lookup_enabled")] {
        if let Some(flag) = form.flag(parameter) {
            fields[field] = json!(flag);
        }
    }
    Ok(())
}

fn create(ask: &Ask<'_>) -> Result<Response, ApiError> {
    let at = ask.world.clock.now();
    let now = at.to_string();
    let sid = id::sid("TK");
    let url = format!("{}/{sid}", ask.url());
    let mut fields = json!({
        "sid": sid, "account_sid": ask.account, "friendly_name": null, "domain_name": null, "secure": false,
        "cnam_lookup_enabled": false, "symmetric_rtp_enabled": false,
        "recording": {"mode": "do-not-record", "trim": "do-not-trim"}, "transfer_mode": "disable-all",
        "transfer_caller_id": "from-transferee", "disaster_recovery_url": null, "disaster_recovery_method": "POST",
        "auth_type": "", "auth_type_set": [], "date_created": now, "date_updated": now, "url": url,
        "links": {
            "origination_urls": format!("{url}/OriginationUrls"),
            "credential_lists": format!("{url}/CredentialLists"),
            "ip_access_control_lists": format!("{url}/IpAccessControlLists"),
            "phone_numbers": format!("{url}/PhoneNumbers"),
        },
    });
    configure(&mut fields, ask.form)?;
    let mut state = ask.world.twilio.state_lock();
    if let Some(domain) = fields["domain_name"].as_str()
        && state.is_domain_taken(domain, &sid, at)
    {
        return Err(ApiError::refused(21_248, "Trunk Domain already taken"));
    }
    let trunk = Trunk {
        fields: fields.clone(),
        origination_urls: BTreeMap::new(),
        credential_lists: BTreeMap::new(),
    };
    let seq = state.next_seq();
    state.trunks.insert(seq, trunk);
    Ok((StatusCode::CREATED, Json(fields)).into_response())
}

fn update(ask: &Ask<'_>, sid: &str) -> Result<Response, ApiError> {
    let now = ask.world.clock.now();
    let mut state = ask.world.twilio.state_lock();
    let mut fields = state.trunk(ask, sid)?.fields.clone();
    configure(&mut fields, ask.form)?;
    if let Some(domain) = ask.form.given("DomainName")
        && state.is_domain_taken(domain, sid, now)
    {
        return Err(ApiError::refused(21_248, "Trunk Domain already taken"));
    }
    fields["date_updated"] = json!(now.to_string());
    state.trunk(ask, sid)?.fields = fields.clone();
    Ok(Json(fields).into_response())
}

fn delete(ask: &Ask<'_>, sid: &str) -> Result<Response, ApiError> {
    let now = ask.world.clock.now();
    let mut state = ask.world.twilio.state_lock();
    let seq = state.trunk_seq(ask.account, sid).ok_or_else(|| ask.not_found())?;
    state.drop_trunk(seq, now);
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// What is in a list below a trunk, newest first.
fn parts(ask: &Ask<'_>, trunk: &str, part: Part) -> Result<Vec<(u64, Value)>, ApiError> {
    let mut state = ask.world.twilio.state_lock();
    let found = state.trunk(ask, trunk)?.clone();
    let list = format!("{}{}", ask.base(), trunk_path(trunk, part));
    Ok(match part {
        Part::OriginationUrls => found.origination_urls.into_iter().rev().collect(),
        Part::CredentialLists => {
            let attached = found.credential_lists.iter().rev();
            attached
                .filter_map(|(seq, (sid, at))| {
                    let name = state.credential_list(ask.account, sid)?.name().clone();
                    Some((*seq, attached_list(ask.account, trunk, &list, sid, &name, *at)))
                })
                .collect()
        }
        Part::PhoneNumbers => {
            let numbers = state.numbers.iter().rev();
            numbers
                .filter(|(_, number)| number.text("trunk_sid") == Some(trunk))
                .map(|(seq, number)| (*seq, attached_number(ask, &number.json(), &list)))
                .collect()
        }
    })
}

fn trunk_path(trunk: &str, part: Part) -> String {
    let name = match part {
        Part::OriginationUrls => "OriginationUrls",
        Part::CredentialLists => "CredentialLists",
        Part::PhoneNumbers => "PhoneNumbers",
    };
    format!("/v1/Trunks/{trunk}/{name}")
}

fn attached_list(account: &str, trunk: &str, list: &str, sid: &str, name: &Value, at: Timestamp) -> Value {
    let at = at.to_string();
    json!({
        "sid": sid, "account_sid": account, "trunk_sid": trunk, "friendly_name": name, "date_created": at,
        "date_updated": at, "url": format!("{list}/{sid}"),
    })
}

/// A number as a trunk shows it: fewer fields, and dates in the newer form.
fn attached_number(ask: &Ask<'_>, number: &Value, list: &str) -> Value {
    const FIELDS: [&str; 20] = [
        "sid",
        "friendly_name",
        "account_sid",
        "phone_number",
        "api_version",
        "voice_caller_id_lookup",
        "voice_url",
        "voice_method",
        "voice_fallback_url",
        "voice_fallback_method",
        "status_callback",
        "status_callback_method",
        "trunk_sid",
        "sms_url",
        "sms_method",
        "sms_fallback_url",
        "sms_fallback_method",
        "address_requirements",
        "beta",
        "capabilities",
    ];
    let mut fields: serde_json::Map<_, _> = FIELDS
        .iter()
        .map(|field| ((*field).to_owned(), number[*field].clone()))
        .collect();
    for field in ["voice_application_sid", "sms_application_sid"] {
        let sid = number[field].as_str().filter(|sid| !sid.is_empty());
        fields.insert(field.to_owned(), json!(sid));
    }
    for field in ["date_created", "date_updated"] {
        let date = number[field].as_str().and_then(|date| {
            let date = jiff::fmt::rfc2822::parse(date).ok()?;
            Some(date.timestamp().to_string())
        });
        fields.insert(field.to_owned(), json!(date));
    }
    let sid = number["sid"].as_str().unwrap_or_default();
    let uri = number["uri"].as_str().unwrap_or_default();
    fields.insert("url".to_owned(), json!(format!("{list}/{sid}")));
    fields.insert(
        "links".to_owned(),
        json!({"phone_number": format!("{}{uri}", ask.base())}),
    );
    Value::Object(fields)
}

/// Sets what the form holds of an origination URL.
fn configure_url(url: &mut Value, form: &Form) -> Result<(), ApiError> {
    let wrong = |what: &str| ApiError::refused(20_001, format!("Invalid {what}"));
    for (parameter, field, least) in [("Weight", "weight", 1), ("Priority", "priority", 0)] {
        if let Some(text) = form.get(parameter) {
            let number: u16 = text.parse().map_err(|_| wrong(parameter))?;
            if number < least {
                return Err(wrong(parameter));
            }
            url[field] = json!(number);
        }
    }
    if let Some(name) = form.get("FriendlyName") {
        url["friendly_name"] = json!(name);
    }
    if let Some(enabled) = form.flag("Enabled") {
        url["enabled"] = json!(enabled);
    }
    if let Some(sip_url) = form.get("SipUrl") {
        // `sips:` is not supported.
        if !sip_url.starts_with("sip:") || sip_url.len() < 5 {
            return Err(wrong("SipUrl"));
        }
        url["sip_url"] = json!(sip_url);
    }
    Ok(())
}

fn add_origination_url(ask: &Ask<'_>, trunk: &str) -> Result<Response, ApiError> {
    for required in ["Weight", "Priority", "Enabled", "FriendlyName", "SipUrl"] {
        if ask.form.given(required).is_none() {
            return Err(ApiError::refused(20_001, format!("{required} is required")));
        }
    }
    let now = ask.world.clock.now().to_string();
    let sid = id::sid("OU");
    let mut url = json!({
        "sid": sid, "account_sid": ask.account, "trunk_sid": trunk, "date_created": now, "date_updated": now,
        "url": format!("{}/{sid}", ask.url()),
    });
    configure_url(&mut url, ask.form)?;
    let mut state = ask.world.twilio.state_lock();
    let seq = state.next_seq();
    state.trunk(ask, trunk)?.origination_urls.insert(seq, url.clone());
    Ok((StatusCode::CREATED, Json(url)).into_response())
}

fn update_origination_url(ask: &Ask<'_>, trunk: &str, sid: &str) -> Result<Response, ApiError> {
    let now = ask.world.clock.now().to_string();
    let mut state = ask.world.twilio.state_lock();
    let (_, url) = state
        .trunk(ask, trunk)?
        .origination_url(sid)
        .ok_or_else(|| ask.not_found())?;
    let mut changed = url.clone();
    configure_url(&mut changed, ask.form)?;
    changed["date_updated"] = json!(now);
    *url = changed.clone();
    Ok(Json(changed).into_response())
}

fn attach_list(ask: &Ask<'_>, trunk: &str) -> Result<Response, ApiError> {
    let now = ask.world.clock.now();
    let sid = ask.form.given("CredentialListSid").unwrap_or_default();
    let mut state = ask.world.twilio.state_lock();
    let seq = state.next_seq();
    state.trunk(ask, trunk)?;
    let list = state.credential_list(ask.account, sid);
    let name = list.ok_or_else(|| ApiError::not_found(sid))?.name().clone();
    let found = state.trunk(ask, trunk)?;
    if found.uses(sid) {
        return Err(ApiError::conflict(
            "The credential list is attached to the trunk already",
        ));
    }
    found.credential_lists.insert(seq, (sid.to_owned(), now));
    found.fields["auth_type"] = json!("CREDENTIAL_LIST");
    found.fields["auth_type_set"] = json!(["CREDENTIAL_LIST"]);
    let answer = attached_list(ask.account, trunk, &ask.url(), sid, &name, now);
    Ok((StatusCode::CREATED, Json(answer)).into_response())
}

fn attach_number(ask: &Ask<'_>, trunk: &str) -> Result<Response, ApiError> {
    let now = rfc2822(ask.world.clock.now());
    let sid = ask.form.given("PhoneNumberSid").unwrap_or_default();
    let mut state = ask.world.twilio.state_lock();
    state.trunk(ask, trunk)?;
    let (_, number) = state
        .number_by_sid(ask.account, sid)
        .ok_or_else(|| ApiError::not_found(sid))?;
    if number.text("trunk_sid") == Some(trunk) {
        return Err(ApiError::conflict("The number is attached to the trunk already"));
    }
    number.set_trunk(Some(trunk), &now);
    let answer = attached_number(ask, &number.json(), &ask.url());
    Ok((StatusCode::CREATED, Json(answer)).into_response())
}

fn remove(ask: &Ask<'_>, trunk: &str, part: Part, sid: &str) -> Result<Response, ApiError> {
    let now = rfc2822(ask.world.clock.now());
    let mut state = ask.world.twilio.state_lock();
    let found = state.trunk(ask, trunk)?;
    match part {
        Part::OriginationUrls => {
            let (seq, _) = found.origination_url(sid).ok_or_else(|| ask.not_found())?;
            found.origination_urls.remove(&seq);
        }
        Part::CredentialLists => {
            if !found.uses(sid) {
                return Err(ask.not_found());
            }
            found.credential_lists.retain(|_, (list, _)| list != sid);
            if found.credential_lists.is_empty() {
                found.fields["auth_type"] = json!("");
                found.fields["auth_type_set"] = json!([]);
            }
        }
        Part::PhoneNumbers => {
            let number = state.number_by_sid(ask.account, sid).map(|(_, number)| number);
            let number = number.filter(|number| number.text("trunk_sid") == Some(trunk));
            number.ok_or_else(|| ask.not_found())?.set_trunk(None, &now);
        }
    }
    Ok(StatusCode::NO_CONTENT.into_response())
}
