//! The pattern that a search of numbers takes.

use super::wire::ApiError;

/// The `Contains` filter: digits and letters, `*` for one digit, `%` for any run, `+` and `$` for the two ends.
pub(super) struct Pattern {
    /// Runs of `Some(digit)` or `None` for any digit; anything may stand between two runs.
    runs: Vec<Vec<Option<char>>>,
    at_start: bool,
    at_end: bool,
}

impl Pattern {
    pub(super) fn parse(text: &str) -> Result<Self, ApiError> {
        let invalid = || ApiError::refused(21_421, format!("Invalid Pattern Provided: {text}"));
        let (at_start, body) = text.strip_prefix('+').map_or((false, text), |rest| (true, rest));
        let (at_end, body) = body.strip_suffix('$').map_or((false, body), |rest| (true, rest));
        let real = body.chars().filter(char::is_ascii_alphanumeric).count();
        if real < 2 || text.len() > 16 {
            return Err(invalid());
        }
        let run = |run: &str| {
            run.chars()
                .map(|char| match char {
                    '*' => Ok(None),
                    '0'..='9' => Ok(Some(char)),
                    letter if letter.is_ascii_alphabetic() => Ok(Some(keypad(letter))),
                    _ => Err(invalid()),
                })
                .collect::<Result<Vec<_>, _>>()
        };
        Ok(Self {
            runs: body.split('%').map(run).collect::<Result<_, _>>()?,
            at_start,
            at_end,
        })
    }

    pub(super) fn matches(&self, number: &str) -> bool {
        let digits: Vec<char> = number.chars().filter(char::is_ascii_digit).collect();
        let fits = |run: &[Option<char>], at: usize| {
            run.iter().enumerate().all(|(offset, wanted)| {
                digits
                    .get(at + offset)
                    .is_some_and(|digit| wanted.is_none_or(|wanted| wanted == *digit))
            })
        };
        let mut from = 0;
        for (index, run) in self.runs.iter().enumerate() {
            let fixed_start = index == 0 && self.at_start;
            let fixed_end = index + 1 == self.runs.len() && self.at_end;
            let end_at = digits.len().checked_sub(run.len());
            let found = (from..=digits.len()).find(|at| {
                fits(run, *at) && (!fixed_start || *at == 0) && (!fixed_end || Some(*at) == end_at)
            });
            let Some(at) = found else { return false };
            from = at + run.len();
        }
        true
    }
}

/// The key that a letter stands on.
fn keypad(letter: char) -> char {
    match letter.to_ascii_uppercase() {
        'A'..='C' => '2',
        'D'..='F' => '3',
        'G'..='I' => '4',
        'J'..='L' => '5',
        'M'..='O' => '6',
        'P'..='S' => '7',
        'T'..='V' => '8',
        _ => '9',
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, number: &str, expected: bool) {
        assert_eq!(
            Pattern::parse(pattern).expect("a valid pattern").matches(number),
            expected,
            "{pattern}"
        );
    }

    #[test]
    fn contains_understands_wildcards_and_anchors() {
        check("5550100", "+14155550100", true);
        check("555*100", "+14155550100", true);
        check("415%0100", "+14155550100", true);
        check("+1415", "+14155550100", true);
        check("+415", "+14155550100", false);
        check("100$", "+14155550100", true);
        check("010$", "+14155550100", false);
        check("KLM", "+14155550100", false);
        check("JJJ", "+14155550100", true);
        assert!(Pattern::parse("5").is_err());
        assert!(Pattern::parse("55-01").is_err());
    }
}
