//! The scripted agent: what it says to what it hears. It knows no socket and no clock but the time it is given.

use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::initiation::Session;
use super::listener::{Hearing, Listener};
use crate::emulator::audio::{FRAME, speak};
use crate::emulator::id;

/// Half a second of audio per event, which like the real service's comes faster than it plays.
const CHUNK: usize = 25 * FRAME;
const MOST_TURNS: usize = 1_000;

/// What the agent does.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Doing {
    Says {
        text: String,
        event_id: u64,
    },
    Audio {
        audio: Vec<u8>,
        event_id: u64,
    },
    Heard {
        text: String,
        event_id: u64,
    },
    Interrupted {
        event_id: u64,
    },
    Corrects {
        original: String,
        corrected: String,
        event_id: u64,
    },
    Calls(ToolCall),
}

/// A tool that the agent wants to be called.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ToolCall {
    pub(super) name: String,
    pub(super) id: String,
    pub(super) parameters: Value,
    pub(super) event_id: u64,
}

/// What the agent is saying now.
#[derive(Debug)]
struct Speech {
    text: String,
    turn: usize,
    started: Instant,
    ends: Instant,
    last_event: u64,
}

/// One agent in one conversation.
#[derive(Debug)]
pub(super) struct Brain {
    business: String,
    first_message: String,
    listener: Listener,
    /// Audio that does not fill a frame yet.
    unheard: Vec<u8>,
    speech: Option<Speech>,
    last_event: u64,
    started: Instant,
    calling: Option<ToolCall>,
    leaving: bool,
    turns: Vec<Value>,
}

impl Brain {
    pub(super) fn new(session: &Session, now: Instant) -> Self {
        Self {
            business: session.business().to_owned(),
            first_message: session.first_message.clone(),
            listener: Listener::default(),
            unheard: Vec::new(),
            speech: None,
            last_event: 0,
            started: now,
            calling: None,
            leaving: false,
            turns: Vec::new(),
        }
    }

    /// Says the first message; without one the agent waits for the caller.
    pub(super) fn begin(&mut self, now: Instant) -> Vec<Doing> {
        let first = std::mem::take(&mut self.first_message);
        if first.is_empty() {
            Vec::new()
        } else {
            self.say(first, now)
        }
    }

    /// Hears μ-law audio.
    pub(super) fn hear(&mut self, audio: &[u8], now: Instant) -> Vec<Doing> {
        let mut doing = Vec::new();
        self.unheard.extend_from_slice(audio);
        let waiting = std::mem::take(&mut self.unheard);
        let mut frames = waiting.chunks_exact(FRAME);
        for frame in &mut frames {
            match self.listener.push(frame) {
                None => {}
                Some(Hearing::Probe) => {
                    let event_id = self.next_event();
                    doing.push(Doing::Audio {
                        audio: frame.to_vec(),
                        event_id,
                    });
                }
                Some(Hearing::VoiceStarted) => doing.extend(self.interrupt(now)),
                Some(Hearing::Utterance(text)) => doing.extend(self.answer(&text, now)),
            }
        }
        self.unheard = frames.remainder().to_vec();
        doing
    }

    /// Answers what the caller said or typed.
    pub(super) fn answer(&mut self, text: &str, now: Instant) -> Vec<Doing> {
        let event_id = self.next_event();
        self.note(json!({"role": "user", "message": text}), now);
        let mut doing = vec![Doing::Heard {
            text: text.to_owned(),
            event_id,
        }];
        let lower = text.to_lowercase();
        if let Some(call) = self.tool_call(text, &lower) {
            self.note(tool_turn(&call), now);
            self.calling = Some(call.clone());
            doing.push(Doing::Calls(call));
        } else if lower.contains("goodbye") {
            self.leaving = true;
            doing.extend(self.say(format!("Goodbye from {}.", self.business), now));
        } else {
            doing.extend(self.say(format!("This is {}. I heard: {text}", self.business), now));
        }
        doing
    }

    /// The tool named in `call tool <name> [parameters as JSON]`.
    fn tool_call(&mut self, text: &str, lower: &str) -> Option<ToolCall> {
        const ORDER: &str = "call tool ";
        // Lower-casing may change the length of other scripts' letters, and with it every position.
        let at = lower.find(ORDER).filter(|_| lower.len() == text.len())? + ORDER.len();
        let rest = text.get(at..)?.trim_start();
        let (name, rest) = rest.split_once(' ').unwrap_or((rest, ""));
        let name = name
            .trim_end_matches(|it: char| !it.is_alphanumeric() && it != '_')
            .to_owned();
        if name.is_empty() {
            return None;
        }
        let parameters = serde_json::from_str::<Map<String, Value>>(rest.trim()).unwrap_or_default();
        let (id, event_id) = (format!("toolu_{}", id::hex(24)), self.next_event());
        Some(ToolCall {
            name,
            id,
            parameters: Value::Object(parameters),
            event_id,
        })
    }

