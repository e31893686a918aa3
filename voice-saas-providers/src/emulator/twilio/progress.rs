//! The progress of one call: its record, the parameters of its webhooks, and its status callbacks.

use std::sync::Arc;

use super::call::Direction;
use super::engine::Plan;
use super::phone::Phone;
use super::report::{CallError, CallStatus, WebhookExchange};
use super::twiml;
use super::webhook::Webhook;
use crate::emulator::audio::ulaw_wav;
use crate::emulator::clock::rfc2822;
use crate::emulator::fault::{FaultKind, Operation};
use crate::emulator::world::World;

/// Entries of each kind that a report keeps.
const MOST_NOTES: usize = 1_000;

pub(super) struct Progress<'a> {
    world: &'a World,
    plan: &'a Plan,
    answered: bool,
    asked: bool,
    sequence: u32,
    /// A status callback that waits until the next one has been sent.
    held: Option<Webhook>,
}

impl<'a> Progress<'a> {
    pub(super) fn new(world: &'a Arc<World>, plan: &'a Plan) -> Self {
        Self {
            world,
            plan,
            answered: false,
            asked: false,
            sequence: 0,
            held: None,
        }
    }

    pub(super) fn answered(&self) -> bool {
        self.answered
    }

    /// The first request of a call is for its voice URL; the later ones are for actions.
    pub(super) fn kind_of_request(&mut self) -> &'static str {
        if std::mem::replace(&mut self.asked, true) {
            "action"
        } else {
            "voice"
        }
    }

    pub(super) fn set(&self, status: CallStatus) {
        self.world
            .twilio
            .with_report(&self.plan.sid, |report| report.status = status);
    }

    pub(super) fn answer(&mut self) {
        self.answered = true;
        let now = self.world.clock.now();
        self.world.twilio.with_call(&self.plan.sid, |call| {
            call.answered = Some(now);
            call.report.status = CallStatus::InProgress;
        });
    }

    fn status(&self) -> CallStatus {
        self.world
            .twilio
            .report(&self.plan.sid)
            .map_or(CallStatus::Failed, |report| report.status)
    }

    /// The parameters of every webhook of this call.
    pub(super) fn parameters(&self) -> Vec<(String, String)> {
        self.parameters_with(self.status().name())
    }

    fn parameters_with(&self, status: &str) -> Vec<(String, String)> {
        let (from, to) = (self.plan.from.as_str(), self.plan.to.as_str());
        let mut parameters: Vec<(String, String)> = [
            ("AccountSid", self.plan.account.as_str()),
            ("ApiVersion", "2010-04-01"),
            ("CallSid", &self.plan.sid),
            ("CallStatus", status),
            ("Direction", self.plan.direction.name()),
            ("From", from),
            ("Caller", from),
            ("To", to),
            ("Called", to),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
        for (side, number) in [("From", from), ("Caller", from), ("To", to), ("Called", to)] {
            for (part, value) in [
                ("City", ""),
                ("State", ""),
                ("Zip", ""),
                ("Country", country(number)),
            ] {
                parameters.push((format!("{side}{part}"), value.to_owned()));
            }
        }
        if self.plan.direction == Direction::Inbound {
            let token = format!("{{\"parentCallInfoToken\":\"{}\"}}", self.plan.sid);
            parameters.push(("CallToken".into(), token));
            parameters.push(("StirVerstat".into(), "TN-Validation-Passed-A".into()));
        }
        parameters
    }

    /// Tells the status callback of an event, if it asked for it.
    pub(super) async fn tell(&mut self, event: &str, status: &str, extra: Option<Vec<(String, String)>>) {
        let callback = self.plan.status_callback.as_ref();
        let Some(callback) = callback.filter(|callback| callback.events.iter().any(|it| it == event)) else {
            return;
        };
        let mut parameters = self.parameters_with(status);
        parameters.extend(extra.into_iter().flatten());
        parameters.push(("Timestamp".into(), rfc2822(self.world.clock.now())));
        parameters.push(("CallbackSource".into(), "call-progress-events".into()));
        parameters.push(("SequenceNumber".into(), self.sequence.to_string()));
        self.sequence += 1;
        let webhook = Webhook {
            account: self.plan.account.clone(),
            operation: Operation::StatusWebhook,
            url: callback.target.url.clone(),
            get: callback.target.get,
            parameters,
        };
        let reorder = self
            .world
            .faults
            .take(Operation::StatusWebhook, &[FaultKind::Reorder])
            .is_some();
        if reorder && self.held.is_none() {
            self.held = Some(webhook);
            return;
        }
        self.send_status(webhook).await;
        self.send_held().await;
    }

    async fn send_held(&mut self) {
        if let Some(held) = self.held.take() {
            self.send_status(held).await;
        }
    }

    async fn send_status(&self, webhook: Webhook) {
        let answer = webhook.send(self.world).await;
        self.note_exchange(
            "status",
            &webhook.url,
            answer.as_ref().ok().map(|answer| answer.status),
        );
        match answer {
            Ok(answer) if (200..300).contains(&answer.status) => {}
            Ok(answer) => self.note_error(11_200, format!("status callback: HTTP {}", answer.status)),
            Err(failure) => self.note_error(failure.code, format!("status callback: {}", failure.message)),
        }
    }

    /// Tells the stream's own callback, if it has one.
    pub(super) async fn tell_stream(&self, stream: &twiml::Stream, stream_sid: &str, event: &str) {
        let Some(target) = &stream.status_callback else {
            return;
        };
        let parameters = [
            ("AccountSid", self.plan.account.as_str()),
            ("CallSid", &self.plan.sid),
            ("StreamSid", stream_sid),
            ("StreamName", stream.name.as_deref().unwrap_or(stream_sid)),
            ("StreamEvent", event),
            ("Timestamp", &self.world.clock.now().to_string()),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
        let operation = Operation::StatusWebhook;
        let webhook = Webhook {
            account: self.plan.account.clone(),
            operation,
            url: target.url.clone(),
            get: target.get,
            parameters,
        };
        let answer = webhook.send(self.world).await;
        self.note_exchange("stream", &target.url, answer.ok().map(|answer| answer.status));
    }

    /// Ends the call: its record first, then the callback, so that a look-up from within the callback sees the end.
    pub(super) async fn finish(&mut self, status: CallStatus, recording: Option<Vec<u8>>) {
        let wav = match recording {
            Some(audio) => self.save(&audio).await,
            None => None,
        };
        let now = self.world.clock.now();
        let seconds = self.world.twilio.with_call(&self.plan.sid, |call| {
            call.ended = Some(now);
            call.report.status = status;
            call.report.heard_wav = wav;
            call.seconds()
        });
        let Some(seconds) = seconds else { return };
        let mut extra = vec![("CallDuration".to_owned(), seconds.to_string())];
        if status == CallStatus::Completed {
            extra.push(("Duration".to_owned(), seconds.div_ceil(60).to_string()));
        }
        let response = match status {
            CallStatus::Completed => "200",
            CallStatus::Busy => "486",
            CallStatus::Failed => "404",
            _ => "487",
        };
        extra.push(("SipResponseCode".to_owned(), response.to_owned()));
        self.tell("completed", status.name(), Some(extra)).await;
        self.send_held().await;
    }

    async fn save(&self, audio: &[u8]) -> Option<std::path::PathBuf> {
        let folder = &self.world.recordings;
        let path = folder.join(format!("{}.wav", self.plan.sid));
        let saved = async {
            tokio::fs::create_dir_all(folder).await?;
            tokio::fs::write(&path, ulaw_wav(audio)).await
        };
        match saved.await {
            Ok(()) => Some(path),
            Err(error) => {
                tracing::warn!(%error, folder = %folder.display(), "could not save what a caller heard");
                None
            }
        }
    }

    pub(super) fn note_exchange(&self, kind: &'static str, url: &str, status: Option<u16>) {
        self.world.twilio.with_report(&self.plan.sid, |report| {
            if report.webhooks.len() < MOST_NOTES {
                report.webhooks.push(WebhookExchange {
                    kind,
                    url: url.to_owned(),
                    status,
                });
            }
        });
    }

    pub(super) fn note_answer(&self, document: String) {
        self.world
            .twilio
            .with_report(&self.plan.sid, |report| report.answers.push(document));
    }

    pub(super) fn note_error(&self, code: u32, message: String) {
        self.world.twilio.with_report(&self.plan.sid, |report| {
            if report.errors.len() < MOST_NOTES {
                report.errors.push(CallError { code, message });
            }
        });
    }

    pub(super) fn note_phone(&self, phone: &Phone) {
        self.world
            .twilio
            .with_report(&self.plan.sid, |report| phone.report(report));
    }
}

fn country(number: &str) -> &'static str {
    const PREFIXES: [(&str, &str); 5] = [
        ("+1", "US"),
        ("+44", "GB"),
        ("+49", "DE"),
        ("+420", "CZ"),
        ("+61", "AU"),
    ];
    PREFIXES
        .iter()
        .find(|(prefix, _)| number.starts_with(prefix))
        .map_or("", |(_, country)| country)
}
