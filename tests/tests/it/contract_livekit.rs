//! The contract with LiveKit: every request of the adapter is a message of LiveKit's protocol, with everything in it
//! that the server's own checks ask for.

use std::{collections::BTreeSet, fs, path::Path};

use livekit_protocol as proto;
use prost::Message;
use voice_saas_core::{
    phone::E164,
    provider::telephony::{
        AgentDispatch, CallProvider, DispatchOrder, DispatchProvider, SipCredentials, TrunkOrder,
        TrunkProvider,
    },
};
use voice_saas_providers::{
    emulator::{Emulator, EmulatorConfig, Provider, RecordedRequest},
    http::RetryPolicy,
    livekit::{DialRequest, InlineTrunk, LiveKit, OutboundRoute, RoomOrder, SipTransport},
};

/// What is wrong with a body, if anything.
type Check = fn(&[u8]) -> Result<(), String>;

/// The message, when nothing of it is unknown to the protocol: what is unknown is lost on the way back.
fn decode<M: Message + Default>(body: &[u8]) -> Result<M, String> {
    let message = M::decode(body).map_err(|error| error.to_string())?;
    if message.encoded_len() == body.len() {
        Ok(message)
    } else {
        Err("fields that the message does not have".to_owned())
    }
}

fn filled(fields: &[(&str, bool)]) -> Result<(), String> {
    match fields.iter().find(|(_, empty)| *empty) {
        Some((name, _)) => Err(format!("{name} is empty")),
        None => Ok(()),
    }
}

fn inbound_trunk(body: &[u8]) -> Result<(), String> {
    let trunk = decode::<proto::CreateSipInboundTrunkRequest>(body)?
        .trunk
        .unwrap_or_default();
    filled(&[
        ("numbers", trunk.numbers.is_empty()),
        ("name", trunk.name.is_empty()),
        ("sip_trunk_id is to be, and", !trunk.sip_trunk_id.is_empty()),
    ])
}

fn outbound(trunk: &proto::SipOutboundTrunkInfo) -> Result<(), String> {
    filled(&[
        ("numbers", trunk.numbers.is_empty()),
        ("address", trunk.address.is_empty()),
        ("name", trunk.name.is_empty()),
    ])
}

fn outbound_trunk(body: &[u8]) -> Result<(), String> {
    outbound(
        &decode::<proto::CreateSipOutboundTrunkRequest>(body)?
            .trunk
            .unwrap_or_default(),
    )
}

fn outbound_update(body: &[u8]) -> Result<(), String> {
    use proto::update_sip_outbound_trunk_request::Action;
    let update: proto::UpdateSipOutboundTrunkRequest = decode(body)?;
    filled(&[("sip_trunk_id", update.sip_trunk_id.is_empty())])?;
    match update.action {
        Some(Action::Replace(trunk)) => outbound(&trunk),
        _ => Err("no trunk".to_owned()),
    }
}

fn rule(rule: &proto::SipDispatchRuleInfo) -> Result<(), String> {
    let agents = rule.room_config.as_ref().map_or(&[][..], |config| &config.agents);
    filled(&[
        ("rule", rule.rule.as_ref().is_none_or(|rule| rule.rule.is_none())),
        ("trunk_ids", rule.trunk_ids.is_empty()),
        ("a trunk id", rule.trunk_ids.iter().any(String::is_empty)),
        ("agents", agents.is_empty()),
        (
            "agent_name",
            agents.iter().any(|agent| agent.agent_name.is_empty()),
        ),
    ])
}

fn new_rule(body: &[u8]) -> Result<(), String> {
    rule(
        &decode::<proto::CreateSipDispatchRuleRequest>(body)?
            .dispatch_rule
            .unwrap_or_default(),
    )
}

fn rule_update(body: &[u8]) -> Result<(), String> {
    use proto::update_sip_dispatch_rule_request::Action;
    let update: proto::UpdateSipDispatchRuleRequest = decode(body)?;
    match update.action {
        Some(Action::Replace(info)) => {
            let same = info.sip_dispatch_rule_id == update.sip_dispatch_rule_id;
            filled(&[("the same id in both places", !same)])?;
            rule(&info)
        }
        _ => Err("no rule".to_owned()),
    }
}

fn dial(body: &[u8]) -> Result<(), String> {
    let dial: proto::CreateSipParticipantRequest = decode(body)?;
    let inline = dial.trunk.as_ref();
    filled(&[
        ("sip_call_to", dial.sip_call_to.is_empty()),
        ("sip_number", dial.sip_number.is_empty()),
        ("room_name", dial.room_name.is_empty()),
        ("participant_identity", dial.participant_identity.is_empty()),
        ("ringing_timeout", dial.ringing_timeout.is_none()),
        (
            "one of trunk and sip_trunk_id",
            inline.is_some() != dial.sip_trunk_id.is_empty(),
        ),
        ("hostname", inline.is_some_and(|trunk| trunk.hostname.is_empty())),
    ])
}

