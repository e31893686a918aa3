//! Numbers (pages `phone-numbers/api/availablephonenumber-resource` and `phone-numbers/api/incomingphonenumber-resource`).

use async_trait::async_trait;
use voice_saas_core::{
    phone::{Country, E164},
    provider::{
        ErrorKind, ProviderError,
        telephony::{
            AvailableNumber, NumberKind, NumberOrder, NumberProvider, NumberQuery, NumberRequirements,
            NumberWebhooks, ProviderNumber, ProviderNumberId, ProviderPage, Removal,
        },
    },
};

use super::{NAME, Twilio, list::LARGEST_PAGE, wire};
use crate::http::{Effect, Request};

const NUMBERS: &str = "IncomingPhoneNumbers";
const LIST_PAGE: u16 = 200;
pub(super) const LONGEST_FRIENDLY_NAME: usize = 64;
const KNOWS_DISTANCES: [&str; 2] = ["US", "CA"];
const FURTHEST_MILES: u16 = 500;

#[async_trait]
impl NumberProvider for Twilio {
    async fn search(&self, query: &NumberQuery) -> Result<Vec<AvailableNumber>, ProviderError> {
        const SEARCH: &str = "search for numbers";
        let unsupported = || ProviderError::new(NAME, SEARCH, ErrorKind::Unsupported);
        let kind = kind_in_path(query.kind).ok_or_else(unsupported)?;
        let path = self.path(&format!("AvailablePhoneNumbers/{}/{kind}.json", query.country));
        let mut request = Request::get(SEARCH, path)
            .query("VoiceEnabled", true)
            .query("PageSize", query.limit.clamp(1, LARGEST_PAGE));
        if query.capabilities.sms {
            request = request.query("SmsEnabled", true);
        }
        if query.capabilities.mms {
            request = request.query("MmsEnabled", true);
        }
        if let Some(area_code) = &query.area_code {
            request = request.query("AreaCode", area_code);
        }
        if let Some(digits) = &query.contains {
            request = request.query("Contains", digits);
        }
        if let Some(number) = &query.near {
            if !KNOWS_DISTANCES.contains(&&*query.country.code()) {
                return Err(unsupported().with_detail("Twilio knows distances in the US and Canada alone"));
            }
            request = request
                .query("NearNumber", number)
                .query("Distance", query.near_miles.clamp(1, FURTHEST_MILES));
        }
        let (answer, price) = tokio::join!(
            self.hosts.api.send(request),
            self.monthly_price(query.country, kind)
        );
        let answer = match answer {
            // The country has no numbers of this kind.
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            answer => answer?,
        };
        let found: wire::AvailableNumbers = answer.json()?;
        Ok(found
            .available_phone_numbers
            .into_iter()
            .filter_map(|number| number.read(price))
            .take(query.limit.into())
            .collect())
    }

    /// The purchase and its webhooks are one request, so that no number is ever ours without them.
    async fn buy(&self, order: &NumberOrder) -> Result<ProviderNumber, ProviderError> {
        const BUY: &str = "buy a number";
        if order.tag.chars().count() > LONGEST_FRIENDLY_NAME {
            return Err(ProviderError::new(NAME, BUY, ErrorKind::Invalid)
                .with_detail("a friendly name has at most 64 characters"));
        }
        let mut form = vec![
            ("PhoneNumber", order.number.to_string()),
            ("FriendlyName", order.tag.clone()),
        ];
        form.extend(webhook_fields(&order.webhooks));
        form.extend(order.address.clone().map(|sid| ("AddressSid", sid)));
        form.extend(order.bundle.clone().map(|sid| ("BundleSid", sid)));
        let request = Request::post(BUY, self.path("IncomingPhoneNumbers.json"))
            .form(form)
            .effect(Effect::Once);
        let bought: wire::OwnedNumber = self.hosts.api.send(request).await?.json()?;
        Ok(self.priced(bought, order.number.clone()).await)
    }

    async fn find(&self, number: &E164) -> Result<Option<ProviderNumber>, ProviderError> {
        match self.owned(number).await? {
            Some(found) => Ok(Some(self.priced(found, number.clone()).await)),
            None => Ok(None),
        }
    }

