//! Dialling: a call out as a participant of a room (page `telephony/making-calls/outbound-calls`).

use std::{collections::BTreeMap, time::Duration};

use livekit_protocol as proto;
use voice_saas_core::{
    phone::{Country, E164},
    provider::{
        ErrorKind, ProviderError,
        telephony::{ProviderCallId, RouteHandle, SipCredentials},
    },
    secret::ExposeSecret,
};

use super::{
    LiveKit, builder, call_id,
    rule::{self, Parts},
    token::Grant,
    twirp::{Refusal, Rpc},
};
use crate::http::{Effect, RetryPolicy};

const DIAL: Rpc = Rpc::new("dial", "SIP/CreateSIPParticipant", Effect::Once);
/// The longest that the server waits for an answer.
const LONGEST_RINGING: Duration = Duration::from_secs(80);
/// How long the server waits for the participant to join, when it does not wait for the answer, and some more.
const JOINING: Duration = Duration::from_secs(35);

/// How SIP messages travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum SipTransport {
    /// As the carrier's DNS says. A port in the host may be ignored then.
    #[default]
    Auto,
    /// UDP.
    Udp,
    /// TCP.
    Tcp,
    /// TCP with TLS; the audio is encrypted only when [`Encryption`] says so.
    Tls,
}

/// Whether the audio is encrypted (SRTP).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Encryption {
    /// When the carrier can.
    Allow,
    /// Or else the call fails.
    Require,
}

/// A carrier that the call brings along.
#[derive(Debug, Clone)]
pub struct InlineTrunk {
    host: String,
    credentials: Option<SipCredentials>,
    transport: SipTransport,
    country: Option<Country>,
}

impl InlineTrunk {
    /// The carrier at this host, such as `my-trunk.pstn.twilio.com`, without credentials.
    pub fn new(host: impl Into<String>, transport: SipTransport) -> Self {
        Self {
            host: host.into(),
            credentials: None,
            transport,
            country: None,
        }
    }

    /// What opens it.
    #[must_use]
    pub fn with_credentials(mut self, credentials: SipCredentials) -> Self {
        self.credentials = Some(credentials);
        self
    }

    /// Where the call goes; LiveKit Cloud routes by it.
    #[must_use]
    pub fn with_destination_country(mut self, country: Country) -> Self {
        self.country = Some(country);
        self
    }
}

/// Which way a call goes out.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum OutboundRoute {
    /// By a carrier that is named with the call.
    Inline(InlineTrunk),
    /// By the outbound trunk that was stored with this route.
    Stored(RouteHandle),
    /// By an outbound trunk with this id (`ST_…`).
    Trunk(String),
}

/// A call to be placed.
#[derive(Debug, Clone)]
pub struct DialRequest {
    room: String,
    identity: String,
    from: E164,
    to: E164,
    route: OutboundRoute,
    ringing: Duration,
    wait: bool,
    longest: Option<Duration>,
    name: String,
    metadata: String,
    attributes: BTreeMap<String, String>,
    dtmf: String,
    display_name: Option<String>,
    encryption: Option<Encryption>,
    krisp: bool,
}

impl DialRequest {
    /// Calls `to` as `from`, into `room` as `identity`. Choose an identity that is used once: a second call under the
    /// same one takes the first call's place, and both telephones ring.
    ///
    /// It rings for at most 30 seconds, and [`LiveKit::dial`] answers when the call is answered or has failed.
    pub fn new(
        room: impl Into<String>,
        identity: impl Into<String>,
        from: E164,
        to: E164,
        route: OutboundRoute,
    ) -> Self {
        Self {
            room: room.into(),
            identity: identity.into(),
            from,
            to,
            route,
            ringing: Duration::from_secs(30),
            wait: true,
            longest: None,
            name: String::new(),
            metadata: String::new(),
            attributes: BTreeMap::new(),
            dtmf: String::new(),
            display_name: None,
            encryption: None,
            krisp: false,
        }
    }

