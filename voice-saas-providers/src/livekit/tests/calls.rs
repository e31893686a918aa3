//! Calls out, and what webhooks tell of calls.

use std::time::Duration;

use http::Method;
use serde_json::Value;
use voice_saas_core::{
    phone::E164,
    provider::{
        ErrorKind,
        telephony::{
            AgentDispatch, CallProvider, InboundWebhook, ProviderCallStatus, Removal, TelephonyEvent,
            TelephonyProvider, TrunkOrder, TrunkProvider, WebhookKind, WebhookRequest,
        },
    },
};
use wiremock::{Mock, MockServer, ResponseTemplate, matchers::any};

use super::{emulator, livekit};
use crate::{
    emulator::{DialScript, Emulator, Fault, FaultKind, Operation},
    livekit::{
        DialOutcome, DialRequest, Encryption, InlineTrunk, LiveKit, OutboundRoute, SipTransport, call_id,
    },
};

fn number(text: &str) -> E164 {
    text.parse().unwrap()
}

fn dial(to: &str) -> DialRequest {
    let route = OutboundRoute::Inline(InlineTrunk::new("t.pstn.example.com", SipTransport::Tls));
    DialRequest::new("r", "call-1", number("+12125550142"), number(to), route)
}

fn participants(emulator: &Emulator) -> Vec<Value> {
    let state = emulator.state();
    let rooms = state["livekit"]["rooms"].as_array().unwrap();
    rooms
        .iter()
        .flat_map(|room| room["participants"].as_array().unwrap().clone())
        .collect()
}

fn dials(emulator: &Emulator) -> usize {
    let requests = emulator.requests();
    requests
        .iter()
        .filter(|it| it.path.ends_with("/CreateSIPParticipant"))
        .count()
}