fn participant(body: &[u8]) -> Result<(), String> {
    let who: proto::RoomParticipantIdentity = decode(body)?;
    filled(&[
        ("room", who.room.is_empty()),
        ("identity", who.identity.is_empty()),
    ])
}

/// Every method that the adapter calls.
const CONTRACTS: [(&str, Check); 19] = [
    ("AgentDispatchService/CreateDispatch", |body| {
        let dispatch: proto::CreateAgentDispatchRequest = decode(body)?;
        filled(&[
            ("agent_name", dispatch.agent_name.is_empty()),
            ("room", dispatch.room.is_empty()),
        ])
    }),
    ("AgentDispatchService/DeleteDispatch", |body| {
        let dispatch: proto::DeleteAgentDispatchRequest = decode(body)?;
        filled(&[
            ("dispatch_id", dispatch.dispatch_id.is_empty()),
            ("room", dispatch.room.is_empty()),
        ])
    }),
    ("AgentDispatchService/ListDispatch", |body| {
        filled(&[(
            "room",
            decode::<proto::ListAgentDispatchRequest>(body)?.room.is_empty(),
        )])
    }),
    ("RoomService/CreateRoom", |body| {
        filled(&[("name", decode::<proto::CreateRoomRequest>(body)?.name.is_empty())])
    }),
    ("RoomService/DeleteRoom", |body| {
        filled(&[("room", decode::<proto::DeleteRoomRequest>(body)?.room.is_empty())])
    }),
    ("RoomService/GetParticipant", participant),
    ("RoomService/ListParticipants", |body| {
        filled(&[(
            "room",
            decode::<proto::ListParticipantsRequest>(body)?.room.is_empty(),
        )])
    }),
    ("RoomService/ListRooms", |body| {
        decode::<proto::ListRoomsRequest>(body).map(drop)
    }),
    ("RoomService/RemoveParticipant", participant),
    ("SIP/CreateSIPDispatchRule", new_rule),
    ("SIP/CreateSIPInboundTrunk", inbound_trunk),
    ("SIP/CreateSIPOutboundTrunk", outbound_trunk),
    ("SIP/CreateSIPParticipant", dial),
    ("SIP/DeleteSIPDispatchRule", |body| {
        let rule: proto::DeleteSipDispatchRuleRequest = decode(body)?;
        filled(&[("sip_dispatch_rule_id", rule.sip_dispatch_rule_id.is_empty())])
    }),
    ("SIP/DeleteSIPTrunk", |body| {
        let trunk: proto::DeleteSipTrunkRequest = decode(body)?;
        filled(&[("sip_trunk_id", trunk.sip_trunk_id.is_empty())])
    }),
    ("SIP/ListSIPDispatchRule", |body| {
        decode::<proto::ListSipDispatchRuleRequest>(body).map(drop)
    }),
    ("SIP/ListSIPInboundTrunk", |body| {
        decode::<proto::ListSipInboundTrunkRequest>(body).map(drop)
    }),
    ("SIP/ListSIPOutboundTrunk", |body| {
        decode::<proto::ListSipOutboundTrunkRequest>(body).map(drop)
    }),
    ("SIP/UpdateSIPDispatchRule", rule_update),
];

/// The one that only stored outbound trunks need.
const STORED: (&str, Check) = ("SIP/UpdateSIPOutboundTrunk", outbound_update);

fn contracts() -> Vec<(&'static str, Check)> {
    CONTRACTS.into_iter().chain([STORED]).collect()
}

/// The methods that the adapter's source names.
fn named() -> BTreeSet<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../voice-saas-providers/src/livekit");
    let files = fs::read_dir(folder).expect("the adapter's source is there");
    let files = files.map(|file| file.expect("a file").path());
    let sources = files
        .filter(|path| path.is_file())
        .map(|path| fs::read_to_string(path).expect("UTF-8"));
    sources
        .flat_map(|source| source.split('"').map(str::to_owned).collect::<Vec<_>>())
        .filter(|text| {
            text.split_once('/').is_some_and(|(service, method)| {
                ["SIP", "RoomService", "AgentDispatchService"].contains(&service)
                    && method.bytes().all(|byte| byte.is_ascii_alphabetic())
            })
        })
        .collect()
}

