//! Subaccounts (page `iam/api/subaccounts`). Only the parent's SID with its auth token, or a main API key, reaches them.

use std::sync::Arc;

use async_trait::async_trait;
use serde::Deserialize;
use voice_saas_core::{
    provider::{
        ErrorKind, ProviderError,
        telephony::{
            ProviderPage, ProviderSubaccount, ProviderSubaccountId, Removal, SubaccountProvider,
            SubaccountState, TelephonyProvider,
        },
    },
    secret::SecretString,
};

use super::{NAME, Twilio, checked, invalid, list::Page, numbers::LONGEST_FRIENDLY_NAME, wire::Scalar};
use crate::http::{Effect, Request};

const ACCOUNTS: &str = "/2010-04-01/Accounts.json";
const LIST_PAGE: u16 = 200;

#[derive(Deserialize)]
struct Account {
    sid: String,
    #[serde(default)]
    friendly_name: Scalar,
    #[serde(default)]
    status: Scalar,
    /// Twilio's documentation does not agree with itself on whether it is shown again after the account was made.
    auth_token: Option<SecretString>,
}

impl Account {
    fn state(&self) -> SubaccountState {
        match self.status.as_str() {
            Some("active") => SubaccountState::Active,
            Some("suspended") => SubaccountState::Suspended,
            Some("closed") => SubaccountState::Closed,
            _ => SubaccountState::Unknown,
        }
    }

    fn read(self) -> ProviderSubaccount {
        let state = self.state();
        ProviderSubaccount::new(
            ProviderSubaccountId::new(self.sid),
            self.friendly_name.text().unwrap_or_default(),
            state,
        )
        .with_secret(self.auth_token)
    }
}

#[async_trait]
impl SubaccountProvider for Twilio {
    async fn ensure(&self, tag: &str) -> Result<ProviderSubaccount, ProviderError> {
        const MAKE: &str = "make a subaccount";
        if tag.is_empty() || tag.chars().count() > LONGEST_FRIENDLY_NAME {
            return Err(invalid(MAKE, "a subaccount's name has 1 to 64 characters"));
        }
        if let Some(account) = SubaccountProvider::find(self, tag).await? {
            return Ok(account);
        }
        let request = Request::post(MAKE, ACCOUNTS)
            .form(vec![("FriendlyName", tag.to_owned())])
            .effect(Effect::Once);
        let account: Account = self.hosts.api.send(request).await?.json()?;
        Ok(account.read())
    }

    async fn find(&self, tag: &str) -> Result<Option<ProviderSubaccount>, ProviderError> {
        const FIND: &str = "find a subaccount";
        let mut request = Request::get(FIND, ACCOUNTS)
            .query("FriendlyName", tag)
            .query("PageSize", LIST_PAGE);
        let mut found = None;
        loop {
            let mut page: Page<Account> = self.hosts.api.send(request).await?.json()?;
            // Newest first; should there ever be two, the one that was there before is the one in use.
            for account in page.items.drain(..) {
                if account.sid != self.account_sid
                    && account.friendly_name.as_str() == Some(tag)
                    && account.state() != SubaccountState::Closed
                {
                    found = Some(account);
                }
            }
            match page.next() {
                Some(next) => request = Request::get(FIND, next),
                None => return Ok(found.map(Account::read)),
            }
        }
    }

    async fn list(&self, page: Option<&str>) -> Result<ProviderPage<ProviderSubaccount>, ProviderError> {
        const LIST: &str = "list subaccounts";
        let request = match page {
            Some(next) => Request::get(LIST, next),
            None => Request::get(LIST, ACCOUNTS).query("PageSize", LIST_PAGE),
        };
        let mut page: Page<Account> = self.hosts.api.send(request).await?.json()?;
        let next = page.next();
        let items = page.items.into_iter();
        Ok(ProviderPage {
            // The parent is in its own list.
            items: items
                .filter(|account| account.sid != self.account_sid)
                .map(Account::read)
                .collect(),
            next,
        })
    }

    async fn suspend(&self, id: &ProviderSubaccountId) -> Result<(), ProviderError> {
        self.set_status("suspend a subaccount", id, "suspended").await
    }

    async fn resume(&self, id: &ProviderSubaccountId) -> Result<(), ProviderError> {
        const RESUME: &str = "resume a subaccount";
        let Err(error) = self.set_status(RESUME, id, "active").await else {
            return Ok(());
        };
        if error.kind() == ErrorKind::Invalid
            && self.subaccount(RESUME, id).await?.state() == SubaccountState::Closed
        {
            return Err(ProviderError::new(NAME, RESUME, ErrorKind::Conflict)
                .with_detail("it is closed for good")
                .with_source(error));
        }
        Err(error)
    }

