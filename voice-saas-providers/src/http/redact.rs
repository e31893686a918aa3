//! What of a request may be logged: the names on these lists, and nothing else.

use std::fmt;

use http::HeaderMap;

const HEADERS: &[&str] = &[
    "accept",
    "content-length",
    "content-type",
    "date",
    "request-id",
    "retry-after",
    "twilio-concurrent-requests",
    "twilio-request-id",
    "user-agent",
    "x-request-id",
];

const QUERY: &[&str] = &["AreaCode", "Page", "PageSize", "VoiceEnabled", "page_size"];

const REDACTED: &str = "REDACTED";

/// Prints the names of all headers and the values of those on the list.
pub(super) struct Headers<'a>(pub(super) &'a HeaderMap);

impl fmt::Debug for Headers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.0.iter().map(|(name, value)| {
            let value = value.to_str().ok().filter(|_| HEADERS.contains(&name.as_str()));
            (name.as_str(), value.unwrap_or(REDACTED))
        });
        f.debug_map().entries(shown).finish()
    }
}

/// Prints the names of all query parameters and the values of those on the list.
pub(super) struct Query<'a>(pub(super) &'a [(&'static str, String)]);

impl fmt::Debug for Query<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.0.iter().map(|(name, value)| {
            let value = if QUERY.contains(name) { value } else { REDACTED };
            (name, value)
        });
        f.debug_map().entries(shown).finish()
    }
}

/// Providers' messages quote phone numbers, and logs show none in full: all but the last four digits of a long run
/// become `*`. What is longer than `longest` characters is cut.
pub(crate) fn without_numbers(message: &str, longest: usize) -> String {
    let mut text: Vec<char> = message.chars().take(longest).collect();
    for run in text.chunk_by_mut(|a, b| a.is_ascii_digit() && b.is_ascii_digit()) {
        if run.len() >= 7 {
            let hidden = run.len() - 4;
            run[..hidden].fill('*');
        }
    }
    text.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_that_is_not_on_the_list_prints_no_value() {
        let mut headers = HeaderMap::new();
        headers.insert("retry-after", "7".parse().unwrap());
        headers.insert("x-new-secret", "hunter2".parse().unwrap());
        let printed = format!("{:?}", Headers(&headers));
        assert_eq!(printed, r#"{"retry-after": "7", "x-new-secret": "REDACTED"}"#);
    }

    #[test]
    fn a_query_value_that_is_not_on_the_list_does_not_print() {
        let query = [
            ("PageSize", "5".to_owned()),
            ("PhoneNumber", "+12125550142".to_owned()),
        ];
        let printed = format!("{:?}", Query(&query));
        assert_eq!(printed, r#"{"PageSize": "5", "PhoneNumber": "REDACTED"}"#);
    }

    #[test]
    fn of_a_long_number_the_last_four_digits_show() {
        assert_eq!(
            without_numbers("+15005550000 said 486", 300),
            "+*******0000 said 486"
        );
        assert_eq!(without_numbers(&"x".repeat(999), 300).len(), 300);
    }
}
