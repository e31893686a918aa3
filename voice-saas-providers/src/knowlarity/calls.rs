//! Calls between two telephones (`/account/call/makecall`), and what became of them.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use voice_saas_core::{
    phone::E164,
    provider::{
        ErrorKind, ProviderError,
        telephony::{CallProvider, ProviderCall, ProviderCallId, ProviderCallStatus, Removal},
    },
};

use super::{Knowlarity, NAME, answer, unsupported, wire::Scalar};
use crate::http::{Request, RetryPolicy};

/// A call to be placed: Knowlarity rings `agent`, and once that is answered `customer`, and joins the two.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MakeCall {
    /// The number of the account whose set-up is used.
    pub number: E164,
    /// The telephone of ours that rings first.
    pub agent: E164,
    /// Who is called.
    pub customer: E164,
    /// The number of the account that both see; `None` = `number`.
    pub caller_id: Option<E164>,
    /// What finds this call again, carried to logs and pushes as `uniqueid`.
    pub reference: Option<String>,
    /// Whether the call advertises. Indian rules let such calls reach fewer people, by day.
    pub promotional: bool,
}

impl MakeCall {
    /// Connects `agent` with `customer` from `number`.
    pub fn new(number: E164, agent: E164, customer: E164) -> Self {
        Self {
            number,
            agent,
            customer,
            caller_id: None,
            reference: None,
            promotional: false,
        }
    }

    /// Both see this number of the account.
    #[must_use]
    pub fn with_caller_id(mut self, number: E164) -> Self {
        self.caller_id = Some(number);
        self
    }

    /// Carries this to logs and pushes.
    #[must_use]
    pub fn with_reference(mut self, reference: impl Into<String>) -> Self {
        self.reference = Some(reference.into());
        self
    }

    /// It advertises.
    #[must_use]
    pub fn promotional(mut self) -> Self {
        self.promotional = true;
        self
    }
}

/// A call that was accepted. Whether anybody answers is told by the log, by events and by pushes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PlacedCall {
    /// Its id everywhere.
    pub id: ProviderCallId,
    /// What Knowlarity says of it.
    pub message: Option<String>,
}

#[derive(Serialize)]
struct Body<'a> {
    k_number: &'a E164,
    agent_number: &'a E164,
    customer_number: &'a E164,
    caller_id: &'a E164,
    #[serde(skip_serializing_if = "Option::is_none")]
    additional_params: Option<AdditionalParams<'a>>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    is_promotional: bool,
}

#[derive(Serialize)]
struct AdditionalParams<'a> {
    uniqueid: &'a str,
}

#[derive(Deserialize)]
struct Placed {
    success: Success,
}

#[derive(Deserialize)]
struct Success {
    #[serde(default)]
    status: Scalar,
    #[serde(default)]
    message: Scalar,
    #[serde(default)]
    call_id: Scalar,
}

impl Knowlarity {
    /// Places a call. It is sent once: Knowlarity would dial a repetition, too. After an error whose recovery is
    /// [`Reconcile`](voice_saas_core::provider::Recovery::Reconcile) look into [`call_log`](Self::call_log) by
    /// customer and agent, or wait for the push that carries the reference; without a sign of it, leave it.
    ///
    /// Waits until [the interval](super::KnowlarityBuilder::with_call_interval) since the call before it is over.
    ///
    /// # Errors
    /// What the request may fail with; refusals have no documented shape, so their kind is read from their words.
    pub async fn make_call(&self, call: &MakeCall) -> Result<PlacedCall, ProviderError> {
        const PLACE: &str = "place a call";
        let body = Body {
            k_number: &call.number,
            agent_number: &call.agent,
            customer_number: &call.customer,
            caller_id: call.caller_id.as_ref().unwrap_or(&call.number),
            additional_params: call
                .reference
                .as_deref()
                .map(|uniqueid| AdditionalParams { uniqueid }),
            is_promotional: call.promotional,
        };
        self.pace.turn().await;
        let request = Request::post(PLACE, self.path("call/makecall"))
            .json(&body)
            .retry(RetryPolicy::none());
        let answer = self.api.send(request).await?;
        let Placed { success } = answer::read(PLACE, &answer, &["success"])?;
        let unclear =
            |detail| ProviderError::new(NAME, PLACE, ErrorKind::UnexpectedAnswer).with_detail(detail);
        if !success
            .status
            .as_str()
            .is_none_or(|status| status.eq_ignore_ascii_case("success"))
        {
            return Err(unclear("a success that does not say success"));
        }
        let id = success
            .call_id
            .text()
            .ok_or_else(|| unclear("a success without a call's id"))?;
        Ok(PlacedCall {
            id: ProviderCallId::new(id),
            message: success.message.text(),
        })
    }

    /// Asks for the events of these numbers in [`live_events`](Self::live_events). Some accounts send them without.
    ///
    /// # Errors
    /// What the request may fail with.
    pub async fn register_for_events(&self, numbers: &[E164]) -> Result<(), ProviderError> {
        const REGISTER: &str = "register numbers for events";
        #[derive(Serialize)]
        struct Body<'a> {
            knowlarity_number: &'a [E164],
        }
        let request = Request::post(REGISTER, self.path("notifications/")).json(&Body {
            knowlarity_number: numbers,
        });
        let answer = self.api.send(request).await?;
        // A success has no documented shape, and may have no body.
        match serde_json::from_slice::<Value>(&answer.body) {
            Ok(value) if value.get("error").is_some_and(|error| !error.is_null()) => {
                Err(answer::refused(REGISTER, &value))
            }
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl CallProvider for Knowlarity {
    /// By the call log. A call that is not in it is `Unknown`, not lost: the log has it only some time after its end.
    async fn fetch(&self, id: &ProviderCallId) -> Result<ProviderCall, ProviderError> {
        Ok(match self.find_in_log(id).await? {
            Some(entry) => entry.into_call(),
            None => ProviderCall::new(id.clone(), ProviderCallStatus::Unknown),
        })
    }

    async fn hang_up(&self, _: &ProviderCallId) -> Result<Removal, ProviderError> {
        Err(unsupported(
            "hang up a call",
            "Knowlarity has no interface for live calls; one of the two telephones hangs up",
        ))
    }
}
