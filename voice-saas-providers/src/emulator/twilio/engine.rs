//! The call engine: fetches TwiML and executes it verb by verb until the call ends.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::call::{Command, Direction};
use super::phone::Phone;
use super::progress::Progress;
use super::report::CallStatus;
use super::script::{Callee, LONGEST_CALL, Script};
use super::stream::{MediaStream, StreamEnd};
use super::twiml::{self, Target, Verb};
use super::webhook::{Answer, Webhook};
use crate::emulator::fault::Operation;
use crate::emulator::id;
use crate::emulator::world::World;

/// How long a verb takes that a person would listen to: the emulated time of speech is not waited for.
const VERB: Duration = Duration::from_millis(2);
/// How long a callee lets the telephone ring.
const RING: Duration = Duration::from_millis(10);
/// Documents per call, so that a document which redirects to itself ends.
const MOST_DOCUMENTS: usize = 100;

/// Where TwiML comes from.
#[derive(Debug, Clone)]
pub(super) enum Source {
    Fetch(Target),
    Inline(String),
}

/// Where the progress of a call is told.
#[derive(Debug, Clone)]
pub(super) struct StatusCallback {
    pub(super) target: Target,
    pub(super) events: Vec<String>,
}

/// Everything that is known when a call begins.
#[derive(Debug)]
pub(super) struct Plan {
    /// The account that the call belongs to.
    pub(super) account: String,
    pub(super) sid: String,
    pub(super) direction: Direction,
    pub(super) from: String,
    pub(super) to: String,
    /// `None` when nobody answers at this number.
    pub(super) source: Option<Source>,
    pub(super) fallback: Option<Target>,
    pub(super) status_callback: Option<StatusCallback>,
    pub(super) callee: Callee,
    /// Whether the number sends its calls to a SIP trunk, which is not emulated.
    pub(super) trunked: bool,
}

/// Runs the call in a task of its own.
pub(super) fn start(world: &Arc<World>, plan: Plan, commands: mpsc::Receiver<Command>) {
    let running = world.running();
    let world = Arc::clone(world);
    let tracker = world.tasks.clone();
    tracker.spawn(async move {
        let script = match &plan.callee {
            Callee::Answers(script) => script.clone(),
            _ => Script::new().without_recording(),
        };
        let control = Control {
            commands,
            running,
            deadline: Instant::now() + LONGEST_CALL * 2,
        };
        let progress = Progress::new(&world, &plan);
        let phone = Phone::new(&script);
        let mut engine = Engine {
            world: &world,
            plan: &plan,
            progress,
            phone,
            base: None,
        };
        let status = engine.run(control, &script).await;
        if let Some(status) = status {
            engine.finish(status).await;
        }
        world.twilio.with_call(&plan.sid, |call| call.close());
    });
}

/// What can end or redirect a call from outside.
struct Control {
    commands: mpsc::Receiver<Command>,
    running: CancellationToken,
    deadline: Instant,
}

/// How a piece of work ended.
enum Guarded<T> {
    Done(T),
    Ordered(Command),
    /// The emulator was reset or shut down: the call is gone without a trace.
    Gone,
}

impl Control {
    /// Does the work until it is done or something from outside comes first; then `stop` tells the work to end.
    async fn guard<T>(&mut self, stop: &CancellationToken, work: impl Future<Output = T>) -> Guarded<T> {
        let mut work = pin!(work);
        let ordered = tokio::select! {
            done = &mut work => return Guarded::Done(done),
            command = self.commands.recv() => command,
            () = self.running.cancelled() => None,
            () = sleep_until(self.deadline) => Some(Command::End(CallStatus::Completed)),
        };
        stop.cancel();
        work.await;
        ordered.map_or(Guarded::Gone, Guarded::Ordered)
    }
}

/// What follows a document.
enum Flow {
    End(CallStatus),
    Next(Source, Vec<(String, String)>),
    /// The document could not be had or executed: Twilio's error code.
    Broken(u32, String),
}

struct Engine<'a> {
    world: &'a World,
    plan: &'a Plan,
    progress: Progress<'a>,
    phone: Phone,
    /// The URL of the document that is being executed, for relative ones in it.
    base: Option<String>,
}

