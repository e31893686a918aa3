//! What an order becomes at LiveKit: a trunk and a rule, and how either is recognised again.

use livekit_protocol as proto;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use voice_saas_core::{
    phone::{Country, E164},
    provider::telephony::{AgentDispatch, RouteHandle, TrunkOrder},
    secret::ExposeSecret,
};

use super::{Outbound, SipTransport};

/// What was made for one trunk.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Parts {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) inbound_trunk: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) dispatch_rule: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) outbound_trunk: Option<String>,
}

impl Parts {
    /// `None` when the handle is not of this adapter.
    pub(super) fn read(handle: &RouteHandle) -> Option<Self> {
        let parts: Self = serde_json::from_value(handle.value().clone()).ok()?;
        (parts != Self::default()).then_some(parts)
    }

    pub(super) fn handle(&self) -> RouteHandle {
        RouteHandle::new(json!(self))
    }
}

/// The tag again, where renaming does not reach. Participants can read it.
fn mark(tag: &str) -> String {
    json!({"voice_saas": {"tag": tag}}).to_string()
}

/// The tag that something was made under, or else its name.
pub(super) fn tag_of(name: &str, metadata: &str) -> String {
    let marked: Option<Value> = serde_json::from_str(metadata).ok();
    let tag = marked.as_ref().and_then(|it| it["voice_saas"]["tag"].as_str());
    tag.unwrap_or(name).to_owned()
}

pub(super) fn trunk_tag(trunk: &proto::SipInboundTrunkInfo) -> String {
    tag_of(&trunk.name, &trunk.metadata)
}

pub(super) fn rule_tag(rule: &proto::SipDispatchRuleInfo) -> String {
    tag_of(&rule.name, &rule.metadata)
}

pub(super) fn outbound_tag(trunk: &proto::SipOutboundTrunkInfo) -> String {
    tag_of(&trunk.name, &trunk.metadata)
}

/// LiveKit compares called numbers without spaces and the like, and with `+` (`sip.NormalizeNumber`).
pub(super) fn is_number(text: &str, number: &E164) -> bool {
    let bare: String = text.chars().filter(|c| !" -()+".contains(*c)).collect();
    number.as_str().strip_prefix('+') == Some(&*bare)
}

pub(super) fn numbers(texts: &[String]) -> Vec<E164> {
    texts.iter().filter_map(|text| text.parse().ok()).collect()
}

pub(super) fn inbound_trunk(order: &TrunkOrder) -> proto::SipInboundTrunkInfo {
    proto::SipInboundTrunkInfo {
        name: order.tag.clone(),
        metadata: mark(&order.tag),
        numbers: vec![order.number.to_string()],
        ..Default::default()
    }
}

