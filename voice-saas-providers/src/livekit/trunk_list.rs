//! Lists of trunks and rules: what LiveKit has, page by page.

use livekit_protocol as proto;
use voice_saas_core::{
    phone::E164,
    provider::{
        ErrorKind, ProviderError,
        telephony::{ProviderPage, ProviderTrunk},
    },
};

use super::{
    LiveKit,
    rule::{self, Parts},
    token::Grant,
    twirp::Rpc,
};
use crate::http::Effect;

const INBOUND: Rpc = Rpc::new("list inbound trunks", "SIP/ListSIPInboundTrunk", Effect::Read);
const OUTBOUND: Rpc = Rpc::new("list outbound trunks", "SIP/ListSIPOutboundTrunk", Effect::Read);
const RULES: Rpc = Rpc::new("list dispatch rules", "SIP/ListSIPDispatchRule", Effect::Read);

/// How many things a page holds.
const PAGE: i32 = 100;

/// What is listed, and how it is told apart.
trait Item {
    fn id(&self) -> &str;
}

impl Item for proto::SipInboundTrunkInfo {
    fn id(&self) -> &str {
        &self.sip_trunk_id
    }
}

impl Item for proto::SipOutboundTrunkInfo {
    fn id(&self) -> &str {
        &self.sip_trunk_id
    }
}

impl Item for proto::SipDispatchRuleInfo {
    fn id(&self) -> &str {
        &self.sip_dispatch_rule_id
    }
}

/// In the order of the ids, and what comes after `after` alone: a server that does not page answers everything. Null
/// stands for an id that was asked for and is not there; in protobuf it has no id.
fn tidy<T: Item>(mut items: Vec<T>, after: &str) -> Vec<T> {
    items.retain(|item| !item.id().is_empty() && item.id() > after);
    items.sort_by(|a, b| a.id().cmp(b.id()));
    items
}

fn page(after: &str) -> proto::Pagination {
    proto::Pagination {
        after_id: after.to_owned(),
        limit: PAGE,
    }
}

/// Asks for pages until one is empty: how long a page is, the server decides.
async fn every<T: Item, Asked: Future<Output = Result<Vec<T>, ProviderError>>>(
    ask: impl Fn(String) -> Asked,
) -> Result<Vec<T>, ProviderError> {
    let mut all: Vec<T> = Vec::new();
    loop {
        let after = all.last().map(|item| item.id().to_owned()).unwrap_or_default();
        let items = ask(after).await?;
        if items.is_empty() {
            return Ok(all);
        }
        all.extend(items);
    }
}

impl LiveKit {
    async fn inbound_page(
        &self,
        numbers: Vec<String>,
        after: &str,
    ) -> Result<Vec<proto::SipInboundTrunkInfo>, ProviderError> {
        let message = proto::ListSipInboundTrunkRequest {
            numbers,
            page: Some(page(after)),
            ..Default::default()
        };
        let answer: proto::ListSipInboundTrunkResponse =
            self.twirp.call(INBOUND, Grant::SipAdmin, &message).await?;
        Ok(tidy(answer.items, after))
    }

    /// The trunks that take the calls of this number; wildcard trunks, which LiveKit lists with them, are not meant.
    pub(super) async fn inbound_of(
        &self,
        number: &E164,
    ) -> Result<Vec<proto::SipInboundTrunkInfo>, ProviderError> {
        let ask = |after: String| async move { self.inbound_page(vec![number.to_string()], &after).await };
        let mut trunks = every(ask).await?;
        trunks.retain(|trunk| trunk.numbers.iter().any(|text| rule::is_number(text, number)));
        Ok(trunks)
    }

    /// The trunks with these ids that are there.
    pub(super) async fn inbound_with(
        &self,
        ids: Vec<String>,
    ) -> Result<Vec<proto::SipInboundTrunkInfo>, ProviderError> {
        if ids.is_empty() {
            // Without ids, LiveKit would list them all.
            return Ok(Vec::new());
        }
        let message = proto::ListSipInboundTrunkRequest {
            trunk_ids: ids,
            ..Default::default()
        };
        let answer: proto::ListSipInboundTrunkResponse =
            self.twirp.call(INBOUND, Grant::SipAdmin, &message).await?;
        Ok(tidy(answer.items, ""))
    }

    async fn outbound_page(
        &self,
        message: proto::ListSipOutboundTrunkRequest,
        after: &str,
    ) -> Result<Vec<proto::SipOutboundTrunkInfo>, ProviderError> {
        let answer: proto::ListSipOutboundTrunkResponse =
            self.twirp.call(OUTBOUND, Grant::SipAdmin, &message).await?;
        Ok(tidy(answer.items, after))
    }

