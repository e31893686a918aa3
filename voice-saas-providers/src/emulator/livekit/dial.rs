//! Calls out: a telephone rings, and somebody answers, or not.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use livekit_protocol as proto;
use proto::DisconnectReason;

use super::wire::TwirpError;
use super::{State, sip, webhook};
use crate::emulator::id;
use crate::emulator::world::World;

/// The longest that the server itself waits for an answer.
const LONGEST_WAIT: Duration = Duration::from_secs(80);
const DEFAULT_RINGING: Duration = Duration::from_secs(30);

/// What the next call out that LiveKit places comes to.
///
/// Without one, a number that ends in `5550` and a SIP status refuses with that status (`+12125550486` is busy), and
/// every other number answers at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DialScript {
    pub(super) end: DialEnd,
    pub(super) after: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum DialEnd {
    Answers,
    Refuses { status: u16, phrase: String },
    RingsOut,
}

impl DialScript {
    fn new(end: DialEnd) -> Self {
        Self {
            end,
            after: Duration::ZERO,
        }
    }

    /// Somebody answers.
    #[must_use]
    pub fn answers() -> Self {
        Self::new(DialEnd::Answers)
    }

    /// The carrier refuses with this SIP status (300 to 699) and phrase, such as 486 `Busy Here`.
    #[must_use]
    pub fn refuses(status: u16, phrase: impl Into<String>) -> Self {
        Self::new(DialEnd::Refuses {
            status,
            phrase: phrase.into(),
        })
    }

    /// It rings for as long as it may.
    #[must_use]
    pub fn rings_out() -> Self {
        Self::new(DialEnd::RingsOut)
    }

    /// It rings for this long first, on the emulator's clock.
    #[must_use]
    pub fn with_ringing(mut self, ringing: Duration) -> Self {
        self.after = ringing;
        self
    }

    fn of_number(number: &str) -> Self {
        let digits: String = number.chars().filter(char::is_ascii_digit).collect();
        let status = digits
            .len()
            .checked_sub(3)
            .filter(|at| digits[..*at].ends_with("5550"))
            .and_then(|at| digits[at..].parse().ok())
            .filter(|status| (300..700).contains(status));
        status.map_or_else(Self::answers, |status| Self::refuses(status, phrase(status)))
    }
}

/// The phrases of RFC 3261 for the commonest; LiveKit puts its own name where a carrier sends none.
fn phrase(status: u16) -> &'static str {
    match status {
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        408 => "Request Timeout",
        480 => "Temporarily Unavailable",
        486 => "Busy Here",
        487 => "Request Terminated",
        488 => "Not Acceptable Here",
        500 => "Server Internal Error",
        503 => "Service Unavailable",
        600 => "Busy Everywhere",
        603 => "Decline",
        _ => "",
    }
}

/// `sipCodeToGRPCCode` of LiveKit's protocol.
fn code(status: u16) -> &'static str {
    match status {
        401..=403 | 433 | 470 | 603 | 607 | 608 => "permission_denied",
        301 | 302 | 404 | 410 | 481 | 604 => "not_found",
        407 | 428 | 436..=438 | 494 => "unauthenticated",
        408 | 504 => "deadline_exceeded",
        416 => "out_of_range",
        487 | 491 => "aborted",
        440 | 600 => "resource_exhausted",
        409 | 412 | 480 | 482 | 483 | 486 | 500..=503 | 506..=512 | 514..=599 => "failed_precondition",
        _ => "invalid_argument",
    }
}

fn refused(status: u16, said: &str) -> TwirpError {
    let name = || {
        proto::SipStatusCode::try_from(i32::from(status))
            .map_or_else(|_| status.to_string(), |code| code.as_str_name().to_owned())
    };
    let text = if said.is_empty() { name() } else { said.to_owned() };
    let short = text.trim_start_matches("SIP_STATUS_").to_owned();
    TwirpError::new(code(status), format!("sip status {status}: {short}"))
        .with_meta("sip_status_code", status.to_string())
        .with_meta("sip_status", text)
}