    /// Rings at most this long: 1 to 80 seconds.
    #[must_use]
    pub fn with_ringing(mut self, longest: Duration) -> Self {
        self.ringing = longest;
        self
    }

    /// Answers as soon as the call is on its way, so that nobody waits; how it went on shows in
    /// [`fetch`](voice_saas_core::provider::telephony::CallProvider::fetch) and in the webhooks.
    #[must_use]
    pub fn without_waiting(mut self) -> Self {
        self.wait = false;
        self
    }

    /// Hangs up after this long.
    #[must_use]
    pub fn with_longest(mut self, longest: Duration) -> Self {
        self.longest = Some(longest);
        self
    }

    /// The participant's name for people, and what else the room is told of it.
    #[must_use]
    pub fn with_participant(mut self, name: impl Into<String>, metadata: impl Into<String>) -> Self {
        self.name = name.into();
        self.metadata = metadata.into();
        self
    }

    /// An attribute of the participant. Webhooks carry it, so it leads from them to the tenant.
    #[must_use]
    pub fn with_attribute(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.attributes.insert(name.into(), value.into());
        self
    }

    /// Digits that are sent after the answer; `w` waits for half a second.
    #[must_use]
    pub fn with_dtmf(mut self, digits: impl Into<String>) -> Self {
        self.dtmf = digits.into();
        self
    }

    /// The name that the callee sees. An empty one lets their carrier look it up.
    #[must_use]
    pub fn with_display_name(mut self, name: impl Into<String>) -> Self {
        self.display_name = Some(name.into());
        self
    }

    /// Encrypts the audio.
    #[must_use]
    pub fn with_encryption(mut self, encryption: Encryption) -> Self {
        self.encryption = Some(encryption);
        self
    }

    /// Takes noise out of the callee's voice (LiveKit Cloud alone).
    #[must_use]
    pub fn with_noise_cancellation(mut self) -> Self {
        self.krisp = true;
        self
    }
}

/// What became of a call that was placed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum DialOutcome {
    /// It is on its way; nobody waited for the answer.
    Dialing,
    /// Somebody, or their voicemail, has answered.
    Answered,
    /// 486, 600.
    Busy,
    /// 403, 603, 607, 608: the callee or their carrier does not want it.
    Declined,
    /// 408, 480, 487, or it rang for as long as it may.
    NoAnswer,
    /// 404, 410, 484, 604: there is no such number.
    InvalidNumber,
    /// The carrier takes no more calls in this second, or at a time. Try again later.
    CarrierRateLimited,
    /// 401, 407: the carrier does not know the trunk's credentials.
    CarrierAuth,
    /// 5xx: the carrier failed.
    TrunkFailure,
    /// Something else; [`Dialed::detail`] says what.
    Unknown,
}

/// A call that was placed. Whatever became of it, it is not placed again.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Dialed {
    /// What became of it.
    pub outcome: DialOutcome,
    /// The call; the same as [`call_id`] of its room and identity.
    pub call: ProviderCallId,
    /// LiveKit's id of the call (`SCL_…`), once it is on its way.
    pub sip_call_id: Option<String>,
    /// What the carrier answered.
    pub sip_status: Option<u16>,
    /// What the carrier said, for operators.
    pub detail: Option<String>,
}

