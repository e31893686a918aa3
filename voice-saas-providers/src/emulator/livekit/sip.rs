//! SIP trunks and dispatch rules.

use std::collections::BTreeMap;

use livekit_protocol as proto;
use proto::sip_dispatch_rule::Rule;

use super::State;
use super::wire::TwirpError;
use crate::emulator::id;

const MOST: usize = 100_000;

/// As LiveKit compares called numbers.
pub(super) fn normal(number: &str) -> String {
    let bare: String = number.chars().filter(|c| !" -()".contains(*c)).collect();
    if bare.is_empty() || bare.starts_with('+') {
        bare
    } else {
        format!("+{bare}")
    }
}

fn shares(ours: &[String], theirs: &[String]) -> bool {
    let normals: Vec<String> = theirs.iter().map(|number| normal(number)).collect();
    match (ours.is_empty(), theirs.is_empty()) {
        (true, true) => true,
        (false, false) => ours.iter().any(|number| normals.contains(&normal(number))),
        _ => false,
    }
}

fn room_for<T>(items: &BTreeMap<String, T>) -> Result<(), TwirpError> {
    if items.len() < MOST {
        Ok(())
    } else {
        Err(TwirpError::new("resource_exhausted", "too many trunks or rules"))
    }
}

/// Some of the items: those with these ids, of which a missing one is left out, or those that fit and come after the
/// page's id.
fn select<'a, T: Clone + 'a>(
    items: &BTreeMap<String, T>,
    ids: &[String],
    page: Option<&proto::Pagination>,
    fits: impl Fn(&T) -> bool,
) -> Vec<T> {
    if !ids.is_empty() {
        return ids.iter().filter_map(|id| items.get(id).cloned()).collect();
    }
    let after = page.map(|page| page.after_id.as_str()).unwrap_or_default();
    let limit = page.map_or(0, |page| usize::try_from(page.limit).unwrap_or_default());
    let fitting = items
        .iter()
        .filter(|(id, item)| id.as_str() > after && fits(item))
        .map(|(_, item)| item.clone());
    fitting
        .take(if limit == 0 { usize::MAX } else { limit })
        .collect()
}

fn host(text: &str, what: &str) -> Result<(), TwirpError> {
    if text.contains("sip:") || text.contains(['@', ';', ' ']) || text.contains("transport=") {
        return Err(TwirpError::invalid(format!(
            "{what} should be a hostname or IP, not SIP URI"
        )));
    }
    Ok(())
}

pub(super) fn check_outbound_config(config: &proto::SipOutboundConfig) -> Result<(), TwirpError> {
    if config.hostname.is_empty() {
        return Err(TwirpError::invalid("no outbound hostname specified"));
    }
    host(&config.hostname, "trunk hostname")
}

fn check_inbound(trunk: &proto::SipInboundTrunkInfo) -> Result<(), TwirpError> {
    let open = trunk.auth_username.is_empty()
        && trunk.auth_password.is_empty()
        && trunk.allowed_addresses.is_empty()
        && trunk.numbers.is_empty();
    if open {
        return Err(TwirpError::invalid(
            "for security, one of the fields must be set: AuthUsername+AuthPassword, AllowedAddresses or Numbers",
        ));
    }
    Ok(())
}

impl State {
    fn conflicts_of_trunk(&self, trunk: &proto::SipInboundTrunkInfo) -> Result<(), TwirpError> {
        let same = |other: &&proto::SipInboundTrunkInfo| {
            other.sip_trunk_id != trunk.sip_trunk_id
                && shares(&trunk.numbers, &other.numbers)
                && shares(&trunk.allowed_numbers, &other.allowed_numbers)
        };
        let Some(other) = self.inbound.values().find(same) else {
            return Ok(());
        };
        let new = if trunk.sip_trunk_id.is_empty() {
            "<new>"
        } else {
            &trunk.sip_trunk_id
        };
        Err(TwirpError::invalid(format!(
            "Conflicting inbound SIP Trunks: \"{new}\" and \"{}\", using the same number(s) {:?} without \
             AllowedNumbers set",
            other.sip_trunk_id, trunk.numbers
        )))
    }

