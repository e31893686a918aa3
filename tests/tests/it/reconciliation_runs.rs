//! Runs of reconciliation: what they must not say too soon, how they go on, and when they begin by themselves.

use std::{collections::BTreeMap, time::Duration};

use rstest::rstest;
use serde_json::{Value, json};
use voice_saas_core::Settings;
use voice_saas_providers::emulator::{Fault, FaultKind, Operation};
use voice_saas_tests::{Database, TestApp, eventually, text};

use crate::reconciliation::{
    add_rows, buy, come_of_age, finished, list_pages, number, open, row, run, saga, settle, tally, tenant_of,
    webhooks,
};

use Database::{Postgres, Sqlite};

/// More than one page of the carrier's list, and less than two.
const TWO_PAGES: u16 = 250;

/// Two pages of numbers that nobody holds, old enough to be orphans.
async fn two_pages_of_orphans(app: &TestApp) {
    for place in 0..TWO_PAGES {
        buy(app, number(place), saga(app).to_string(), webhooks(app, None)).await;
    }
    come_of_age(app).await;
}

async fn job(app: &TestApp, begun: &Value) -> Value {
    let path = format!("/v1/admin/jobs/{}", text(begun, "job_id"));
    app.operator().get(&path).await.ok(200)
}

async fn begin(app: &TestApp) -> Value {
    let body = json!({ "provider": "twilio" });
    let path = "/v1/admin/reconciliation/run";
    app.operator().post(path, &body).await.ok(202)
}

#[track_caller]
fn assert_all_found_once(ended: &Value, found: &[Value]) {
    let counts = &ended["progress"]["counts"];
    assert_eq!(counts["listed"], TWO_PAGES, "{ended}");
    assert_eq!(counts["orphans"], TWO_PAGES, "{ended}");
    assert_eq!(tally(found), BTreeMap::from([("orphan".to_owned(), TWO_PAGES)]));
}