#[tokio::test]
async fn a_call_that_is_answered_takes_part_in_its_room_until_it_is_hung_up() {
    let emulator = emulator().await;
    let livekit = livekit(&emulator).build().unwrap();
    let request = dial("+14155550199")
        .with_participant("Ann", "m")
        .with_attribute("vs.call", "c1")
        .with_encryption(Encryption::Require)
        .with_longest(Duration::from_mins(10))
        .with_display_name("Acme")
        .with_dtmf("ww1")
        .with_noise_cancellation();
    let dialed = livekit.dial(&request).await.unwrap();
    assert_eq!(dialed.outcome, DialOutcome::Answered);
    assert_eq!(dialed.call, call_id("r", "call-1"));
    assert!(dialed.sip_call_id.unwrap().starts_with("SCL_"));
    let found = livekit.fetch(&dialed.call).await.unwrap();
    assert_eq!(found.status, ProviderCallStatus::InProgress);
    assert!(found.started_at.is_some());
    let participant = livekit.get_participant("r", "call-1").await.unwrap().unwrap();
    assert_eq!((&*participant.name, &*participant.metadata), ("Ann", "m"));
    assert_eq!(participant.attributes["vs.call"], "c1");
    assert_eq!(participant.attributes["sip.trunkPhoneNumber"], "+12125550142");

    assert_eq!(livekit.hang_up(&dialed.call).await.unwrap(), Removal::Removed);
    assert_eq!(livekit.hang_up(&dialed.call).await.unwrap(), Removal::AlreadyGone);
    let gone = livekit.fetch(&dialed.call).await.unwrap_err();
    assert_eq!(gone.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn what_the_carrier_says_is_the_outcome_of_a_call() {
    let emulator = emulator().await;
    let livekit = livekit(&emulator).build().unwrap();
    for (to, expected) in [
        ("+12125550486", DialOutcome::Busy),
        ("+12125550600", DialOutcome::Busy),
        ("+12125550603", DialOutcome::Declined),
        ("+12125550480", DialOutcome::NoAnswer),
        ("+12125550408", DialOutcome::NoAnswer),
        ("+12125550404", DialOutcome::InvalidNumber),
        ("+12125550401", DialOutcome::CarrierAuth),
        ("+12125550503", DialOutcome::TrunkFailure),
        ("+12125550488", DialOutcome::Unknown),
    ] {
        let dialed = livekit.dial(&dial(to)).await.unwrap();
        assert_eq!(dialed.outcome, expected, "{to}");
        assert_eq!(dialed.sip_status, to[9..].parse().ok(), "{to}");
        assert!(dialed.detail.unwrap().contains("sip status"), "{to}");
    }
    assert_eq!(dials(&emulator), 9);
    assert_eq!(participants(&emulator), Vec::<Value>::new());
    emulator
        .script_dial(DialScript::refuses(503, "CPS limit exceeded"))
        .unwrap();
    let dialed = livekit.dial(&dial("+14155550199")).await.unwrap();
    assert_eq!(dialed.outcome, DialOutcome::CarrierRateLimited);
}

#[tokio::test]
async fn a_telephone_that_nobody_takes_up_rings_as_long_as_it_may() {
    let emulator = emulator().await;
    let livekit = livekit(&emulator).build().unwrap();
    emulator.script_dial(DialScript::rings_out()).unwrap();
    let request = dial("+14155550199").with_ringing(Duration::from_secs(45));
    let (dialed, ()) = tokio::join!(livekit.dial(&request), async {
        while participants(&emulator).is_empty() {
            tokio::task::yield_now().await;
        }
        assert_eq!(
            participants(&emulator)[0]["attributes"]["sip.callStatus"],
            "ringing"
        );
        emulator.advance_clock(Duration::from_secs(46));
    });
    let dialed = dialed.unwrap();
    assert_eq!((dialed.outcome, dialed.sip_status), (DialOutcome::NoAnswer, None));
}

#[tokio::test]
async fn whoever_does_not_wait_sees_the_call_ring_and_being_answered() {
    let emulator = emulator().await;
    let livekit = livekit(&emulator).build().unwrap();
    let ringing = DialScript::answers().with_ringing(Duration::from_secs(10));
    emulator.script_dial(ringing).unwrap();
    let dialed = livekit
        .dial(&dial("+14155550199").without_waiting())
        .await
        .unwrap();
    assert_eq!(dialed.outcome, DialOutcome::Dialing);
    let status = async || livekit.fetch(&dialed.call).await.unwrap().status;
    assert_eq!(status().await, ProviderCallStatus::Ringing);
    emulator.advance_clock(Duration::from_secs(11));
    while status().await != ProviderCallStatus::InProgress {}
}

#[tokio::test]
async fn a_call_is_never_placed_twice() {
    for (fault, kind) in [
        (FaultKind::AnswerLost, Some(ErrorKind::Interrupted)),
        (FaultKind::Refused, Some(ErrorKind::Interrupted)),
        (FaultKind::ServerError, Some(ErrorKind::ServerError)),
        (
            FaultKind::RateLimited,
            Some(ErrorKind::RateLimited { retry_after: None }),
        ),
        (FaultKind::Slow, None),
    ] {
        let emulator = emulator().await;
        let livekit = livekit(&emulator).build().unwrap();
        let fault = Fault::new(Operation::Dial, fault);
        let fault = if kind.is_none() {
            fault.with_delay(Duration::from_millis(1))
        } else {
            fault
        };
        emulator.inject(fault).unwrap();
        let answer = livekit.dial(&dial("+14155550199")).await;
        assert_eq!(answer.err().map(|error| error.kind()), kind);
        assert_eq!(dials(&emulator), 1, "{kind:?}");
    }
}

#[tokio::test]
async fn after_an_answer_that_was_lost_the_room_shows_the_call() {
    let emulator = emulator().await;
    let livekit = livekit(&emulator).build().unwrap();
    emulator
        .inject(Fault::new(Operation::Dial, FaultKind::AnswerLost))
        .unwrap();
    livekit.dial(&dial("+14155550199")).await.unwrap_err();
    let found = livekit.fetch(&call_id("r", "call-1")).await.unwrap();
    assert_eq!(found.status, ProviderCallStatus::InProgress);
}

#[tokio::test]
async fn a_call_goes_out_by_the_trunk_that_was_stored_for_its_number() {
    let emulator = emulator().await;
    let livekit = livekit(&emulator)
        .with_stored_outbound_trunk(SipTransport::Tcp, None)
        .build()
        .unwrap();
    let order = TrunkOrder::new("t1", number("+12125550142"))
        .with_peer("t.pstn.example.com", None)
        .with_dispatch(AgentDispatch::new("receptionist", "{}", "t1"));
    let handle = livekit.ensure(&order).await.unwrap().handle;
    let out = |route| DialRequest::new("r", "i", number("+12125550142"), number("+14155550199"), route);
    let stored = out(OutboundRoute::Stored(handle.clone()));
    assert_eq!(
        livekit.dial(&stored).await.unwrap().outcome,
        DialOutcome::Answered
    );
    let id = handle.value()["outbound_trunk"].as_str().unwrap().to_owned();
    assert_eq!(participants(&emulator)[0]["attributes"]["sip.trunkID"], id);
    let named = out(OutboundRoute::Trunk(id));
    assert_eq!(livekit.dial(&named).await.unwrap().outcome, DialOutcome::Answered);
    let unknown = out(OutboundRoute::Trunk("ST_unknown".to_owned()));
    assert_eq!(
        livekit.dial(&unknown).await.unwrap_err().kind(),
        ErrorKind::NotFound
    );
}

#[tokio::test]
async fn a_call_that_cannot_be_placed_is_refused_before_anything_is_sent() {
    let emulator = emulator().await;
    let livekit = livekit(&emulator).build().unwrap();
    let to = "+14155550199";
    let out = |room: &str, identity: &str, route| {
        DialRequest::new(room, identity, number("+12125550142"), number(to), route)
    };
    let inline = |host: &str| OutboundRoute::Inline(InlineTrunk::new(host, SipTransport::Tls));
    let handle = voice_saas_core::provider::telephony::RouteHandle::new(Value::Null);
    for request in [
        dial(to).with_ringing(Duration::ZERO),
        dial(to).with_ringing(Duration::from_secs(81)),
        out("", "i", inline("h")),
        out("r", "", inline("h")),
        out("r", "i", inline("sip:h")),
        out("r", "i", OutboundRoute::Trunk(String::new())),
        out("r", "i", OutboundRoute::Stored(handle)),
    ] {
        let error = livekit.dial(&request).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
    }
    assert_eq!(dials(&emulator), 0);
}

/// What LiveKit told the application.
struct App {
    server: MockServer,
    livekit: LiveKit,
}

impl App {
    async fn start(emulator: &Emulator) -> Self {
        let server = MockServer::start().await;
        Mock::given(any())
            .respond_with(ResponseTemplate::new(200))
            .mount(&server)
            .await;
        let url = format!("{}/webhooks/livekit", server.uri());
        emulator.set_livekit_webhook_url(url.parse().unwrap());
        Self {
            server,
            livekit: livekit(emulator).build().unwrap(),
        }
    }

    /// The first `count` webhooks, as the adapter reads them.
    async fn received(&self, count: usize) -> Vec<Result<TelephonyEvent, String>> {
        loop {
            let requests = self.server.received_requests().await.unwrap();
            if requests.len() < count {
                tokio::task::yield_now().await;
                continue;
            }
            assert_eq!(requests.len(), count);
            let webhook: &dyn InboundWebhook = self.livekit.webhook().unwrap();
            let read = |request: &wiremock::Request| {
                let request = WebhookRequest {
                    method: &Method::POST,
                    path_and_query: "/webhooks/livekit",
                    headers: &request.headers,
                    body: &request.body,
                };
                webhook
                    .receive(WebhookKind::Status, &request)
                    .map_err(|error| error.to_string())
            };
            return requests.iter().map(read).collect();
        }
    }
}

fn statuses(events: &[Result<TelephonyEvent, String>]) -> Vec<ProviderCallStatus> {
    events
        .iter()
        .filter_map(|event| match event {
            Ok(TelephonyEvent::Progress(progress)) => Some(progress.status),
            _ => None,
        })
        .collect()
}

#[tokio::test]
async fn webhooks_tell_how_a_call_went_on_and_how_it_ended() {
    let emulator = emulator().await;
    let app = App::start(&emulator).await;
    app.livekit.dial(&dial("+14155550199")).await.unwrap();
    emulator.hang_up_livekit("r", "call-1");
    app.livekit.dial(&dial("+12125550486")).await.unwrap();
    app.livekit.dial(&dial("+12125550480")).await.unwrap();
    app.livekit.dial(&dial("+14155550199")).await.unwrap();
    app.livekit.delete_room("r").await.unwrap();
    // Room started and finished, and four calls that came and went.
    let events = app.received(10).await;
    assert_eq!(
        statuses(&events),
        [
            ProviderCallStatus::Initiated,
            ProviderCallStatus::Completed,
            ProviderCallStatus::Initiated,
            ProviderCallStatus::Busy,
            ProviderCallStatus::Initiated,
            ProviderCallStatus::NoAnswer,
            ProviderCallStatus::Initiated,
            ProviderCallStatus::Completed,
        ]
    );
    assert_eq!(events.first(), Some(&Ok(TelephonyEvent::Other)));
    assert_eq!(events.last(), Some(&Ok(TelephonyEvent::Other)));
    let Ok(TelephonyEvent::Progress(progress)) = &events[1] else {
        panic!("a call that was dialled")
    };
    assert_eq!(progress.id, call_id("r", "call-1"));
    assert!(progress.at.is_some());
}

#[tokio::test]
async fn webhooks_are_repeated_reordered_and_forged_on_demand() {
    let emulator = emulator().await;
    let app = App::start(&emulator).await;
    for kind in [FaultKind::Duplicate, FaultKind::Reorder, FaultKind::BadSignature] {
        emulator.inject(Fault::new(Operation::RoomWebhook, kind)).unwrap();
    }
    app.livekit.dial(&dial("+14155550199")).await.unwrap();
    app.livekit.delete_room("r").await.unwrap();
    // `room_started` is held back, `participant_joined` comes twice, `room_started` is forged; then both ends.
    let events = app.received(5).await;
    assert_eq!(
        statuses(&events),
        [
            ProviderCallStatus::Initiated,
            ProviderCallStatus::Initiated,
            ProviderCallStatus::Completed
        ]
    );
    assert!(
        events[2]
            .as_ref()
            .unwrap_err()
            .contains("signed by somebody else")
    );
}
