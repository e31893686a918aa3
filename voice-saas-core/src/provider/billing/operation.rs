//! What an act at a billing provider is done for.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why a text names no operation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an operation is 1 to 100 visible ASCII characters")]
pub struct OperationError;

/// The id of an act in our own books, such as a saga's. It tags what the act makes, and from it comes the key by which
/// the provider recognises a repetition.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Operation {
    id: String,
    attempt: u32,
}

impl Operation {
    /// The operation with this id.
    ///
    /// # Errors
    /// The id is empty, longer than 100 characters, or holds others than visible ASCII.
    pub fn new(id: impl Into<String>) -> Result<Self, OperationError> {
        let id = id.into();
        let fits = (1..=100).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic());
        if fits {
            Ok(Self { id, attempt: 1 })
        } else {
            Err(OperationError)
        }
    }

    /// The same operation under a new key. A provider may remember a failure for as long as a success (Stripe replays
    /// declined cards and 500s for a day): once it was looked for and not found, a further attempt needs a key of its
    /// own. After a time-out there is nothing to remember yet, and the attempt stays the same.
    #[must_use]
    pub fn with_attempt(mut self, attempt: u32) -> Self {
        self.attempt = attempt;
        self
    }

    /// The tag.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Which attempt it is, from 1.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.id)
    }
}

impl TryFrom<String> for Operation {
    type Error = OperationError;

    fn try_from(id: String) -> Result<Self, OperationError> {
        Self::new(id)
    }
}

impl From<Operation> for String {
    fn from(operation: Operation) -> Self {
        operation.id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_that_no_header_carries_is_refused() {
        for id in ["", "a b", "é", "a\n", &"x".repeat(101)] {
            assert_eq!(Operation::new(id), Err(OperationError), "{id:?}");
        }
        assert_eq!(Operation::new("saga_1").expect("an operation").id(), "saga_1");
    }
}
