//! Where a number of the pool stands, and where it may go from there.

use serde::{Deserialize, Serialize};

use crate::store::{StoreError, StoreErrorKind};

/// Where a number of the pool stands: `buying → free ⇄ lent`, `lent → quarantined → free`, and out by
/// `retiring → retired`. A shared number is never lent: it stays free while many tenants call from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PoolStatus {
    /// Chosen, and written down before the order: it may be paid for already.
    Buying,
    /// Paid for, and at hand.
    Free,
    /// A tenant has it.
    Lent,
    /// A tenant had it; nobody gets it until its old callers have forgotten it.
    Quarantined,
    /// Being given back at the carrier.
    Retiring,
    /// Given back, or never bought.
    Retired,
}

/// A change that the life of a pool's number does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a number of the pool that is {from:?} cannot become {to:?}")]
#[expect(clippy::exhaustive_structs, reason = "a change is from and to")]
pub struct IllegalPoolChange {
    /// Where it stands.
    pub from: PoolStatus,
    /// Where it was to go.
    pub to: PoolStatus,
}

impl From<IllegalPoolChange> for StoreError {
    fn from(change: IllegalPoolChange) -> Self {
        Self::new("change the status of a pool's number", StoreErrorKind::Conflict).with_source(change)
    }
}

impl PoolStatus {
    /// Every one, in the order of a number's life.
    pub const ALL: [Self; 6] = [
        Self::Buying,
        Self::Free,
        Self::Lent,
        Self::Quarantined,
        Self::Retiring,
        Self::Retired,
    ];

    /// The one state machine: where a number goes when it is to become `to`. To stay is no change.
    ///
    /// ```
    /// use voice_saas_core::number::PoolStatus;
    ///
    /// assert!(PoolStatus::Lent.change(PoolStatus::Quarantined).is_ok());
    /// assert!(PoolStatus::Lent.change(PoolStatus::Retiring).is_err());
    /// ```
    ///
    /// # Errors
    /// `IllegalPoolChange`.
    pub const fn change(self, to: Self) -> Result<Self, IllegalPoolChange> {
        let legal = match self {
            Self::Buying => matches!(to, Self::Buying | Self::Free | Self::Retired),
            Self::Free => matches!(to, Self::Free | Self::Lent | Self::Retiring),
            // Back to free alone when no call was answered through it.
            Self::Lent => matches!(to, Self::Lent | Self::Free | Self::Quarantined),
            Self::Quarantined => matches!(to, Self::Quarantined | Self::Free | Self::Retiring),
            Self::Retiring => matches!(to, Self::Retiring | Self::Retired),
            Self::Retired => matches!(to, Self::Retired),
        };
        if legal {
            Ok(to)
        } else {
            Err(IllegalPoolChange { from: self, to })
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{PoolStatus::*, *};

    /// Every change that there is; all others are refused.
    const LEGAL: [(PoolStatus, PoolStatus); 9] = [
        (Buying, Free),
        (Buying, Retired),
        (Free, Lent),
        (Free, Retiring),
        (Lent, Free),
        (Lent, Quarantined),
        (Quarantined, Free),
        (Quarantined, Retiring),
        (Retiring, Retired),
    ];

    #[test]
    fn a_number_makes_the_changes_of_the_table_and_no_others() {
        for from in PoolStatus::ALL {
            for to in PoolStatus::ALL {
                let expected = if from == to || LEGAL.contains(&(from, to)) {
                    Ok(to)
                } else {
                    Err(IllegalPoolChange { from, to })
                };
                assert_eq!(from.change(to), expected);
            }
        }
    }

    proptest! {
        #[test]
        fn whatever_is_tried_a_lent_number_is_never_given_back_at_the_carrier_and_a_retired_one_stays_retired(
            wishes in prop::collection::vec(prop::sample::select(PoolStatus::ALL.to_vec()), 0..40),
        ) {
            let (mut now, mut retired) = (Buying, false);
            for wish in wishes {
                let before = now;
                now = now.change(wish).unwrap_or(now);
                prop_assert!(!retired || now == Retired);
                prop_assert!(before != Lent || !matches!(now, Retiring | Retired));
                prop_assert!(now != Lent || matches!(before, Free | Lent));
                retired |= now == Retired;
            }
        }
    }
}