#[rstest]
#[tokio::test]
async fn a_run_that_the_carrier_slows_down_goes_on_at_the_page_where_it_stopped(
    #[values(Sqlite, Postgres)] database: Database,
    #[values(None, Some(Duration::from_mins(2)))] retry_after: Option<Duration>,
) {
    let Some(app) = TestApp::start(database).await else {
        return;
    };
    two_pages_of_orphans(&app).await;
    let before = list_pages(&app);
    // The second page, more often than one request is tried again.
    let fault = Fault::new(Operation::ListNumbers, FaultKind::RateLimited);
    let (fault, refused) = match retry_after {
        None => (fault.with_times(4), 4),
        Some(wait) => (fault.with_delay(wait), 1),
    };
    app.inject(fault.with_skip(1));
    let begun = begin(&app).await;
    eventually("the end of the first page", async || {
        let job = job(&app, &begun).await;
        (job["progress"]["counts"]["pages"].as_u64() >= Some(1)).then_some(())
    })
    .await;
    let ended = eventually("the end of the run", async || {
        let job = job(&app, &begun).await;
        // Only a job that waits is waited for: one that runs would lose its lease.
        if job["state"] == "ready" {
            app.advance(Duration::from_mins(2)).await;
        }
        (job["state"] == "finished").then_some(job)
    })
    .await;
    assert!(ended["attempt"].as_u64() > Some(1), "{ended}");
    assert_eq!(list_pages(&app) - before, 2 + refused);
    assert_all_found_once(&ended, &open(&app, "").await);
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_run_that_is_cut_off_is_taken_over_at_the_page_where_it_was(
    #[values(Sqlite, Postgres)] database: Database,
) {
    let mut settings = Settings::default();
    settings.job_lease = Duration::from_secs(1);
    let Some(app) = TestApp::on(database).with_settings(settings).start().await else {
        return;
    };
    two_pages_of_orphans(&app).await;
    let before = list_pages(&app);
    let fault = Fault::new(Operation::ListNumbers, FaultKind::HoldBefore);
    app.inject(fault.with_skip(1));
    let begun = begin(&app).await;
    eventually("the end of the first page", async || {
        let job = job(&app, &begun).await;
        (job["progress"]["counts"]["pages"] == 1).then_some(())
    })
    .await;
    // Whoever has the job is slow to say so: its lease ends, and another takes it over.
    eventually("another attempt", async || {
        app.advance(Duration::from_secs(2)).await;
        (job(&app, &begun).await["attempt"].as_u64() > Some(1)).then_some(())
    })
    .await;
    app.emulator().clear_faults();
    let ended = finished(&app, &begun).await;
    assert!(list_pages(&app) - before <= 3, "the first page is asked for once");
    assert_all_found_once(&ended, &open(&app, "").await);
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_purchase_that_is_under_way_is_never_called_an_orphan(
    #[values(Sqlite, Postgres)] database: Database,
) {
    let Some(app) = TestApp::start(database).await else {
        return;
    };
    let (user, none) = (app.register("Ada Plumbing").await, json!({}));
    // The carrier has sold the number, and its answer is on its way for longer than an orphan must be old.
    app.break_next(Operation::BuyNumber, FaultKind::HoldAfter, 1);
    let (answer, ()) = tokio::join!(user.post("/v1/numbers", &none), async {
        eventually("the number at the carrier", async || {
            (app.owned_numbers().len() == 1).then_some(())
        })
        .await;
        come_of_age(&app).await;
        let ended = run(&app, json!({ "provider": "twilio", "dry_run": false })).await;
        assert_eq!(open(&app, "").await, [Value::Null; 0], "{ended}");
        app.emulator().clear_faults();
    });
    assert_eq!(answer.ok(201)["status"], "active");
    assert_eq!(app.owned_numbers().len(), 1);

    // What nobody wrote down is given the time to be.
    buy(&app, number(7), saga(&app).to_string(), webhooks(&app, None)).await;
    run(&app, json!({ "provider": "twilio" })).await;
    assert_eq!(open(&app, "").await, [Value::Null; 0]);
    come_of_age(&app).await;
    run(&app, json!({ "provider": "twilio" })).await;
    let found = open(&app, "").await;
    assert_eq!(tally(&found), BTreeMap::from([("orphan".to_owned(), 1)]));
    assert!(found[0]["age_seconds"].as_i64() >= Some(15 * 60), "{}", found[0]);
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn what_a_list_left_out_is_asked_for_before_it_is_called_missing(
    #[values(Sqlite, Postgres)] database: Database,
) {
    let Some(app) = TestApp::start(database).await else {
        return;
    };
    let user = app.register("Ada Plumbing").await;
    // One is held under another id, as after a transfer; its list's row shows no id of ours.
    let tag = saga(&app);
    buy(&app, number(1), tag.to_string(), webhooks(&app, None)).await;
    let gone = row(&app, number(2), saga(&app), "PNgone");
    add_rows(
        &app,
        tenant_of(&user),
        &[row(&app, number(1), tag, "PNanother"), gone],
    )
    .await;
    run(&app, json!({ "provider": "twilio" })).await;
    let found = open(&app, "").await;
    let expected = ["drifted", "missing"].map(|class| (class.to_owned(), 1));
    assert_eq!(tally(&found), BTreeMap::from(expected), "{found:#?}");
    for finding in &found {
        settle(&app, finding, &text(finding, "proposed_action"), &json!({})).await;
    }
    run(&app, json!({ "provider": "twilio" })).await;
    assert_eq!(open(&app, "").await, [Value::Null; 0]);
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_run_begins_by_itself_every_so_often(#[values(Sqlite, Postgres)] database: Database) {
    let mut settings = Settings::default();
    settings.reconcile_every = Some(Duration::from_hours(6));
    settings.job_lease = Duration::from_secs(1);
    let Some(app) = TestApp::on(database).with_settings(settings).start().await else {
        return;
    };
    let ended = async |state: &str| {
        let jobs = app.operator().get("/v1/admin/jobs?limit=200").await.ok(200);
        let jobs = jobs["data"].as_array().expect("a list").clone();
        jobs.iter()
            .filter(|job| job["kind"] == "reconcile.run" && job["state"] == state)
            .count()
    };
    buy(&app, number(0), saga(&app).to_string(), webhooks(&app, None)).await;
    for runs in 1..=2 {
        eventually("a run that waits", async || {
            (ended("ready").await == 1).then_some(())
        })
        .await;
        assert_eq!(ended("finished").await, runs - 1);
        app.advance(Duration::from_hours(6)).await;
        eventually("the end of a run", async || {
            (ended("finished").await == runs).then_some(())
        })
        .await;
    }
    let found = open(&app, "").await;
    assert_eq!(tally(&found), BTreeMap::from([("orphan".to_owned(), 1)]));
    assert_eq!(app.owned_numbers().len(), 1, "it only looks");
    app.finish().await;
}