fn order(agent: &str, password: &str) -> TrunkOrder {
    let number: E164 = "+12125550142".parse().expect("a number");
    let credentials = SipCredentials::new("u", password.to_owned().into());
    TrunkOrder::new("t1", number)
        .with_peer("t.pstn.example.com", Some(credentials))
        .with_dispatch(AgentDispatch::new(agent, "{}", "call"))
}

async fn use_everything(livekit: &LiveKit) {
    const DONE: &str = "the emulator does it";
    livekit.ensure(&order("receptionist", "one")).await.expect(DONE);
    let trunk = livekit.ensure(&order("cook", "two")).await.expect(DONE);
    livekit.find("t1", &trunk.numbers[0]).await.expect(DONE);
    livekit.find("t2", &trunk.numbers[0]).await.expect(DONE);
    let mut page = TrunkProvider::list(livekit, None).await.expect(DONE).next;
    while let Some(next) = page {
        page = TrunkProvider::list(livekit, Some(&next)).await.expect(DONE).next;
    }

    let room = RoomOrder::new("r").with_agent("receptionist", "{}");
    livekit.create_room(&room).await.expect(DONE);
    livekit.list_rooms(&["r".to_owned()]).await.expect(DONE);
    let agent = DispatchOrder::new("receptionist", "r", "{}");
    let agent = DispatchProvider::dispatch(livekit, &agent).await.expect(DONE);
    DispatchProvider::list(livekit, "r").await.expect(DONE);
    DispatchProvider::delete(livekit, "r", &agent.id)
        .await
        .expect(DONE);

    let inline = OutboundRoute::Inline(InlineTrunk::new("t.pstn.example.com", SipTransport::Tls));
    for route in [inline, OutboundRoute::Stored(trunk.handle.clone())] {
        let to = "+14155550199".parse().expect("a number");
        let dial = DialRequest::new("r", "i", trunk.numbers[0].clone(), to, route);
        let call = livekit.dial(&dial).await.expect(DONE).call;
        livekit.fetch(&call).await.expect(DONE);
        livekit.list_participants("r").await.expect(DONE);
        livekit.hang_up(&call).await.expect(DONE);
    }
    livekit.delete_room("r").await.expect(DONE);
    TrunkProvider::delete(livekit, &trunk.handle).await.expect(DONE);
}

fn violation(request: &RecordedRequest) -> Option<String> {
    let method = request.path.strip_prefix("/twirp/livekit.")?;
    let protobuf = ("content-type".to_owned(), "application/protobuf".to_owned());
    let checked = match contracts().into_iter().find(|(name, _)| *name == method) {
        None => Err("no contract".to_owned()),
        Some(_) if !request.headers.contains(&protobuf) => Err("not protobuf".to_owned()),
        Some((_, check)) => check(&request.body),
    };
    checked.err().map(|error| format!("{method}: {error}"))
}

#[test]
fn every_method_of_livekit_that_the_adapter_names_has_a_contract() {
    let known: BTreeSet<_> = contracts().into_iter().map(|(name, _)| name.to_owned()).collect();
    assert_eq!(named(), known);
}

#[tokio::test]
async fn every_request_to_livekit_is_a_message_with_what_the_server_asks_for() {
    let listen = "127.0.0.1:0".parse().expect("an address");
    let emulator = Emulator::start(EmulatorConfig::new(listen))
        .await
        .expect("a listener");
    let secret = emulator.livekit_api_secret().clone();
    let livekit = LiveKit::builder(emulator.url().clone(), emulator.livekit_api_key(), secret)
        .with_retry(RetryPolicy::none())
        .with_stored_outbound_trunk(SipTransport::Tls, Some("US".parse().expect("a country")))
        .build()
        .expect("a valid set-up");
    use_everything(&livekit).await;

    let requests = emulator.requests();
    assert!(
        requests
            .iter()
            .all(|request| request.provider == Provider::LiveKit)
    );
    let violations: Vec<_> = requests.iter().filter_map(violation).collect();
    assert_eq!(violations, Vec::<String>::new());
    let sent: BTreeSet<_> = requests
        .iter()
        .filter_map(|request| request.path.strip_prefix("/twirp/livekit.").map(str::to_owned))
        .collect();
    assert_eq!(sent, named());
}

#[test]
fn a_body_of_another_message_is_noticed() {
    let foreign = proto::DeleteSipTrunkRequest {
        sip_trunk_id: "ST_1".to_owned(),
    };
    // Field 1 is a message there, and a text here.
    assert!(inbound_trunk(&foreign.encode_to_vec()).is_err());
    let mut unknown = foreign.encode_to_vec();
    unknown.extend([0xf8, 0x07, 1]);
    assert!(decode::<proto::DeleteSipTrunkRequest>(&unknown).is_err());
}
