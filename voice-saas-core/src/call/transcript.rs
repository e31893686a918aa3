//! Who said what in a call.

use std::time::Duration;

use jiff::Timestamp;

use super::{CallEvent, CallEventKind};
use crate::provider::voice_agent::{Speaker, Turn};

/// Who said what, and how we know.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "the turns and their source")]
pub struct Transcript {
    /// The turns in order.
    pub turns: Vec<Turn>,
    /// Whether it is the platform's own record, or what was heard while the call ran.
    pub complete: bool,
}

impl Transcript {
    /// The platform's own record.
    pub fn recorded(turns: Vec<Turn>) -> Self {
        Self {
            turns,
            complete: true,
        }
    }

    /// What was heard while a call ran that began at this time. An agent that was cut short said what it was
    /// corrected to.
    pub fn heard(started_at: Timestamp, events: &[CallEvent]) -> Self {
        let mut turns: Vec<Turn> = Vec::new();
        for event in events {
            match &event.kind {
                CallEventKind::Said { speaker, text } => {
                    let offset = Duration::try_from(event.at.duration_since(started_at)).unwrap_or_default();
                    turns.push(Turn::new(*speaker, text, offset));
                }
                CallEventKind::Corrected { text } => {
                    if let Some(turn) = turns.iter_mut().rfind(|turn| turn.speaker == Speaker::Agent) {
                        turn.text.clone_from(text);
                    }
                }
                _ => {}
            }
        }
        Self {
            turns,
            complete: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: i64 = 1_000;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    /// These events, a second apart from the call's beginning on.
    fn heard(kinds: impl IntoIterator<Item = CallEventKind>) -> Vec<(Speaker, String, u64)> {
        let events: Vec<_> = (0..)
            .zip(kinds)
            .map(|(sequence, kind)| CallEvent {
                sequence,
                at: at(START + i64::from(sequence)),
                kind,
            })
            .collect();
        let transcript = Transcript::heard(at(START), &events);
        assert!(!transcript.complete);
        let turns = transcript.turns.into_iter();
        turns
            .map(|turn| (turn.speaker, turn.text, turn.offset.as_secs()))
            .collect()
    }

    fn said(speaker: Speaker, text: &str) -> CallEventKind {
        CallEventKind::Said {
            speaker,
            text: text.to_owned(),
        }
    }

    fn corrected(text: &str) -> CallEventKind {
        CallEventKind::Corrected {
            text: text.to_owned(),
        }
    }

    #[test]
    fn what_was_said_is_told_in_order_and_nothing_else_is() {
        let turns = heard([
            CallEventKind::MediaConnected,
            said(Speaker::Agent, "Hello?"),
            CallEventKind::Dtmf { digit: '1' },
            said(Speaker::Caller, "Hi."),
        ]);
        let expected = [
            (Speaker::Agent, "Hello?".to_owned(), 1),
            (Speaker::Caller, "Hi.".to_owned(), 3),
        ];
        assert_eq!(turns, expected);
    }

    #[test]
    fn an_agent_that_was_cut_short_said_what_it_was_corrected_to() {
        let turns = heard([
            said(Speaker::Agent, "Welcome."),
            said(Speaker::Agent, "Our hours are nine to five."),
            said(Speaker::Caller, "Stop!"),
            corrected("Our hours"),
        ]);
        let texts: Vec<_> = turns.iter().map(|(_, text, _)| text.as_str()).collect();
        assert_eq!(texts, ["Welcome.", "Our hours", "Stop!"]);
    }

    #[test]
    fn a_correction_of_nothing_and_a_word_before_the_beginning_do_no_harm() {
        assert_eq!(heard([corrected("What?"), said(Speaker::Caller, "Hi.")]).len(), 1);
        let early = CallEvent {
            sequence: 1,
            at: at(START - 5),
            kind: said(Speaker::Caller, "Hi."),
        };
        let transcript = Transcript::heard(at(START), &[early]);
        assert_eq!(transcript.turns[0].offset, Duration::ZERO);
    }
}
