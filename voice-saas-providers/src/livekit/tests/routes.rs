//! From a carrier's call to an agent in a room.

use serde_json::{Value, json};
use voice_saas_core::{
    phone::E164,
    provider::{
        ErrorKind,
        telephony::{
            AgentDispatch, DispatchJobStatus, DispatchOrder, DispatchProvider, ProviderDispatchId, Removal,
            SipCredentials, TrunkOrder, TrunkProvider,
        },
    },
};

use super::{emulator, livekit};
use crate::{
    emulator::{Emulator, Fault, FaultKind, Operation},
    livekit::{ParticipantKind, RoomOrder, SipTransport},
};

fn number() -> E164 {
    "+12125550142".parse().unwrap()
}

fn order(agent: &str) -> TrunkOrder {
    TrunkOrder::new("t1", number()).with_dispatch(AgentDispatch::new(agent, r#"{"call":1}"#, "t1"))
}

fn of(emulator: &Emulator, kind: &str) -> Vec<Value> {
    emulator.state()["livekit"][kind].as_array().unwrap().clone()
}

#[tokio::test]
async fn a_caller_of_an_ensured_number_meets_its_agent_in_a_room_of_their_own() {
    let emulator = emulator().await;
    let livekit = livekit(&emulator).build().unwrap();
    let refused = emulator.ring_livekit("+14155550199", "+12125550142").unwrap_err();
    assert_eq!(refused.status, 404);

    let trunk = livekit.ensure(&order("receptionist")).await.unwrap();
    assert_eq!(trunk.sip_host.as_deref(), Some("abc123.sip.livekit.cloud"));
    let leg = emulator.ring_livekit("+14155550199", "+12125550142").unwrap();
    assert!(leg.room.starts_with("t1_+14155550199_"), "{}", leg.room);
    let agents = DispatchProvider::list(&livekit, &leg.room).await.unwrap();
    assert_eq!(agents.len(), 1);
    assert_eq!(
        (&*agents[0].agent_name, &*agents[0].metadata),
        ("receptionist", r#"{"call":1}"#)
    );
    let participants = livekit.list_participants(&leg.room).await.unwrap();
    assert_eq!(participants.len(), 1);
    assert_eq!(participants[0].kind, ParticipantKind::Sip);
    assert_eq!(participants[0].attributes["sip.phoneNumber"], "+14155550199");

    TrunkProvider::delete(&livekit, &trunk.handle).await.unwrap();
    assert!(emulator.ring_livekit("+14155550199", "+12125550142").is_err());
}

#[tokio::test]
async fn a_number_that_is_nobodys_reaches_no_agent_of_anybody_elses() {
    let emulator = emulator().await;
    let livekit = livekit(&emulator).build().unwrap();
    livekit.ensure(&order("receptionist")).await.unwrap();
    // The trunk of another number, and none at all.
    for to in ["+12125550143", "scanner"] {
        assert!(emulator.ring_livekit("sipvicious", to).is_err(), "{to}");
    }
    assert_eq!(of(&emulator, "rooms"), Vec::<Value>::new());
}

#[tokio::test]
async fn an_order_that_changed_changes_the_rule() {
    let emulator = emulator().await;
    let livekit = livekit(&emulator).build().unwrap();
    let first = livekit.ensure(&order("receptionist")).await.unwrap();
    let second = livekit.ensure(&order("cook")).await.unwrap();
    assert_eq!(first.handle, second.handle);
    let rules = of(&emulator, "dispatch_rules");
    assert_eq!(rules.len(), 1);
    assert_eq!(rules[0]["roomConfig"]["agents"][0]["agentName"], "cook");
    assert_eq!(rules[0]["name"], "t1");
}

#[tokio::test]
async fn an_outbound_trunk_is_stored_once_kept_up_to_date_and_deleted_with_the_rest() {
    let emulator = emulator().await;
    let country = "US".parse().unwrap();
    let livekit = livekit(&emulator)
        .with_stored_outbound_trunk(SipTransport::Tls, Some(country))
        .build()
        .unwrap();
    let with = |password: &str| {
        let credentials = SipCredentials::new("u", password.to_owned().into());
        order("receptionist").with_peer("t.pstn.example.com", Some(credentials))
    };
    let first = livekit.ensure(&with("one")).await.unwrap();
    let second = livekit.ensure(&with("two")).await.unwrap();
    assert_eq!(first.handle, second.handle);
    let stored = of(&emulator, "outbound_trunks");
    assert_eq!(stored.len(), 1);
    let fields = [
        "address",
        "transport",
        "authUsername",
        "authPassword",
        "destinationCountry",
        "numbers",
    ];
    let shown: Vec<_> = fields.iter().map(|field| stored[0][field].clone()).collect();
    assert_eq!(
        Value::Array(shown),
        json!([
            "t.pstn.example.com",
            "SIP_TRANSPORT_TLS",
            "u",
            "two",
            "US",
            ["+12125550142"]
        ])
    );
    TrunkProvider::delete(&livekit, &second.handle).await.unwrap();
    assert_eq!(of(&emulator, "outbound_trunks"), Vec::<Value>::new());
}

#[tokio::test]
async fn an_order_that_cannot_work_is_refused_before_anything_is_sent() {
    let emulator = emulator().await;
    let livekit = livekit(&emulator).build().unwrap();
    let mut nameless = order("receptionist");
    nameless.tag.clear();
    for order in [
        TrunkOrder::new("t1", number()),
        order(""),
        nameless,
        order("receptionist").with_peer("sip:t.pstn.example.com", None),
    ] {
        let error = livekit.ensure(&order).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
    }
    assert!(emulator.requests().is_empty());
}

#[tokio::test]
async fn a_deletion_that_broke_off_goes_on() {
    let emulator = emulator().await;
    let livekit = livekit(&emulator).build().unwrap();
    let trunk = livekit.ensure(&order("receptionist")).await.unwrap();
    let fault = Fault::new(Operation::DeleteSipTrunk, FaultKind::ServerError).with_times(3);
    emulator.inject(fault).unwrap();
    TrunkProvider::delete(&livekit, &trunk.handle).await.unwrap_err();
    // The rule goes first: a trunk without one refuses calls, a rule without one takes anybody's.
    assert_eq!(of(&emulator, "dispatch_rules"), Vec::<Value>::new());
    assert_eq!(of(&emulator, "inbound_trunks").len(), 1);
    let removal = TrunkProvider::delete(&livekit, &trunk.handle).await.unwrap();
    assert_eq!(removal, Removal::Removed);
    assert_eq!(of(&emulator, "inbound_trunks"), Vec::<Value>::new());
}

#[tokio::test]
async fn keys_that_are_wrong_are_told_from_a_server_that_is_down() {
    let emulator = emulator().await;
    let url = emulator.url().clone();
    let guess = super::LiveKit::builder(url, emulator.livekit_api_key(), "guess".into()).build();
    let error = guess.unwrap().ensure(&order("receptionist")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthorized);
    assert_eq!(error.detail(), Some("invalid authorization token"));
}

#[tokio::test]
async fn an_agent_is_sent_looked_for_and_called_back() {
    let emulator = emulator().await;
    let livekit = livekit(&emulator).build().unwrap();
    assert_eq!(DispatchProvider::list(&livekit, "r").await.unwrap(), []);
    let order = DispatchOrder::new("receptionist", "r", "{}");
    let sent = DispatchProvider::dispatch(&livekit, &order).await.unwrap();
    assert_eq!((&*sent.agent_name, &*sent.room), ("receptionist", "r"));
    assert_eq!(sent.jobs[0].status, DispatchJobStatus::Pending);
    assert_eq!(
        DispatchProvider::list(&livekit, "r").await.unwrap(),
        std::slice::from_ref(&sent)
    );
    let delete = async |id: &ProviderDispatchId| DispatchProvider::delete(&livekit, "r", id).await.unwrap();
    assert_eq!(delete(&sent.id).await, Removal::Removed);
    assert_eq!(delete(&sent.id).await, Removal::AlreadyGone);
    let nameless = DispatchOrder::new("", "r", "{}");
    let error = DispatchProvider::dispatch(&livekit, &nameless).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
}

#[tokio::test]
async fn an_agent_is_not_sent_twice_after_an_answer_that_was_lost() {
    let emulator = emulator().await;
    let livekit = livekit(&emulator).build().unwrap();
    emulator
        .inject(Fault::new(Operation::CreateDispatch, FaultKind::AnswerLost))
        .unwrap();
    let order = DispatchOrder::new("receptionist", "r", "{}");
    DispatchProvider::dispatch(&livekit, &order).await.unwrap_err();
    assert_eq!(DispatchProvider::list(&livekit, "r").await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_room_is_made_once_and_deleted_with_its_agents() {
    let emulator = emulator().await;
    let livekit = livekit(&emulator).build().unwrap();
    let order = RoomOrder::new("r")
        .with_metadata("m")
        .with_agent("receptionist", "{}")
        .with_empty_seconds(60)
        .with_departure_seconds(5);
    let room = livekit.create_room(&order).await.unwrap();
    assert_eq!((&*room.name, &*room.metadata), ("r", "m"));
    assert!(room.sid.starts_with("RM_") && room.created_at.is_some());
    assert_eq!(livekit.create_room(&order).await.unwrap().sid, room.sid);
    assert_eq!(DispatchProvider::list(&livekit, "r").await.unwrap().len(), 1);
    let listed = livekit
        .list_rooms(&["r".to_owned(), "s".to_owned()])
        .await
        .unwrap();
    assert_eq!(listed, [room]);
    assert_eq!(livekit.delete_room("r").await.unwrap(), Removal::Removed);
    assert_eq!(livekit.delete_room("r").await.unwrap(), Removal::AlreadyGone);
    assert_eq!(livekit.list_rooms(&[]).await.unwrap(), []);
    assert_eq!(livekit.list_participants("r").await.unwrap(), []);
    assert_eq!(livekit.get_participant("r", "i").await.unwrap(), None);
    assert_eq!(
        livekit.remove_participant("r", "i").await.unwrap(),
        Removal::AlreadyGone
    );
}