    /// The trunks that call out as one of these numbers; wildcard trunks may be among them.
    pub(super) async fn outbound_of(
        &self,
        numbers: &[String],
    ) -> Result<Vec<proto::SipOutboundTrunkInfo>, ProviderError> {
        if numbers.is_empty() {
            return Ok(Vec::new());
        }
        let ask = |after: String| async move {
            let message = proto::ListSipOutboundTrunkRequest {
                numbers: numbers.to_vec(),
                page: Some(page(&after)),
                ..Default::default()
            };
            self.outbound_page(message, &after).await
        };
        every(ask).await
    }

    /// Whether an outbound trunk with this id is there.
    pub(super) async fn has_outbound(&self, id: &str) -> Result<bool, ProviderError> {
        let message = proto::ListSipOutboundTrunkRequest {
            trunk_ids: vec![id.to_owned()],
            ..Default::default()
        };
        Ok(!self.outbound_page(message, "").await?.is_empty())
    }

    async fn rules_page(
        &self,
        trunk_ids: Vec<String>,
        after: &str,
    ) -> Result<Vec<proto::SipDispatchRuleInfo>, ProviderError> {
        let message = proto::ListSipDispatchRuleRequest {
            trunk_ids,
            page: Some(page(after)),
            ..Default::default()
        };
        let answer: proto::ListSipDispatchRuleResponse =
            self.twirp.call(RULES, Grant::SipAdmin, &message).await?;
        Ok(tidy(answer.items, after))
    }

    /// The rules that name one of these trunks; wildcard rules, which LiveKit lists with them, are not meant.
    pub(super) async fn rules_of(
        &self,
        trunk_ids: &[String],
    ) -> Result<Vec<proto::SipDispatchRuleInfo>, ProviderError> {
        if trunk_ids.is_empty() {
            return Ok(Vec::new());
        }
        let ask = |after: String| async move { self.rules_page(trunk_ids.to_vec(), &after).await };
        let mut rules = every(ask).await?;
        rules.retain(|rule| rule.trunk_ids.iter().any(|id| trunk_ids.contains(id)));
        Ok(rules)
    }

    /// All rules with this tag. LiveKit cannot search for it, so this reads every rule of the project.
    pub(super) async fn rules_tagged(
        &self,
        tag: &str,
    ) -> Result<Vec<proto::SipDispatchRuleInfo>, ProviderError> {
        let ask = |after: String| async move { self.rules_page(Vec::new(), &after).await };
        let mut rules = every(ask).await?;
        rules.retain(|rule| rule::rule_tag(rule) == tag);
        Ok(rules)
    }

    /// Inbound trunks with what belongs to them, then outbound trunks without one, then rules without one. `page` is
    /// the section's letter and the id after which it goes on.
    pub(super) async fn trunk_page(
        &self,
        page: Option<&str>,
    ) -> Result<ProviderPage<ProviderTrunk>, ProviderError> {
        let (mut section, mut after) = match page {
            None => ("i", String::new()),
            Some(page) => page
                .split_once(':')
                .map(|(section, after)| (section, after.to_owned()))
                .filter(|(section, _)| ["i", "o", "r"].contains(section))
                .ok_or_else(|| INBOUND.error(ErrorKind::Invalid, "a page that was not given by this list"))?,
        };
        loop {
            let (items, last) = match section {
                "i" => self.whole_trunks(&after).await?,
                "o" => self.lone_outbound_trunks(&after).await?,
                _ => self.lone_rules(&after).await?,
            };
            let next = match (last, section) {
                (Some(last), section) => Some((section, last)),
                (None, "i") => Some(("o", String::new())),
                (None, "o") => Some(("r", String::new())),
                (None, _) => None,
            };
            match next {
                Some((on, last)) if items.is_empty() => (section, after) = (on, last),
                next => {
                    return Ok(ProviderPage {
                        items,
                        next: next.map(|(section, after)| format!("{section}:{after}")),
                    });
                }
            }
        }
    }

