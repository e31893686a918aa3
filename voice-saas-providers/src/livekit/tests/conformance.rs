//! The conformance suite of trunks, with outbound trunks stored and without.

use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use livekit_protocol as proto;
use voice_saas_core::{
    phone::E164,
    provider::telephony::{AgentDispatch, SipCredentials, TrunkOrder, TrunkProvider},
    testing::trunk::TrunkAccount,
};

use super::{emulator, livekit};
use crate::{
    emulator::{Emulator, Fault, FaultKind, Operation},
    http::{Effect, RetryPolicy},
    livekit::{LiveKit, SipTransport, token::Grant, twirp::Rpc},
};

struct Account {
    emulator: Emulator,
    livekit: LiveKit,
    numbers: AtomicU32,
}

async fn account(stored: bool) -> Account {
    let emulator = emulator().await;
    let mut builder = livekit(&emulator).with_retry(RetryPolicy::none());
    if stored {
        builder = builder.with_stored_outbound_trunk(SipTransport::Tls, None);
    }
    Account {
        livekit: builder.build().unwrap(),
        emulator,
        numbers: AtomicU32::new(0),
    }
}

#[async_trait]
impl TrunkAccount for Account {
    fn provider(&self) -> &dyn TrunkProvider {
        &self.livekit
    }

    fn number(&self) -> E164 {
        let last = self.numbers.fetch_add(1, Ordering::Relaxed);
        format!("+121255501{last:02}").parse().unwrap()
    }

    fn order(&self, tag: &str, number: &E164) -> TrunkOrder {
        TrunkOrder::new(tag, number.clone())
            .with_peer(
                "t.pstn.example.com",
                Some(SipCredentials::new("u", "p".to_owned().into())),
            )
            .with_dispatch(AgentDispatch::new("receptionist", "{}", "call"))
    }

    async fn things(&self) -> usize {
        let state = self.emulator.state();
        ["inbound_trunks", "outbound_trunks", "dispatch_rules"]
            .iter()
            .map(|kind| state["livekit"][kind].as_array().unwrap().len())
            .sum()
    }

    async fn make_foreign(&self, number: &E164, name: &str) {
        const TRUNK: Rpc = Rpc::new("make a trunk", "SIP/CreateSIPInboundTrunk", Effect::Once);
        const RULE: Rpc = Rpc::new("make a rule", "SIP/CreateSIPDispatchRule", Effect::Once);
        let trunk = proto::SipInboundTrunkInfo {
            name: name.to_owned(),
            numbers: vec![number.to_string()],
            ..Default::default()
        };
        let message = proto::CreateSipInboundTrunkRequest { trunk: Some(trunk) };
        let twirp = &self.livekit.twirp;
        let trunk: proto::SipInboundTrunkInfo = twirp.call(TRUNK, Grant::SipAdmin, &message).await.unwrap();
        let direct = proto::SipDispatchRuleDirect {
            room_name: "lobby".to_owned(),
            ..Default::default()
        };
        let rule = proto::SipDispatchRuleInfo {
            trunk_ids: vec![trunk.sip_trunk_id],
            rule: Some(proto::SipDispatchRule {
                rule: Some(proto::sip_dispatch_rule::Rule::DispatchRuleDirect(direct)),
            }),
            ..Default::default()
        };
        let message = proto::CreateSipDispatchRuleRequest {
            dispatch_rule: Some(rule),
            ..Default::default()
        };
        let _: proto::SipDispatchRuleInfo = twirp.call(RULE, Grant::SipAdmin, &message).await.unwrap();
    }

    fn break_off(&self) {
        let fault = Fault::new(Operation::CreateDispatchRule, FaultKind::ServerError);
        self.emulator.inject(fault).unwrap();
    }

    fn lose_answer(&self) {
        let fault = Fault::new(Operation::CreateInboundTrunk, FaultKind::AnswerLost);
        self.emulator.inject(fault).unwrap();
    }
}

mod inline {
    async fn fresh_account() -> super::Account {
        super::account(false).await
    }
    voice_saas_core::trunk_conformance_tests!(fresh_account);
}

mod stored {
    async fn fresh_account() -> super::Account {
        super::account(true).await
    }
    voice_saas_core::trunk_conformance_tests!(fresh_account);
}
