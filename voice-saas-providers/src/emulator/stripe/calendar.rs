//! When periods end.

use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use serde_json::Value;

/// The first end of a period after `start`, counted from the anchor, so that the 31st comes back after February.
pub(super) fn period_end(anchor: i64, recurring: &Value, start: i64) -> i64 {
    let count = recurring["interval_count"].as_i64().unwrap_or(1).max(1);
    let fallback = start + 30 * 24 * 3_600;
    let Ok(from) = Timestamp::from_second(anchor) else {
        return fallback;
    };
    let from = from.to_zoned(TimeZone::UTC);
    for n in 1..100_000 {
        let steps = n * count;
        let span = match recurring["interval"].as_str() {
            Some("day") => Span::new().try_days(steps),
            Some("week") => Span::new().try_weeks(steps),
            Some("year") => Span::new().try_years(steps),
            _ => Span::new().try_months(steps),
        };
        let Some(end) = span.ok().and_then(|span| from.checked_add(span).ok()) else {
            return fallback;
        };
        let end = end.timestamp().as_second();
        if end > start {
            return end;
        }
    }
    fallback
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn at(text: &str) -> i64 {
        text.parse::<Timestamp>().expect("a time").as_second()
    }

    #[test]
    fn the_day_of_the_anchor_comes_back_after_a_short_month() {
        let month = json!({"interval": "month", "interval_count": 1});
        let anchor = at("2026-01-31T10:00:00Z");
        for (start, end) in [
            ("2026-01-31T10:00:00Z", "2026-02-28T10:00:00Z"),
            ("2026-02-28T10:00:00Z", "2026-03-31T10:00:00Z"),
            ("2026-03-31T10:00:00Z", "2026-04-30T10:00:00Z"),
        ] {
            assert_eq!(period_end(anchor, &month, at(start)), at(end), "{start}");
        }
        let week = json!({"interval": "week", "interval_count": 2});
        assert_eq!(period_end(anchor, &week, anchor), anchor + 14 * 24 * 3_600);
    }
}
