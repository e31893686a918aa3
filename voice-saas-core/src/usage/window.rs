//! The windows in which use is counted: days, ISO weeks and months of the tenant's zone.
//!
//! A window is a key, not a job: what is used tomorrow is counted under another name, so nothing is ever reset.

use jiff::{Timestamp, ToSpan, Zoned, civil::Date};

use crate::tenant::Zone;

/// The kinds of windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "callers handle each")]
pub enum WindowKind {
    /// A day.
    Day,
    /// An ISO week: Monday to Sunday.
    Week,
    /// A calendar month.
    Month,
}

/// The names of the windows of one moment.
///
/// ```
/// use voice_saas_core::usage::Windows;
///
/// let new_york = "America/New_York".parse().expect("a zone");
/// let windows = Windows::at("2027-01-01T03:00:00Z".parse().expect("a time"), &new_york);
/// assert_eq!((windows.day.as_str(), windows.week.as_str(), windows.month.as_str()), ("2026-12-31", "2026-W53", "2026-12"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_structs, reason = "stores build it")]
pub struct Windows {
    /// Such as `2026-11-21`.
    pub day: String,
    /// Such as `2026-W47`.
    pub week: String,
    /// Such as `2026-11`.
    pub month: String,
}

impl Windows {
    /// The name under which everything is counted that was ever used.
    pub const TOTAL: &'static str = "all";

    /// The windows of this moment in this zone.
    pub fn at(now: Timestamp, zone: &Zone) -> Self {
        Self::of(local(now, zone).date())
    }

    fn of(date: Date) -> Self {
        let week = date.iso_week_date();
        Self {
            day: date.to_string(),
            week: format!("{:04}-W{:02}", week.year(), week.week()),
            month: format!("{:04}-{:02}", date.year(), date.month()),
        }
    }

    /// The name of this kind's window.
    pub fn key(&self, kind: WindowKind) -> &str {
        match kind {
            WindowKind::Day => &self.day,
            WindowKind::Week => &self.week,
            WindowKind::Month => &self.month,
        }
    }
}

impl WindowKind {
    /// When the next window begins; `None` at the end of time.
    pub fn ends_at(self, now: Timestamp, zone: &Zone) -> Option<Timestamp> {
        let local = local(now, zone);
        let today = local.date();
        let next = match self {
            Self::Day => today.checked_add(1.day()).ok()?,
            Self::Week => {
                let days = 8 - i64::from(today.weekday().to_monday_one_offset());
                today.checked_add(days.days()).ok()?
            }
            Self::Month => today.first_of_month().checked_add(1.month()).ok()?,
        };
        // Where there is no such midnight, the day begins when the clock has jumped over it.
        let begins = next.to_zoned(local.time_zone().clone()).ok()?;
        Some(begins.start_of_day().unwrap_or(begins).timestamp())
    }
}

/// The month of a ledger entry: calendar months in UTC, as carriers' invoices have them.
pub fn invoice_month(at: Timestamp) -> String {
    Windows::at(at, &Zone::utc()).month
}

