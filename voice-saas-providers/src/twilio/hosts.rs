//! The hosts that Twilio spreads its interface over.

use std::time::Duration;

use url::Url;
use voice_saas_core::provider::ProviderError;

use super::{NAME, builder::Setup, error, invalid};
use crate::http::{Auth, Client};

/// One client for each host: connections are the host's, and Twilio limits requests by endpoint.
#[derive(Debug, Clone)]
pub(super) struct Hosts {
    /// Accounts, numbers, calls and SIP credentials: the 2010 API.
    pub(super) api: Client,
    /// SIP trunks.
    pub(super) trunking: Client,
    /// Ports and regulations.
    pub(super) numbers: Client,
    /// Prices.
    pub(super) pricing: Client,
}

impl Hosts {
    pub(super) fn new(setup: &Setup, auth: impl Fn() -> Auth) -> Result<Self, ProviderError> {
        let client = |product: &str| {
            Client::builder(NAME, host(setup, product)?)
                .with_auth(auth())
                .with_retry(setup.retry)
                // What Twilio's own library for Node waits.
                .with_timeout(Duration::from_secs(30))
                .with_concurrency(setup.concurrency)
                .with_classifier(error::classify)
                .build()
        };
        Ok(Self {
            api: client("api")?,
            trunking: client("trunking")?,
            numbers: client("numbers")?,
            pricing: client("pricing")?,
        })
    }

    /// The same hosts over the same connections, as another account.
    pub(super) fn as_account(&self, auth: &Auth) -> Result<Self, ProviderError> {
        Ok(Self {
            api: self.api.as_account(auth)?,
            trunking: self.trunking.as_account(auth)?,
            numbers: self.numbers.as_account(auth)?,
            pricing: self.pricing.as_account(auth)?,
        })
    }
}

/// `https://{product}.twilio.com`, with edge and region between the two where there are any.
fn host(setup: &Setup, product: &str) -> Result<Url, ProviderError> {
    if let Some(base) = &setup.base_url {
        return Ok(base.clone());
    }
    let place = match &setup.region {
        Some((edge, region)) if is_label(edge) && is_label(region) => format!("{edge}.{region}."),
        Some(_) => {
            return Err(invalid(
                "be configured",
                "an edge or region that is no part of a host name",
            ));
        }
        None => String::new(),
    };
    Url::parse(&format!("https://{product}.{place}twilio.com"))
        .map_err(|error| invalid("be configured", "the host makes no URL").with_source(error))
}

fn is_label(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::twilio::{Twilio, fixture::ACCOUNT};

    fn hosts(change: impl FnOnce(&mut Setup)) -> Vec<String> {
        let mut setup = Twilio::builder(ACCOUNT, "12345".into()).setup;
        change(&mut setup);
        ["api", "trunking", "numbers", "pricing"]
            .map(|product| host(&setup, product).unwrap().to_string())
            .to_vec()
    }

    #[test]
    fn each_product_has_a_host_of_its_own() {
        assert_eq!(
            hosts(|_| ()),
            [
                "https://api.twilio.com/",
                "https://trunking.twilio.com/",
                "https://numbers.twilio.com/",
                "https://pricing.twilio.com/",
            ]
        );
    }

    #[test]
    fn a_region_stands_between_the_product_and_the_domain() {
        let hosts = hosts(|setup| setup.region = Some(("dublin".into(), "ie1".into())));
        assert_eq!(hosts[1], "https://trunking.dublin.ie1.twilio.com/");
    }

    #[test]
    fn one_base_url_replaces_every_host() {
        let hosts = hosts(|setup| {
            setup.region = Some(("dublin".into(), "ie1".into()));
            setup.base_url = Some("http://127.0.0.1:4010".parse().unwrap());
        });
        assert_eq!(hosts, ["http://127.0.0.1:4010/"; 4]);
    }
}