    async fn list(&self, page: Option<&str>) -> Result<ProviderPage<ProviderNumber>, ProviderError> {
        const LIST: &str = "list numbers";
        // The link to the next page carries a token, and is followed as it is.
        let request = match page {
            Some(next) => Request::get(LIST, next),
            None => Request::get(LIST, self.path("IncomingPhoneNumbers.json")).query("PageSize", LIST_PAGE),
        };
        let page: wire::Numbers = self.hosts.api.send(request).await?.json()?;
        let mut items = Vec::with_capacity(page.incoming_phone_numbers.len());
        for number in page.incoming_phone_numbers {
            if let Some(e164) = number.number() {
                items.push(self.priced(number, e164).await);
            } else {
                tracing::warn!(number.id = number.sid, "Twilio lists a number that is not E.164");
            }
        }
        Ok(ProviderPage {
            items,
            next: page.next_page_uri.text(),
        })
    }

    /// `Conflict` when the number belongs to a SIP trunk or a `TwiML` application: Twilio takes the addresses then,
    /// and ignores them.
    async fn configure(&self, id: &ProviderNumberId, webhooks: &NumberWebhooks) -> Result<(), ProviderError> {
        const CONFIGURE: &str = "configure a number";
        let request = Request::post(CONFIGURE, self.item(CONFIGURE, NUMBERS, id.as_str())?)
            .form(webhook_fields(webhooks).into())
            .effect(Effect::Keyed);
        let number: wire::OwnedNumber = self.hosts.api.send(request).await?.json()?;
        if number.ignores_its_voice_url() {
            return Err(ProviderError::new(NAME, CONFIGURE, ErrorKind::Conflict)
                .with_detail("the number's calls go to a SIP trunk or a TwiML application"));
        }
        Ok(())
    }

    async fn release(&self, id: &ProviderNumberId) -> Result<Removal, ProviderError> {
        const RELEASE: &str = "release a number";
        let request = Request::delete(RELEASE, self.item(RELEASE, NUMBERS, id.as_str())?);
        match self.hosts.api.send(request).await {
            Ok(_) => Ok(Removal::Removed),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Removal::AlreadyGone),
            Err(error) => Err(error),
        }
    }

    async fn rename(&self, id: &ProviderNumberId, tag: &str) -> Result<(), ProviderError> {
        const RENAME: &str = "rename a number";
        let request = Request::post(RENAME, self.item(RENAME, NUMBERS, id.as_str())?)
            .form(vec![("FriendlyName", tag.to_owned())])
            .effect(Effect::Keyed);
        self.hosts.api.send(request).await?;
        Ok(())
    }

    async fn requirements(
        &self,
        country: Country,
        kind: NumberKind,
    ) -> Result<NumberRequirements, ProviderError> {
        self.requirements_for(country, kind).await
    }
}

impl Twilio {
    /// The number as the account holds it.
    pub(super) async fn owned(&self, number: &E164) -> Result<Option<wire::OwnedNumber>, ProviderError> {
        let request = Request::get("find a number", self.path("IncomingPhoneNumbers.json"))
            .query("PhoneNumber", number)
            .query("PageSize", LARGEST_PAGE);
        let page: wire::Numbers = self.hosts.api.send(request).await?.json()?;
        // The filter matches parts of numbers too.
        Ok(page
            .incoming_phone_numbers
            .into_iter()
            .find(|found| found.number().as_ref() == Some(number)))
    }

    async fn priced(&self, owned: wire::OwnedNumber, number: E164) -> ProviderNumber {
        let price = match (number.country(), owned.number_type()) {
            (Some(country), Some(kind)) => self.monthly_price(country, kind).await,
            _ => None,
        };
        owned.read_as(number, price)
    }
}

/// The word for a kind of number in the path of a search.
pub(super) fn kind_in_path(kind: NumberKind) -> Option<&'static str> {
    Some(match kind {
        NumberKind::Local => "Local",
        NumberKind::TollFree => "TollFree",
        NumberKind::Mobile => "Mobile",
        _ => return None,
    })
}

fn webhook_fields(webhooks: &NumberWebhooks) -> [(&'static str, String); 6] {
    let post = || "POST".to_owned();
    [
        ("VoiceUrl", webhooks.voice.to_string()),
        ("VoiceMethod", post()),
        ("VoiceFallbackUrl", webhooks.fallback.to_string()),
        ("VoiceFallbackMethod", post()),
        ("StatusCallback", webhooks.status.to_string()),
        ("StatusCallbackMethod", post()),
    ]
}

#[cfg(test)]
mod tests;