    fn enter(
        &self,
        id: &ProviderSubaccountId,
        secret: SecretString,
    ) -> Result<Arc<dyn TelephonyProvider>, ProviderError> {
        Ok(Arc::new(self.for_subaccount(id, secret)?))
    }

    async fn close(&self, id: &ProviderSubaccountId) -> Result<Removal, ProviderError> {
        const CLOSE: &str = "close a subaccount";
        let Err(error) = self.set_status(CLOSE, id, "closed").await else {
            return Ok(Removal::Removed);
        };
        match error.kind() {
            ErrorKind::NotFound => Ok(Removal::AlreadyGone),
            // How Twilio refuses to close what is closed is not documented, so the account itself is asked.
            ErrorKind::Invalid | ErrorKind::Conflict => match self.subaccount(CLOSE, id).await {
                Ok(account) if account.state() == SubaccountState::Closed => Ok(Removal::AlreadyGone),
                _ => Err(error),
            },
            _ => Err(error),
        }
    }
}

impl Twilio {
    async fn subaccount(
        &self,
        operation: &'static str,
        id: &ProviderSubaccountId,
    ) -> Result<Account, ProviderError> {
        let request = Request::get(operation, self.subaccount_path(operation, id)?);
        self.hosts.api.send(request).await?.json()
    }

    async fn set_status(
        &self,
        operation: &'static str,
        id: &ProviderSubaccountId,
        status: &str,
    ) -> Result<(), ProviderError> {
        let request = Request::post(operation, self.subaccount_path(operation, id)?)
            .form(vec![("Status", status.to_owned())])
            .effect(Effect::Keyed);
        self.hosts.api.send(request).await?;
        Ok(())
    }