impl LiveKit {
    /// Places a call. Sent once, whatever happens: LiveKit does not recognise a repetition, and a telephone would ring
    /// twice.
    ///
    /// A call that the carrier refused is a [`Dialed`] all the same; its room and the agent in it are the caller's to
    /// clean up.
    ///
    /// # Errors
    /// `Invalid` before anything is sent; `TimedOut`, `Interrupted` or `ServerError` when the telephone may ring: look
    /// at the room's participants before anything else is done.
    pub async fn dial(&self, dial: &DialRequest) -> Result<Dialed, ProviderError> {
        let message = message(dial)?;
        let patience = if dial.wait {
            dial.ringing + Duration::from_secs(5)
        } else {
            JOINING
        };
        let request = self
            .twirp
            .request(DIAL, Grant::SipCall, &message)?
            .timeout(patience)
            .retry(RetryPolicy::none());
        let mut dialed = Dialed {
            outcome: DialOutcome::Dialing,
            call: call_id(&dial.room, &dial.identity),
            sip_call_id: None,
            sip_status: None,
            detail: None,
        };
        match self.twirp.send::<proto::SipParticipantInfo>(DIAL, request).await {
            Ok(info) => {
                if dial.wait {
                    dialed.outcome = DialOutcome::Answered;
                }
                dialed.sip_call_id = Some(info.sip_call_id).filter(|id| !id.is_empty());
            }
            Err(error) => {
                let Some(refusal) = Refusal::of(&error) else {
                    return Err(error);
                };
                let sip_status = sip_status(refusal);
                let Some(outcome) = outcome(refusal, sip_status) else {
                    return Err(error);
                };
                dialed.outcome = outcome;
                dialed.sip_status = sip_status;
                dialed.detail = Some(refusal.to_string());
            }
        }
        Ok(dialed)
    }
}

fn message(dial: &DialRequest) -> Result<proto::CreateSipParticipantRequest, ProviderError> {
    let wrong = |detail| DIAL.error(ErrorKind::Invalid, detail);
    if dial.room.is_empty() || dial.identity.is_empty() {
        return Err(wrong("the room or the identity is empty"));
    }
    if !(Duration::from_secs(1)..=LONGEST_RINGING).contains(&dial.ringing) {
        return Err(wrong("a telephone rings for 1 to 80 seconds"));
    }
    let mut message = proto::CreateSipParticipantRequest {
        sip_call_to: dial.to.to_string(),
        sip_number: dial.from.to_string(),
        room_name: dial.room.clone(),
        participant_identity: dial.identity.clone(),
        participant_name: dial.name.clone(),
        participant_metadata: dial.metadata.clone(),
        participant_attributes: dial.attributes.clone().into_iter().collect(),
        dtmf: dial.dtmf.clone(),
        display_name: dial.display_name.clone(),
        ringing_timeout: Some(dial.ringing.into()),
        max_call_duration: dial.longest.map(Into::into),
        wait_until_answered: dial.wait,
        krisp_enabled: dial.krisp,
        media: dial.encryption.map(media),
        ..Default::default()
    };
    match &dial.route {
        OutboundRoute::Inline(trunk) if !builder::is_sip_host(&trunk.host) => {
            return Err(wrong("the carrier's address is not a host, or host and port"));
        }
        OutboundRoute::Inline(trunk) => message.trunk = Some(inline(trunk)),
        OutboundRoute::Stored(handle) => {
            message.sip_trunk_id = Parts::read(handle)
                .and_then(|parts| parts.outbound_trunk)
                .ok_or_else(|| wrong("the route has no outbound trunk"))?;
        }
        OutboundRoute::Trunk(id) if id.is_empty() => return Err(wrong("the outbound trunk has no id")),
        OutboundRoute::Trunk(id) => message.sip_trunk_id.clone_from(id),
    }
    Ok(message)
}

fn inline(trunk: &InlineTrunk) -> proto::SipOutboundConfig {
    let (auth_username, auth_password) = trunk.credentials.as_ref().map_or_else(Default::default, |it| {
        (it.username.clone(), it.password.expose_secret().to_owned())
    });
    proto::SipOutboundConfig {
        hostname: trunk.host.clone(),
        destination_country: trunk.country.map(Country::code).unwrap_or_default(),
        transport: rule::transport(trunk.transport),
        auth_username,
        auth_password,
        ..Default::default()
    }
}

