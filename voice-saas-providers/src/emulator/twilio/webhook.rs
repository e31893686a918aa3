//! Webhooks that Twilio sends: signed, timed, and faulty on demand.

use std::time::Duration;

use axum::http::header::CONTENT_TYPE;
use tokio::time::timeout;
use url::Url;

use super::signature::{sign, signed_url};
use crate::emulator::fault::{Fault, FaultKind, Operation};
use crate::emulator::id;
use crate::emulator::world::World;

/// Twilio waits this long for an answer, all tries together.
const PATIENCE: Duration = Duration::from_secs(15);
const LARGEST_ANSWER: usize = 64 * 1024;

/// A webhook to be sent.
#[derive(Debug, Clone)]
pub(super) struct Webhook {
    /// The account whose token signs it.
    pub(super) account: String,
    pub(super) operation: Operation,
    pub(super) url: String,
    pub(super) get: bool,
    pub(super) parameters: Vec<(String, String)>,
}

/// What came back.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) content_type: String,
    pub(super) body: String,
}

/// Why nothing came back: the code in Twilio's error log and what happened.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    pub(super) code: u32,
    pub(super) message: String,
}

fn failure(code: u32, message: impl Into<String>) -> Failure {
    Failure {
        code,
        message: message.into(),
    }
}

impl Webhook {
    /// Sends the webhook, under whatever fault waits for it.
    pub(super) async fn send(&self, world: &World) -> Result<Answer, Failure> {
        const HERE: &[FaultKind] = &[
            FaultKind::Slow,
            FaultKind::Refused,
            FaultKind::Duplicate,
            FaultKind::BadSignature,
        ];
        let fault = world.faults.take(self.operation, HERE);
        let token = world.twilio.signing_token(
            &self.account,
            fault.as_ref().map(Fault::kind) == Some(FaultKind::BadSignature),
        );
        let idempotency = id::hex(32);
        match fault.as_ref().map(Fault::kind) {
            Some(FaultKind::Refused) => return Err(failure(11_205, "the connection was refused")),
            Some(FaultKind::Slow) => {
                let delay = fault
                    .and_then(|fault| fault.delay())
                    .unwrap_or(Duration::from_secs(1));
                tokio::time::sleep(delay).await;
            }
            Some(FaultKind::Duplicate) => {
                // The answer to a repetition decides, as it does when Twilio repeats after a lost answer.
                let _ = self.deliver(world, &token, &idempotency).await;
            }
            _ => {}
        }
        self.deliver(world, &token, &idempotency).await
    }

    async fn deliver(&self, world: &World, token: &str, idempotency: &str) -> Result<Answer, Failure> {
        let tries = async {
            match self.attempt(world, token, idempotency).await {
                // By default Twilio tries once more, and only when it could not connect.
                Err(failure) if failure.code == 11_205 => self.attempt(world, token, idempotency).await,
                other => other,
            }
        };
        timeout(PATIENCE, tries)
            .await
            .unwrap_or_else(|_| Err(failure(11_200, "no answer within 15 s")))
    }

    async fn attempt(&self, world: &World, token: &str, idempotency: &str) -> Result<Answer, Failure> {
        let plain = self.url.split('#').next().unwrap_or_default();
        let (target, signed) = if self.get {
            let separator = if plain.contains('?') { '&' } else { '?' };
            let mut query = url::form_urlencoded::Serializer::new(String::new());
            query.extend_pairs(&self.parameters);
            let target = format!("{plain}{separator}{}", query.finish());
            let signature = sign(token, &signed_url(&target), &[]);
            (target, signature)
        } else {
            (
                plain.to_owned(),
                sign(token, &signed_url(plain), &self.parameters),
            )
        };
        let url = Url::parse(&target).map_err(|error| failure(11_100, format!("{target}: {error}")))?;
        let request = if self.get {
            world.http.get(url)
        } else {
            world.http.post(url).form(&self.parameters)
        };
        let request = request
            .header("x-twilio-signature", signed)
            .header("i-twilio-idempotency-token", idempotency)
            .header("accept", "*/*");
        let response = world.send(request).await.map_err(|error| {
            let code = if error.is_connect() { 11_205 } else { 11_200 };
            failure(code, error.without_url().to_string())
        })?;
        let status = response.status().as_u16();
        let content_type = response
            .headers()
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok());
        let content_type = content_type.unwrap_or_default().to_owned();
        let body = read(response).await?;
        Ok(Answer {
            status,
            content_type,
            body,
        })
    }
}

async fn read(mut response: reqwest::Response) -> Result<String, Failure> {
    let mut body = Vec::new();
    while let Some(chunk) = response
        .chunk()
        .await
        .map_err(|error| failure(11_200, error.without_url().to_string()))?
    {
        body.extend_from_slice(&chunk);
        if body.len() > LARGEST_ANSWER {
            return Err(failure(11_750, "the answer is longer than 64 KiB"));
        }
    }
    String::from_utf8(body).map_err(|_| failure(12_100, "the answer is not UTF-8"))
}
