//! From columns to domain values and back.

use std::fmt;

use jiff::Timestamp;
use serde::{Serialize, de::DeserializeOwned, de::value::StrDeserializer};
use serde_json::value::RawValue;
use sqlx::types::{Json, Uuid};
use voice_saas_core::{
    provider::BoxError,
    store::{StoreError, StoreErrorKind},
};

/// JSON as it lies in the column; read only once its row is known, so that an error can name it.
pub(super) type JsonText = Json<Box<RawValue>>;

/// A value that this version cannot read.
#[derive(Debug, thiserror::Error)]
#[error("column {column} of {table} row {row} cannot be read")]
pub(super) struct CorruptRow {
    table: &'static str,
    column: &'static str,
    row: Uuid,
    source: BoxError,
}

impl CorruptRow {
    /// The store's error for it.
    pub(super) fn during(self, operation: &'static str) -> StoreError {
        StoreError::new(operation, StoreErrorKind::Corrupt).with_source(self)
    }
}

/// A row that is being read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    table: &'static str,
    row: Uuid,
}

impl Place {
    /// The row of `table` with this id.
    pub(super) const fn new(table: &'static str, row: Uuid) -> Self {
        Self { table, row }
    }

    /// What the column holds, or why it cannot be read.
    pub(super) fn read<T, E: Into<BoxError>>(
        self,
        column: &'static str,
        value: Result<T, E>,
    ) -> Result<T, CorruptRow> {
        value.map_err(|source| CorruptRow {
            table: self.table,
            column,
            row: self.row,
            source: source.into(),
        })
    }

    /// A time.
    pub(super) fn time(self, column: &'static str, micros: i64) -> Result<Timestamp, CorruptRow> {
        self.read(column, Timestamp::from_microsecond(micros))
    }

    /// A time that may not have come.
    pub(super) fn optional_time(
        self,
        column: &'static str,
        micros: Option<i64>,
    ) -> Result<Option<Timestamp>, CorruptRow> {
        micros.map(|micros| self.time(column, micros)).transpose()
    }

    /// One of an enumeration's words.
    pub(super) fn word<T: DeserializeOwned>(self, column: &'static str, word: &str) -> Result<T, CorruptRow> {
        self.read(
            column,
            T::deserialize(StrDeserializer::<serde::de::value::Error>::new(word)),
        )
    }

    /// A JSON document.
    pub(super) fn json<T: DeserializeOwned>(
        self,
        column: &'static str,
        json: &JsonText,
    ) -> Result<T, CorruptRow> {
        self.read(column, serde_json::from_str(json.get()))
    }

    /// An unsigned number.
    pub(super) fn number<T: TryFrom<i64, Error: Into<BoxError>>>(
        self,
        column: &'static str,
        number: impl Into<i64>,
    ) -> Result<T, CorruptRow> {
        self.read(column, T::try_from(number.into()))
    }
}

/// The word of an enumeration's value, as its JSON form has it.
pub(super) fn word<T: Serialize + fmt::Debug>(value: &T) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        other => unreachable!("{value:?} is one word in JSON, not {other:?}"),
    }
}

/// The column's value of a time that may not have come.
pub(super) fn micros(time: Option<Timestamp>) -> Option<i64> {
    time.map(Timestamp::as_microsecond)
}

#[cfg(test)]
mod tests {
    use std::error::Error;

    use voice_saas_core::tenant::TenantStatus;

    use super::*;

    #[test]
    fn an_unreadable_value_names_its_table_column_and_row() {
        let place = Place::new("tenants", Uuid::from_u128(7));
        let error = place.word::<TenantStatus>("status", "asleep").unwrap_err();
        assert_eq!(
            error.to_string(),
            "column status of tenants row 00000000-0000-0000-0000-000000000007 cannot be read"
        );
        let error = error.during("find a tenant");
        assert_eq!(error.kind(), StoreErrorKind::Corrupt);
        assert!(error.source().and_then(Error::source).is_some());
    }

    #[test]
    fn an_enumeration_reads_back_its_own_word() {
        let place = Place::new("tenants", Uuid::nil());
        assert_eq!(word(&TenantStatus::PastDue), "past_due");
        assert_eq!(
            place.word::<TenantStatus>("status", "past_due").unwrap(),
            TenantStatus::PastDue
        );
    }
}
