//! Who may take numbers of the carrier's account into service.

use rstest::rstest;
use serde_json::{Value, json};
use voice_saas_core::{Settings, number::ImportPolicy};
use voice_saas_tests::{Database, TestApp, text};

use crate::reconciliation::{buy, come_of_age, number, open, run, saga, webhooks};

use Database::{Postgres, Sqlite};

const ADMIN: &str = "/v1/admin/numbers/import";

#[rstest]
#[tokio::test]
async fn where_operators_import_members_are_refused_and_get_what_the_operator_gives_them(
    #[values(Sqlite, Postgres)] database: Database,
) {
    let mut settings = Settings::default();
    settings.imports = ImportPolicy::Operators;
    let builder = TestApp::on(database).with_settings(settings).with_sip();
    let Some(app) = builder.start().await else {
        return;
    };
    let (ada, grace) = tokio::join!(app.register("Ada Plumbing"), app.register("Grace Dental"));
    app.emulator()
        .assign_knowlarity_number("+918049001234")
        .expect("a number");
    let request = json!({ "phone_number": "+918049001234" });
    let refused = ada.post("/v1/numbers/import", &request).await;
    refused.problem(403, "import_by_operator");
    assert_eq!(ada.get("/v1/numbers").await.ok(200)["data"], json!([]));

    let operator = app.operator();
    let give =
        json!({ "tenant_id": ada.tenant_id(), "phone_number": "+918049001234", "label": "Front desk" });
    let given = operator.post(ADMIN, &give).await.ok(201);
    let path = format!("/v1/numbers/{}", text(&given, "id"));
    let held = ada.get(&path).await.ok(200);
    assert_eq!(
        (&held["owned"], &held["friendly_name"], &held["status"]),
        (&json!("imported"), &json!("Front desk"), &json!("active"))
    );
    let other = json!({ "tenant_id": grace.tenant_id(), "phone_number": "+918049001234" });
    operator
        .post(ADMIN, &other)
        .await
        .problem(409, "number_unavailable");
    for (field, value) in [
        ("tenant_id", "ten_00000000000000000000000000000001"),
        ("tenant_id", "nobody"),
        ("phone_number", "12"),
    ] {
        let mut bad = give.clone();
        bad[field] = json!(value);
        let (pointer, _) = operator.post(ADMIN, &bad).await.wrong_field();
        assert_eq!(pointer, format!("/{field}"));
    }
    ada.post(ADMIN, &give).await.problem(403, "forbidden");
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn what_was_bought_through_us_is_taken_over_by_no_member_but_by_an_operators_word(
    #[values(Sqlite, Postgres)] database: Database,
) {
    let Some(app) = TestApp::start(database).await else {
        return;
    };
    let user = app.register("Ada Plumbing").await;
    let bought = number(0);
    buy(&app, bought.clone(), saga(&app).to_string(), webhooks(&app, None)).await;
    let request = json!({ "phone_number": bought, "provider": "twilio" });
    let refused = user.post("/v1/numbers/import", &request).await;
    refused.problem(409, "number_unavailable");
    assert_eq!(user.get("/v1/numbers").await.ok(200)["data"], json!([]));
    // It is still an orphan, under its old tag.
    come_of_age(&app).await;
    run(&app, json!({})).await;
    assert_eq!(open(&app, "").await[0]["classification"], "orphan");
    let give = json!({ "tenant_id": user.tenant_id(), "phone_number": bought, "provider": "twilio" });
    let given = app.operator().post(ADMIN, &give).await.ok(201);
    run(&app, json!({})).await;
    assert_eq!(open(&app, "").await, [Value::Null; 0]);

    // What was imported once was in the account before: whoever names it next may have it.
    let path = format!("/v1/numbers/{}", text(&given, "id"));
    user.delete(&path).await.ok(200);
    user.post("/v1/numbers/import", &request).await.ok(201);
    app.finish().await;
}
