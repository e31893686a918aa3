//! Where a number stands in its life, and where it may go from there.

use serde::{Deserialize, Serialize};

use crate::store::{StoreError, StoreErrorKind};

/// Where a number stands in its life: `pending → active ⇄ inactive → (quarantined →) released`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum NumberStatus {
    /// Chosen; the purchase or the import is under way.
    Pending,
    /// Its country asks for an address or papers first. Nothing is paid for and the number is not held: anybody may buy
    /// it, and the tenant's next purchase that chooses it goes on with this row.
    WaitingForDocuments,
    /// Paid for and answered.
    Active,
    /// Paid for and not answered.
    Inactive,
    /// Out of service for good, and kept for a while before it is given back.
    Quarantined,
    /// Given back.
    Released,
}

/// A change that the life of a number does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a number that is {from:?} cannot become {to:?}")]
#[expect(clippy::exhaustive_structs, reason = "a change is from and to")]
pub struct IllegalChange {
    /// Where it stands.
    pub from: NumberStatus,
    /// Where it was to go.
    pub to: NumberStatus,
}

impl From<IllegalChange> for StoreError {
    fn from(change: IllegalChange) -> Self {
        Self::new("change the status of a number", StoreErrorKind::Conflict).with_source(change)
    }
}

impl NumberStatus {
    /// Every one, in the order of a number's life.
    pub const ALL: [Self; 6] = [
        Self::Pending,
        Self::WaitingForDocuments,
        Self::Active,
        Self::Inactive,
        Self::Quarantined,
        Self::Released,
    ];

    /// The one state machine: where a number goes when it is to become `to`. To stay is no change.
    ///
    /// ```
    /// use voice_saas_core::number::NumberStatus;
    ///
    /// assert!(NumberStatus::Active.change(NumberStatus::Inactive).is_ok());
    /// assert!(NumberStatus::Released.change(NumberStatus::Active).is_err());
    /// ```
    ///
    /// # Errors
    /// `IllegalChange`.
    pub const fn change(self, to: Self) -> Result<Self, IllegalChange> {
        let legal = match self {
            Self::Pending => matches!(
                to,
                Self::Pending | Self::WaitingForDocuments | Self::Active | Self::Released
            ),
            Self::WaitingForDocuments => {
                matches!(to, Self::WaitingForDocuments | Self::Pending | Self::Released)
            }
            Self::Active => matches!(to, Self::Active | Self::Inactive),
            Self::Inactive => matches!(
                to,
                Self::Inactive | Self::Active | Self::Quarantined | Self::Released
            ),
            Self::Quarantined => matches!(to, Self::Quarantined | Self::Released),
            Self::Released => matches!(to, Self::Released),
        };
        if legal {
            Ok(to)
        } else {
            Err(IllegalChange { from: self, to })
        }
    }

    /// Whether the number is the tenant's alone: no other row has it.
    pub const fn holds(self) -> bool {
        !matches!(self, Self::WaitingForDocuments | Self::Released)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{NumberStatus::*, *};

    /// Every change that there is; all others are refused.
    const LEGAL: [(NumberStatus, NumberStatus); 10] = [
        (Pending, WaitingForDocuments),
        (Pending, Active),
        (Pending, Released),
        (WaitingForDocuments, Pending),
        (WaitingForDocuments, Released),
        (Active, Inactive),
        (Inactive, Active),
        (Inactive, Quarantined),
        (Inactive, Released),
        (Quarantined, Released),
    ];

    #[test]
    fn a_number_makes_the_changes_of_the_table_and_no_others() {
        for from in NumberStatus::ALL {
            for to in NumberStatus::ALL {
                let expected = if from == to || LEGAL.contains(&(from, to)) {
                    Ok(to)
                } else {
                    Err(IllegalChange { from, to })
                };
                assert_eq!(from.change(to), expected);
            }
        }
    }

    fn status() -> impl Strategy<Value = NumberStatus> {
        prop::sample::select(NumberStatus::ALL.to_vec())
    }

    proptest! {
        #[test]
        fn whatever_is_tried_a_released_number_stays_released_and_none_is_answered_before_it_is_paid_for(
            wishes in prop::collection::vec(status(), 0..40),
        ) {
            let (mut now, mut paid_for, mut released) = (Pending, false, false);
            for wish in wishes {
                let before = now;
                now = now.change(wish).unwrap_or(now);
                prop_assert!(!released || now == Released);
                prop_assert!(now != Quarantined || paid_for);
                prop_assert!(before == Active || before == Inactive || before == Pending || now != Active);
                paid_for |= now == Active;
                released |= now == Released;
            }
        }
    }
}