fn media(encryption: Encryption) -> proto::SipMediaConfig {
    let encryption = match encryption {
        Encryption::Allow => proto::SipMediaEncryption::SipMediaEncryptAllow,
        Encryption::Require => proto::SipMediaEncryption::SipMediaEncryptRequire,
    };
    proto::SipMediaConfig {
        encryption: Some(encryption as i32),
        ..Default::default()
    }
}

fn sip_status(refusal: &Refusal) -> Option<u16> {
    refusal.meta.get("sip_status_code")?.parse().ok()
}

/// By the carrier's own word, never by Twirp's code, which was mapped in several ways over time. `None` when it is not
/// the carrier who refused.
fn outcome(refusal: &Refusal, sip_status: Option<u16>) -> Option<DialOutcome> {
    let Some(status) = sip_status else {
        // Ringing that ends by itself has no SIP status.
        let ended = matches!(&*refusal.code, "canceled" | "deadline_exceeded");
        return ended.then_some(DialOutcome::NoAnswer);
    };
    let said = refusal
        .meta
        .get("sip_status")
        .unwrap_or(&refusal.msg)
        .to_lowercase();
    let outcome = match status {
        _ if said.contains("cps limit") || said.contains("concurrent call limit") => {
            DialOutcome::CarrierRateLimited
        }
        486 | 600 => DialOutcome::Busy,
        403 | 603 | 607 | 608 => DialOutcome::Declined,
        408 | 480 | 487 => DialOutcome::NoAnswer,
        404 | 410 | 484 | 604 => DialOutcome::InvalidNumber,
        401 | 407 => DialOutcome::CarrierAuth,
        500..=599 => DialOutcome::TrunkFailure,
        _ => DialOutcome::Unknown,
    };
    Some(outcome)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(code: &str, meta: &[(&str, &str)]) -> Refusal {
        let text = |text: &str| text.to_owned();
        Refusal {
            code: text(code),
            msg: text("m"),
            meta: meta
                .iter()
                .map(|(name, value)| (text(name), text(value)))
                .collect(),
        }
    }

    #[track_caller]
    fn check(code: &str, meta: &[(&str, &str)], expected: Option<&DialOutcome>) {
        let refusal = refusal(code, meta);
        assert_eq!(
            outcome(&refusal, sip_status(&refusal)).as_ref(),
            expected,
            "{meta:?}"
        );
    }

    #[test]
    fn the_carriers_status_says_what_became_of_a_call_whatever_code_it_came_under() {
        for (status, expected) in [
            ("486", DialOutcome::Busy),
            ("600", DialOutcome::Busy),
            ("403", DialOutcome::Declined),
            ("603", DialOutcome::Declined),
            ("480", DialOutcome::NoAnswer),
            ("487", DialOutcome::NoAnswer),
            ("404", DialOutcome::InvalidNumber),
            ("484", DialOutcome::InvalidNumber),
            ("401", DialOutcome::CarrierAuth),
            ("407", DialOutcome::CarrierAuth),
            ("503", DialOutcome::TrunkFailure),
            ("488", DialOutcome::Unknown),
        ] {
            for code in [
                "failed_precondition",
                "internal",
                "resource_exhausted",
                "permission_denied",
            ] {
                check(code, &[("sip_status_code", status)], Some(&expected));
            }
        }
    }

    #[test]
    fn a_carriers_limit_is_told_from_its_failure_by_its_words() {
        let meta = [
            ("sip_status_code", "503"),
            ("sip_status", "Trunk CPS limit exceeded"),
        ];
        check(
            "failed_precondition",
            &meta,
            Some(&DialOutcome::CarrierRateLimited),
        );
    }

    #[test]
    fn without_a_status_only_an_end_of_ringing_is_an_outcome() {
        check("canceled", &[], Some(&DialOutcome::NoAnswer));
        check("deadline_exceeded", &[], Some(&DialOutcome::NoAnswer));
        for code in [
            "unauthenticated",
            "permission_denied",
            "resource_exhausted",
            "internal",
            "unavailable",
            "not_found",
        ] {
            check(code, &[], None);
        }
    }
}