fn local(now: Timestamp, zone: &Zone) -> Zoned {
    now.to_zoned(zone.rules())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn zone(name: &str) -> Zone {
        name.parse().expect("a zone")
    }

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    #[rstest]
    // The year of a week is not always that of its days.
    #[case("2026-12-31T12:00:00Z", "UTC", "2026-12-31", "2026-W53", "2026-12")]
    #[case("2027-01-03T12:00:00Z", "UTC", "2027-01-03", "2026-W53", "2027-01")]
    #[case("2027-01-04T00:00:00Z", "UTC", "2027-01-04", "2027-W01", "2027-01")]
    // The same moment, three days.
    #[case(
        "2026-11-21T11:00:00Z",
        "Pacific/Kiritimati",
        "2026-11-22",
        "2026-W47",
        "2026-11"
    )]
    #[case(
        "2026-11-21T11:00:00Z",
        "Pacific/Pago_Pago",
        "2026-11-21",
        "2026-W47",
        "2026-11"
    )]
    #[case(
        "2026-11-22T10:30:00Z",
        "Pacific/Pago_Pago",
        "2026-11-21",
        "2026-W47",
        "2026-11"
    )]
    // The night in which clocks are set back: 01:30 comes twice, on one day.
    #[case(
        "2026-11-01T05:30:00Z",
        "America/New_York",
        "2026-11-01",
        "2026-W44",
        "2026-11"
    )]
    #[case(
        "2026-11-01T06:30:00Z",
        "America/New_York",
        "2026-11-01",
        "2026-W44",
        "2026-11"
    )]
    #[case(
        "2026-11-01T03:59:59Z",
        "America/New_York",
        "2026-10-31",
        "2026-W44",
        "2026-10"
    )]
    fn a_moment_has_the_windows_of_its_zone(
        #[case] moment: &str,
        #[case] name: &str,
        #[case] day: &str,
        #[case] week: &str,
        #[case] month: &str,
    ) {
        let windows = Windows::at(at(moment), &zone(name));
        assert_eq!(
            (
                windows.day.as_str(),
                windows.week.as_str(),
                windows.month.as_str()
            ),
            (day, week, month)
        );
    }

    #[rstest]
    #[case(
        WindowKind::Day,
        "2026-03-08T12:00:00Z",
        "America/New_York",
        "2026-03-09T04:00:00Z"
    )]
    // A day of 25 hours, and the week and month with it.
    #[case(
        WindowKind::Day,
        "2026-11-01T04:00:00Z",
        "America/New_York",
        "2026-11-02T05:00:00Z"
    )]
    #[case(
        WindowKind::Week,
        "2026-10-30T12:00:00Z",
        "America/New_York",
        "2026-11-02T05:00:00Z"
    )]
    #[case(
        WindowKind::Month,
        "2026-11-15T12:00:00Z",
        "America/New_York",
        "2026-12-01T05:00:00Z"
    )]
    // Midnight does not exist there on that day: clocks jump from 23:59:59 to 01:00.
    #[case(
        WindowKind::Day,
        "2026-03-28T20:00:00Z",
        "Asia/Beirut",
        "2026-03-28T22:00:00Z"
    )]
    // A whole day that was left out.
    #[case(
        WindowKind::Day,
        "2011-12-30T00:00:00Z",
        "Pacific/Apia",
        "2011-12-30T10:00:00Z"
    )]
    fn a_window_ends_where_the_next_begins(
        #[case] kind: WindowKind,
        #[case] moment: &str,
        #[case] name: &str,
        #[case] end: &str,
    ) {
        assert_eq!(kind.ends_at(at(moment), &zone(name)), Some(at(end)));
    }

    const ZONES: [&str; 9] = [
        "UTC",
        "America/New_York",
        "America/Sao_Paulo",
        "Europe/London",
        "Asia/Kolkata",
        "Asia/Beirut",
        "Australia/Lord_Howe",
        "Pacific/Apia",
        "Pacific/Chatham",
    ];

    proptest! {
        #[test]
        fn windows_follow_one_another_without_gap_or_overlap(
            seconds in 946_684_800_i64..4_102_444_800, place in 0..ZONES.len(), kind in 0..3_usize
        ) {
            let kind = [WindowKind::Day, WindowKind::Week, WindowKind::Month][kind];
            let (now, zone) = (Timestamp::from_second(seconds).unwrap(), zone(ZONES[place]));
            let end = kind.ends_at(now, &zone).unwrap();
            let key = |moment| Windows::at(moment, &zone).key(kind).to_owned();
            prop_assert!(now < end);
            prop_assert_eq!(key(now), key(end - 1.nanosecond()));
            prop_assert_ne!(key(now), key(end));
            // Keys are in the order of time.
            prop_assert!(key(now) < key(end));
        }
    }
}