    /// Takes the result of the tool that was called, and speaks it. Results nobody waits for are ignored.
    pub(super) fn tool_result(&mut self, id: &str, result: &str, is_error: bool, now: Instant) -> Vec<Doing> {
        let Some(call) = self.calling.take_if(|call| call.id == id) else {
            return Vec::new();
        };
        let results = json!([{
            "request_id": call.id, "tool_name": call.name, "result_value": result, "is_error": is_error,
            "tool_has_been_called": true, "tool_latency_secs": 0.0, "error_type": "", "dynamic_variable_updates": [],
        }]);
        self.note(
            json!({"role": "agent", "message": null, "tool_results": results}),
            now,
        );
        let verb = if is_error { "failed" } else { "answered" };
        self.say(format!("The tool {} {verb}: {result}", call.name), now)
    }

    /// When the agent hangs up, once it has said goodbye.
    pub(super) fn leaves_at(&self) -> Option<Instant> {
        let speech = self.speech.as_ref();
        self.leaving
            .then(|| speech.map_or(self.started, |speech| speech.ends))
    }

    /// What was said by both, in the form of a conversation's `transcript`.
    pub(super) fn into_turns(self) -> Vec<Value> {
        self.turns
    }

    fn say(&mut self, text: String, now: Instant) -> Vec<Doing> {
        let audio = speak(&text);
        let event_id = self.next_event();
        let mut doing = vec![Doing::Says {
            text: text.clone(),
            event_id,
        }];
        for chunk in audio.chunks(CHUNK) {
            let event_id = self.next_event();
            doing.push(Doing::Audio {
                audio: chunk.to_vec(),
                event_id,
            });
        }
        let starts = self.speech.as_ref().map_or(now, |speech| speech.ends.max(now));
        let length = Duration::from_millis(u64::try_from(audio.len() / 8).unwrap_or(0));
        self.note(json!({"role": "agent", "message": text}), now);
        let turn = self.turns.len().saturating_sub(1);
        self.speech = Some(Speech {
            text,
            turn,
            started: starts,
            ends: starts + length,
            last_event: self.last_event,
        });
        doing
    }

    /// The caller speaks while the agent does: the rest of what it says is thrown away.
    fn interrupt(&mut self, now: Instant) -> Vec<Doing> {
        let Some(speech) = self.speech.take_if(|speech| speech.ends > now) else {
            return Vec::new();
        };
        let total = speech.ends.duration_since(speech.started);
        let played = now.saturating_duration_since(speech.started);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a share of a text length"
        )]
        let letters =
            (speech.text.chars().count() as f64 * played.as_secs_f64() / total.as_secs_f64()) as usize;
        let corrected: String = speech.text.chars().take(letters).chain("...".chars()).collect();
        if let Some(turn) = self.turns.get_mut(speech.turn) {
            turn["message"] = json!(corrected);
            turn["original_message"] = json!(speech.text);
            turn["interrupted"] = json!(true);
        }
        let event_id = self.next_event();
        vec![
            Doing::Interrupted {
                event_id: speech.last_event,
            },
            Doing::Corrects {
                original: speech.text,
                corrected,
                event_id,
            },
        ]
    }

    fn next_event(&mut self) -> u64 {
        self.last_event += 1;
        self.last_event
    }

    fn note(&mut self, mut turn: Value, now: Instant) {
        if self.turns.len() >= MOST_TURNS {
            return;
        }
        turn["time_in_call_secs"] = json!(now.saturating_duration_since(self.started).as_secs());
        for (field, default) in [
            ("tool_calls", json!([])),
            ("tool_results", json!([])),
            ("interrupted", json!(false)),
            ("original_message", Value::Null),
            ("llm_usage", Value::Null),
            ("conversation_turn_metrics", Value::Null),
        ] {
            if turn.get(field).is_none() {
                turn[field] = default;
            }
        }
        self.turns.push(turn);
    }
}

