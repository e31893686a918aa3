//! The migrations of both databases make the same tables.
#![cfg(all(feature = "postgres", feature = "sqlite", feature = "testing"))]

use std::collections::{BTreeMap, BTreeSet};

use secrecy::ExposeSecret;
use sqlx::{Connection, PgConnection, SqliteConnection};
use voice_saas_providers::sql::{SqliteStore, testing::FreshPostgres};

/// A column: its type in the words of `SQLite`, and whether it must have a value.
type Columns = BTreeMap<String, (String, bool)>;

/// An index: its columns in order, whether it is unique, and whether it leaves rows out.
type Index = (Vec<String>, bool, bool);

#[derive(Debug, Default, PartialEq)]
struct Table {
    columns: Columns,
    primary_key: Vec<String>,
    indexes: BTreeMap<String, Index>,
    /// Their columns, the other table and its columns.
    foreign_keys: BTreeSet<(Vec<String>, String, Vec<String>)>,
}

async fn sqlite() -> BTreeMap<String, Table> {
    let path = concat!(env!("CARGO_TARGET_TMPDIR"), "/schema.db");
    for leftover in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{path}{leftover}"));
    }
    SqliteStore::open(path).await.expect("the catalog answers");
    let mut connection = SqliteConnection::connect(path)
        .await
        .expect("the catalog answers");
    let names: Vec<String> = sqlx::query_scalar(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND name NOT LIKE '_sqlx_%'",
    )
    .fetch_all(&mut connection)
    .await
    .expect("the catalog answers");
    let mut tables = BTreeMap::new();
    for name in names {
        let mut table = Table::default();
        let columns: Vec<(String, String, bool, i64)> =
            sqlx::query_as("SELECT name, type, \"notnull\", pk FROM pragma_table_info($1) ORDER BY pk")
                .bind(&name)
                .fetch_all(&mut connection)
                .await
                .expect("the catalog answers");
        for (column, kind, required, key) in columns {
            if key > 0 {
                table.primary_key.push(column.clone());
            }
            table.columns.insert(column, (kind, required));
        }
        let indexes: Vec<(String, bool, bool)> =
            sqlx::query_as("SELECT name, \"unique\", partial FROM pragma_index_list($1) WHERE origin = 'c'")
                .bind(&name)
                .fetch_all(&mut connection)
                .await
                .expect("the catalog answers");
        for (index, unique, partial) in indexes {
            let columns = sqlx::query_scalar("SELECT name FROM pragma_index_info($1) ORDER BY seqno")
                .bind(&index)
                .fetch_all(&mut connection)
                .await
                .expect("the catalog answers");
            table.indexes.insert(index, (columns, unique, partial));
        }
        let keys: Vec<(i64, String, String, String)> = sqlx::query_as(
            "SELECT id, \"table\", \"from\", \"to\" FROM pragma_foreign_key_list($1) ORDER BY id, seq",
        )
        .bind(&name)
        .fetch_all(&mut connection)
        .await
        .expect("the catalog answers");
        let mut by_id: BTreeMap<i64, (Vec<String>, String, Vec<String>)> = BTreeMap::new();
        for (id, other, from, to) in keys {
            let key = by_id.entry(id).or_default();
            key.0.push(from);
            key.1 = other;
            key.2.push(to);
        }
        table.foreign_keys = by_id.into_values().collect();
        tables.insert(name, table);
    }
    tables
}

/// What a type of `PostgreSQL` is called in the other migration.
fn in_sqlite(kind: &str) -> String {
    match kind {
        "uuid" | "bytea" => "BLOB",
        "jsonb" | "text" => "TEXT",
        "bigint" => "BIGINT",
        "integer" => "INTEGER",
        "boolean" => "BOOLEAN",
        other => panic!("no column has the type {other}"),
    }
    .to_owned()
}

