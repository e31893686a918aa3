//! What is wrong with a request, field by field.

/// One field that cannot be accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "the three parts of a field error")]
pub struct FieldError {
    /// Which: a JSON pointer such as `/email`.
    pub pointer: String,
    /// A stable word.
    pub code: &'static str,
    /// What to do about it.
    pub detail: String,
}

/// A request that cannot be accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} field(s) cannot be accepted", errors.len())]
#[expect(clippy::exhaustive_structs, reason = "it is its errors")]
pub struct Invalid {
    /// Every field that is wrong.
    pub errors: Vec<FieldError>,
}

impl Invalid {
    /// One wrong field.
    pub fn field(pointer: impl Into<String>, code: &'static str, detail: impl Into<String>) -> Self {
        Self {
            errors: vec![FieldError {
                pointer: pointer.into(),
                code,
                detail: detail.into(),
            }],
        }
    }
}

/// Collects what is wrong.
#[derive(Debug, Default)]
pub struct Checks(Vec<FieldError>);

impl Checks {
    /// Nothing is wrong yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes a wrong field unless `right`.
    pub fn require(&mut self, right: bool, pointer: &str, code: &'static str, detail: &str) {
        if !right {
            self.0.push(FieldError {
                pointer: pointer.to_owned(),
                code,
                detail: detail.to_owned(),
            });
        }
    }

    /// The length in characters lies in `range`.
    pub fn length(&mut self, text: &str, range: std::ops::RangeInclusive<usize>, pointer: &str) {
        let count = text.chars().count();
        if !range.contains(&count) {
            self.0.push(FieldError {
                pointer: pointer.to_owned(),
                code: "length",
                detail: format!(
                    "must have {} to {} characters, has {count}",
                    range.start(),
                    range.end()
                ),
            });
        }
    }

    /// The verdict.
    ///
    /// # Errors
    /// `Invalid` when anything is wrong.
    pub fn finish(self) -> Result<(), Invalid> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(Invalid { errors: self.0 })
        }
    }
}
