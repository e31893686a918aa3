//! The status of a call: a machine that only moves forward.

use serde::{Deserialize, Serialize};

use super::EndReason;
use crate::provider::telephony::ProviderCallStatus;

macro_rules! statuses {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $rank:literal;)*) => {
        /// How far a call has come.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        #[non_exhaustive]
        pub enum CallStatus {
            $($(#[$doc])* $name,)*
        }

        impl CallStatus {
            /// The word for it in the API and in the store.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }

            /// Reads such a word.
            pub fn from_word(word: &str) -> Option<Self> {
                match word {
                    $($text => Some(Self::$name),)*
                    _ => None,
                }
            }

            const fn rank(self) -> u8 {
                match self {
                    $(Self::$name => $rank,)*
                }
            }
        }
    };
}

statuses! {
    /// To be dialled later.
    Scheduled = "scheduled", 0;
    /// To be dialled now.
    Queued = "queued", 1;
    /// The carrier was asked to dial.
    Dialing = "dialing", 2;
    /// Ringing.
    Ringing = "ringing", 3;
    /// Answered.
    InProgress = "in_progress", 4;
    /// Answered and over.
    Completed = "completed", 5;
    /// The callee was busy.
    Busy = "busy", 5;
    /// Nobody answered.
    NoAnswer = "no_answer", 5;
    /// It could not be connected.
    Failed = "failed", 5;
    /// Ended before it was answered.
    Canceled = "canceled", 5;
    /// We refused it.
    Rejected = "rejected", 5;
    /// It was too late to dial.
    Expired = "expired", 5;
}

impl CallStatus {
    /// Whether nothing can follow.
    pub const fn is_terminal(self) -> bool {
        self.rank() == 5
    }

    /// Whether `next` is further along. A terminal status is final, and callbacks that arrive late or twice
    /// change nothing.
    pub const fn may_become(self, next: Self) -> bool {
        self.rank() < next.rank()
    }

    /// A carrier's word for it; `None` for a word that says nothing new.
    pub const fn of_provider(status: ProviderCallStatus) -> Option<Self> {
        match status {
            ProviderCallStatus::Queued => Some(Self::Queued),
            ProviderCallStatus::Initiated => Some(Self::Dialing),
            ProviderCallStatus::Ringing => Some(Self::Ringing),
            ProviderCallStatus::InProgress => Some(Self::InProgress),
            ProviderCallStatus::Completed => Some(Self::Completed),
            ProviderCallStatus::Busy => Some(Self::Busy),
            ProviderCallStatus::NoAnswer => Some(Self::NoAnswer),
            ProviderCallStatus::Failed => Some(Self::Failed),
            ProviderCallStatus::Canceled => Some(Self::Canceled),
            ProviderCallStatus::Unknown => None,
        }
    }

    /// Why a call ended that the carrier reports with this status, when nobody knows better.
    pub const fn end_reason(self) -> Option<EndReason> {
        match self {
            Self::Completed => Some(EndReason::Completed),
            Self::Busy => Some(EndReason::Busy),
            Self::NoAnswer => Some(EndReason::NoAnswer),
            Self::Failed => Some(EndReason::CarrierFailed),
            Self::Canceled => Some(EndReason::Canceled),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [CallStatus; 12] = [
        CallStatus::Scheduled,
        CallStatus::Queued,
        CallStatus::Dialing,
        CallStatus::Ringing,
        CallStatus::InProgress,
        CallStatus::Completed,
        CallStatus::Busy,
        CallStatus::NoAnswer,
        CallStatus::Failed,
        CallStatus::Canceled,
        CallStatus::Rejected,
        CallStatus::Expired,
    ];

    #[test]
    fn every_status_reads_back_its_own_word() {
        for status in ALL {
            assert_eq!(CallStatus::from_word(status.as_str()), Some(status));
        }
    }

    #[test]
    fn a_call_that_ended_stays_ended() {
        for ended in ALL.into_iter().filter(|status| status.is_terminal()) {
            assert!(ALL.into_iter().all(|next| !ended.may_become(next)), "{ended:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn callbacks_in_any_order_and_number_end_in_a_status_no_earlier_than_any_of_them(
            order in proptest::collection::vec(0..ALL.len(), 1..20)
        ) {
            let mut status = CallStatus::Scheduled;
            for index in &order {
                if status.may_become(ALL[*index]) {
                    status = ALL[*index];
                }
            }
            proptest::prop_assert!(order.iter().all(|index| !status.may_become(ALL[*index])));
        }
    }
}
