//! The account, and the accounts within it: `Accounts`.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::wire::{ApiError, page};
use super::{Ask, State, Twilio};
use crate::emulator::clock::rfc2822;
use crate::emulator::id;

const MOST_SUBACCOUNTS: usize = 1_000;

/// What an account may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    Active,
    Suspended,
    Closed,
}

impl Status {
    fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Closed => "closed",
        }
    }

    fn parse(word: &str) -> Result<Self, ApiError> {
        [Self::Active, Self::Suspended, Self::Closed]
            .into_iter()
            .find(|it| it.name() == word)
            .ok_or_else(|| ApiError::refused(20_001, format!("{word} is not a status")))
    }
}

/// An account within the account.
#[derive(Debug, Clone)]
pub(super) struct Subaccount {
    pub(super) sid: String,
    pub(super) auth_token: String,
    pub(super) status: Status,
    friendly_name: String,
    created: Timestamp,
    updated: Timestamp,
}

impl Subaccount {
    pub(super) fn json(&self, owner: &str) -> Value {
        let dates = [self.created, self.updated].map(rfc2822);
        json(
            &self.sid,
            owner,
            &self.friendly_name,
            &self.auth_token,
            self.status,
            &dates,
        )
    }
}

fn json(sid: &str, owner: &str, name: &str, auth_token: &str, status: Status, dates: &[String; 2]) -> Value {
    let base = format!("/2010-04-01/Accounts/{sid}");
    json!({
        "sid": sid, "owner_account_sid": owner, "friendly_name": name, "auth_token": auth_token,
        "status": status.name(), "type": "Full", "date_created": dates[0], "date_updated": dates[1],
        "subresource_uris": {
            "available_phone_numbers": format!("{base}/AvailablePhoneNumbers.json"),
            "calls": format!("{base}/Calls.json"),
            "incoming_phone_numbers": format!("{base}/IncomingPhoneNumbers.json"),
            "sip": format!("{base}/SIP.json"),
        },
        "uri": format!("{base}.json"),
    })
}

impl State {
    fn subaccount(&mut self, sid: &str) -> Option<&mut Subaccount> {
        self.subaccounts.values_mut().find(|account| account.sid == sid)
    }

    /// The status of an account; the parent is none of the subaccounts, and always active.
    pub(super) fn status_of(&self, account: &str) -> Option<Status> {
        let mut accounts = self.subaccounts.values();
        Some(accounts.find(|it| it.sid == account)?.status)
    }

    /// Whether there is, or was, such an account.
    pub(super) fn has_account(&self, twilio: &Twilio, account: &str) -> bool {
        account == twilio.account_sid() || self.status_of(account).is_some()
    }

    pub(super) fn is_active(&self, account: &str) -> bool {
        self.status_of(account)
            .is_none_or(|status| status == Status::Active)
    }

    /// Lets go of everything that a closed account had.
    fn clear_out(&mut self, account: &str, now: Timestamp) {
        self.numbers.retain(|_, number| number.account() != account);
        self.drop_trunks_of(account, now);
        self.credential_lists.retain(|_, list| list.account() != account);
    }
}

/// The account itself as the API shows it.
fn parent(ask: &Ask<'_>) -> Value {
    // The emulator's account has always been there.
    let dates = [Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH].map(rfc2822);
    let twilio = &ask.world.twilio;
    let sid = twilio.account_sid();
    let token = twilio.signing_token(sid, false);
    json(sid, sid, "Emulated account", &token, Status::Active, &dates)
}

/// `GET Accounts`: a parent sees its subaccounts and itself, a subaccount itself.
pub(super) fn list(ask: &Ask<'_>) -> Result<Response, ApiError> {
    let status = ask.query.given("Status").map(Status::parse).transpose()?;
    let owner = ask.world.twilio.account_sid();
    let parent = (ask.caller == owner).then(|| (0, parent(ask)));
    let state = ask.world.twilio.state_lock();
    let subaccounts = state
        .subaccounts
        .iter()
        .rev()
        .filter(|(_, account)| ask.sees(&account.sid));
    let mut accounts: Vec<(u64, Value)> = subaccounts
        .map(|(seq, account)| (*seq, account.json(owner)))
        .collect();
    accounts.extend(parent);
    let wanted = |account: &Value| {
        status.is_none_or(|status| account["status"] == status.name())
            && ask
                .query
                .given("FriendlyName")
                .is_none_or(|name| account["friendly_name"] == name)
    };
    accounts.retain(|(_, account)| wanted(account));
    Ok(page(ask.path, "accounts", ask.query, accounts.into_iter()))
}

/// `POST Accounts`, for the parent alone.
pub(super) fn create(ask: &Ask<'_>) -> Result<Response, ApiError> {
    let owner = ask.world.twilio.account_sid();
    if ask.caller != owner {
        return Err(ApiError::unauthorized());
    }
    let now = ask.world.clock.now();
    let mut state = ask.world.twilio.state_lock();
    let open = state
        .subaccounts
        .values()
        .filter(|it| it.status != Status::Closed);
    if open.count() >= MOST_SUBACCOUNTS {
        return Err(ApiError::refused(
            20_001,
            "The account has 1000 subaccounts already",
        ));
    }
    let default = || format!("SubAccount Created at {}", now.strftime("%Y-%m-%d %I:%M %p"));
    let account = Subaccount {
        sid: id::sid("AC"),
        auth_token: id::hex(32),
        status: Status::Active,
        friendly_name: ask.form.given("FriendlyName").map_or_else(default, str::to_owned),
        created: now,
        updated: now,
    };
    let answer = account.json(owner);
    let seq = state.next_seq();
    state.subaccounts.insert(seq, account);
    Ok((StatusCode::CREATED, Json(answer)).into_response())
}

/// `GET Accounts/{sid}`.
pub(super) fn fetch(ask: &Ask<'_>, sid: &str) -> Result<Response, ApiError> {
    let owner = ask.world.twilio.account_sid();
    if sid == owner && ask.caller == owner {
        return Ok(Json(parent(ask)).into_response());
    }
    let mut state = ask.world.twilio.state_lock();
    let account = state.subaccount(sid).filter(|account| ask.sees(&account.sid));
    let account = account.ok_or_else(|| ApiError::not_found(ask.path))?;
    Ok(Json(account.json(owner)).into_response())
}

/// `POST Accounts/{sid}`, for the parent alone: another name, or another status. Closing is for good.
pub(super) fn update(ask: &Ask<'_>, sid: &str) -> Result<Response, ApiError> {
    let owner = ask.world.twilio.account_sid();
    if ask.caller != owner {
        return Err(ApiError::unauthorized());
    }
    let status = ask.form.given("Status").map(Status::parse).transpose()?;
    if sid == owner {
        return Err(ApiError::refused(
            20_001,
            "The account itself cannot be changed here",
        ));
    }
    let now = ask.world.clock.now();
    let mut state = ask.world.twilio.state_lock();
    let account = state
        .subaccount(sid)
        .ok_or_else(|| ApiError::not_found(ask.path))?;
    if account.status == Status::Closed {
        return Err(ApiError::refused(20_001, "The account is closed"));
    }
    if let Some(name) = ask.form.given("FriendlyName") {
        name.clone_into(&mut account.friendly_name);
    }
    account.status = status.unwrap_or(account.status);
    account.updated = now;
    let answer = account.json(owner);
    if status == Some(Status::Closed) {
        state.clear_out(sid, now);
    }
    Ok(Json(answer).into_response())
}
