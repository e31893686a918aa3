//! What admission adds to a call, and how fast the ledger is written, on SQLite with a million rows of usage.
//!
//! `admission/*` is the time of one whole unit of work, its commit included: with and without the admission, the
//! difference is what a webhook waits longer. `ledger/*` is the time of one entry, in units of work of one and of four;
//! `ledger/balance` is one look at the balance, beside few entries and many.

use std::{
    fs,
    hint::black_box,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use criterion::{BenchmarkId, Criterion};
use jiff::Timestamp;
use sqlx::{Connection, SqliteConnection};
use tokio::runtime::{Builder, Runtime};
use voice_saas_core::{
    auth::{PasswordHash, User},
    call::{Call, CallEventKind},
    clock::{IdSource, SystemIds},
    id::{CallId, EntryId, TenantId, UserId},
    ledger::{Account, LedgerEntry, Subject},
    money::{Currency, Money},
    plan::Catalogue,
    provider::telephony::ProviderCallId,
    scope::TenantScope,
    store::{Store, TenantTx},
    tenant::{Platform, Role, Tenant, TenantStatus, Zone},
    testing::{fixtures, system_scope, tenant_scope},
    usage::{Admitted, CallTerms, Reservation, Situation, UsageQuery, Used, Windows, admit, invoice_month},
};
use voice_saas_providers::sql::SqliteStore;

const PATH: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/usage-bench.db");

/// Tenants, each with a hundred rows of usage.
const TENANTS: u64 = 10_000;

const TERMS: CallTerms = CallTerms {
    minute_cost: None,
    max_call: Duration::from_hours(1),
};

fn now() -> Timestamp {
    "2026-11-21T09:00:00Z".parse().expect("a time")
}

struct World {
    runtime: Runtime,
    store: SqliteStore,
    tenant: TenantScope,
    calls: AtomicU64,
}

impl World {
    fn new() -> Self {
        for leftover in ["", "-wal", "-shm"] {
            let _ = fs::remove_file(format!("{PATH}{leftover}"));
        }
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let (store, tenant) = runtime.block_on(async {
            let store = SqliteStore::open(PATH).await.expect("a database");
            let tenant = tenant(&store, "acme").await;
            drop(store);
            fill().await;
            (SqliteStore::open(PATH).await.expect("a database"), tenant)
        });
        Self {
            runtime,
            store,
            tenant,
            calls: AtomicU64::new(0),
        }
    }

    fn fresh_call(&self) -> Call {
        let index = self.calls.fetch_add(1, Ordering::Relaxed);
        let carriers = ProviderCallId::new(format!("CA{index:032x}"));
        let id = CallId::generate(&SystemIds);
        Call::inbound(id, "twilio", carriers, "+12125550123", "+12125550142", now())
    }
}

async fn tenant(store: &SqliteStore, name: &str) -> TenantScope {
    let tenant = Tenant::new(TenantId::generate(&SystemIds), name, Platform::Web, now());
    let hash = PasswordHash::from_phc("$argon2id$v=19$m=8,t=1,p=1$c2FsdA$aGFzaA");
    let user = User::new(
        UserId::generate(&SystemIds),
        format!("{name}@example.com"),
        None,
        hash,
        now(),
    );
    let mut tx = store.begin_system(&system_scope()).await.expect("a unit of work");
    let written = tx
        .accounts()
        .register(&user, &tenant, Role::Owner, &fixtures::entitlement())
        .await;
    written.expect("a tenant");
    tx.commit().await.expect("a commit");
    tenant_scope(tenant.id)
}

/// A million rows of other tenants.
async fn fill() {
    let mut connection = SqliteConnection::connect(PATH).await.expect("a database");
    let sql = "
        PRAGMA foreign_keys = OFF;
        BEGIN;
        WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 999999)
        INSERT INTO usage (tenant_id, metric, window_key, used)
        SELECT unhex(printf('%032x', (i / 100 + 1) * 7919)), 'calls', printf('2026-%03d', i % 100), i FROM n;
        COMMIT";
    sqlx::raw_sql(sql).execute(&mut connection).await.expect("rows");
    let (rows,): (i64,) = sqlx::query_as("SELECT count(*) FROM usage")
        .fetch_one(&mut connection)
        .await
        .expect("a count");
    assert_eq!(rows, i64::try_from(TENANTS * 100).expect("a small number"));
}

/// What the webhook writes for a call, with or without its admission.
async fn answer(world: &World, catalogue: &Catalogue, zone: &Zone, admission: bool) {
    let mut tx = world.store.begin(&world.tenant).await.expect("a unit of work");
    let call = world.fresh_call();
    let admitted = if admission {
        Some(look(&mut *tx, catalogue, zone).await)
    } else {
        None
    };
    let first = CallEventKind::Incoming {
        decision: serde_json::Value::Null,
    };
    assert!(tx.calls().add(&call, &first).await.expect("a call"));
    if let Some((admitted, windows)) = admitted {
        let reservation = Reservation::new(call.id, &admitted, windows, now());
        assert!(tx.usage().reserve(&reservation).await.expect("a reservation"));
        // Calls that run are few, as they are in earnest.
        tx.usage().settle(call.id, true, 60).await.expect("an end");
    }
    tx.commit().await.expect("a commit");
}

