//! The end of a talk: what the agent said is played, and then it is over.

use std::time::Duration;

use tokio::time::Instant;

use super::{Bridge, BridgeEnd, surface::MediaSocket};
use crate::media::MediaCommand;

/// How much later than reckoned the last word may be played, and its mark come back.
const MARGIN: Duration = Duration::from_secs(2);

/// How long an agent that hung up by a tool may take to begin its goodbye, or to go on with it: the tool is called
/// when the words are written, and they are spoken later.
const PAUSE: Duration = Duration::from_secs(1);

/// Who ends the talk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    /// The agent, by closing its socket: it says no more.
    Agent,
    /// An order.
    Order,
}

/// A farewell that goes on.
pub(super) struct Farewell {
    by: By,
    began: Instant,
    /// Until when the agent may say more; `None` when it left.
    pause: Option<Instant>,
    /// How many marks were sent; the newest stands behind the last words.
    marks: u32,
    /// Whether something was said behind that mark.
    more: bool,
    /// Whether that mark came back.
    played: bool,
}

impl Farewell {
    fn new(by: By) -> Self {
        let began = Instant::now();
        Self {
            by,
            began,
            pause: (by == By::Order).then(|| began + PAUSE),
            marks: 0,
            more: false,
            played: false,
        }
    }

    pub(super) fn end(&self) -> BridgeEnd {
        match self.by {
            By::Agent => BridgeEnd::AgentEnded,
            By::Order => BridgeEnd::Ended,
        }
    }

    /// Whether all was played, or is not worth waiting for any longer when it is reckoned to be played by `due`.
    pub(super) fn is_over(&self, now: Instant, due: Option<Instant>, longest: Duration) -> bool {
        if self.played && self.pause.is_none_or(|pause| now >= pause) {
            return true;
        }
        let due = due.map_or(self.began, |due| due.max(self.began)) + MARGIN;
        now >= due.min(self.began + longest)
    }

    fn mark(&self) -> String {
        format!("last-words-{}", self.marks)
    }
}

impl<S: MediaSocket> Bridge<S> {
    /// From now on, nothing that was said is cut off, nor what an agent who still speaks adds to it.
    pub(super) fn begin_farewell(&mut self, by: By) {
        match &mut self.farewell {
            Some(farewell) if by == By::Agent => farewell.pause = None,
            Some(_) => {}
            None => {
                self.farewell = Some(Farewell::new(by));
                self.mark_last_words();
            }
        }
    }

    /// Asks to be told when all that was said until now was played.
    pub(super) fn mark_last_words(&mut self) {
        if !self.started {
            return;
        }
        let Some(farewell) = &mut self.farewell else {
            return;
        };
        farewell.marks += 1;
        farewell.more = false;
        farewell.played = false;
        let mark = farewell.mark();
        self.tell_caller(MediaCommand::Mark(&mark));
    }

    /// A mark came back.
    pub(super) fn played(&mut self, mark: &str) {
        let Some(farewell) = &mut self.farewell else {
            return;
        };
        if farewell.mark() != mark {
            return;
        }
        farewell.played = true;
        if farewell.more {
            self.mark_last_words();
        }
    }

    /// The agent said something, and it was passed on.
    pub(super) fn heard_more(&mut self) {
        let Some(farewell) = &mut self.farewell else {
            return;
        };
        farewell.more = true;
        farewell.pause = farewell.pause.map(|_| Instant::now() + PAUSE);
        if farewell.played {
            self.mark_last_words();
        }
    }
}