/// What the participant's end is called in the room.
fn reason(status: u16) -> DisconnectReason {
    match status {
        404 | 408 | 480 => DisconnectReason::UserUnavailable,
        400..=499 | 600..=699 => DisconnectReason::UserRejected,
        // The finer word never reaches the room.
        _ => DisconnectReason::UnknownReason,
    }
}

/// A call that is on its way.
struct Leg {
    room: String,
    identity: String,
    sid: String,
    ringing: Duration,
    script: DialScript,
}

impl State {
    fn start(
        &mut self,
        request: &proto::CreateSipParticipantRequest,
        now: jiff::Timestamp,
    ) -> Result<(proto::SipParticipantInfo, Leg), TwirpError> {
        let (trunk_id, hostname, number) = self.way_out(request)?;
        let call_id = format!("SCL_{}", id::hex(12));
        let identity = if request.participant_identity.is_empty() {
            format!("sip_{}", request.sip_call_to)
        } else {
            request.participant_identity.clone()
        };
        let mut attributes: HashMap<String, String> = request.participant_attributes.clone();
        let mut set = |name: &str, value: &str| attributes.insert(name.to_owned(), value.to_owned());
        set("sip.callID", &call_id);
        set("sip.trunkID", &trunk_id);
        set("sip.callStatus", "dialing");
        if !request.hide_phone_number {
            set("sip.phoneNumber", &request.sip_call_to);
            set("sip.trunkPhoneNumber", &number);
            set("sip.hostname", &hostname);
        }
        let room = proto::CreateRoomRequest {
            name: request.room_name.clone(),
            ..Default::default()
        };
        self.open(&room, now)?;
        let call = proto::ParticipantInfo {
            identity: identity.clone(),
            name: request.participant_name.clone(),
            metadata: request.participant_metadata.clone(),
            attributes,
            ..Default::default()
        };
        // The bridge joins the room before it calls.
        let call = self.join(&request.room_name, call, now)?;
        self.set_status(&request.room_name, &identity, &call.sid, "ringing");
        let script = self
            .scripts
            .pop_front()
            .unwrap_or_else(|| DialScript::of_number(&request.sip_call_to));
        let ringing = request.ringing_timeout.and_then(|it| it.try_into().ok());
        let leg = Leg {
            room: request.room_name.clone(),
            identity: identity.clone(),
            sid: call.sid.clone(),
            ringing: ringing.unwrap_or(DEFAULT_RINGING),
            script,
        };
        let info = proto::SipParticipantInfo {
            participant_id: call.sid,
            participant_identity: identity,
            room_name: request.room_name.clone(),
            sip_call_id: call_id,
        };
        Ok((info, leg))
    }

    /// The trunk's id, its host, and the number that is shown.
    fn way_out(
        &self,
        request: &proto::CreateSipParticipantRequest,
    ) -> Result<(String, String, String), TwirpError> {
        if request.sip_call_to.is_empty() {
            return Err(TwirpError::invalid("missing sip callee number"));
        }
        if request.sip_call_to.contains('@') {
            return Err(TwirpError::invalid(
                "SipCallTo should be a phone number or SIP user, not a full SIP URI",
            ));
        }
        if request.room_name.is_empty() {
            return Err(TwirpError::invalid("missing room name"));
        }
        if let Some(config) = &request.trunk {
            sip::check_outbound_config(config)?;
            if request.sip_number.is_empty() {
                return Err(TwirpError::invalid("missing sip trunk id and sip number"));
            }
            return Ok((String::new(), config.hostname.clone(), request.sip_number.clone()));
        }
        let trunk = self.outbound.get(&request.sip_trunk_id);
        let trunk = trunk.ok_or_else(|| TwirpError::not_found("requested sip trunk does not exist"))?;
        let number = Some(request.sip_number.clone()).filter(|number| !number.is_empty());
        let own = trunk.numbers.iter().find(|number| *number != "*").cloned();
        let number = number
            .or(own)
            .ok_or_else(|| TwirpError::invalid("no sip number"))?;
        Ok((trunk.sip_trunk_id.clone(), trunk.address.clone(), number))
    }
}