    fn subaccount_path(
        &self,
        operation: &'static str,
        id: &ProviderSubaccountId,
    ) -> Result<String, ProviderError> {
        let sid = checked(operation, id.as_str())?;
        if sid == self.account_sid {
            return Err(invalid(operation, "the account itself is no subaccount"));
        }
        Ok(format!("/2010-04-01/Accounts/{sid}.json"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use voice_saas_core::secret::ExposeSecret;
    use wiremock::{
        Mock, MockServer, ResponseTemplate,
        matchers::{basic_auth, body_string, method, path, query_param},
    };

    use super::*;
    use crate::twilio::fixture::{ACCOUNT, twilio};

    const SUB: &str = "ACffffffffffffffffffffffffffffffff";

    fn account(sid: &str, name: &str, status: &str) -> Value {
        json!({"sid": sid, "friendly_name": name, "status": status, "auth_token": "s3cret",
               "owner_account_sid": ACCOUNT, "type": "Full"})
    }

    fn ok(body: Value) -> ResponseTemplate {
        ResponseTemplate::new(200).set_body_json(body)
    }

    async fn listing(accounts: Value) -> MockServer {
        let server = MockServer::start().await;
        Mock::given(method("GET"))
            .and(path(ACCOUNTS))
            .and(query_param("FriendlyName", "ten_1"))
            .respond_with(ok(json!({"accounts": accounts, "next_page_uri": null})))
            .expect(1)
            .mount(&server)
            .await;
        server
    }

    /// Answers what is asked of the one subaccount: first the change, then the look.
    async fn changing(body: &str, answer: ResponseTemplate, fetched: Option<&str>) -> MockServer {
        let server = MockServer::start().await;
        let item = format!("/2010-04-01/Accounts/{SUB}.json");
        Mock::given(method("POST"))
            .and(path(item.clone()))
            .and(body_string(body))
            .respond_with(answer)
            .expect(1)
            .mount(&server)
            .await;
        if let Some(status) = fetched {
            Mock::given(method("GET"))
                .and(path(item))
                .respond_with(ok(account(SUB, "ten_1", status)))
                .expect(1)
                .mount(&server)
                .await;
        }
        server
    }

    fn id() -> ProviderSubaccountId {
        ProviderSubaccountId::new(SUB)
    }

    #[tokio::test]
    async fn an_account_is_made_once() {
        let server = listing(json!([])).await;
        Mock::given(method("POST"))
            .and(path(ACCOUNTS))
            .and(body_string("FriendlyName=ten_1"))
            .respond_with(ResponseTemplate::new(201).set_body_json(account(SUB, "ten_1", "active")))
            .expect(1)
            .mount(&server)
            .await;
        let made = twilio(&server).ensure("ten_1").await.unwrap();
        assert_eq!((made.id.as_str(), made.state), (SUB, SubaccountState::Active));
        assert_eq!(made.secret.as_ref().unwrap().expose_secret(), "s3cret");
        assert!(!format!("{made:?}").contains("s3cret"));
    }

    #[tokio::test]
    async fn an_account_that_is_there_is_found_among_its_namesakes() {
        let server = listing(json!([
            account("AC1", "ten_1", "closed"),
            account("AC2", "ten_10", "active"),
            account(ACCOUNT, "ten_1", "active"),
            account(SUB, "ten_1", "suspended"),
        ]))
        .await;
        let found = twilio(&server).ensure("ten_1").await.unwrap();
        assert_eq!(
            (found.id.as_str(), found.state),
            (SUB, SubaccountState::Suspended)
        );
    }

    #[tokio::test]
    async fn an_account_whose_making_may_have_happened_is_not_made_twice() {
        let server = listing(json!([])).await;
        Mock::given(method("POST"))
            .and(path(ACCOUNTS))
            .respond_with(ResponseTemplate::new(500))
            .expect(1)
            .mount(&server)
            .await;
        let error = twilio(&server).ensure("ten_1").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ServerError);
    }

    #[tokio::test]
    async fn the_parent_is_not_in_the_list() {
        let server = MockServer::start().await;
        let next = "/2010-04-01/Accounts.json?PageSize=200&Page=1&PageToken=PA1";
        Mock::given(path(ACCOUNTS))
            .and(query_param("PageSize", "200"))
            .respond_with(ok(
                json!({"accounts": [account(ACCOUNT, "us", "active"), account(SUB, "x", "closed")],
                "next_page_uri": next}),
            ))
            .mount(&server)
            .await;
        let twilio = twilio(&server);
        let page = twilio.subaccounts().unwrap().list(None).await.unwrap();
        assert_eq!(page.next.as_deref(), Some(next));
        let [only] = page.items.as_slice() else {
            panic!("one subaccount: {page:?}")
        };
        assert_eq!((&only.id, only.state), (&id(), SubaccountState::Closed));
    }

    #[tokio::test]
    async fn an_account_is_suspended_resumed_and_closed_by_its_status() {
        let done = || ok(account(SUB, "ten_1", "whatever"));
        let server = changing("Status=suspended", done(), None).await;
        twilio(&server).suspend(&id()).await.unwrap();
        let server = changing("Status=active", done(), None).await;
        twilio(&server).resume(&id()).await.unwrap();
        let server = changing("Status=closed", done(), None).await;
        assert_eq!(twilio(&server).close(&id()).await.unwrap(), Removal::Removed);
    }

    #[tokio::test]
    async fn a_closed_account_stays_closed() {
        let refused = || ResponseTemplate::new(400).set_body_json(json!({"code": 20001, "message": "m"}));
        let server = changing("Status=closed", refused(), Some("closed")).await;
        assert_eq!(twilio(&server).close(&id()).await.unwrap(), Removal::AlreadyGone);
        let server = changing("Status=closed", refused(), Some("active")).await;
        assert_eq!(
            twilio(&server).close(&id()).await.unwrap_err().kind(),
            ErrorKind::Invalid
        );
        let server = changing("Status=active", refused(), Some("closed")).await;
        assert_eq!(
            twilio(&server).resume(&id()).await.unwrap_err().kind(),
            ErrorKind::Conflict
        );
        let server = changing("Status=closed", ResponseTemplate::new(404), None).await;
        assert_eq!(twilio(&server).close(&id()).await.unwrap(), Removal::AlreadyGone);
    }

    #[tokio::test]
    async fn nobody_closes_the_account_itself_or_another_path() {
        let server = MockServer::start().await;
        for id in [ACCOUNT, "", "..", "AC1/Calls"] {
            let error = twilio(&server)
                .close(&ProviderSubaccountId::new(id))
                .await
                .unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid, "{id}");
        }
        for tag in [String::new(), "x".repeat(65)] {
            assert_eq!(
                twilio(&server).ensure(&tag).await.unwrap_err().kind(),
                ErrorKind::Invalid
            );
        }
        assert!(server.received_requests().await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn the_adapter_of_a_subaccount_speaks_to_the_same_hosts_as_itself() {
        let server = MockServer::start().await;
        Mock::given(path(format!(
            "/2010-04-01/Accounts/{SUB}/IncomingPhoneNumbers.json"
        )))
        .and(basic_auth(SUB, "s3cret"))
        .respond_with(ok(json!({"incoming_phone_numbers": []})))
        .expect(1)
        .mount(&server)
        .await;
        let parent = twilio(&server);
        let own = parent.for_subaccount(&id(), "s3cret".into()).unwrap();
        assert!(own.numbers().unwrap().list(None).await.unwrap().items.is_empty());
        assert!(
            parent
                .for_subaccount(&ProviderSubaccountId::new("AC1"), "s3cret".into())
                .is_err()
        );
        assert!(parent.for_subaccount(&id(), "".into()).is_err());
    }
}
