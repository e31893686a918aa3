//! What happens in a call, as server-sent events while it runs.

use std::{collections::VecDeque, convert::Infallible, time::Duration};

use axum::{
    extract::State,
    http::{HeaderMap, HeaderValue, header},
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures_core::Stream;
use futures_util::stream;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::IntoParams;
use voice_saas_core::{
    VoiceSaas,
    auth::Principal,
    call::{CallError, CallEvent},
    id::CallId,
    page::PageRequest,
};

use crate::{ApiState, Problem, Scoped, query, query::Query, scope::Id};

/// A call that another process carries does not wake us: then the store is asked this often.
const POLL: Duration = Duration::from_secs(1);

#[derive(Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(crate) struct EventsQuery {
    /// Only what happened after the event with this id; `Last-Event-ID` wins over it.
    #[param(value_type = Option<u32>)]
    after: Option<String>,
}

/// What happened in the call so far, and what happens while it runs. The stream ends when the call is over. Each
/// event has its place in the call as `id`, its kind as `event`, and JSON as `data`.
#[utoipa::path(
    get, path = "/v1/calls/{id}/events", tag = "Calls",
    params(
        ("id" = String, Path),
        EventsQuery,
        ("last-event-id" = Option<u32>, Header, description = "Where a broken connection goes on"),
    ),
    responses((status = 200, description = "Server-sent events", content_type = "text/event-stream", body = String))
)]
pub(crate) async fn call_events(
    State(api): State<ApiState>,
    scoped: Scoped,
    Id(id): Id<CallId>,
    Query(query): Query<EventsQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let after = match headers.get("last-event-id") {
        Some(last) => last
            .to_str()
            .ok()
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| {
                Problem::field("/last-event-id", "invalid", "must be the id of an earlier event")
            })?,
        None => query::parameter(query.after.as_deref(), "after")?.unwrap_or(0),
    };
    let mut feed = Feed {
        app: api.app().clone(),
        principal: scoped.into_principal(),
        call: id,
        after,
        ready: VecDeque::new(),
        over: false,
    };
    // The first look decides the status: another tenant's call is not found, not an empty stream.
    feed.look().await?;
    let mut response = Sse::new(feed.into_stream())
        .keep_alive(KeepAlive::default())
        .into_response();
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    // Proxies that collect answers would hold every event back.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

/// Where a client has come in a call's events.
struct Feed {
    app: VoiceSaas,
    principal: Principal,
    call: CallId,
    after: u32,
    ready: VecDeque<CallEvent>,
    over: bool,
}

impl Feed {
    /// Reads what happened since the last look.
    async fn look(&mut self) -> Result<(), CallError> {
        let (events, over) = self
            .app
            .calls()
            .events(&self.principal, self.call, self.after)
            .await?;
        // A full page may not be the last one.
        self.over = over && events.len() < usize::from(PageRequest::MAX);
        if let Some(last) = events.last() {
            self.after = last.sequence;
        }
        self.ready.extend(events);
        Ok(())
    }

    async fn next(&mut self) -> Option<CallEvent> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            if self.over {
                return None;
            }
            let before = self.after;
            if let Err(error) = self.look().await {
                // The client comes back with the last id that it has seen.
                tracing::warn!(call.id = %self.call, "a call's events were broken off: {error}");
                return None;
            }
            if self.after == before && !self.over {
                if self.app.is_draining() {
                    // An open stream would keep this process from stopping; another replica goes on with it.
                    return None;
                }
                tokio::select! {
                    () = async { self.app.calls().changed(self.call).await } => {}
                    () = tokio::time::sleep(POLL) => {}
                }
            }
        }
    }

    fn into_stream(self) -> impl Stream<Item = Result<Event, Infallible>> {
        stream::unfold(self, async |mut feed| {
            let event = feed.next().await?;
            Some((Ok(server_sent(&event)), feed))
        })
    }
}

/// The event's own fields, with its place and time beside them.
fn data(event: &CallEvent) -> Value {
    let mut data = serde_json::to_value(&event.kind).unwrap_or_else(|_| json!({ "type": "unknown" }));
    data["sequence"] = event.sequence.into();
    data["at"] = event.at.to_string().into();
    data
}

fn server_sent(event: &CallEvent) -> Event {
    let data = data(event);
    let kind = data["type"].as_str().unwrap_or("unknown").to_owned();
    Event::default()
        .id(event.sequence.to_string())
        .event(kind)
        .data(data.to_string())
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;
    use voice_saas_core::{call::CallEventKind, provider::voice_agent::Speaker};

    use super::*;

    #[tokio::test]
    async fn an_event_is_framed_with_its_place_its_kind_and_one_line_of_json() {
        let event = CallEvent {
            sequence: 7,
            at: "2026-11-21T09:00:00Z".parse().unwrap(),
            kind: CallEventKind::Said {
                speaker: Speaker::Caller,
                text: "two\nlines".to_owned(),
            },
        };
        let frames = stream::iter([Ok::<_, Infallible>(server_sent(&event))]);
        let body = Sse::new(frames).into_response().into_body();
        let text = String::from_utf8(to_bytes(body, 4_096).await.unwrap().to_vec()).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[..2], ["id: 7", "event: said"]);
        let json: Value = serde_json::from_str(lines[2].strip_prefix("data: ").unwrap()).unwrap();
        let expected = json!({
            "type": "said", "speaker": "caller", "text": "two\nlines", "sequence": 7, "at": "2026-11-21T09:00:00Z",
        });
        assert_eq!(json, expected);
    }
}