async fn look(tx: &mut dyn TenantTx, catalogue: &Catalogue, zone: &Zone) -> (Admitted, Windows) {
    let windows = Windows::at(now(), zone);
    let month = invoice_month(now());
    let query = UsageQuery {
        windows: &windows,
        invoice_month: &month,
        currency: Currency::USD,
    };
    let standing = tx
        .usage()
        .standing_for_update(&query)
        .await
        .expect("a standing")
        .expect("an entitlement");
    let plan = standing.entitlement.plan.as_str();
    let situation = Situation {
        status: standing.status,
        entitlement: &standing.entitlement,
        plan: catalogue.find(plan).expect("a plan"),
        catalogue,
        used: &standing.used,
        zone,
        now: now(),
    };
    (admit(&situation, &TERMS).expect("an admission"), windows)
}

fn admission(criterion: &mut Criterion, world: &World) {
    let catalogue = Catalogue::built_in();
    let zone: Zone = "America/New_York".parse().expect("a zone");
    let mut group = criterion.benchmark_group("admission");
    for (name, admission) in [("call_without", false), ("call_with_and_settled", true)] {
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|times| {
                world.runtime.block_on(async {
                    let start = Instant::now();
                    for _ in 0..times {
                        answer(world, &catalogue, &zone, admission).await;
                    }
                    start.elapsed()
                })
            });
        });
    }
    group.bench_function("read_and_decide", |bencher| {
        bencher.iter_custom(|times| {
            world.runtime.block_on(async {
                let mut tx = world.store.begin(&world.tenant).await.expect("a unit of work");
                let start = Instant::now();
                for _ in 0..times {
                    black_box(look(&mut *tx, &catalogue, &zone).await);
                }
                start.elapsed()
            })
        });
    });
    group.bench_function("reserve", |bencher| {
        bencher.iter_custom(|times| {
            world.runtime.block_on(async {
                let mut spent = Duration::ZERO;
                for _ in 0..times {
                    let mut tx = world.store.begin(&world.tenant).await.expect("a unit of work");
                    let call = world.fresh_call();
                    let first = CallEventKind::MediaConnected;
                    assert!(tx.calls().add(&call, &first).await.expect("a call"));
                    let admitted = Admitted::under(fixtures::entitlement().plan);
                    let reservation = Reservation::new(call.id, &admitted, Windows::at(now(), &zone), now());
                    let start = Instant::now();
                    assert!(tx.usage().reserve(&reservation).await.expect("a reservation"));
                    spent += start.elapsed();
                }
                spent
            })
        });
    });
    let (entitlement, used) = (fixtures::entitlement(), Used::default());
    group.bench_function("windows_and_rules_alone", |bencher| {
        bencher.iter(|| {
            let windows = black_box(Windows::at(black_box(now()), &zone));
            let situation = Situation {
                status: TenantStatus::Active,
                entitlement: &entitlement,
                plan: catalogue.find(entitlement.plan.as_str()).expect("a plan"),
                catalogue: &catalogue,
                used: black_box(&used),
                zone: &zone,
                now: now(),
            };
            (windows, admit(&situation, &TERMS))
        });
    });
    group.finish();
}

fn entry(micros: i64) -> LedgerEntry {
    LedgerEntry {
        id: EntryId::generate(&SystemIds),
        subject: Subject::Other(format!("bench:{}", SystemIds.uuid())),
        account: Account::Cost,
        kind: "telephony_inbound".to_owned(),
        provider: "twilio".to_owned(),
        quantity: 3,
        unit: "minute".to_owned(),
        amount: Money::from_micros(micros, Currency::USD),
        rating_version: "2026-11".to_owned(),
        at: now(),
    }
}

async fn write(world: &World, entries: u64, together: u64) -> Duration {
    let start = Instant::now();
    let mut left = entries;
    while left > 0 {
        let mut tx = world.store.begin(&world.tenant).await.expect("a unit of work");
        for _ in 0..left.min(together) {
            assert!(tx.ledger().add(&entry(8_500)).await.expect("an entry"));
        }
        left -= left.min(together);
        tx.commit().await.expect("a commit");
    }
    start.elapsed()
}

fn ledger(criterion: &mut Criterion, world: &World) {
    let mut group = criterion.benchmark_group("ledger");
    for together in [1, 4] {
        group.bench_function(BenchmarkId::new("entry_in_units_of", together), |bencher| {
            bencher.iter_custom(|times| world.runtime.block_on(write(world, times, together)));
        });
    }
    for entries in [0_u64, 200_000] {
        world.runtime.block_on(write(world, entries, 1_000));
        group.bench_function(BenchmarkId::new("balance_beside_more", entries), |bencher| {
            bencher.iter_custom(|times| {
                world.runtime.block_on(async {
                    let mut tx = world.store.begin(&world.tenant).await.expect("a unit of work");
                    let start = Instant::now();
                    for _ in 0..times {
                        black_box(tx.ledger().balances(None).await.expect("a balance"));
                    }
                    start.elapsed()
                })
            });
        });
    }
    group.finish();
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let world = World::new();
    admission(&mut criterion, &world);
    ledger(&mut criterion, &world);
    criterion.final_summary();
}
