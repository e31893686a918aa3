//! SIP trunks (pages `sip-trunking/api` and `voice/sip/api/sip-credentiallist-resource`).
//!
//! A trunk is five things: the trunk with a domain that takes calls out, an origination URL that calls in are sent to,
//! a list with the credentials of calls out, that list's attachment, and the number's. The number comes last, so that
//! none of its calls meets half a trunk.

mod parts;
#[cfg(test)]
mod tests;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::json;
use voice_saas_core::{
    phone::E164,
    provider::{
        ErrorKind, ProviderError,
        telephony::{
            ProviderPage, ProviderTrunk, Removal, RouteHandle, SipCredentials, TrunkOrder, TrunkProvider,
        },
    },
    secret::ExposeSecret,
};

use self::parts::{Listed, Parts, Trunk};
use super::{NAME, Twilio, invalid, list, numbers::LONGEST_FRIENDLY_NAME};

const ENSURE: &str = "set up a SIP trunk";
const FIND: &str = "find a SIP trunk";
const LIST: &str = "list SIP trunks";
const DELETE: &str = "delete a SIP trunk";
const LONGEST_USERNAME: usize = 32;
const SHORTEST_PASSWORD: usize = 12;

/// What was made for one trunk. Everything else hangs on these two.
#[derive(Debug, Serialize, Deserialize)]
struct Route {
    trunk: Option<String>,
    credential_list: Option<String>,
}

impl Route {
    fn handle(&self) -> RouteHandle {
        RouteHandle::new(json!(self))
    }
}

#[async_trait]
impl TrunkProvider for Twilio {
    /// Without credentials nobody can call out through it. The agent of the order is the other side's affair.
    ///
    /// # Errors
    /// `Invalid`, before anything is made, when the tag, the host or the credentials are not what Twilio takes;
    /// `NotFound` when the account does not hold the number.
    async fn ensure(&self, order: &TrunkOrder) -> Result<ProviderTrunk, ProviderError> {
        let sip_url = origination_url(order)?;
        if let Some(credentials) = &order.credentials {
            check_credentials(credentials)?;
        }
        let error = |kind, detail: &str| ProviderError::new(NAME, ENSURE, kind).with_detail(detail);
        let number = self.owned(&order.number).await?;
        let number =
            number.ok_or_else(|| error(ErrorKind::NotFound, "the account does not hold the number"))?;
        let found = self.trunk_by_tag(ENSURE, &order.tag).await?;
        let has_trunk = match (number.trunk(), &found) {
            (None, _) => false,
            (Some(sid), Some(found)) if found.sid == sid => true,
            (Some(_), _) => {
                return Err(error(
                    ErrorKind::Conflict,
                    "the number's calls go through another trunk",
                ));
            }
        };
        let trunk = match found {
            Some(trunk) => trunk,
            None => self.make_trunk(&order.tag).await?,
        };
        self.ensure_origination(&trunk.sid, &order.tag, &sip_url).await?;
        let credential_list = match &order.credentials {
            Some(credentials) => Some(
                self.ensure_credentials(&trunk.sid, &order.tag, credentials)
                    .await?,
            ),
            None => None,
        };
        match (has_trunk, order.takes_calls) {
            (false, true) => self.attach_number(&trunk.sid, &number.sid).await?,
            // Its calls come to its webhooks again.
            (true, false) => self.detach_number(&trunk.sid, &number.sid).await?,
            _ => {}
        }
        let route = Route {
            trunk: Some(trunk.sid),
            credential_list,
        };
        let numbers = vec![order.number.clone()];
        Ok(ProviderTrunk::new(route.handle(), order.tag.clone(), numbers)
            .with_sip_host(trunk.domain_name.text())
            .with_complete(order.takes_calls))
    }

    /// Complete is a trunk with a number, an origination URL and a list of credentials.
    async fn find(&self, tag: &str, _number: &E164) -> Result<Option<ProviderTrunk>, ProviderError> {
        let lists = self.credential_lists(FIND).await?;
        match self.trunk_by_tag(FIND, tag).await? {
            Some(trunk) => Ok(Some(self.read_trunk(FIND, trunk, &lists).await?)),
            None => Ok(lists.into_iter().find(|list| list.is_named(tag)).map(orphan)),
        }
    }

    /// The last page also holds the lists of credentials that bear no trunk's name, each as an incomplete trunk.
    async fn list(&self, page: Option<&str>) -> Result<ProviderPage<ProviderTrunk>, ProviderError> {
        let mut trunks = self.trunk_page(LIST, page).await?;
        let next = trunks.next();
        let lists = self.credential_lists(LIST).await?;
        let mut items = Vec::with_capacity(trunks.items.len());
        for trunk in trunks.items {
            items.push(self.read_trunk(LIST, trunk, &lists).await?);
        }
        if next.is_none() {
            let trunks = self.all_trunks(LIST).await?;
            let unused = lists
                .into_iter()
                .filter(|list| !trunks.iter().any(|trunk| trunk.has_name_of(list)));
            items.extend(unused.map(orphan));
        }
        Ok(ProviderPage { items, next })
    }