async fn postgres(connection: &mut PgConnection) -> BTreeMap<String, Table> {
    let names: Vec<(i64, String)> = sqlx::query_as(
        "SELECT oid::bigint, relname::text FROM pg_class
        WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND relname NOT LIKE '\\_sqlx\\_%'",
    )
    .fetch_all(&mut *connection)
    .await
    .expect("the catalog answers");
    let mut tables = BTreeMap::new();
    for (oid, name) in names {
        let mut table = Table::default();
        let columns: Vec<(String, String, bool)> = sqlx::query_as(
            "SELECT attname::text, format_type(atttypid, NULL), attnotnull FROM pg_attribute
            WHERE attrelid = $1::oid AND attnum > 0 AND NOT attisdropped",
        )
        .bind(oid)
        .fetch_all(&mut *connection)
        .await
        .expect("the catalog answers");
        for (column, kind, required) in columns {
            table.columns.insert(column, (in_sqlite(&kind), required));
        }
        let indexes: Vec<(String, Vec<String>, bool, bool, bool)> = sqlx::query_as(
            "SELECT c.relname::text,
                ARRAY(SELECT pg_get_indexdef(i.indexrelid, n, TRUE) FROM generate_series(1, i.indnatts) n),
                i.indisunique, i.indpred IS NOT NULL, i.indisprimary
            FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE i.indrelid = $1::oid",
        )
        .bind(oid)
        .fetch_all(&mut *connection)
        .await
        .expect("the catalog answers");
        for (index, columns, unique, partial, primary) in indexes {
            if primary {
                table.primary_key = columns;
            } else {
                table.indexes.insert(index, (columns, unique, partial));
            }
        }
        let keys: Vec<(Vec<String>, String, Vec<String>)> = sqlx::query_as(
            "SELECT
                ARRAY(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY AS u (n, place)
                    JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.n ORDER BY u.place),
                f.relname::text,
                ARRAY(SELECT a.attname::text FROM unnest(k.confkey) WITH ORDINALITY AS u (n, place)
                    JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.n ORDER BY u.place)
            FROM pg_constraint k JOIN pg_class f ON f.oid = k.confrelid
            WHERE k.conrelid = $1::oid AND k.contype = 'f'",
        )
        .bind(oid)
        .fetch_all(&mut *connection)
        .await
        .expect("the catalog answers");
        table.foreign_keys = keys.into_iter().collect();
        tables.insert(name, table);
    }
    tables
}

#[tokio::test]
async fn both_migrations_make_the_same_tables_columns_indexes_and_foreign_keys() {
    let Some(fresh) = FreshPostgres::create().await else {
        return;
    };
    let mut connection = PgConnection::connect(fresh.url().expose_secret())
        .await
        .expect("the catalog answers");
    let (sqlite, postgres) = (sqlite().await, postgres(&mut connection).await);
    assert!(sqlite.contains_key("calls"));
    assert_eq!(
        sqlite.keys().collect::<Vec<_>>(),
        postgres.keys().collect::<Vec<_>>()
    );
    for (name, table) in &sqlite {
        assert_eq!(table, &postgres[name], "{name}");
    }
}

#[tokio::test]
async fn no_foreign_key_cascades_and_each_between_tenant_tables_begins_with_the_tenant() {
    let Some(fresh) = FreshPostgres::create().await else {
        return;
    };
    let mut connection = PgConnection::connect(fresh.url().expose_secret())
        .await
        .expect("the catalog answers");
    let sql = "SELECT conname::text FROM pg_constraint WHERE contype = 'f' AND (confdeltype <> 'a' OR confupdtype <> 'a')";
    let cascading: Vec<String> = sqlx::query_scalar(sql)
        .fetch_all(&mut connection)
        .await
        .expect("the catalog answers");
    assert!(cascading.is_empty(), "{cascading:?}");
    let tables = postgres(&mut connection).await;
    for (name, table) in &tables {
        for (columns, other, _) in &table.foreign_keys {
            let of_tenant = tables[other].columns.contains_key("tenant_id");
            assert!(
                !of_tenant || columns[0] == "tenant_id",
                "{name}: {columns:?} to {other}"
            );
        }
    }
}