    async fn whole_trunks(&self, after: &str) -> Result<(Vec<ProviderTrunk>, Option<String>), ProviderError> {
        let trunks = self.inbound_page(Vec::new(), after).await?;
        let last = trunks.last().map(|trunk| trunk.sip_trunk_id.clone());
        let ids: Vec<_> = trunks.iter().map(|trunk| trunk.sip_trunk_id.clone()).collect();
        let numbers: Vec<_> = trunks.iter().flat_map(|trunk| trunk.numbers.clone()).collect();
        let rules = self.rules_of(&ids).await?;
        let outbound = self.outbound_of(&numbers).await?;
        let whole = |trunk| self.assemble(trunk, &rules, &outbound);
        Ok((trunks.iter().map(whole).collect(), last))
    }

    /// A trunk with the rule and the outbound trunk that belong to it. A rule of another name does its work too.
    pub(super) fn assemble(
        &self,
        trunk: &proto::SipInboundTrunkInfo,
        rules: &[proto::SipDispatchRuleInfo],
        outbound: &[proto::SipOutboundTrunkInfo],
    ) -> ProviderTrunk {
        let tag = rule::trunk_tag(trunk);
        let naming = || {
            rules
                .iter()
                .filter(|rule| rule.trunk_ids.contains(&trunk.sip_trunk_id))
        };
        let rule = naming()
            .find(|rule| rule::rule_tag(rule) == tag)
            .or_else(|| naming().next());
        let outbound = outbound.iter().find(|it| rule::outbound_tag(it) == tag);
        let parts = Parts {
            inbound_trunk: Some(trunk.sip_trunk_id.clone()),
            dispatch_rule: rule.map(|rule| rule.sip_dispatch_rule_id.clone()),
            outbound_trunk: outbound.map(|trunk| trunk.sip_trunk_id.clone()),
        };
        ProviderTrunk::new(parts.handle(), tag, rule::numbers(&trunk.numbers))
            .with_sip_host(self.sip_host.clone())
            .with_complete(rule.is_some())
    }

    async fn lone_outbound_trunks(
        &self,
        after: &str,
    ) -> Result<(Vec<ProviderTrunk>, Option<String>), ProviderError> {
        let message = proto::ListSipOutboundTrunkRequest {
            page: Some(page(after)),
            ..Default::default()
        };
        let trunks = self.outbound_page(message, after).await?;
        let last = trunks.last().map(|trunk| trunk.sip_trunk_id.clone());
        let mut numbers: Vec<_> = trunks.iter().flat_map(|trunk| trunk.numbers.clone()).collect();
        numbers.retain(|number| number != "*");
        let inbound = if numbers.is_empty() {
            Vec::new()
        } else {
            let numbers = &numbers;
            every(|after: String| async move { self.inbound_page(numbers.clone(), &after).await }).await?
        };
        let belongs = |trunk: &proto::SipOutboundTrunkInfo| {
            let tag = rule::outbound_tag(trunk);
            inbound.iter().any(|it| {
                rule::trunk_tag(it) == tag && it.numbers.iter().any(|number| trunk.numbers.contains(number))
            })
        };
        let lone = trunks.iter().filter(|trunk| !belongs(trunk));
        Ok((lone.map(lone_outbound_trunk).collect(), last))
    }

    async fn lone_rules(&self, after: &str) -> Result<(Vec<ProviderTrunk>, Option<String>), ProviderError> {
        let rules = self.rules_page(Vec::new(), after).await?;
        let last = rules.last().map(|rule| rule.sip_dispatch_rule_id.clone());
        let named = rules.iter().flat_map(|rule| rule.trunk_ids.clone()).collect();
        let there = self.inbound_with(named).await?;
        let belongs = |rule: &proto::SipDispatchRuleInfo| {
            there
                .iter()
                .any(|trunk| rule.trunk_ids.contains(&trunk.sip_trunk_id))
        };
        let lone = rules.iter().filter(|rule| !belongs(rule));
        Ok((lone.map(lone_rule).collect(), last))
    }
}

pub(super) fn lone_rule(rule: &proto::SipDispatchRuleInfo) -> ProviderTrunk {
    let parts = Parts {
        dispatch_rule: Some(rule.sip_dispatch_rule_id.clone()),
        ..Parts::default()
    };
    let numbers = rule::numbers(&rule.numbers);
    ProviderTrunk::new(parts.handle(), rule::rule_tag(rule), numbers).with_complete(false)
}

pub(super) fn lone_outbound_trunk(trunk: &proto::SipOutboundTrunkInfo) -> ProviderTrunk {
    let parts = Parts {
        outbound_trunk: Some(trunk.sip_trunk_id.clone()),
        ..Parts::default()
    };
    let numbers = rule::numbers(&trunk.numbers);
    ProviderTrunk::new(parts.handle(), rule::outbound_tag(trunk), numbers).with_complete(false)
}
