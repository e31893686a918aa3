//! Calls (page `voice/api/call-resource`).

use async_trait::async_trait;
use voice_saas_core::provider::{
    ErrorKind, ProviderError,
    telephony::{CallProvider, ProviderCall, ProviderCallId, Removal},
};

use super::{Twilio, wire};
use crate::http::{Effect, Request};

const CALLS: &str = "Calls";

#[async_trait]
impl CallProvider for Twilio {
    async fn fetch(&self, id: &ProviderCallId) -> Result<ProviderCall, ProviderError> {
        const FETCH: &str = "fetch a call";
        let request = Request::get(FETCH, self.item(FETCH, CALLS, id.as_str())?);
        let call: wire::Call = self.hosts.api.send(request).await?.json()?;
        Ok(call.read())
    }

    async fn hang_up(&self, id: &ProviderCallId) -> Result<Removal, ProviderError> {
        const HANG_UP: &str = "hang up a call";
        let request = Request::post(HANG_UP, self.item(HANG_UP, CALLS, id.as_str())?)
            .form(vec![("Status", "completed".to_owned())])
            .effect(Effect::Keyed);
        let Err(error) = self.hosts.api.send(request).await else {
            return Ok(Removal::Removed);
        };
        // How Twilio refuses to end a call that is over is not documented, so the call itself is asked.
        if !matches!(
            error.kind(),
            ErrorKind::NotFound | ErrorKind::Conflict | ErrorKind::Invalid
        ) {
            return Err(error);
        }
        match self.fetch(id).await {
            Ok(call) if wire::is_over(call.status) => Ok(Removal::AlreadyGone),
            Err(fetch) if fetch.kind() == ErrorKind::NotFound => Ok(Removal::AlreadyGone),
            Ok(_) | Err(_) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use voice_saas_core::provider::telephony::ProviderCallStatus;
    use wiremock::{
        Mock, MockServer, ResponseTemplate,
        matchers::{body_string, method, path},
    };

    use super::*;
    use crate::twilio::fixture::{ROOT, twilio};

    const SID: &str = "CA0123456789abcdef0123456789abcdef";

    fn id() -> ProviderCallId {
        ProviderCallId::new(SID)
    }

    fn call(status: &str) -> ResponseTemplate {
        ResponseTemplate::new(200).set_body_json(json!({"sid": SID, "status": status}))
    }

    fn refusal(status: u16, code: u32) -> ResponseTemplate {
        ResponseTemplate::new(status).set_body_json(json!({"code": code, "message": "m", "status": status}))
    }

    async fn server(hang_up: ResponseTemplate, fetch: Option<ResponseTemplate>) -> MockServer {
        let server = MockServer::start().await;
        Mock::given(method("POST"))
            .and(path(format!("{ROOT}/Calls/{SID}.json")))
            .and(body_string("Status=completed"))
            .respond_with(hang_up)
            .expect(1)
            .mount(&server)
            .await;
        let fetches = u64::from(fetch.is_some());
        Mock::given(method("GET"))
            .and(path(format!("{ROOT}/Calls/{SID}.json")))
            .respond_with(fetch.unwrap_or(ResponseTemplate::new(500)))
            .expect(fetches)
            .mount(&server)
            .await;
        server
    }

    #[tokio::test]
    async fn a_call_is_fetched_by_its_id() {
        let server = MockServer::start().await;
        Mock::given(method("GET"))
            .and(path(format!("{ROOT}/Calls/{SID}.json")))
            .respond_with(call("in-progress"))
            .mount(&server)
            .await;
        let call = twilio(&server).fetch(&id()).await.unwrap();
        assert_eq!((call.id, call.status), (id(), ProviderCallStatus::InProgress));
        let error = twilio(&server)
            .fetch(&ProviderCallId::new("CA/1"))
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
    }

    #[tokio::test]
    async fn a_live_call_is_ended() {
        let server = server(call("completed"), None).await;
        assert_eq!(twilio(&server).hang_up(&id()).await.unwrap(), Removal::Removed);
    }

    #[tokio::test]
    async fn a_call_that_is_over_is_gone_already() {
        for (refused, fetched) in [
            (refusal(404, 20404), refusal(404, 20404)),
            (refusal(404, 20404), call("completed")),
            (refusal(400, 21220), call("no-answer")),
            (refusal(400, 29999), call("canceled")),
        ] {
            let server = server(refused, Some(fetched)).await;
            assert_eq!(
                twilio(&server).hang_up(&id()).await.unwrap(),
                Removal::AlreadyGone
            );
        }
    }

    #[tokio::test]
    async fn a_call_that_goes_on_is_not_reported_as_ended() {
        for fetched in [call("in-progress"), call("a new word"), refusal(500, 20500)] {
            let server = server(refusal(400, 21220), Some(fetched)).await;
            let error = twilio(&server).hang_up(&id()).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Conflict);
        }
    }

    #[tokio::test]
    async fn a_hang_up_that_failed_otherwise_is_not_explained_away() {
        let empty = Value::Null;
        for status in [401, 429, 500] {
            let server = server(ResponseTemplate::new(status).set_body_json(&empty), None).await;
            assert!(twilio(&server).hang_up(&id()).await.is_err());
        }
    }
}
