//! Trunks: an inbound trunk for a number, a rule that sends its callers to an agent, and perhaps an outbound trunk
//! (page `telephony/accepting-calls/workflow-setup`).

use async_trait::async_trait;
use livekit_protocol as proto;
use voice_saas_core::{
    phone::E164,
    provider::{
        ErrorKind, ProviderError,
        telephony::{
            AgentDispatch, ProviderPage, ProviderTrunk, Removal, RouteHandle, TrunkOrder, TrunkProvider,
        },
    },
};

use super::{
    LiveKit, Outbound, builder, room,
    rule::{self, Parts},
    token::Grant,
    trunk_list,
    twirp::Rpc,
};
use crate::http::Effect;

const ENSURE: &str = "set up a SIP trunk";
const CREATE_INBOUND: Rpc = Rpc::new(ENSURE, "SIP/CreateSIPInboundTrunk", Effect::Once);
const CREATE_RULE: Rpc = Rpc::new(ENSURE, "SIP/CreateSIPDispatchRule", Effect::Once);
/// Names the whole rule, as the next one does.
const UPDATE_RULE: Rpc = Rpc::new(ENSURE, "SIP/UpdateSIPDispatchRule", Effect::Keyed);
const CREATE_OUTBOUND: Rpc = Rpc::new(ENSURE, "SIP/CreateSIPOutboundTrunk", Effect::Once);
const UPDATE_OUTBOUND: Rpc = Rpc::new(ENSURE, "SIP/UpdateSIPOutboundTrunk", Effect::Keyed);
const DELETE_TRUNK: Rpc = Rpc::new("delete a SIP trunk", "SIP/DeleteSIPTrunk", Effect::Read);
const DELETE_RULE: Rpc = Rpc::new(
    "delete a SIP dispatch rule",
    "SIP/DeleteSIPDispatchRule",
    Effect::Read,
);

impl LiveKit {
    async fn ensure_inbound(&self, order: &TrunkOrder) -> Result<proto::SipInboundTrunkInfo, ProviderError> {
        let found = self.inbound_of(&order.number).await?;
        if let Some(trunk) = self.only_own(found, &order.tag).await? {
            return Ok(trunk);
        }
        let message = proto::CreateSipInboundTrunkRequest {
            trunk: Some(rule::inbound_trunk(order)),
        };
        match self.twirp.call(CREATE_INBOUND, Grant::SipAdmin, &message).await {
            // Somebody was faster.
            Err(error) if error.kind() == ErrorKind::Conflict => {
                let found = self.inbound_of(&order.number).await?;
                self.only_own(found, &order.tag).await?.ok_or(error)
            }
            created => created,
        }
    }

    /// The one trunk of a number. LiveKit lets two through that are made at the same moment, and then takes no call
    /// at all: of our own, the first stays.
    async fn only_own(
        &self,
        found: Vec<proto::SipInboundTrunkInfo>,
        tag: &str,
    ) -> Result<Option<proto::SipInboundTrunkInfo>, ProviderError> {
        if let Some(other) = found.iter().find(|trunk| rule::trunk_tag(trunk) != tag) {
            let detail = format!("the number's calls go through {}", other.sip_trunk_id);
            return Err(CREATE_INBOUND.error(ErrorKind::Conflict, detail));
        }
        let mut found = found.into_iter();
        let first = found.next();
        for more in found {
            tracing::warn!(
                trunk = more.sip_trunk_id,
                "a trunk was made twice; the second one goes"
            );
            self.delete_inbound(&more.sip_trunk_id).await?;
        }
        Ok(first)
    }

    async fn ensure_rule(
        &self,
        order: &TrunkOrder,
        dispatch: &AgentDispatch,
        trunk_id: &str,
    ) -> Result<proto::SipDispatchRuleInfo, ProviderError> {
        // A rule without a trunk would take the calls of all of them.
        if trunk_id.is_empty() {
            return Err(CREATE_RULE.error(ErrorKind::UnexpectedAnswer, "a trunk without an id"));
        }
        let wanted = rule::dispatch_rule(&order.tag, trunk_id, dispatch);
        if let Some(found) = self.own_rule(&order.tag, trunk_id).await? {
            return self.bring_up_to_date(found, wanted).await;
        }
        let message = proto::CreateSipDispatchRuleRequest {
            dispatch_rule: Some(wanted.clone()),
            ..Default::default()
        };
        match self.twirp.call(CREATE_RULE, Grant::SipAdmin, &message).await {
            Err(error) if error.kind() == ErrorKind::Conflict => {
                let found = self.own_rule(&order.tag, trunk_id).await?.ok_or(error)?;
                self.bring_up_to_date(found, wanted).await
            }
            created => created,
        }
    }