fn tool_turn(call: &ToolCall) -> Value {
    json!({"role": "agent", "message": null, "tool_calls": [{
        "type": "client", "request_id": call.id, "tool_name": call.name,
        "params_as_json": call.parameters.to_string(), "tool_has_been_called": true, "tool_details": null,
    }]})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::emulator::audio::{SILENCE, probe};
    use crate::emulator::elevenlabs::initiation::prepare;

    fn brain(now: Instant) -> Brain {
        let agent = json!({"name": "Desk", "conversation_config": {
            "agent": {"first_message": "Hello, this is Acme."},
            "tts": {"agent_output_audio_format": "ulaw_8000"}, "asr": {"user_input_audio_format": "ulaw_8000"},
        }});
        let data = json!({"dynamic_variables": {"business_name": "Acme"}});
        let data = data.as_object().cloned().unwrap_or_default();
        Brain::new(
            &prepare(&agent, &data, "conv_1", Map::new()).expect("nothing is missing"),
            now,
        )
    }

    fn words(doing: &[Doing]) -> Vec<&str> {
        doing
            .iter()
            .filter_map(|it| {
                if let Doing::Says { text, .. } = it {
                    Some(text.as_str())
                } else {
                    None
                }
            })
            .collect()
    }

    #[test]
    fn an_utterance_is_transcribed_and_answered_in_the_name_of_the_business() {
        let now = Instant::now();
        let mut brain = brain(now);
        assert_eq!(words(&brain.begin(now)), ["Hello, this is Acme."]);
        let later = now + Duration::from_secs(5);
        let doing = brain.hear(&speak("book me in"), later);
        assert!(matches!(&doing[0], Doing::Heard { text, .. } if text == "book me in"));
        assert_eq!(words(&doing), ["This is Acme. I heard: book me in"]);
        let turns = brain.into_turns();
        assert_eq!(turns.len(), 3);
        assert_eq!(turns[2]["time_in_call_secs"], 5);
    }

    #[test]
    fn event_ids_only_grow() {
        let now = Instant::now();
        let mut brain = brain(now);
        let mut doing = brain.begin(now);
        doing.extend(brain.hear(&speak("hi"), now + Duration::from_secs(9)));
        let ids: Vec<u64> = doing
            .iter()
            .filter_map(|it| {
                if let Doing::Audio { event_id, .. } = it {
                    Some(*event_id)
                } else {
                    None
                }
            })
            .collect();
        assert!(ids.len() >= 3 && ids.is_sorted_by(|a, b| a < b), "{ids:?}");
    }

    #[test]
    fn speaking_into_the_greeting_interrupts_it() {
        let now = Instant::now();
        let mut brain = brain(now);
        let greeting = brain.begin(now);
        let Some(Doing::Audio { event_id: last, .. }) = greeting.last() else {
            panic!("audio comes last")
        };
        let doing = brain.hear(&speak("hi")[..3 * FRAME], now + Duration::from_millis(200));
        assert_eq!(doing[0], Doing::Interrupted { event_id: *last });
        let Doing::Corrects {
            original, corrected, ..
        } = &doing[1]
        else {
            panic!("a correction follows")
        };
        assert_eq!(original, "Hello, this is Acme.");
        assert!(
            corrected.len() < original.len() && corrected.ends_with("..."),
            "{corrected}"
        );
    }

    #[test]
    fn probes_come_back_unchanged_and_interrupt_nothing() {
        let now = Instant::now();
        let mut brain = brain(now);
        brain.begin(now);
        let doing = brain.hear(&probe(4), now);
        assert!(matches!(&doing[..], [Doing::Audio { audio, .. }] if audio == &probe(4)));
    }

    #[test]
    fn a_tool_is_called_and_its_result_is_spoken_once() {
        let now = Instant::now();
        let mut brain = brain(now);
        let doing = brain.answer("please call tool book_slot {\"slot\": \"9:00\"}", now);
        let Some(Doing::Calls(call)) = doing.last() else {
            panic!("a tool call comes last")
        };
        assert_eq!(
            (call.name.as_str(), &call.parameters),
            ("book_slot", &json!({"slot": "9:00"}))
        );
        assert!(brain.tool_result("another", "x", false, now).is_empty());
        assert_eq!(
            words(&brain.tool_result(&call.id, "done", false, now)),
            ["The tool book_slot answered: done"]
        );
        assert!(brain.tool_result(&call.id, "done", false, now).is_empty());
    }

    #[test]
    fn goodbye_ends_the_call_when_it_has_been_played() {
        let now = Instant::now();
        let mut brain = brain(now);
        assert_eq!(brain.leaves_at(), None);
        brain.answer("Goodbye!", now);
        assert!(brain.leaves_at().is_some_and(|at| at > now));
    }

    #[test]
    fn frames_may_arrive_in_pieces() {
        let now = Instant::now();
        let mut brain = brain(now);
        let audio = [vec![SILENCE; 320], speak("hi")].concat();
        let doing: Vec<_> = audio
            .chunks(100)
            .flat_map(|piece| brain.hear(piece, now))
            .collect();
        assert_eq!(words(&doing), ["This is Acme. I heard: hi"]);
    }
}
