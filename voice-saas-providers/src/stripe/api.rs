//! How Stripe is asked (pages `api/versioning`, `api/idempotent_requests`, `api/pagination`).

use std::fmt::Write as _;

use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use url::form_urlencoded;
use voice_saas_core::provider::{ErrorKind, ProviderError, billing::Operation, telephony::ProviderPage};

use super::{NAME, wire::List};
use crate::http::{Client, Effect, Request};

/// The version that every request asks for.
pub const API_VERSION: &str = "2026-10-28.endive";

const FORM: &str = "application/x-www-form-urlencoded";
/// The largest page that Stripe gives.
pub(super) const LARGEST_PAGE: u8 = 100;

/// Stripe's API, asked as one account.
#[derive(Debug, Clone)]
pub(super) struct Api {
    client: Client,
    pub(super) portal_configuration: Option<String>,
}

impl Api {
    pub(super) fn new(client: Client, portal_configuration: Option<String>) -> Self {
        Self {
            client,
            portal_configuration,
        }
    }

    /// Asks for something.
    pub(super) async fn get<T: DeserializeOwned>(&self, request: Request) -> Result<T, ProviderError> {
        self.send(request).await
    }

    /// Does something once, however often it is asked for under this key.
    pub(super) async fn act<T: DeserializeOwned>(
        &self,
        request: Request,
        form: Form,
        key: String,
    ) -> Result<T, ProviderError> {
        let request = request.bytes(FORM, form.encode()).effect(Effect::Keyed);
        self.send(request.header("idempotency-key", key)).await
    }

    /// Names a wanted state. It has no key: Stripe would answer a later repetition with what was true the first time.
    pub(super) async fn set<T: DeserializeOwned>(
        &self,
        request: Request,
        form: Form,
    ) -> Result<T, ProviderError> {
        self.send(request.bytes(FORM, form.encode()).effect(Effect::Keyed))
            .await
    }

    /// All items of a list, page after page.
    pub(super) async fn all<T: DeserializeOwned + Listed>(
        &self,
        operation: &'static str,
        path: &str,
        filter: &Form,
    ) -> Result<Vec<T>, ProviderError> {
        let (mut items, mut page) = (Vec::new(), None);
        loop {
            let got: ProviderPage<T> = self.page(operation, path, filter, page.as_deref()).await?;
            items.extend(got.items);
            match got.next {
                Some(next) => page = Some(next),
                None => return Ok(items),
            }
        }
    }

    /// One page of a list; the next one begins after its last item.
    pub(super) async fn page<T: DeserializeOwned + Listed>(
        &self,
        operation: &'static str,
        path: &str,
        filter: &Form,
        after: Option<&str>,
    ) -> Result<ProviderPage<T>, ProviderError> {
        let query = filter
            .clone()
            .set("limit", LARGEST_PAGE)
            .maybe("starting_after", after);
        let request = Request::get(operation, query.below(path));
        let list: List<T> = self.send(request).await?;
        let cursor = list.data.last().map(Listed::id);
        Ok(ProviderPage {
            next: cursor.filter(|_| list.has_more),
            items: list.data,
        })
    }

    async fn send<T: DeserializeOwned>(&self, request: Request) -> Result<T, ProviderError> {
        self.client
            .send(request.header("stripe-version", API_VERSION))
            .await?
            .json()
    }
}

/// Something that lists are made of.
pub(super) trait Listed {
    fn id(&self) -> String;
}

/// Names in Stripe's brackets (`items[0][price]`) and their values.
#[derive(Debug, Clone, Default)]
pub(super) struct Form(Vec<(String, String)>);

impl Form {
    pub(super) fn new() -> Self {
        Self::default()
    }

    #[expect(
        clippy::needless_pass_by_value,
        reason = "callers pass numbers, texts and references alike"
    )]
    pub(super) fn set(mut self, name: impl Into<String>, value: impl ToString) -> Self {
        self.0.push((name.into(), value.to_string()));
        self
    }

    /// Nothing when there is no value: an empty one would clear the field.
    pub(super) fn maybe(self, name: impl Into<String>, value: Option<impl ToString>) -> Self {
        match value {
            Some(value) => self.set(name, value),
            None => self,
        }
    }

    /// Puts what is built by `add` at the end.
    pub(super) fn with(self, add: impl FnOnce(Self) -> Self) -> Self {
        add(self)
    }

    fn encode(&self) -> String {
        form_urlencoded::Serializer::new(String::new())
            .extend_pairs(&self.0)
            .finish()
    }

    /// The path with this as its query.
    pub(super) fn below(&self, path: &str) -> String {
        if self.0.is_empty() {
            path.to_owned()
        } else {
            format!("{path}?{}", self.encode())
        }
    }
}

/// The key by which Stripe recognises a repetition: from our own books, never from the time. What else distinguishes
/// the act is hashed, so that the key stays short and holds nothing personal.
pub(super) fn key(act: &str, operation: &Operation, of: &[&str]) -> String {
    let mut key = format!("vs1:{act}:{operation}");
    if operation.attempt() > 1 {
        write!(key, ":{}", operation.attempt()).expect("a String grows");
    }
    if !of.is_empty() {
        write!(key, ":{}", fingerprint(of)).expect("a String grows");
    }
    key
}

/// 24 hexadecimal digits that are the same for the same texts.
pub(super) fn fingerprint(texts: &[&str]) -> String {
    let mut digest = Sha256::new();
    for text in texts {
        digest.update(text.len().to_be_bytes());
        digest.update(text.as_bytes());
    }
    digest.finalize()[..12]
        .iter()
        .fold(String::new(), |mut hex, byte| {
            write!(hex, "{byte:02x}").expect("a String grows");
            hex
        })
}

/// An id as one segment of a path, whatever Stripe puts into its ids.
pub(super) fn segment(id: &str) -> String {
    form_urlencoded::byte_serialize(id.as_bytes()).collect()
}

/// An error that the adapter itself finds.
pub(super) fn error(operation: &'static str, kind: ErrorKind, detail: impl Into<String>) -> ProviderError {
    ProviderError::new(NAME, operation, kind).with_detail(detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_keeps_its_brackets_and_its_order() {
        let form = Form::new()
            .set("items[0][price]", "price_1")
            .maybe("name", None::<&str>)
            .set("metadata[a b]", "c&d");
        assert_eq!(
            form.below("/v1/x"),
            "/v1/x?items%5B0%5D%5Bprice%5D=price_1&metadata%5Ba+b%5D=c%26d"
        );
        assert_eq!(Form::new().below("/v1/x"), "/v1/x");
    }

    #[test]
    fn a_key_is_the_same_for_the_same_act_alone() {
        let operation = Operation::new("saga_1").unwrap();
        let first = key("create", &operation, &["pm_1"]);
        assert_eq!(first, key("create", &operation, &["pm_1"]));
        for other in [
            key("attach", &operation, &["pm_1"]),
            key("create", &operation, &["pm_2"]),
            key("create", &operation, &["pm_", "1"]),
            key("create", &operation, &[]),
            key("create", &operation.clone().with_attempt(2), &["pm_1"]),
        ] {
            assert_ne!(first, other);
            assert!(other.len() < 255);
        }
    }
}