    async fn own_rule(
        &self,
        tag: &str,
        trunk_id: &str,
    ) -> Result<Option<proto::SipDispatchRuleInfo>, ProviderError> {
        let rules = self.rules_of(&[trunk_id.to_owned()]).await?;
        Ok(rules.into_iter().find(|rule| rule::rule_tag(rule) == tag))
    }

    async fn bring_up_to_date(
        &self,
        found: proto::SipDispatchRuleInfo,
        wanted: proto::SipDispatchRuleInfo,
    ) -> Result<proto::SipDispatchRuleInfo, ProviderError> {
        if rule::does_the_same(&found, &wanted) {
            return Ok(found);
        }
        // Who answers can only be changed by naming the whole rule.
        let message = proto::UpdateSipDispatchRuleRequest {
            sip_dispatch_rule_id: found.sip_dispatch_rule_id.clone(),
            action: Some(proto::update_sip_dispatch_rule_request::Action::Replace(
                proto::SipDispatchRuleInfo {
                    rule: wanted.rule,
                    trunk_ids: wanted.trunk_ids,
                    room_config: wanted.room_config,
                    ..found
                },
            )),
        };
        self.twirp.call(UPDATE_RULE, Grant::SipAdmin, &message).await
    }

    async fn ensure_outbound(
        &self,
        order: &TrunkOrder,
        peer: &str,
        how: Outbound,
    ) -> Result<proto::SipOutboundTrunkInfo, ProviderError> {
        let wanted = rule::outbound_trunk(order, peer, how);
        let found = self.own_outbound(&order.tag, &order.number).await?;
        match found {
            Some(found) if rule::calls_the_same(&found, &wanted) => Ok(found),
            Some(found) => {
                let message = proto::UpdateSipOutboundTrunkRequest {
                    sip_trunk_id: found.sip_trunk_id.clone(),
                    action: Some(proto::update_sip_outbound_trunk_request::Action::Replace(
                        proto::SipOutboundTrunkInfo {
                            address: wanted.address,
                            transport: wanted.transport,
                            destination_country: wanted.destination_country,
                            auth_username: wanted.auth_username,
                            auth_password: wanted.auth_password,
                            ..found
                        },
                    )),
                };
                self.twirp.call(UPDATE_OUTBOUND, Grant::SipAdmin, &message).await
            }
            None => {
                let message = proto::CreateSipOutboundTrunkRequest { trunk: Some(wanted) };
                self.twirp.call(CREATE_OUTBOUND, Grant::SipAdmin, &message).await
            }
        }
    }

    async fn own_outbound(
        &self,
        tag: &str,
        number: &E164,
    ) -> Result<Option<proto::SipOutboundTrunkInfo>, ProviderError> {
        let found = self.outbound_of(&[number.to_string()]).await?;
        Ok(found.into_iter().find(|trunk| rule::outbound_tag(trunk) == tag))
    }

    /// First the rules that serve this trunk alone, then the trunk: no call finds a trunk without a rule for long, and
    /// no rule is left that names nothing.
    async fn delete_inbound(&self, id: &str) -> Result<bool, ProviderError> {
        let mut there = self.delete_rules_of(id).await?;
        // Deleting a trunk that is not there succeeds, so the list alone says whether it was.
        if !self.inbound_with(vec![id.to_owned()]).await?.is_empty() {
            there |= self.delete_trunk(id).await?;
        }
        Ok(there)
    }

    /// The rules that serve this trunk alone.
    async fn delete_rules_of(&self, trunk_id: &str) -> Result<bool, ProviderError> {
        let ids = [trunk_id.to_owned()];
        let mut there = false;
        for rule in self.rules_of(&ids).await? {
            if rule.trunk_ids == ids {
                there |= self.delete_rule(&rule.sip_dispatch_rule_id).await?;
            }
        }
        Ok(there)
    }