impl Engine<'_> {
    /// Runs the call to its end; `None` when it is gone.
    async fn run(&mut self, mut control: Control, script: &Script) -> Option<CallStatus> {
        if self.plan.trunked {
            self.error(
                32_100,
                "the number belongs to a SIP trunk, which is not emulated".into(),
            );
            return Some(CallStatus::Failed);
        }
        let Some(mut source) = self.plan.source.clone() else {
            self.error(11_100, "the number is not owned or has no voice URL".into());
            return Some(CallStatus::Failed);
        };
        if self.plan.direction == Direction::Outbound {
            let stop = CancellationToken::new();
            match control.guard(&stop, self.dial(&stop)).await {
                Guarded::Done(None) => self.answer(&mut control, script).await,
                Guarded::Done(Some(status)) => return Some(status),
                Guarded::Ordered(Command::Redirect(next)) => source = next,
                Guarded::Ordered(Command::End(_)) => return Some(CallStatus::Canceled),
                Guarded::Gone => return None,
            }
        }
        let mut extra = Vec::new();
        let (mut fallen_back, mut is_fallback) = (false, false);
        for _ in 0..MOST_DOCUMENTS {
            let stop = CancellationToken::new();
            let fetched = control
                .guard(&stop, self.fetch(&source, &extra, is_fallback, &stop))
                .await;
            let flow = match fetched {
                Guarded::Gone => return None,
                Guarded::Ordered(command) => self.obey(command),
                Guarded::Done(Err(broken)) => broken,
                Guarded::Done(Ok(verbs)) => {
                    let rejects = matches!(verbs.first(), Some(Verb::Reject { .. }));
                    if !self.progress.answered() && !rejects {
                        self.answer(&mut control, script).await;
                    }
                    match control.guard(&stop, self.execute(&verbs, &stop)).await {
                        Guarded::Gone => return None,
                        Guarded::Ordered(command) => self.obey(command),
                        Guarded::Done(flow) => flow,
                    }
                }
            };
            is_fallback = matches!(flow, Flow::Broken(..));
            (source, extra) = match flow {
                Flow::End(status) => return Some(status),
                Flow::Next(next, parameters) => (next, parameters),
                Flow::Broken(code, message) => {
                    self.error(code, message);
                    match &self.plan.fallback {
                        Some(fallback) if !fallen_back => {
                            fallen_back = true;
                            (
                                Source::Fetch(fallback.clone()),
                                self.broken_parameters(code, &source),
                            )
                        }
                        _ => {
                            self.say("We are sorry, an application error has occurred. Goodbye.");
                            return Some(CallStatus::Completed);
                        }
                    }
                }
            };
        }
        self.error(11_200, "too many documents".into());
        Some(CallStatus::Completed)
    }

    fn obey(&self, command: Command) -> Flow {
        match command {
            Command::Redirect(source) => Flow::Next(source, Vec::new()),
            Command::End(_) if !self.progress.answered() => Flow::End(CallStatus::Canceled),
            Command::End(status) => Flow::End(status),
        }
    }

    /// Calls the callee; a status when nobody answers.
    async fn dial(&mut self, stop: &CancellationToken) -> Option<CallStatus> {
        self.progress.tell("initiated", "initiated", None).await;
        self.progress.set(CallStatus::Ringing);
        self.progress.tell("ringing", "ringing", None).await;
        tokio::select! {
            () = sleep(RING) => {}
            () = stop.cancelled() => {}
        }
        match self.plan.callee {
            Callee::Answers(_) => None,
            Callee::Busy => Some(CallStatus::Busy),
            Callee::NoAnswer => Some(CallStatus::NoAnswer),
            Callee::Unreachable => Some(CallStatus::Failed),
        }
    }

    async fn answer(&mut self, control: &mut Control, script: &Script) {
        control.deadline = Instant::now() + script.longest();
        self.progress.answer();
        if self.plan.direction == Direction::Outbound {
            self.progress.tell("answered", "in-progress", None).await;
        }
    }

    /// Gets the next document.
    async fn fetch(
        &mut self,
        source: &Source,
        extra: &[(String, String)],
        is_fallback: bool,
        stop: &CancellationToken,
    ) -> Result<Vec<Verb>, Flow> {
        let document = match source {
            Source::Inline(document) => document.clone(),
            Source::Fetch(target) => {
                let url = self.resolve(&target.url);
                let mut parameters = self.progress.parameters();
                parameters.extend_from_slice(extra);
                let webhook = Webhook {
                    account: self.plan.account.clone(),
                    operation: Operation::VoiceWebhook,
                    url: url.clone(),
                    get: target.get,
                    parameters,
                };
                let answer = tokio::select! {
                    answer = webhook.send(self.world) => answer,
                    () = stop.cancelled() => return Ok(Vec::new()),
                };
                let kind = if is_fallback {
                    "fallback"
                } else {
                    self.progress.kind_of_request()
                };
                self.progress
                    .note_exchange(kind, &url, answer.as_ref().ok().map(|answer| answer.status));
                let answer = answer.map_err(|failure| Flow::Broken(failure.code, failure.message))?;
                self.base = Some(url);
                document_of(answer)?
            }
        };
        self.progress.note_answer(document.clone());
        twiml::parse(&document).map_err(|error| Flow::Broken(error.code(), error.to_string()))
    }

    /// What the fallback is told about the failure.
    fn broken_parameters(&self, code: u32, source: &Source) -> Vec<(String, String)> {
        let url = match source {
            Source::Fetch(target) => self.resolve(&target.url),
            Source::Inline(_) => String::new(),
        };
        vec![("ErrorCode".into(), code.to_string()), ("ErrorUrl".into(), url)]
    }

    fn resolve(&self, url: &str) -> String {
        // An absolute URL is used byte for byte, because its signature is over exactly these bytes.
        if url.contains("://") {
            return url.to_owned();
        }
        let base = self.base.as_deref().and_then(|base| url::Url::parse(base).ok());
        base.and_then(|base| base.join(url).ok())
            .map_or_else(|| url.to_owned(), Into::into)
    }

    async fn execute(&mut self, verbs: &[Verb], stop: &CancellationToken) -> Flow {
        for verb in verbs {
            if stop.is_cancelled() {
                break;
            }
            match verb {
                Verb::Say(text) | Verb::Play(text) => {
                    self.say(text);
                    sleep(VERB).await;
                }
                // The emulated caller has no patience for pauses, which would only slow tests down.
                Verb::Pause { seconds } => sleep(VERB * (*seconds).clamp(1, 5)).await,
                Verb::Gather { .. } => sleep(VERB).await,
                Verb::Record { action } => {
                    sleep(VERB).await;
                    if let Some(action) = action {
                        return self.record(action);
                    }
                }
                Verb::Connect { stream, action } => {
                    if let Some(flow) = self.connect(stream, action.as_ref(), stop).await {
                        return flow;
                    }
                }
                Verb::Dial { to, action } => {
                    if let Some(flow) = self.forward(to, action.as_ref()).await {
                        return flow;
                    }
                }
                Verb::Redirect(target) => return Flow::Next(Source::Fetch(target.clone()), Vec::new()),
                Verb::Reject { busy: true } => return Flow::End(CallStatus::Busy),
                Verb::Reject { busy: false } => return Flow::End(CallStatus::NoAnswer),
                Verb::Hangup => break,
            }
        }
        Flow::End(CallStatus::Completed)
    }

    async fn connect(
        &mut self,
        stream: &twiml::Stream,
        action: Option<&Target>,
        stop: &CancellationToken,
    ) -> Option<Flow> {
        let media = MediaStream::new(self.world, &self.plan.account, &self.plan.sid, &mut self.phone);
        let stream_sid = media.stream_sid.clone();
        self.progress
            .tell_stream(stream, &stream_sid, "stream-started")
            .await;
        // Boxed, because the handshake of a socket would make every call's future large.
        let end = Box::pin(media.run(stream, stop)).await;
        self.progress.note_phone(&self.phone);
        let event = if matches!(end, StreamEnd::Failed(..)) {
            "stream-error"
        } else {
            "stream-stopped"
        };
        self.progress.tell_stream(stream, &stream_sid, event).await;
        match end {
            // After an interruption the guard around this work knows better what comes next.
            StreamEnd::CallerHungUp | StreamEnd::Interrupted => {
                return Some(Flow::End(CallStatus::Completed));
            }
            StreamEnd::ServerClosed => {}
            StreamEnd::Failed(code, message) => self.error(code, message),
        }
        action.map(|action| Flow::Next(Source::Fetch(action.clone()), Vec::new()))
    }

    async fn forward(&mut self, to: &[String], action: Option<&Target>) -> Option<Flow> {
        let callee = to.first().and_then(|number| self.world.twilio.callee(number));
        let status = match callee {
            None | Some(Callee::Answers(_)) => "completed",
            Some(Callee::Busy) => "busy",
            Some(Callee::NoAnswer) => "no-answer",
            Some(Callee::Unreachable) => "failed",
        };
        self.world
            .twilio
            .with_report(&self.plan.sid, |report| report.forwarded_to.extend_from_slice(to));
        sleep(VERB).await;
        let parameters = vec![
            ("DialCallStatus".into(), status.into()),
            ("DialCallSid".into(), id::sid("CA")),
            (
                "DialCallDuration".into(),
                if status == "completed" {
                    "1".into()
                } else {
                    "0".into()
                },
            ),
        ];
        action.map(|action| Flow::Next(Source::Fetch(action.clone()), parameters))
    }

    fn record(&self, action: &Target) -> Flow {
        let sid = id::sid("RE");
        let account = &self.plan.account;
        let url = self
            .world
            .base
            .join(&format!("/2010-04-01/Accounts/{account}/Recordings/{sid}"));
        let parameters = vec![
            ("RecordingUrl".into(), url.map(Into::into).unwrap_or_default()),
            ("RecordingSid".into(), sid),
            ("RecordingDuration".into(), "1".into()),
        ];
        Flow::Next(Source::Fetch(action.clone()), parameters)
    }

    fn say(&self, text: &str) {
        self.world
            .twilio
            .with_report(&self.plan.sid, |report| report.said.push(text.to_owned()));
    }

    fn error(&self, code: u32, message: String) {
        self.progress.note_error(code, message);
    }

    /// Records the end and tells the status callback.
    async fn finish(&mut self, status: CallStatus) {
        let recording = self.phone.take_recording();
        self.progress.finish(status, recording).await;
    }
}

/// The TwiML in an answer.
fn document_of(answer: Answer) -> Result<String, Flow> {
    if !(200..300).contains(&answer.status) {
        return Err(Flow::Broken(11_200, format!("HTTP {}", answer.status)));
    }
    let content_type = answer.content_type.to_ascii_lowercase();
    if !content_type.contains("xml") && !content_type.contains("html") {
        return Err(Flow::Broken(
            12_300,
            format!("invalid content type {content_type:?}"),
        ));
    }
    Ok(answer.body)
}
