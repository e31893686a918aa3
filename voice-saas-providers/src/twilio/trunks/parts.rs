//! The parts of a trunk: each is looked for before it is made.

use serde::Deserialize;
use sha2::{Digest, Sha256};
use voice_saas_core::{
    provider::{
        ErrorKind, ProviderError,
        telephony::{Removal, SipCredentials},
    },
    secret::ExposeSecret,
};

use super::ENSURE;
use crate::{
    http::{Client, Effect, Request},
    twilio::{
        Twilio, checked,
        list::{self, Page},
        wire::Scalar,
    },
};

pub(super) const TRUNKS: &str = "/v1/Trunks";
const CREDENTIAL_LISTS: &str = "SIP/CredentialLists";
/// Each trunk of a page costs three requests.
const LIST_PAGE: u16 = 20;
/// How many domains are tried. One that was ours stays taken for up to 30 days after its trunk was deleted (help
/// article on error 21248), and another account may have it.
const DOMAINS: u32 = 8;

#[derive(Debug, Deserialize)]
pub(super) struct Trunk {
    pub(super) sid: String,
    #[serde(default)]
    pub(super) friendly_name: Scalar,
    #[serde(default)]
    pub(super) domain_name: Scalar,
}

impl Trunk {
    pub(super) fn is_named(&self, tag: &str) -> bool {
        self.friendly_name.as_str() == Some(tag)
    }

    pub(super) fn has_name_of(&self, list: &Listed) -> bool {
        self.friendly_name
            .as_str()
            .is_some_and(|name| list.is_named(name))
    }
}

/// A list of credentials, of the account or attached to a trunk.
#[derive(Debug, Deserialize)]
pub(super) struct Listed {
    pub(super) sid: String,
    #[serde(default)]
    pub(super) friendly_name: Scalar,
}

