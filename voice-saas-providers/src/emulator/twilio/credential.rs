//! Lists of SIP credentials: `SIP/CredentialLists`.

use std::collections::BTreeMap;

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};

use super::wire::{ApiError, Form, page};
use super::{Ask, State};
use crate::emulator::clock::rfc2822;
use crate::emulator::id;

const LONGEST_NAME: usize = 64;
const LONGEST_USERNAME: usize = 32;
const SHORTEST_PASSWORD: usize = 12;

/// A list of SIP credentials: its JSON, and what is in it.
#[derive(Debug, Clone)]
pub(super) struct CredentialList {
    fields: Value,
    credentials: BTreeMap<u64, Credential>,
}

#[derive(Debug, Clone)]
struct Credential {
    fields: Value,
    password: String,
}

impl CredentialList {
    pub(super) fn sid(&self) -> &str {
        self.fields["sid"].as_str().unwrap_or_default()
    }

    pub(super) fn account(&self) -> &str {
        self.fields["account_sid"].as_str().unwrap_or_default()
    }

    pub(super) fn name(&self) -> &Value {
        &self.fields["friendly_name"]
    }

    /// With what the API never tells.
    pub(super) fn state(&self) -> Value {
        let mut list = self.fields.clone();
        let credentials = self.credentials.values();
        list["credentials"] = credentials
            .map(|it| json!({"sid": it.fields["sid"], "username": it.fields["username"], "password": it.password}))
            .collect();
        list
    }

    fn credential(&mut self, sid: &str) -> Option<(u64, &mut Credential)> {
        let mut credentials = self.credentials.iter_mut();
        credentials
            .find(|(_, it)| it.fields["sid"] == sid)
            .map(|(seq, it)| (*seq, it))
    }
}

/// Everything that is wrong with a list or with what is in it has this code.
fn wrong(message: impl Into<String>) -> ApiError {
    ApiError::refused(21_240, message)
}

impl State {
    pub(super) fn credential_list(&mut self, account: &str, sid: &str) -> Option<&mut CredentialList> {
        let mut lists = self.credential_lists.values_mut();
        lists.find(|list| list.sid() == sid && list.account() == account)
    }
}

fn name(form: &Form) -> Result<&str, ApiError> {
    form.given("FriendlyName")
        .filter(|name| name.chars().count() <= LONGEST_NAME)
        .ok_or_else(|| wrong("FriendlyName must have 1 to 64 characters"))
}

fn password(form: &Form) -> Result<&str, ApiError> {
    let strong = |password: &&str| {
        let has = |kind: fn(&char) -> bool| password.chars().any(|char| kind(&char));
        password.chars().count() >= SHORTEST_PASSWORD
            && has(char::is_ascii_digit)
            && has(char::is_ascii_uppercase)
            && has(char::is_ascii_lowercase)
    };
    form.given("Password")
        .filter(strong)
        .ok_or_else(|| wrong("Password must have 12 characters, a digit, an upper and a lower case letter"))
}

pub(super) fn list(ask: &Ask<'_>) -> Response {
    let state = ask.world.twilio.state_lock();
    let lists = state.credential_lists.iter().rev();
    let lists = lists.filter(|(_, list)| list.account() == ask.account);
    let items = lists.map(|(seq, list)| (*seq, list.fields.clone()));
    page(ask.path, "credential_lists", ask.query, items)
}

pub(super) fn create(ask: &Ask<'_>) -> Result<Response, ApiError> {
    let name = name(ask.form)?;
    let now = rfc2822(ask.world.clock.now());
    let account = ask.account;
    let mut state = ask.world.twilio.state_lock();
    let taken = |list: &CredentialList| list.account() == account && list.name() == name;
    if state.credential_lists.values().any(taken) {
        return Err(wrong("A credential list with this FriendlyName exists already"));
    }
    let sid = id::sid("CL");
    let base = format!("/2010-04-01/Accounts/{account}/SIP/CredentialLists/{sid}");
    let fields = json!({
        "sid": sid, "account_sid": account, "friendly_name": name, "date_created": now, "date_updated": now,
        "subresource_uris": {"credentials": format!("{base}/Credentials.json")}, "uri": format!("{base}.json"),
    });
    let list = CredentialList {
        fields: fields.clone(),
        credentials: BTreeMap::new(),
    };
    let seq = state.next_seq();
    state.credential_lists.insert(seq, list);
    Ok((StatusCode::CREATED, Json(fields)).into_response())
}