    async fn delete_rule(&self, id: &str) -> Result<bool, ProviderError> {
        let message = proto::DeleteSipDispatchRuleRequest {
            sip_dispatch_rule_id: id.to_owned(),
        };
        let deleted: Result<proto::SipDispatchRuleInfo, _> =
            self.twirp.call(DELETE_RULE, Grant::SipAdmin, &message).await;
        Ok(room::removed(deleted)? == Removal::Removed)
    }

    async fn delete_trunk(&self, id: &str) -> Result<bool, ProviderError> {
        let message = proto::DeleteSipTrunkRequest {
            sip_trunk_id: id.to_owned(),
        };
        let deleted: Result<proto::SipTrunkInfo, _> =
            self.twirp.call(DELETE_TRUNK, Grant::SipAdmin, &message).await;
        Ok(room::removed(deleted)? == Removal::Removed)
    }
}

fn check(order: &TrunkOrder) -> Result<&AgentDispatch, ProviderError> {
    let wrong = |detail| Err(CREATE_INBOUND.error(ErrorKind::Invalid, detail));
    if order.tag.is_empty() {
        return wrong("a trunk without a tag would not be found again");
    }
    if order
        .peer
        .as_deref()
        .is_some_and(|peer| !builder::is_sip_host(peer))
    {
        return wrong("the peer is not a host, or host and port");
    }
    match &order.dispatch {
        None => wrong("the order does not say who answers"),
        // A worker without a name is sent into every room of the project.
        Some(dispatch) if dispatch.agent_name.is_empty() => wrong("the agent has no name"),
        Some(dispatch) => Ok(dispatch),
    }
}

#[async_trait]
impl TrunkProvider for LiveKit {
    async fn ensure(&self, order: &TrunkOrder) -> Result<ProviderTrunk, ProviderError> {
        let dispatch = check(order)?;
        let inbound = self.ensure_inbound(order).await?;
        let rule = if order.takes_calls {
            Some(Box::pin(self.ensure_rule(order, dispatch, &inbound.sip_trunk_id)).await?)
        } else {
            // A trunk must keep its number: without one it would take the calls of all. Without a rule it takes none.
            self.delete_rules_of(&inbound.sip_trunk_id).await?;
            None
        };
        let outbound = match (self.outbound, &order.peer) {
            (Some(how), Some(peer)) => Some(self.ensure_outbound(order, peer, how).await?),
            _ => None,
        };
        Ok(self.assemble(&inbound, rule.as_slice(), outbound.as_slice()))
    }

    async fn find(&self, tag: &str, number: &E164) -> Result<Option<ProviderTrunk>, ProviderError> {
        let found = self.inbound_of(number).await?;
        let own = found.iter().find(|trunk| rule::trunk_tag(trunk) == tag);
        let outbound = self.own_outbound(tag, number).await?;
        if let Some(trunk) = own {
            let rules = self.rules_of(std::slice::from_ref(&trunk.sip_trunk_id)).await?;
            return Ok(Some(self.assemble(trunk, &rules, outbound.as_slice())));
        }
        if let Some(trunk) = outbound {
            return Ok(Some(trunk_list::lone_outbound_trunk(&trunk)));
        }
        let rules = self.rules_tagged(tag).await?;
        Ok(rules.first().map(trunk_list::lone_rule))
    }

    async fn list(&self, page: Option<&str>) -> Result<ProviderPage<ProviderTrunk>, ProviderError> {
        self.trunk_page(page).await
    }

    async fn delete(&self, handle: &RouteHandle) -> Result<Removal, ProviderError> {
        let parts = Parts::read(handle)
            .ok_or_else(|| DELETE_TRUNK.error(ErrorKind::Invalid, "a handle that LiveKit did not give"))?;
        let mut there = false;
        if let Some(id) = &parts.dispatch_rule {
            there |= self.delete_rule(id).await?;
        }
        if let Some(id) = &parts.inbound_trunk {
            there |= self.delete_inbound(id).await?;
        }
        if let Some(id) = &parts.outbound_trunk
            && self.has_outbound(id).await?
        {
            there |= self.delete_trunk(id).await?;
        }
        Ok(if there {
            Removal::Removed
        } else {
            Removal::AlreadyGone
        })
    }
}