    pub(super) fn create_inbound(
        &mut self,
        request: proto::CreateSipInboundTrunkRequest,
    ) -> Result<proto::SipInboundTrunkInfo, TwirpError> {
        let mut trunk = request
            .trunk
            .ok_or_else(|| TwirpError::invalid("missing trunk"))?;
        if !trunk.sip_trunk_id.is_empty() {
            return Err(TwirpError::invalid("trunk id must be empty"));
        }
        check_inbound(&trunk)?;
        self.conflicts_of_trunk(&trunk)?;
        room_for(&self.inbound)?;
        trunk.sip_trunk_id = format!("ST_{}", id::hex(12));
        self.inbound.insert(trunk.sip_trunk_id.clone(), trunk.clone());
        Ok(trunk)
    }

    pub(super) fn update_inbound(
        &mut self,
        request: proto::UpdateSipInboundTrunkRequest,
    ) -> Result<proto::SipInboundTrunkInfo, TwirpError> {
        use proto::update_sip_inbound_trunk_request::Action;
        let current = self.inbound.get(&request.sip_trunk_id);
        let current = current.ok_or_else(|| TwirpError::not_found("requested sip trunk does not exist"))?;
        let mut trunk = match request.action {
            Some(Action::Replace(trunk)) => trunk,
            Some(Action::Update(update)) => {
                let mut trunk = current.clone();
                apply(&mut trunk.numbers, update.numbers);
                apply(&mut trunk.allowed_addresses, update.allowed_addresses);
                apply(&mut trunk.allowed_numbers, update.allowed_numbers);
                trunk.name = update.name.unwrap_or(trunk.name);
                trunk.metadata = update.metadata.unwrap_or(trunk.metadata);
                trunk.auth_username = update.auth_username.unwrap_or(trunk.auth_username);
                trunk.auth_password = update.auth_password.unwrap_or(trunk.auth_password);
                trunk
            }
            None => return Err(TwirpError::invalid("missing or unsupported update action")),
        };
        trunk.sip_trunk_id = request.sip_trunk_id;
        check_inbound(&trunk)?;
        self.conflicts_of_trunk(&trunk)?;
        self.inbound.insert(trunk.sip_trunk_id.clone(), trunk.clone());
        Ok(trunk)
    }

    pub(super) fn list_inbound(
        &self,
        request: &proto::ListSipInboundTrunkRequest,
    ) -> proto::ListSipInboundTrunkResponse {
        // Wildcard trunks belong to every number.
        let fits = |trunk: &proto::SipInboundTrunkInfo| {
            request.numbers.is_empty() || trunk.numbers.is_empty() || shares(&request.numbers, &trunk.numbers)
        };
        let page = request.page.as_ref();
        proto::ListSipInboundTrunkResponse {
            items: select(&self.inbound, &request.trunk_ids, page, fits),
        }
    }

    pub(super) fn create_outbound(
        &mut self,
        request: proto::CreateSipOutboundTrunkRequest,
    ) -> Result<proto::SipOutboundTrunkInfo, TwirpError> {
        let mut trunk = request
            .trunk
            .ok_or_else(|| TwirpError::invalid("missing trunk"))?;
        if !trunk.sip_trunk_id.is_empty() {
            return Err(TwirpError::invalid("trunk id must be empty"));
        }
        check_outbound(&trunk)?;
        room_for(&self.outbound)?;
        trunk.sip_trunk_id = format!("ST_{}", id::hex(12));
        self.outbound.insert(trunk.sip_trunk_id.clone(), trunk.clone());
        Ok(trunk)
    }