    async fn delete(&self, handle: &RouteHandle) -> Result<Removal, ProviderError> {
        let route: Route = serde_json::from_value(handle.value().clone())
            .map_err(|error| invalid(DELETE, "a handle that is not Twilio's").with_source(error))?;
        let mut removal = Removal::AlreadyGone;
        if let Some(trunk) = &route.trunk
            && self.delete_trunk(DELETE, trunk).await? == Removal::Removed
        {
            removal = Removal::Removed;
        }
        if let Some(list) = &route.credential_list
            && self.delete_credential_list(DELETE, list).await? == Removal::Removed
        {
            removal = Removal::Removed;
        }
        Ok(removal)
    }
}

impl Twilio {
    /// The trunk that bears this name.
    async fn trunk_by_tag(&self, operation: &'static str, tag: &str) -> Result<Option<Trunk>, ProviderError> {
        let trunks = self.all_trunks(operation).await?;
        Ok(trunks.into_iter().find(|trunk| trunk.is_named(tag)))
    }

    async fn all_trunks(&self, operation: &'static str) -> Result<Vec<Trunk>, ProviderError> {
        list::all(&self.hosts.trunking, operation, parts::TRUNKS.to_owned()).await
    }

    async fn read_trunk(
        &self,
        operation: &'static str,
        trunk: Trunk,
        lists: &[Listed],
    ) -> Result<ProviderTrunk, ProviderError> {
        // Deleted since it was listed: nothing of it is left.
        let parts = self.parts(operation, &trunk.sid).await?.unwrap_or_default();
        let Parts {
            numbers,
            credential_lists,
            origination_urls,
        } = parts;
        let complete = !numbers.is_empty()
            && !credential_lists.is_empty()
            && origination_urls.iter().any(|url| url.enabled != Some(false));
        let list = lists.iter().find(|list| trunk.has_name_of(list));
        let route = Route {
            credential_list: list.map(|list| list.sid.clone()),
            trunk: Some(trunk.sid),
        };
        let numbers = numbers
            .into_iter()
            .filter_map(|number| number.phone_number.text()?.parse().ok());
        let tag = trunk.friendly_name.text().unwrap_or_default();
        Ok(ProviderTrunk::new(route.handle(), tag, numbers.collect())
            .with_sip_host(trunk.domain_name.text())
            .with_complete(complete))
    }
}

/// A list of credentials without its trunk.
fn orphan(list: Listed) -> ProviderTrunk {
    let route = Route {
        trunk: None,
        credential_list: Some(list.sid),
    };
    let tag = list.friendly_name.text().unwrap_or_default();
    ProviderTrunk::new(route.handle(), tag, Vec::new()).with_complete(false)
}

/// Where calls in are sent. Over TCP: an INVITE with its headers may not fit into a datagram.
fn origination_url(order: &TrunkOrder) -> Result<String, ProviderError> {
    if order.tag.is_empty() || order.tag.chars().count() > LONGEST_FRIENDLY_NAME {
        return Err(invalid(ENSURE, "a trunk's name has 1 to 64 characters"));
    }
    let Some(host) = &order.peer else {
        return Err(invalid(
            ENSURE,
            "a carrier's trunk needs the SIP host of the other side",
        ));
    };
    let is_host = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b':');
    if host.is_empty() || !host.bytes().all(is_host) {
        return Err(invalid(
            ENSURE,
            "the SIP host is more or less than a host name and a port",
        ));
    }
    Ok(format!("sip:{host};transport=tcp"))
}

/// What Twilio would refuse, after the trunk was made (page `errors/21240`).
fn check_credentials(credentials: &SipCredentials) -> Result<(), ProviderError> {
    if !(1..=LONGEST_USERNAME).contains(&credentials.username.chars().count()) {
        return Err(invalid(
            ENSURE,
            "the SIP user's name must have 1 to 32 characters",
        ));
    }
    let password = credentials.password.expose_secret();
    let has = |kind: fn(&char) -> bool| password.chars().any(|char| kind(&char));
    if password.chars().count() < SHORTEST_PASSWORD
        || !has(char::is_ascii_digit)
        || !has(char::is_ascii_uppercase)
        || !has(char::is_ascii_lowercase)
    {
        return Err(invalid(
            ENSURE,
            "the SIP password must have 12 characters or more, a digit, a capital and a small letter among them",
        ));
    }
    Ok(())
}