/// A room of its own for each caller. The rule names its trunk: one that names none would also take calls that match no
/// trunk at all, and those are scanners'.
pub(super) fn dispatch_rule(
    tag: &str,
    trunk_id: &str,
    dispatch: &AgentDispatch,
) -> proto::SipDispatchRuleInfo {
    let individual = proto::SipDispatchRuleIndividual {
        room_prefix: dispatch.room_prefix.clone(),
        ..Default::default()
    };
    let agent = proto::RoomAgentDispatch {
        agent_name: dispatch.agent_name.clone(),
        metadata: dispatch.metadata.clone(),
        ..Default::default()
    };
    proto::SipDispatchRuleInfo {
        name: tag.to_owned(),
        metadata: mark(tag),
        trunk_ids: vec![trunk_id.to_owned()],
        rule: Some(proto::SipDispatchRule {
            rule: Some(proto::sip_dispatch_rule::Rule::DispatchRuleIndividual(individual)),
        }),
        room_config: Some(proto::RoomConfiguration {
            agents: vec![agent],
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// Whether a rule sends callers where the wanted one does.
pub(super) fn does_the_same(rule: &proto::SipDispatchRuleInfo, wanted: &proto::SipDispatchRuleInfo) -> bool {
    let agents = |rule: &proto::SipDispatchRuleInfo| -> Vec<(String, String)> {
        let config = rule.room_config.as_ref();
        let agents = config.map_or(&[][..], |config| &config.agents);
        agents
            .iter()
            .map(|agent| (agent.agent_name.clone(), agent.metadata.clone()))
            .collect()
    };
    rule.rule == wanted.rule && rule.trunk_ids == wanted.trunk_ids && agents(rule) == agents(wanted)
}

pub(super) fn outbound_trunk(order: &TrunkOrder, peer: &str, how: Outbound) -> proto::SipOutboundTrunkInfo {
    let (auth_username, auth_password) = order.credentials.as_ref().map_or_else(Default::default, |it| {
        (it.username.clone(), it.password.expose_secret().to_owned())
    });
    proto::SipOutboundTrunkInfo {
        name: order.tag.clone(),
        metadata: mark(&order.tag),
        address: peer.to_owned(),
        destination_country: how.country.map(Country::code).unwrap_or_default(),
        transport: transport(how.transport),
        numbers: vec![order.number.to_string()],
        auth_username,
        auth_password,
        ..Default::default()
    }
}

/// Whether an outbound trunk calls as the wanted one does. Passwords are compared where LiveKit shows them.
pub(super) fn calls_the_same(
    trunk: &proto::SipOutboundTrunkInfo,
    wanted: &proto::SipOutboundTrunkInfo,
) -> bool {
    let visible = !trunk.auth_password.is_empty();
    trunk.address == wanted.address
        && trunk.transport == wanted.transport
        && trunk.destination_country == wanted.destination_country
        && trunk.auth_username == wanted.auth_username
        && (!visible || trunk.auth_password == wanted.auth_password)
}

pub(super) fn transport(transport: SipTransport) -> i32 {
    let transport = match transport {
        SipTransport::Auto => proto::SipTransport::Auto,
        SipTransport::Udp => proto::SipTransport::Udp,
        SipTransport::Tcp => proto::SipTransport::Tcp,
        SipTransport::Tls => proto::SipTransport::Tls,
    };
    transport as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_found_again_after_somebody_renamed_the_trunk() {
        assert_eq!(tag_of("renamed", &mark("t1")), "t1");
        for metadata in ["", "{}", "not json", r#"{"voice_saas":7}"#] {
            assert_eq!(tag_of("name", metadata), "name", "{metadata}");
        }
    }

    #[test]
    fn numbers_are_compared_as_livekit_does() {
        let number: E164 = "+12125550142".parse().unwrap();
        for text in ["+12125550142", "12125550142", "+1 (212) 555-0142"] {
            assert!(is_number(text, &number), "{text}");
        }
        for text in ["+12125550143", "2125550142", "*", ""] {
            assert!(!is_number(text, &number), "{text}");
        }
    }

    #[test]
    fn a_rule_names_its_trunk_and_its_agent() {
        let dispatch = AgentDispatch::new("receptionist", "{}", "t1");
        let rule = dispatch_rule("tag", "ST_1", &dispatch);
        assert_eq!(rule.trunk_ids, ["ST_1"]);
        assert!(does_the_same(&rule, &dispatch_rule("another", "ST_1", &dispatch)));
        for other in [
            dispatch_rule("tag", "ST_2", &dispatch),
            dispatch_rule("tag", "ST_1", &AgentDispatch::new("receptionist", "{}", "t2")),
            dispatch_rule("tag", "ST_1", &AgentDispatch::new("receptionist", "[]", "t1")),
            dispatch_rule("tag", "ST_1", &AgentDispatch::new("cook", "{}", "t1")),
        ] {
            assert!(!does_the_same(&rule, &other));
        }
    }

    #[test]
    fn a_handle_of_another_provider_is_not_read() {
        for value in [json!({}), json!(null), json!({"trunk_sid": "TK1"}), json!("ST_1")] {
            assert_eq!(Parts::read(&RouteHandle::new(value.clone())), None, "{value}");
        }
        let parts = Parts {
            inbound_trunk: Some("ST_1".to_owned()),
            ..Parts::default()
        };
        assert_eq!(parts.handle().value(), &json!({"inbound_trunk": "ST_1"}));
        assert_eq!(Parts::read(&parts.handle()), Some(parts));
    }
}
