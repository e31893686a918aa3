//! Twilio's side of a bidirectional stream: a buffer of the agent's audio that plays in real time.

use std::collections::VecDeque;

use crate::emulator::audio::{FRAME, SILENCE};

/// The most audio that waits to be played: twenty minutes.
const MOST_BYTES: usize = 20 * 60 * 8_000;
const MOST_MARKS: usize = 1_000;

#[derive(Debug)]
enum Item {
    Audio(Vec<u8>),
    Mark(String),
}

/// The playback buffer.
#[derive(Debug, Default)]
pub(super) struct Player {
    waiting: VecDeque<Item>,
    /// How much of the first item has been played.
    played: usize,
    bytes: usize,
    marks: usize,
}

/// What one tick of 20 ms played.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Played {
    /// The audio, without the silence that fills up the frame; empty when nothing was left.
    pub(super) audio: Vec<u8>,
    /// The marks that were reached.
    pub(super) marks: Vec<String>,
}

impl Played {
    /// The whole 20 ms as the ear gets them.
    pub(super) fn frame(&self) -> [u8; FRAME] {
        let mut frame = [SILENCE; FRAME];
        frame[..self.audio.len()].copy_from_slice(&self.audio);
        frame
    }
}

impl Player {
    /// Queues audio; what exceeds the buffer is lost.
    pub(super) fn audio(&mut self, audio: Vec<u8>) {
        if audio.is_empty() || self.bytes + audio.len() > MOST_BYTES {
            return;
        }
        self.bytes += audio.len();
        self.waiting.push_back(Item::Audio(audio));
    }

    /// Queues a mark; it comes back at once when nothing is waiting before it.
    pub(super) fn mark(&mut self, name: String) -> Option<String> {
        if self.waiting.is_empty() || self.marks >= MOST_MARKS {
            return Some(name);
        }
        self.marks += 1;
        self.waiting.push_back(Item::Mark(name));
        None
    }

    /// Throws the buffer away; the marks in it come back.
    pub(super) fn clear(&mut self) -> Vec<String> {
        let marks = std::mem::take(self)
            .waiting
            .into_iter()
            .filter_map(|item| match item {
                Item::Mark(name) => Some(name),
                Item::Audio(_) => None,
            });
        marks.collect()
    }

    /// Plays the next 20 ms.
    pub(super) fn tick(&mut self) -> Played {
        let mut played = Played::default();
        while let Some(item) = self.waiting.front() {
            match item {
                Item::Audio(audio) => {
                    let end = audio.len().min(self.played + FRAME - played.audio.len());
                    played.audio.extend_from_slice(&audio[self.played..end]);
                    self.bytes -= end - self.played;
                    self.played = end;
                    if end < audio.len() {
                        break;
                    }
                    self.played = 0;
                    self.waiting.pop_front();
                }
                Item::Mark(_) => {
                    if let Some(Item::Mark(name)) = self.waiting.pop_front() {
                        self.marks -= 1;
                        played.marks.push(name);
                    }
                }
            }
        }
        played
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn audio_plays_in_order_20_ms_at_a_time_and_marks_come_back_when_reached() {
        let mut player = Player::default();
        player.audio(vec![1; 100]);
        player.audio(vec![2; 100]);
        assert_eq!(player.mark("end".into()), None);
        let first = player.tick();
        assert_eq!(first.audio, [vec![1; 100], vec![2; 60]].concat());
        assert!(first.marks.is_empty());
        let second = player.tick();
        assert_eq!(second.audio, vec![2; 40]);
        assert_eq!(second.marks, ["end"]);
        assert_eq!(second.frame()[40..], [SILENCE; 120]);
        assert_eq!(player.tick(), Played::default());
    }

    #[test]
    fn a_mark_with_nothing_before_it_comes_back_at_once() {
        assert_eq!(Player::default().mark("now".into()), Some("now".into()));
    }

    #[test]
    fn clear_empties_the_buffer_and_returns_its_marks() {
        let mut player = Player::default();
        player.audio(vec![1; 8_000]);
        player.mark("a".into());
        player.mark("b".into());
        player.tick();
        assert_eq!(player.clear(), ["a", "b"]);
        assert_eq!(player.tick(), Played::default());
    }

    #[test]
    fn audio_beyond_the_buffer_is_lost() {
        let mut player = Player::default();
        player.audio(vec![1; MOST_BYTES]);
        player.audio(vec![1; 1]);
        assert_eq!(player.bytes, MOST_BYTES);
    }
}
