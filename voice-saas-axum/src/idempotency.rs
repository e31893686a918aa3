//! `Idempotency-Key`: a POST that creates or spends is done once, however often it is sent.
//!
//! The answer is kept with the key, whole: an answer that shows a secret once shows it again to whoever repeats the
//! request with the same key, body and credentials, because the first answer may never have arrived. It is sealed
//! in the store. Keys belong to one tenant and route; answers of 5xx, 429 and
//! 403 let the key go.

use axum::{
    body::Bytes,
    extract::{FromRef, FromRequest, FromRequestParts, MatchedPath, OriginalUri, Request},
    http::{HeaderMap, HeaderName, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};
use tracing::Instrument;
use voice_saas_core::{
    VoiceSaas,
    auth::Principal,
    idempotency::{KeyState, KeyedRequest, StoredAnswer},
};

use crate::{ApiState, Problem, Scoped, error::PROBLEM_JSON, json, trace};

pub(crate) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// An authenticated request with a JSON body that is done once per `Idempotency-Key`.
pub(crate) struct Once<T> {
    api: ApiState,
    principal: Principal,
    body: T,
    keyed: Option<KeyedRequest>,
}

impl<S, T> FromRequest<S> for Once<T>
where
    S: Send + Sync,
    ApiState: FromRef<S>,
    T: DeserializeOwned,
{
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let api = ApiState::from_ref(state);
        let (mut parts, body) = request.into_parts();
        let principal = Scoped::from_request_parts(&mut parts, state)
            .await?
            .into_principal();
        let key = key(&parts.headers)?;
        let headers = parts.headers.clone();
        let uri = parts
            .extensions
            .get::<OriginalUri>()
            .map_or_else(|| parts.uri.to_string(), |OriginalUri(uri)| uri.to_string());
        let route = parts
            .extensions
            .get::<MatchedPath>()
            .map_or(uri.as_str(), MatchedPath::as_str)
            .to_owned();
        let body: Bytes = json::read_body(Request::from_parts(parts, body), api.body_limit()).await?;
        let keyed = key.map(|key| KeyedRequest {
            hash: hash(&principal, &uri, &body),
            route,
            key,
        });
        Ok(Self {
            body: json::parse(&headers, &body)?,
            api,
            principal,
            keyed,
        })
    }
}

impl<T> Once<T> {
    /// Does the work, unless it was done before. It goes on even when the client hangs up, so that the answer is
    /// there when the client asks again.
    pub(crate) async fn answer<F, Fut>(self, work: F) -> Result<Response, Problem>
    where
        F: FnOnce(VoiceSaas, Principal, T) -> Fut,
        Fut: Future<Output = Result<Answer, Problem>> + Send + 'static,
    {
        let app = self.api.app().clone();
        if let Some(keyed) = &self.keyed {
            match app.idempotency().begin(self.principal.scope(), keyed).await? {
                KeyState::Fresh => {}
                KeyState::Answered(answer) => return Answer::stored(answer).map(Answer::into_response),
                KeyState::InFlight => return Err(in_flight()),
                KeyState::OtherRequest => return Err(other_request()),
            }
        }
        let (scope, keyed) = (self.principal.scope().clone(), self.keyed);
        let work = work(app.clone(), self.principal, self.body);
        let (kept_app, kept_scope, kept_keyed) = (app.clone(), scope.clone(), keyed.clone());
        let task = async move {
            let outcome = work.await;
            if let Some(keyed) = &kept_keyed {
                let (status, body) = match &outcome {
                    Ok(answer) => (answer.status, answer.body.clone()),
                    Err(problem) => (problem.status(), problem.body()),
                };
                let kept = if lets_go(status) {
                    kept_app.idempotency().release(&kept_scope, keyed).await
                } else {
                    let answer = StoredAnswer {
                        status: status.as_u16(),
                        body,
                    };
                    kept_app.idempotency().complete(&kept_scope, keyed, &answer).await
                };
                if let Err(error) = kept {
                    tracing::error!(%error, "the answer to an idempotency key was not kept");
                }
            }
            outcome
        };
        let task = tokio::spawn(trace::carry(trace::request_id(), task).in_current_span());
        match task.await {
            Ok(outcome) => outcome.map(Answer::into_response),
            Err(failed) => {
                if let Some(keyed) = &keyed
                    && let Err(error) = app.idempotency().release(&scope, keyed).await
                {
                    tracing::error!(%error, "an idempotency key was not let go");
                }
                if failed.is_panic() {
                    std::panic::resume_unwind(failed.into_panic());
                }
                Err(Problem::internal(&failed))
            }
        }
    }
}

/// A JSON answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    status: StatusCode,
    body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(status: StatusCode, body: &impl Serialize) -> Result<Self, Problem> {
        let body = serde_json::to_vec(body).map_err(|error| Problem::internal(&error))?;
        Ok(Self { status, body })
    }

    fn stored(answer: StoredAnswer) -> Result<Self, Problem> {
        Ok(Self {
            status: StatusCode::from_u16(answer.status).map_err(|error| Problem::internal(&error))?,
            body: answer.body,
        })
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let content_type = if self.status.is_success() {
            "application/json"
        } else {
            PROBLEM_JSON
        };
        (self.status, [(header::CONTENT_TYPE, content_type)], self.body).into_response()
    }
}

/// Whether an answer of this status says nothing about what the same request would get later.
fn lets_go(status: StatusCode) -> bool {
    status.is_server_error() || matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::FORBIDDEN)
}

fn key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    let (first, second) = (values.next(), values.next());
    let Some(value) = first else { return Ok(None) };
    let text = value.to_str().unwrap_or("");
    if second.is_some() || !(1..=255).contains(&text.len()) {
        return Err(Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "invalid_idempotency_key",
            "Idempotency-Key must be one value of 1 to 255 visible ASCII characters",
        ));
    }
    Ok(Some(text.to_owned()))
}

/// What makes a request the same: who asks and as what, for what, with which words. A colleague with fewer rights who
/// learns of a key must not be given the answer.
fn hash(principal: &Principal, uri: &str, body: &[u8]) -> [u8; 32] {
    let who = format!("{:?} {:?}", principal.scope().actor(), principal.role());
    let mut hash = Sha256::new();
    for part in [who.as_bytes(), uri.as_bytes(), body] {
        hash.update(part.len().to_le_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

fn in_flight() -> Problem {
    Problem::new(
        StatusCode::CONFLICT,
        "request_in_progress",
        "the same request is being done right now; ask again in a moment",
    )
    .with_retry_after(std::time::Duration::from_secs(1))
}

fn other_request() -> Problem {
    Problem::new(
        StatusCode::CONFLICT,
        "idempotency_conflict",
        "the Idempotency-Key was used for another request before",
    )
}