    pub(super) fn update_outbound(
        &mut self,
        request: proto::UpdateSipOutboundTrunkRequest,
    ) -> Result<proto::SipOutboundTrunkInfo, TwirpError> {
        use proto::update_sip_outbound_trunk_request::Action;
        let current = self.outbound.get(&request.sip_trunk_id);
        let current = current.ok_or_else(|| TwirpError::not_found("requested sip trunk does not exist"))?;
        let mut trunk = match request.action {
            Some(Action::Replace(trunk)) => trunk,
            Some(Action::Update(update)) => {
                let mut trunk = current.clone();
                apply(&mut trunk.numbers, update.numbers);
                trunk.address = update.address.unwrap_or(trunk.address);
                trunk.transport = update.transport.unwrap_or(trunk.transport);
                trunk.name = update.name.unwrap_or(trunk.name);
                trunk.metadata = update.metadata.unwrap_or(trunk.metadata);
                trunk.auth_username = update.auth_username.unwrap_or(trunk.auth_username);
                trunk.auth_password = update.auth_password.unwrap_or(trunk.auth_password);
                trunk
            }
            None => return Err(TwirpError::invalid("missing or unsupported update action")),
        };
        trunk.sip_trunk_id = request.sip_trunk_id;
        check_outbound(&trunk)?;
        self.outbound.insert(trunk.sip_trunk_id.clone(), trunk.clone());
        Ok(trunk)
    }

    pub(super) fn list_outbound(
        &self,
        request: &proto::ListSipOutboundTrunkRequest,
    ) -> proto::ListSipOutboundTrunkResponse {
        // Exact texts, other than at inbound trunks.
        let fits = |trunk: &proto::SipOutboundTrunkInfo| {
            request.numbers.is_empty()
                || trunk.numbers.is_empty()
                || request
                    .numbers
                    .iter()
                    .any(|number| trunk.numbers.contains(number))
        };
        let page = request.page.as_ref();
        proto::ListSipOutboundTrunkResponse {
            items: select(&self.outbound, &request.trunk_ids, page, fits),
        }
    }

    /// Succeeds for a trunk that is not there, and leaves the rules that name it.
    pub(super) fn delete_trunk(&mut self, request: proto::DeleteSipTrunkRequest) -> proto::SipTrunkInfo {
        self.inbound.remove(&request.sip_trunk_id);
        self.outbound.remove(&request.sip_trunk_id);
        proto::SipTrunkInfo {
            sip_trunk_id: request.sip_trunk_id,
            ..Default::default()
        }
    }

    fn conflicts_of_rule(&self, rule: &proto::SipDispatchRuleInfo) -> Result<(), TwirpError> {
        let own = pin(rule)?;
        let clash = |other: &&proto::SipDispatchRuleInfo| {
            other.sip_dispatch_rule_id != rule.sip_dispatch_rule_id
                && pin(other).as_ref() == Ok(&own)
                && overlap(&rule.trunk_ids, &other.trunk_ids)
                && shares(&rule.inbound_numbers, &other.inbound_numbers)
                && shares(&rule.numbers, &other.numbers)
        };
        match self.rules.values().find(clash) {
            None => Ok(()),
            Some(other) => Err(TwirpError::invalid(format!(
                "Dispatch rule for the same trunk, inbound number, number, and PIN combination already exists in \
                 dispatch rule {:?} {:?}",
                other.sip_dispatch_rule_id, other.name
            ))),
        }
    }

    pub(super) fn create_rule(
        &mut self,
        request: proto::CreateSipDispatchRuleRequest,
    ) -> Result<proto::SipDispatchRuleInfo, TwirpError> {
        // The deprecated fields beside it are not emulated.
        let mut rule = request
            .dispatch_rule
            .ok_or_else(|| TwirpError::invalid("missing dispatch rule"))?;
        if !rule.sip_dispatch_rule_id.is_empty() {
            return Err(TwirpError::invalid("rule id must be empty"));
        }
        self.conflicts_of_rule(&rule)?;
        room_for(&self.rules)?;
        rule.sip_dispatch_rule_id = format!("SDR_{}", id::hex(12));
        self.rules.insert(rule.sip_dispatch_rule_id.clone(), rule.clone());
        Ok(rule)
    }

