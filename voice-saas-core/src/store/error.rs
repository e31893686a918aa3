//! What can go wrong in a store.

use std::fmt;

use crate::provider::BoxError;

/// The kinds of failure that callers tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreErrorKind {
    /// There is no such row in this scope.
    NotFound,
    /// A row with the same key is there already, perhaps another tenant's.
    Conflict,
    /// Another writer came first; read again and decide anew.
    Stale,
    /// The tenant is being closed, or is closed: it gets nothing new.
    TenantClosed,
    /// The database cannot be reached, is busy or timed out; the work was not done.
    Unavailable,
    /// A row holds what this version cannot read.
    Corrupt,
    /// Anything else.
    Internal,
}

/// A store's failure.
#[derive(Debug)]
pub struct StoreError {
    operation: &'static str,
    kind: StoreErrorKind,
    source: Option<BoxError>,
}

impl StoreError {
    /// `operation` completes "the store could not …", for instance `"find a number"`.
    pub fn new(operation: &'static str, kind: StoreErrorKind) -> Self {
        Self {
            operation,
            kind,
            source: None,
        }
    }

    /// Adds the cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<BoxError>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// What could not be done.
    pub fn operation(&self) -> &'static str {
        self.operation
    }

    /// The kind of failure.
    pub fn kind(&self) -> StoreErrorKind {
        self.kind
    }

    /// Whether there was no such row.
    pub fn is_not_found(&self) -> bool {
        self.kind == StoreErrorKind::NotFound
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the store could not {}", self.operation)
    }
}

impl std::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source
            .as_deref()
            .map(|source| source as &(dyn std::error::Error + 'static))
    }
}
