//! Calls in: an INVITE finds its trunk, its rule, its room.

use std::collections::HashMap;

use jiff::Timestamp;
use livekit_protocol as proto;
use proto::sip_dispatch_rule::Rule;
use serde::Serialize;

use super::sip::normal;
use super::{State, sip};
use crate::emulator::id;

/// Why LiveKit does not take a call, as its carrier sees it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("SIP {status} {phrase}")]
pub struct SipRefusal {
    /// The SIP status.
    pub status: u16,
    /// The phrase.
    pub phrase: &'static str,
}

/// Where a call that LiveKit has taken is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct SipLeg {
    /// The room.
    pub room: String,
    /// Under which identity.
    pub identity: String,
    /// The trunk that took it.
    pub trunk_id: String,
    /// The rule that chose the room.
    pub rule_id: String,
}

impl State {
    /// Takes a call as LiveKit does: a trunk that names the number before one that names none, a rule that names the
    /// trunk before one that names none.
    pub(super) fn ring(&mut self, from: &str, to: &str, now: Timestamp) -> Result<SipLeg, SipRefusal> {
        let refuse = |phrase| SipRefusal { status: 404, phrase };
        let trunk = self.trunk_for(from, to)?;
        let (rule_id, rule) = self
            .rule_for(&trunk, from, to)
            .ok_or_else(|| refuse("Does not match Trunks or Dispatch Rules"))?;
        let room = room_name(&rule, from, to);
        let identity = format!("sip_{from}");
        let config = rule.room_config.clone().unwrap_or_default();
        let request = proto::CreateRoomRequest {
            name: room.clone(),
            empty_timeout: config.empty_timeout,
            departure_timeout: config.departure_timeout,
            max_participants: config.max_participants,
            metadata: config.metadata,
            // They come only when the caller makes the room.
            agents: config.agents,
            ..Default::default()
        };
        let busy = |_| SipRefusal {
            status: 503,
            phrase: "Try again later",
        };
        self.open(&request, now).map_err(busy)?;
        let mut attributes: HashMap<String, String> = rule.attributes.clone();
        for (name, value) in [
            ("sip.callID", format!("SCL_{}", id::hex(12))),
            ("sip.trunkID", trunk.clone()),
            ("sip.ruleID", rule_id.clone()),
            ("sip.callStatus", "active".to_owned()),
            ("sip.phoneNumber", from.to_owned()),
            ("sip.trunkPhoneNumber", to.to_owned()),
        ] {
            attributes.insert(name.to_owned(), value);
        }
        let call = proto::ParticipantInfo {
            identity: identity.clone(),
            name: format!("Phone {from}"),
            metadata: rule.metadata.clone(),
            attributes,
            ..Default::default()
        };
        self.join(&room, call, now).map_err(busy)?;
        Ok(SipLeg {
            room,
            identity,
            trunk_id: trunk,
            rule_id,
        })
    }

    fn trunk_for(&self, from: &str, to: &str) -> Result<String, SipRefusal> {
        let names = |list: &[String], number: &str| list.iter().any(|it| normal(it) == normal(number));
        let allowed = |trunk: &&proto::SipInboundTrunkInfo| {
            trunk.allowed_numbers.is_empty() || names(&trunk.allowed_numbers, from)
        };
        let all = || self.inbound.values().filter(allowed);
        let own: Vec<_> = all().filter(|trunk| names(&trunk.numbers, to)).collect();
        let default: Vec<_> = all().filter(|trunk| trunk.numbers.is_empty()).collect();
        let found = if own.is_empty() { default } else { own };
        match &found[..] {
            [] => Ok(String::new()),
            [trunk] => Ok(trunk.sip_trunk_id.clone()),
            // Two that fit equally well stop every call.
            _ => Err(SipRefusal {
                status: 404,
                phrase: "Does not match any SIP Trunks",
            }),
        }
    }

    /// A wildcard rule takes calls that match no trunk at all, too.
    fn rule_for(&self, trunk: &str, from: &str, to: &str) -> Option<(String, proto::SipDispatchRuleInfo)> {
        let names = |list: &[String], number: &str| list.is_empty() || list.iter().any(|it| it == number);
        let fits = |rule: &&proto::SipDispatchRuleInfo| {
            names(&rule.inbound_numbers, from)
                && names(&rule.numbers, to)
                // The caller has no keypad here.
                && sip::pin(rule).is_ok_and(|pin| pin.is_empty())
                && (rule.trunk_ids.is_empty() || rule.trunk_ids.iter().any(|id| id == trunk))
        };
        let rank = |rule: &&proto::SipDispatchRuleInfo| {
            let kind = match rule.rule.as_ref().and_then(|rule| rule.rule.as_ref()) {
                Some(Rule::DispatchRuleDirect(_)) => 0,
                Some(Rule::DispatchRuleIndividual(_)) => 1,
                _ => 2,
            };
            let open = u32::from(rule.inbound_numbers.is_empty()) + u32::from(rule.numbers.is_empty());
            (rule.trunk_ids.is_empty(), open, kind)
        };
        let found = self.rules.values().filter(fits).min_by_key(rank)?;
        Some((found.sip_dispatch_rule_id.clone(), found.clone()))
    }
}

/// An underscore stands between the parts.
fn room_name(rule: &proto::SipDispatchRuleInfo, from: &str, to: &str) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut add = |part: &str| {
        if !part.is_empty() {
            parts.push(part.to_owned());
        }
    };
    match rule.rule.as_ref().and_then(|rule| rule.rule.as_ref()) {
        Some(Rule::DispatchRuleDirect(rule)) => return rule.room_name.clone(),
        Some(Rule::DispatchRuleIndividual(individual)) => {
            let hidden = from.len().saturating_sub(4);
            add(&individual.room_prefix);
            add(if rule.hide_phone_number {
                from.get(hidden..).unwrap_or(from)
            } else {
                from
            });
            add(&if individual.no_randomness {
                String::new()
            } else {
                id::hex(12)
            });
        }
        Some(Rule::DispatchRuleCallee(callee)) => {
            add(&callee.room_prefix);
            add(to);
            add(&if callee.randomize {
                id::hex(12)
            } else {
                String::new()
            });
        }
        None => {}
    }
    parts.join("_")
}