    pub(super) fn update_rule(
        &mut self,
        request: proto::UpdateSipDispatchRuleRequest,
    ) -> Result<proto::SipDispatchRuleInfo, TwirpError> {
        use proto::update_sip_dispatch_rule_request::Action;
        let current = self.rules.get(&request.sip_dispatch_rule_id);
        let current =
            current.ok_or_else(|| TwirpError::not_found("requested sip dispatch rule does not exist"))?;
        let mut rule = match request.action {
            Some(Action::Replace(rule)) => rule,
            Some(Action::Update(update)) => {
                let mut rule = current.clone();
                apply(&mut rule.trunk_ids, update.trunk_ids);
                rule.rule = update.rule.or(rule.rule);
                rule.name = update.name.unwrap_or(rule.name);
                rule.metadata = update.metadata.unwrap_or(rule.metadata);
                rule.attributes.extend(update.attributes);
                rule
            }
            None => return Err(TwirpError::invalid("missing or unsupported update action")),
        };
        rule.sip_dispatch_rule_id = request.sip_dispatch_rule_id;
        self.conflicts_of_rule(&rule)?;
        self.rules.insert(rule.sip_dispatch_rule_id.clone(), rule.clone());
        Ok(rule)
    }

    pub(super) fn list_rules(
        &self,
        request: &proto::ListSipDispatchRuleRequest,
    ) -> proto::ListSipDispatchRuleResponse {
        // Wildcard rules belong to every trunk.
        let fits = |rule: &proto::SipDispatchRuleInfo| {
            request.trunk_ids.is_empty()
                || rule.trunk_ids.is_empty()
                || request.trunk_ids.iter().any(|id| rule.trunk_ids.contains(id))
        };
        let page = request.page.as_ref();
        proto::ListSipDispatchRuleResponse {
            items: select(&self.rules, &request.dispatch_rule_ids, page, fits),
        }
    }

    pub(super) fn delete_rule(
        &mut self,
        request: &proto::DeleteSipDispatchRuleRequest,
    ) -> Result<proto::SipDispatchRuleInfo, TwirpError> {
        let gone = self.rules.remove(&request.sip_dispatch_rule_id);
        gone.ok_or_else(|| TwirpError::not_found("requested sip dispatch rule does not exist"))
    }
}

fn check_outbound(trunk: &proto::SipOutboundTrunkInfo) -> Result<(), TwirpError> {
    if trunk.numbers.is_empty() {
        return Err(TwirpError::invalid("no trunk numbers specified"));
    }
    if trunk.address.is_empty() {
        return Err(TwirpError::invalid("no outbound address specified"));
    }
    host(&trunk.address, "trunk address")
}

fn overlap(ours: &[String], theirs: &[String]) -> bool {
    (ours.is_empty() && theirs.is_empty()) || ours.iter().any(|id| theirs.contains(id))
}

pub(super) fn pin(rule: &proto::SipDispatchRuleInfo) -> Result<String, TwirpError> {
    let rule = rule.rule.as_ref().and_then(|rule| rule.rule.as_ref());
    match rule {
        Some(Rule::DispatchRuleDirect(rule)) => Ok(rule.pin.clone()),
        Some(Rule::DispatchRuleIndividual(rule)) => Ok(rule.pin.clone()),
        Some(Rule::DispatchRuleCallee(rule)) => Ok(rule.pin.clone()),
        None => Err(TwirpError::invalid("missing rule")),
    }
}

fn apply(list: &mut Vec<String>, update: Option<proto::ListUpdate>) {
    let Some(update) = update else { return };
    if update.clear {
        list.clear();
    }
    if !update.set.is_empty() {
        *list = update.set;
    }
    list.retain(|item| !update.remove.contains(item));
    list.extend(update.add);
}
