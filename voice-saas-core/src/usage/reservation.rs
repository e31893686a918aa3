//! A call's place in what its tenant may use: reserved when it is admitted, and then counted or given back, once.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Admitted, Windows};
use crate::{
    call::{Call, CallStatus, EndReason},
    id::CallId,
    money::Money,
    plan::PlanId,
};

/// Where a reservation stands: `reserved → counted | returned`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(clippy::exhaustive_enums, reason = "the states of a machine")]
pub enum ReservationState {
    /// The call goes on, or is yet to begin.
    Reserved,
    /// It was connected.
    Counted,
    /// It never was.
    Returned,
}

impl ReservationState {
    /// Where it goes when its call has ended; `None` when it is settled already, which is final.
    pub const fn settle(self, connected: bool) -> Option<Self> {
        match (self, connected) {
            (Self::Reserved, true) => Some(Self::Counted),
            (Self::Reserved, false) => Some(Self::Returned),
            (Self::Counted | Self::Returned, _) => None,
        }
    }
}

/// The reservation of one call: a row that keeps what was agreed when it was admitted.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reservation {
    /// The call.
    pub call: CallId,
    /// Where it stands.
    pub state: ReservationState,
    /// In which windows it is counted, and out of which it is taken again: those of the moment at which it was admitted.
    pub windows: Windows,
    /// Under which plan.
    pub plan: PlanId,
    /// What the tenant is charged when it is connected.
    pub unit_price: Option<Money>,
    /// What the tenant is charged for each minute.
    pub minute_price: Option<Money>,
    /// How much of a spend cap is kept for it.
    pub held: Option<Money>,
    /// How long it may last, where its plan says so.
    pub max_seconds: Option<u32>,
    /// Since when.
    pub at: Timestamp,
}

impl Reservation {
    /// The reservation of a call that was admitted.
    pub fn new(call: CallId, admitted: &Admitted, windows: Windows, at: Timestamp) -> Self {
        Self {
            call,
            state: ReservationState::Reserved,
            windows,
            plan: admitted.plan.clone(),
            unit_price: admitted.unit_price,
            minute_price: admitted.minute_price,
            held: admitted.held,
            max_seconds: admitted.max_seconds,
            at,
        }
    }
}

/// Whether the call came to what the tenant pays for: somebody was connected to somebody. A caller who heard the
/// fallback was not.
pub fn was_connected(call: &Call) -> bool {
    let nobody_there = match call.end_reason {
        Some(EndReason::AgentUnavailable | EndReason::AudioFormatMismatch) => true,
        Some(EndReason::MediaLost) => call.media_at.is_none(),
        _ => false,
    };
    let talked = match call.duration_seconds {
        Some(seconds) => seconds > 0,
        None => call.answered_at.is_some() || call.media_at.is_some(),
    };
    call.status == CallStatus::Completed && talked && !nobody_there
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, hash_map::Entry};

    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::provider::telephony::ProviderCallId;

    fn call(change: impl FnOnce(&mut Call)) -> Call {
        let now = Timestamp::UNIX_EPOCH;
        let id = CallId::from_uuid(Uuid::from_u128(1));
        let mut call = Call::inbound(
            id,
            "twilio",
            ProviderCallId::new("CA1"),
            "+12125550123",
            "+12125550142",
            now,
        );
        call.status = CallStatus::Completed;
        call.duration_seconds = Some(60);
        change(&mut call);
        call
    }

    #[track_caller]
    fn check(change: impl FnOnce(&mut Call), connected: bool) {
        assert_eq!(was_connected(&call(change)), connected);
    }

    #[test]
    fn a_call_counts_when_somebody_was_connected_to_somebody() {
        check(|_| (), true);
        check(|call| call.end_reason = Some(EndReason::MediaLost), false);
        check(
            |call| {
                call.end_reason = Some(EndReason::MediaLost);
                call.media_at = Some(call.started_at);
            },
            true,
        );
        check(|call| call.end_reason = Some(EndReason::AgentUnavailable), false);
        check(|call| call.duration_seconds = Some(0), false);
        // The carrier has forgotten it; we have not.
        check(|call| call.duration_seconds = None, false);
        check(
            |call| {
                call.duration_seconds = None;
                call.media_at = Some(call.started_at);
            },
            true,
        );
        for status in [
            CallStatus::Busy,
            CallStatus::NoAnswer,
            CallStatus::Failed,
            CallStatus::Canceled,
        ] {
            check(|call| call.status = status, false);
        }
    }

    /// What happens to calls, in any order and any number.
    #[derive(Debug, Clone, Copy)]
    enum Event {
        Admit,
        Progress(CallStatus),
    }

    const EVENTS: [Event; 8] = [
        Event::Admit,
        Event::Progress(CallStatus::Ringing),
        Event::Progress(CallStatus::InProgress),
        Event::Progress(CallStatus::Completed),
        Event::Progress(CallStatus::Busy),
        Event::Progress(CallStatus::NoAnswer),
        Event::Progress(CallStatus::Failed),
        Event::Progress(CallStatus::Canceled),
    ];

    /// The rules of a store, without one: a row per call, written once, and the counters beside it.
    #[derive(Default)]
    struct Model {
        calls: HashMap<usize, (CallStatus, ReservationState)>,
        counted: i64,
        running: i64,
    }

    impl Model {
        fn apply(&mut self, id: usize, event: Event) {
            match event {
                Event::Admit => {
                    if let Entry::Vacant(free) = self.calls.entry(id) {
                        free.insert((CallStatus::Ringing, ReservationState::Reserved));
                        self.counted += 1;
                        self.running += 1;
                    }
                }
                Event::Progress(next) => {
                    let Some((status, state)) = self.calls.get_mut(&id) else {
                        return;
                    };
                    if !status.may_become(next) {
                        return;
                    }
                    *status = next;
                    if next.is_terminal() {
                        let connected = next == CallStatus::Completed;
                        let settled = state.settle(connected).expect("a call ends once");
                        *state = settled;
                        self.running -= 1;
                        self.counted -= i64::from(settled == ReservationState::Returned);
                    }
                }
            }
        }
    }

    proptest! {
        #[test]
        fn each_call_is_counted_once_or_given_back_in_any_order_of_events(
            events in proptest::collection::vec((0..4_usize, 0..EVENTS.len()), 0..60)
        ) {
            let mut model = Model::default();
            for (id, event) in events {
                model.apply(id, EVENTS[event]);
                let in_state = |wanted| {
                    let rows = model.calls.values();
                    i64::try_from(rows.filter(|(_, state)| *state == wanted).count()).unwrap()
                };
                let (running, counted) = (in_state(ReservationState::Reserved), in_state(ReservationState::Counted));
                prop_assert_eq!(model.running, running);
                prop_assert_eq!(model.counted, running + counted);
            }
        }

        #[test]
        fn a_settled_reservation_stays_as_it_is(first: bool, then: bool) {
            let settled = ReservationState::Reserved.settle(first).unwrap();
            prop_assert_eq!(settled.settle(then), None);
        }
    }
}