impl Listed {
    pub(super) fn is_named(&self, tag: &str) -> bool {
        self.friendly_name.as_str() == Some(tag)
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct OriginationUrl {
    sid: String,
    #[serde(default)]
    friendly_name: Scalar,
    #[serde(default)]
    sip_url: Scalar,
    pub(super) enabled: Option<bool>,
}

#[derive(Debug, Deserialize)]
pub(super) struct AttachedNumber {
    sid: String,
    #[serde(default)]
    pub(super) phone_number: Scalar,
}

#[derive(Debug, Deserialize)]
struct Credential {
    sid: String,
    #[serde(default)]
    username: Scalar,
}

/// What hangs on a trunk.
#[derive(Debug, Default)]
pub(super) struct Parts {
    pub(super) numbers: Vec<AttachedNumber>,
    pub(super) credential_lists: Vec<Listed>,
    pub(super) origination_urls: Vec<OriginationUrl>,
}

impl Twilio {
    pub(super) async fn trunk_page(
        &self,
        operation: &'static str,
        page: Option<&str>,
    ) -> Result<Page<Trunk>, ProviderError> {
        let request = match page {
            Some(next) => Request::get(operation, next),
            None => Request::get(operation, TRUNKS).query("PageSize", LIST_PAGE),
        };
        self.hosts.trunking.send(request).await?.json()
    }

    /// `None` when there is no such trunk.
    pub(super) async fn parts(
        &self,
        operation: &'static str,
        trunk: &str,
    ) -> Result<Option<Parts>, ProviderError> {
        let host = &self.hosts.trunking;
        let path = |part: &str| trunk_path(operation, trunk, part);
        let parts = tokio::try_join!(
            list::all(host, operation, path("PhoneNumbers")?),
            list::all(host, operation, path("CredentialLists")?),
            list::all(host, operation, path("OriginationUrls")?),
        );
        match parts {
            Ok((numbers, credential_lists, origination_urls)) => Ok(Some(Parts {
                numbers,
                credential_lists,
                origination_urls,
            })),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The lists of credentials of the account.
    pub(super) async fn credential_lists(
        &self,
        operation: &'static str,
    ) -> Result<Vec<Listed>, ProviderError> {
        let path = self.path(&format!("{CREDENTIAL_LISTS}.json"));
        list::all(&self.hosts.api, operation, path).await
    }

    /// Makes the trunk under the first domain that is free.
    pub(super) async fn make_trunk(&self, tag: &str) -> Result<Trunk, ProviderError> {
        const MAKE: &str = "make a SIP trunk";
        let mut attempt = 0;
        loop {
            let form = vec![
                ("FriendlyName", tag.to_owned()),
                ("DomainName", domain(&self.account_sid, tag, attempt)),
                // The other side may hand a call on (REFER); by default nobody may.
                ("TransferMode", "enable-all".to_owned()),
            ];
            let request = Request::post(MAKE, TRUNKS).form(form).effect(Effect::Once);
            match self.hosts.trunking.send(request).await {
                Err(error) if error.kind() == ErrorKind::Conflict && attempt + 1 < DOMAINS => {
                    // Perhaps another of us was faster.
                    if let Some(trunk) = self.trunk_by_tag(MAKE, tag).await? {
                        return Ok(trunk);
                    }
                    attempt += 1;
                }
                answer => return answer?.json(),
            }
        }
    }

    pub(super) async fn ensure_origination(
        &self,
        trunk: &str,
        tag: &str,
        sip_url: &str,
    ) -> Result<(), ProviderError> {
        const SEND: &str = "send a trunk's calls to a SIP host";
        let path = trunk_path(SEND, trunk, "OriginationUrls")?;
        let urls: Vec<OriginationUrl> = list::all(&self.hosts.trunking, ENSURE, path.clone()).await?;
        let is_there = |url: &OriginationUrl| {
            let same = url
                .sip_url
                .as_str()
                .is_some_and(|url| url.eq_ignore_ascii_case(sip_url));
            same && url.enabled != Some(false)
        };
        if urls.iter().any(is_there) {
            return Ok(());
        }
        let wanted = [("SipUrl", sip_url.to_owned()), ("Enabled", "true".to_owned())];
        // The trunk is ours, so what bears our name in it is ours too: the other side has moved.
        let request = match urls.iter().find(|url| url.friendly_name.as_str() == Some(tag)) {
            Some(url) => {
                let item = trunk_path(
                    SEND,
                    trunk,
                    &format!("OriginationUrls/{}", checked(SEND, &url.sid)?),
                )?;
                Request::post(SEND, item)
                    .form(wanted.into())
                    .effect(Effect::Keyed)
            }
            None => {
                let mut form = vec![
                    ("Weight", "1".to_owned()),
                    ("Priority", "1".to_owned()),
                    ("FriendlyName", tag.to_owned()),
                ];
                form.extend(wanted);
                Request::post(SEND, path).form(form).effect(Effect::Once)
            }
        };
        self.hosts.trunking.send(request).await?;
        Ok(())
    }

    /// Sees to it that these credentials, and no others, open the trunk. Answers the list that holds them.
    pub(super) async fn ensure_credentials(
        &self,
        trunk: &str,
        tag: &str,
        credentials: &SipCredentials,
    ) -> Result<String, ProviderError> {
        const MAKE: &str = "make a list of SIP credentials";
        const ATTACH: &str = "attach a list of SIP credentials";
        let lists = self.credential_lists(ENSURE).await?;
        let list = match lists.into_iter().find(|list| list.is_named(tag)) {
            Some(list) => list.sid,
            None => {
                let request = Request::post(MAKE, self.path(&format!("{CREDENTIAL_LISTS}.json")))
                    .form(vec![("FriendlyName", tag.to_owned())])
                    .effect(Effect::Once);
                let list: Listed = self.hosts.api.send(request).await?.json()?;
                list.sid
            }
        };
        self.ensure_credential(&list, credentials).await?;
        let path = trunk_path(ATTACH, trunk, "CredentialLists")?;
        let attached: Vec<Listed> = list::all(&self.hosts.trunking, ENSURE, path.clone()).await?;
        if !attached.iter().any(|attached| attached.sid == list) {
            let request = Request::post(ATTACH, path)
                .form(vec![("CredentialListSid", list.clone())])
                .effect(Effect::Once);
            self.hosts.trunking.send(request).await?;
        }
        Ok(list)
    }

    async fn ensure_credential(&self, list: &str, wanted: &SipCredentials) -> Result<(), ProviderError> {
        const SET: &str = "set a SIP password";
        const DROP: &str = "drop SIP credentials";
        let folder = format!("{CREDENTIAL_LISTS}/{}/Credentials", checked(SET, list)?);
        let path = self.path(&format!("{folder}.json"));
        let there: Vec<Credential> = list::all(&self.hosts.api, ENSURE, path.clone()).await?;
        let (ours, others): (Vec<_>, Vec<_>) = there
            .into_iter()
            .partition(|it| it.username.as_str() == Some(&wanted.username));
        let password = ("Password", wanted.password.expose_secret().to_owned());
        let request = match ours.first() {
            // Twilio never tells a password, so it is set again.
            Some(credential) => Request::post(SET, self.item(SET, &folder, &credential.sid)?)
                .form(vec![password])
                .effect(Effect::Keyed),
            None => Request::post(SET, path)
                .form(vec![("Username", wanted.username.clone()), password])
                .effect(Effect::Once),
        };
        self.hosts.api.send(request).await?;
        for credential in others {
            let request = Request::delete(DROP, self.item(DROP, &folder, &credential.sid)?);
            remove(&self.hosts.api, request).await?;
        }
        Ok(())
    }

    pub(super) async fn attach_number(&self, trunk: &str, number: &str) -> Result<(), ProviderError> {
        const ATTACH: &str = "attach a number to a SIP trunk";
        let request = Request::post(ATTACH, trunk_path(ATTACH, trunk, "PhoneNumbers")?)
            .form(vec![("PhoneNumberSid", number.to_owned())])
            .effect(Effect::Once);
        self.hosts.trunking.send(request).await?;
        Ok(())
    }

    pub(super) async fn detach_number(&self, trunk: &str, number: &str) -> Result<(), ProviderError> {
        const DETACH: &str = "detach a number from a SIP trunk";
        let part = format!("PhoneNumbers/{}", checked(DETACH, number)?);
        let request = Request::delete(DETACH, trunk_path(DETACH, trunk, &part)?);
        remove(&self.hosts.trunking, request).await?;
        Ok(())
    }

    /// Takes the trunk apart from the number on: as soon as the number is free its calls go elsewhere, not nowhere.
    pub(super) async fn delete_trunk(
        &self,
        operation: &'static str,
        trunk: &str,
    ) -> Result<Removal, ProviderError> {
        let Some(parts) = self.parts(operation, trunk).await? else {
            return Ok(Removal::AlreadyGone);
        };
        let numbers = parts.numbers.iter().map(|it| ("PhoneNumbers", &it.sid));
        let lists = parts
            .credential_lists
            .iter()
            .map(|it| ("CredentialLists", &it.sid));
        let urls = parts
            .origination_urls
            .iter()
            .map(|it| ("OriginationUrls", &it.sid));
        for (part, sid) in numbers.chain(lists).chain(urls) {
            let path = trunk_path(operation, trunk, &format!("{part}/{}", checked(operation, sid)?))?;
            remove(&self.hosts.trunking, Request::delete(operation, path)).await?;
        }
        let path = format!("{TRUNKS}/{}", checked(operation, trunk)?);
        remove(&self.hosts.trunking, Request::delete(operation, path)).await
    }

    pub(super) async fn delete_credential_list(
        &self,
        operation: &'static str,
        list: &str,
    ) -> Result<Removal, ProviderError> {
        let path = self.item(operation, CREDENTIAL_LISTS, list)?;
        remove(&self.hosts.api, Request::delete(operation, path)).await
    }
}

async fn remove(host: &Client, request: Request) -> Result<Removal, ProviderError> {
    match host.send(request).await {
        Ok(_) => Ok(Removal::Removed),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Removal::AlreadyGone),
        Err(error) => Err(error),
    }
}

fn trunk_path(operation: &'static str, trunk: &str, part: &str) -> Result<String, ProviderError> {
    Ok(format!("{TRUNKS}/{}/{part}", checked(operation, trunk)?))
}

/// The domain that takes a trunk's calls out: letters, digits and `-`, unique among all of Twilio's accounts.
pub(super) fn domain(account_sid: &str, tag: &str, attempt: u32) -> String {
    const READABLE: usize = 32;
    let digest = Sha256::digest(format!("{account_sid}/{tag}/{attempt}"));
    let unique = digest[..6]
        .iter()
        .fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    let plain = |char: char| {
        if char.is_ascii_alphanumeric() {
            char.to_ascii_lowercase()
        } else {
            '-'
        }
    };
    let readable: String = tag.chars().map(plain).take(READABLE).collect();
    match readable.trim_matches('-') {
        "" => format!("t-{unique:012x}.pstn.twilio.com"),
        readable => format!("{readable}-{unique:012x}.pstn.twilio.com"),
    }
}
