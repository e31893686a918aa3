//! Lists, in both of the forms that Twilio's hosts have (page `usage/twilios-response`).

use serde::{Deserialize, de::DeserializeOwned};
use url::{Position, Url};
use voice_saas_core::provider::ProviderError;

use super::wire::Scalar;
use crate::http::{Client, Request};

/// The largest page that every host gives.
pub(super) const LARGEST_PAGE: u16 = 1000;

/// One page. The 2010 API links to the next one by a relative URI beside the items, newer hosts by an absolute URL in
/// `meta`; the items' name is the resource's.
#[derive(Debug, Deserialize)]
pub(super) struct Page<T> {
    #[serde(
        alias = "accounts",
        alias = "credential_lists",
        alias = "credentials",
        alias = "origination_urls",
        alias = "phone_numbers",
        alias = "results",
        alias = "trunks"
    )]
    pub(super) items: Vec<T>,
    #[serde(default)]
    next_page_uri: Scalar,
    #[serde(default)]
    meta: Meta,
}

#[derive(Debug, Default, Deserialize)]
struct Meta {
    #[serde(default)]
    next_page_url: Scalar,
}

impl<T> Page<T> {
    /// What asks the same host for the next page. Of an absolute URL it is the path and query alone, so that the
    /// credentials go to no host but the one that was asked.
    pub(super) fn next(&mut self) -> Option<String> {
        let absolute = std::mem::take(&mut self.meta.next_page_url)
            .text()
            .and_then(|url| Url::parse(&url).ok())
            .map(|url| url[Position::BeforePath..Position::AfterQuery].to_owned());
        absolute.or_else(|| std::mem::take(&mut self.next_page_uri).text())
    }
}

/// All items of a list, page after page.
pub(super) async fn all<T: DeserializeOwned>(
    client: &Client,
    operation: &'static str,
    path: String,
) -> Result<Vec<T>, ProviderError> {
    let mut request = Request::get(operation, path).query("PageSize", LARGEST_PAGE);
    let mut items = Vec::new();
    loop {
        let mut page: Page<T> = client.send(request).await?.json()?;
        items.append(&mut page.items);
        match page.next() {
            Some(next) => request = Request::get(operation, next),
            None => return Ok(items),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[track_caller]
    fn check(page: Value, items: &[&str], next: Option<&str>) {
        let mut page: Page<String> = serde_json::from_value(page).unwrap();
        assert_eq!(page.items, items);
        assert_eq!(page.next().as_deref(), next);
    }

    #[test]
    fn both_forms_of_a_page_are_read() {
        check(
            json!({"accounts": ["a"], "uri": "/x", "next_page_uri": "/x?Page=1&PageToken=PA1"}),
            &["a"],
            Some("/x?Page=1&PageToken=PA1"),
        );
        check(
            json!({"trunks": ["a", "b"], "meta": {"key": "trunks", "page": 0,
                "next_page_url": "https://trunking.twilio.com/v1/Trunks?PageSize=2&Page=1&PageToken=PB1"}}),
            &["a", "b"],
            Some("/v1/Trunks?PageSize=2&Page=1&PageToken=PB1"),
        );
    }

    #[test]
    fn the_last_page_says_so_in_several_ways() {
        for page in [
            json!({"accounts": [], "next_page_uri": null}),
            json!({"accounts": [], "next_page_uri": ""}),
            json!({"results": [], "meta": {"next_page_url": null}}),
            json!({"results": []}),
        ] {
            check(page, &[], None);
        }
    }
}