/// Places a call, and waits for its answer when the request says so.
pub(super) async fn dial(
    world: &Arc<World>,
    request: proto::CreateSipParticipantRequest,
) -> Result<proto::SipParticipantInfo, TwirpError> {
    let started = world.livekit.state_lock().start(&request, world.clock.now());
    webhook::flush(world);
    let (info, leg) = started?;
    let going = {
        let world = Arc::clone(world);
        let tracker = world.tasks.clone();
        tracker.spawn(async move { go_on(&world, leg).await })
    };
    if !request.wait_until_answered {
        return Ok(info);
    }
    let answered = tokio::select! {
        answered = going => answered.unwrap_or_else(|_| Err(TwirpError::new("internal", "the call broke off"))),
        () = world.clock.sleep(LONGEST_WAIT) => Err(TwirpError::new("deadline_exceeded", "context deadline exceeded")),
    };
    answered.map(|()| info)
}

async fn go_on(world: &Arc<World>, leg: Leg) -> Result<(), TwirpError> {
    let canceled = || TwirpError::new("canceled", "sip request timed out");
    let running = world.running();
    let (wait, end) = match &leg.script.end {
        DialEnd::RingsOut => (leg.ringing, None),
        // Nobody waits any longer.
        _ if leg.script.after > leg.ringing => (leg.ringing, None),
        end => (leg.script.after, Some(end)),
    };
    tokio::select! {
        () = running.cancelled() => return Err(canceled()),
        () = world.clock.sleep(wait) => {}
    }
    let ended = {
        let mut state = world.livekit.state_lock();
        let now = world.clock.now();
        match end {
            Some(DialEnd::Answers) => {
                if state.set_status(&leg.room, &leg.identity, &leg.sid, "active") {
                    Ok(())
                } else {
                    // Somebody has taken the call out meanwhile.
                    Err(canceled())
                }
            }
            Some(DialEnd::Refuses { status, phrase }) => {
                state.fail(&leg, reason(*status), now);
                Err(refused(*status, phrase))
            }
            _ => {
                state.fail(&leg, DisconnectReason::UserUnavailable, now);
                Err(canceled())
            }
        }
    };
    webhook::flush(world);
    ended
}

impl State {
    fn fail(&mut self, leg: &Leg, reason: DisconnectReason, now: jiff::Timestamp) {
        let same = self
            .participant(&leg.room, &leg.identity)
            .is_ok_and(|found| found.sid == leg.sid);
        if same && let Err(error) = self.leave(&leg.room, &leg.identity, reason, now) {
            tracing::debug!(?error, "a call left a room that has gone");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_may_carry_its_own_end() {
        let script = DialScript::of_number("+12125550486");
        assert_eq!(script, DialScript::refuses(486, "Busy Here"));
        for number in ["+12125550142", "+12125551486", "486", "", "+12125550986"] {
            assert_eq!(DialScript::of_number(number), DialScript::answers(), "{number}");
        }
    }

    #[test]
    fn a_refusal_carries_the_carriers_words() {
        let error = refused(486, "Busy Here");
        assert_eq!(error.code, "failed_precondition");
        assert_eq!(error.msg, "sip status 486: Busy Here");
        assert_eq!(error.meta["sip_status_code"], "486");
        assert_eq!(refused(486, "").meta["sip_status"], "SIP_STATUS_BUSY_HERE");
        for (status, expected) in [
            (401, "permission_denied"),
            (407, "unauthenticated"),
            (408, "deadline_exceeded"),
            (487, "aborted"),
            (503, "failed_precondition"),
            (600, "resource_exhausted"),
            (604, "not_found"),
            (484, "invalid_argument"),
        ] {
            assert_eq!(code(status), expected, "{status}");
        }
    }
}