pub(super) fn fetch(ask: &Ask<'_>, sid: &str) -> Result<Response, ApiError> {
    let mut state = ask.world.twilio.state_lock();
    let list = state
        .credential_list(ask.account, sid)
        .ok_or_else(|| ask.not_found())?;
    Ok(Json(list.fields.clone()).into_response())
}

/// A list that a trunk uses stays.
pub(super) fn delete(ask: &Ask<'_>, sid: &str) -> Result<Response, ApiError> {
    let mut state = ask.world.twilio.state_lock();
    state
        .credential_list(ask.account, sid)
        .ok_or_else(|| ask.not_found())?;
    if state.trunks.values().any(|trunk| trunk.uses(sid)) {
        return Err(ApiError::conflict("The credential list is attached to a trunk"));
    }
    state.credential_lists.retain(|_, list| list.sid() != sid);
    Ok(StatusCode::NO_CONTENT.into_response())
}

pub(super) fn list_credentials(ask: &Ask<'_>, list: &str) -> Result<Response, ApiError> {
    let mut state = ask.world.twilio.state_lock();
    let list = state
        .credential_list(ask.account, list)
        .ok_or_else(|| ask.not_found())?;
    let credentials = list.credentials.iter().rev();
    let items = credentials.map(|(seq, credential)| (*seq, credential.fields.clone()));
    Ok(page(ask.path, "credentials", ask.query, items))
}

pub(super) fn create_credential(ask: &Ask<'_>, list: &str) -> Result<Response, ApiError> {
    let now = rfc2822(ask.world.clock.now());
    let mut state = ask.world.twilio.state_lock();
    let seq = state.next_seq();
    let found = state
        .credential_list(ask.account, list)
        .ok_or_else(|| ask.not_found())?;
    let username = ask
        .form
        .given("Username")
        .filter(|name| name.chars().count() <= LONGEST_USERNAME)
        .ok_or_else(|| wrong("Username must have 1 to 32 characters"))?;
    let password = password(ask.form)?;
    if found
        .credentials
        .values()
        .any(|it| it.fields["username"] == username)
    {
        return Err(wrong("The list holds this Username already"));
    }
    let sid = id::sid("CR");
    let fields = json!({
        "sid": sid, "account_sid": ask.account, "credential_list_sid": list, "username": username,
        "date_created": now, "date_updated": now,
        "uri": format!("/2010-04-01/Accounts/{}/SIP/CredentialLists/{list}/Credentials/{sid}.json", ask.account),
    });
    let credential = Credential {
        fields: fields.clone(),
        password: password.to_owned(),
    };
    found.credentials.insert(seq, credential);
    Ok((StatusCode::CREATED, Json(fields)).into_response())
}

pub(super) fn update_credential(ask: &Ask<'_>, list: &str, sid: &str) -> Result<Response, ApiError> {
    let now = rfc2822(ask.world.clock.now());
    let mut state = ask.world.twilio.state_lock();
    let list = state
        .credential_list(ask.account, list)
        .ok_or_else(|| ask.not_found())?;
    let (_, credential) = list.credential(sid).ok_or_else(|| ask.not_found())?;
    password(ask.form)?.clone_into(&mut credential.password);
    credential.fields["date_updated"] = json!(now);
    Ok(Json(credential.fields.clone()).into_response())
}

pub(super) fn delete_credential(ask: &Ask<'_>, list: &str, sid: &str) -> Result<Response, ApiError> {
    let mut state = ask.world.twilio.state_lock();
    let list = state
        .credential_list(ask.account, list)
        .ok_or_else(|| ask.not_found())?;
    let (seq, _) = list.credential(sid).ok_or_else(|| ask.not_found())?;
    list.credentials.remove(&seq);
    Ok(StatusCode::NO_CONTENT.into_response())
}
