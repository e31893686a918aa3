//! Each tenant has an account of its own at the carrier: opened once, reached with its own secret, closed with the tenant.

use rstest::rstest;
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use voice_saas_core::{Settings, number::Ownership, subaccount::AccountPolicy};
use voice_saas_providers::{
    emulator::{FaultKind, Operation},
    twilio::sign_for_tests,
};
use voice_saas_tests::{Answer, Database, TestApp, TestUser, eventually, listener, text};

use crate::{
    provisioning::snatch,
    reconciliation::{add_rows, buy, number, open, row, run, saga, settle, tenant_of, webhooks},
};
use Database::{Postgres, Sqlite};

async fn per_tenant(database: Database) -> Option<TestApp> {
    let mut settings = Settings::default();
    settings.accounts = AccountPolicy::PerTenant;
    TestApp::on(database)
        .with_settings(settings)
        .with_sip()
        .start()
        .await
}

/// Accounts at the carrier that are not closed.
fn accounts(app: &TestApp) -> Vec<Value> {
    let state = app.emulator().state();
    let accounts = state["twilio"]["subaccounts"].as_array().expect("a list");
    accounts
        .iter()
        .filter(|account| account["status"] != "closed")
        .cloned()
        .collect()
}

/// The account that bears the tenant's id.
fn account_of(app: &TestApp, user: &TestUser) -> (String, String) {
    let accounts = accounts(app);
    let named = |account: &&Value| account["friendly_name"] == user.tenant_id();
    let account = accounts.iter().find(named).expect("the tenant has an account");
    (text(account, "sid"), text(account, "auth_token"))
}

fn holder(app: &TestApp, number: &str) -> Value {
    let owned = app.owned_numbers();
    let found = owned.iter().find(|owned| owned["phone_number"] == number);
    found.expect("it is owned")["account_sid"].clone()
}

/// A webhook that names this account and is signed with this token.
async fn webhook(app: &TestApp, path: &str, account: &str, token: &str, form: &[(&str, &str)]) -> Answer {
    let form = [form, &[("AccountSid", account)]].concat();
    let url = app.api().url(path);
    let signature = sign_for_tests(token, url.as_str(), &form);
    let request = app.api().request(reqwest::Method::POST, path);
    Answer::of(request.form(&form).header("x-twilio-signature", signature)).await
}

async fn heard(app: &TestApp, number: &str) -> Vec<String> {
    let report = app.call(number, listener()).await;
    assert!(
        report
            .webhooks
            .iter()
            .all(|sent| sent.status.is_some_and(|status| status < 300)),
        "{:?}",
        report.webhooks
    );
    report.transcript.into_iter().map(|line| line.text).collect()
}

#[rstest]
#[tokio::test]
async fn two_tenants_have_an_account_each_and_their_calls_are_answered(
    #[values(Sqlite, Postgres)] database: Database,
) {
    let Some(app) = per_tenant(database).await else {
        return;
    };
    let (ada, grace) = tokio::join!(app.register("Ada Plumbing"), app.register("Grace Dental"));
    assert_eq!(accounts(&app), [Value::Null; 0]);
    let (hers, theirs) = tokio::join!(ada.agent_with_number(), grace.agent_with_number());
    ada.post("/v1/numbers", &json!({})).await.ok(201);
    assert_eq!(accounts(&app).len(), 2);
    for (user, agent, business) in [(&ada, &hers, "Ada Plumbing"), (&grace, &theirs, "Grace Dental")] {
        let number = text(agent, "phone_number");
        assert_eq!(holder(&app, &number), json!(account_of(&app, user).0));
        assert_eq!(
            heard(&app, &number).await,
            [format!("Hello, this is {business}.")]
        );
        let call = user.the_call().await;
        assert_eq!(user.ended_call(&call).await["status"], "completed");
    }

    // What is given back is given back there.
    let path = format!("/v1/numbers/{}", text(&hers, "phone_number_id"));
    assert_eq!(ada.delete(&path).await.ok(200), json!({ "released": true }));
    assert_eq!(app.owned_numbers().len(), 2);
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn one_tenants_token_signs_nothing_for_another_tenant(#[values(Sqlite, Postgres)] database: Database) {
    let Some(app) = per_tenant(database).await else {
        return;
    };
    let (ada, grace) = tokio::join!(app.register("Ada Plumbing"), app.register("Grace Dental"));
    let (_, theirs) = tokio::join!(ada.agent_with_number(), grace.agent_with_number());
    let (ada_sid, ada_token) = account_of(&app, &ada);
    let (grace_sid, grace_token) = account_of(&app, &grace);
    let number = text(&theirs, "phone_number");
    let sid = "CA0123456789abcdef0123456789abcdef";
    let voice = [("CallSid", sid), ("From", "+12125550123"), ("To", &*number)];
    let unknown = "ACffffffffffffffffffffffffffffffff";
    let operators = app.emulator().twilio_auth_token().expose_secret().to_owned();
    for (account, token) in [
        // In the name of the tenant's own account, for another's number.
        (&*ada_sid, &*ada_token),
        // In another's name.
        (&*grace_sid, &*ada_token),
        (&*grace_sid, &*operators),
        (app.emulator().twilio_account_sid(), &*ada_token),
        (unknown, &*ada_token),
        (unknown, &*operators),
    ] {
        for path in ["/webhooks/twilio/voice", "/webhooks/twilio/fallback"] {
            let refused = webhook(&app, path, account, token, &voice).await;
            assert_eq!(refused.status(), 403, "{account}: {}", refused.text());
        }
    }
    assert_eq!(ada.calls().await, [Value::Null; 0]);
    assert_eq!(grace.calls().await, [Value::Null; 0]);
    let nobodys = app.operator().get("/v1/admin/unrouted-calls").await.ok(200);
    assert_eq!(nobodys["data"], json!([]));

    // Nor for another's call.
    let answer = webhook(&app, "/webhooks/twilio/voice", &grace_sid, &grace_token, &voice).await;
    assert!(answer.text().contains("<Stream"), "{}", answer.text());
    let id = grace.the_call().await;
    let over = [
        ("CallSid", sid),
        ("CallStatus", "completed"),
        ("CallDuration", "3"),
    ];
    for path in ["/webhooks/twilio/status", "/webhooks/twilio/after-media"] {
        let form = [&over[..], &voice[1..]].concat();
        let refused = webhook(&app, path, &ada_sid, &ada_token, &form).await;
        assert_eq!(refused.status(), 403, "{path}");
    }
    assert_eq!(grace.call(&id).await["status"], "ringing");
    let told = webhook(&app, "/webhooks/twilio/status", &grace_sid, &grace_token, &over).await;
    assert_eq!(told.status(), 204);
    assert_eq!(grace.call(&id).await["status"], "completed");
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn an_account_is_opened_once_whatever_the_carrier_does_and_however_many_ask(
    #[values(Sqlite, Postgres)] database: Database,
    #[values(
        FaultKind::AnswerLost,
        FaultKind::ServerError,
        FaultKind::RateLimited,
        FaultKind::Slow
    )]
    kind: FaultKind,
) {
    let Some(app) = per_tenant(database).await else {
        return;
    };
    let user = app.register("Ada Plumbing").await;
    app.break_next(Operation::CreateSubaccount, kind, 1);
    let body = json!({});
    let (one, two) = tokio::join!(user.post("/v1/numbers", &body), user.post("/v1/numbers", &body));
    for answer in [one, two] {
        assert!(matches!(answer.status(), 201 | 202), "{}", answer.text());
    }
    eventually("both numbers", async || {
        (app.owned_numbers().len() == 2).then_some(())
    })
    .await;
    let [only] = &accounts(&app)[..] else {
        panic!("one account: {:?}", accounts(&app))
    };
    let mut holders = app
        .owned_numbers()
        .into_iter()
        .map(|owned| owned["account_sid"].clone());
    assert!(holders.all(|holder| holder == only["sid"]));
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn an_account_that_could_not_be_opened_is_opened_by_the_next_who_needs_it(
    #[values(Sqlite, Postgres)] database: Database,
) {
    let Some(app) = per_tenant(database).await else {
        return;
    };
    let user = app.register("Ada Plumbing").await;
    // It is there, and nobody can be told.
    app.break_next(Operation::CreateSubaccount, FaultKind::AnswerLost, 1);
    app.break_next(Operation::ListSubaccounts, FaultKind::ServerError, 1_000);
    let refused = user.post("/v1/numbers", &json!({})).await;
    refused.problem(503, "provider_unavailable");
    app.emulator().clear_faults();
    user.post("/v1/numbers", &json!({})).await.ok(201);
    assert_eq!(accounts(&app).len(), 1);
    assert_eq!(app.owned_numbers().len(), 1);
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_tenant_that_leaves_leaves_no_account(#[values(Sqlite, Postgres)] database: Database) {
    let Some(app) = per_tenant(database).await else {
        return;
    };
    let (ada, grace) = tokio::join!(app.register("Ada Plumbing"), app.register("Grace Dental"));
    let (hers, _) = tokio::join!(ada.agent_with_number(), grace.agent_with_number());
    let trunk = format!("/v1/numbers/{}/trunk", text(&hers, "phone_number_id"));
    ada.post(&trunk, &json!({})).await.ok(201);
    app.break_next(Operation::UpdateSubaccount, FaultKind::AnswerLost, 1);
    ada.delete("/v1/tenant").await.ok(202);
    eventually("the end of the tenant", async || {
        let tenant = ada.get("/v1/tenant").await.ok(200);
        (tenant["status"] == "closed").then_some(())
    })
    .await;
    let left = accounts(&app);
    assert_eq!(left.len(), 1, "{left:?}");
    assert_eq!(left[0]["friendly_name"], grace.tenant_id());
    assert_eq!(app.owned_numbers().len(), 1);
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_trunk_is_in_the_account_of_its_number(#[values(Sqlite, Postgres)] database: Database) {
    let Some(app) = per_tenant(database).await else {
        return;
    };
    let user = app.register("Ada Plumbing").await;
    let bought = user.post("/v1/numbers", &json!({})).await.ok(201);
    let path = format!("/v1/numbers/{}/trunk", text(&bought, "id"));
    let trunk = user.post(&path, &json!({})).await.ok(201);
    let trunks = || {
        app.emulator().state()["twilio"]["trunks"]
            .as_array()
            .expect("a list")
            .clone()
    };
    assert_eq!(trunks().len(), 1);
    assert_eq!(trunks()[0]["account_sid"], account_of(&app, &user).0);
    run(&app, json!({ "dry_run": false })).await;
    assert_eq!(open(&app, "").await, [Value::Null; 0]);
    let path = format!("/v1/trunks/{}", text(&trunk, "id"));
    assert!(user.delete(&path).await.status() < 300);
    eventually("the end of the trunk", async || trunks().is_empty().then_some(())).await;
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn what_was_bought_before_stays_in_the_operators_account_and_works(
    #[values(Sqlite, Postgres)] database: Database,
) {
    let Some(app) = per_tenant(database).await else {
        return;
    };
    let user = app.register("Ada Plumbing").await;
    let (tag, old) = (saga(&app), number(1));
    let id = buy(&app, old.clone(), tag.to_string(), webhooks(&app, None)).await;
    let before = row(&app, old.clone(), tag, id.as_str());
    add_rows(&app, tenant_of(&user), std::slice::from_ref(&before)).await;
    let bought = user.post("/v1/numbers", &json!({})).await.ok(201);
    let operators = app.emulator().twilio_account_sid();
    assert_eq!(holder(&app, old.as_str()), operators);
    assert_ne!(holder(&app, &text(&bought, "phone_number")), operators);
    // Nobody answers it yet, and the caller hears so: the webhook was believed.
    let report = app.call(old.as_str(), listener()).await;
    assert!(!report.said.is_empty());
    assert_eq!(user.calls().await.len(), 1);
    // What somebody brings along stays in the account where it is.
    snatch(&app, "+12125550150").await;
    let request = json!({ "phone_number": "+12125550150", "provider": "twilio" });
    user.post("/v1/numbers/import", &request).await.ok(201);
    assert_eq!(holder(&app, "+12125550150"), operators);
    run(&app, json!({ "dry_run": false })).await;
    assert_eq!(open(&app, "").await, [Value::Null; 0]);
    let path = format!("/v1/numbers/{}", before.id);
    assert_eq!(user.delete(&path).await.ok(200), json!({ "released": true }));
    assert_eq!(app.owned_numbers().len(), 2);
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn accounts_and_what_is_in_them_come_to_agree_with_the_books(
    #[values(Sqlite, Postgres)] database: Database,
) {
    let Some(app) = per_tenant(database).await else {
        return;
    };
    let (ada, grace) = tokio::join!(app.register("Ada Plumbing"), app.register("Grace Dental"));
    for user in [&ada, &grace] {
        for _ in 0..2 {
            user.post("/v1/numbers", &json!({})).await.ok(201);
        }
    }
    let job = run(&app, json!({ "dry_run": true })).await;
    assert_eq!(job["progress"]["failed"], json!({}));
    assert_eq!(open(&app, "").await, [Value::Null; 0]);
    assert_eq!(job["progress"]["counts"]["missing"], 0);

    // One that bears a tenant's id and is not the tenant's, one that is somebody else's, and one that is gone.
    let twilio = app.app().telephony("twilio").expect("the carrier is there");
    let carrier = twilio.subaccounts().expect("it has accounts");
    carrier.ensure("somebody else's").await.expect("it is made");
    let unowned = "ten_00000000000000000000000000000001";
    let orphan = carrier.ensure(unowned).await.expect("it is made");
    let closed = account_of(&app, &grace).0;
    let closed = voice_saas_core::provider::telephony::ProviderSubaccountId::new(closed);
    carrier.close(&closed).await.expect("it is closed");
    run(&app, json!({ "dry_run": true, "provider": "twilio" })).await;
    let found = open(&app, "&kind=subaccount").await;
    let class = |name: &str| {
        let found = found.iter().find(|finding| finding["classification"] == name);
        found.unwrap_or_else(|| panic!("no {name} in {found:#?}")).clone()
    };
    assert_eq!(found.len(), 3, "{found:#?}");
    assert_eq!(class("orphan")["provider_id"], orphan.id.as_str());
    assert_eq!(class("missing")["tenant_id"], grace.tenant_id());
    assert_eq!(class("foreign")["subject"], "somebody else's");
    settle(&app, &class("orphan"), "release", &json!({})).await;
    settle(&app, &class("missing"), "repair", &json!({})).await;

    // Its numbers went with it, and the next one is bought in another account.
    run(&app, json!({ "dry_run": false })).await;
    let listed = grace.get("/v1/numbers").await.ok(200);
    let numbers = listed["data"].as_array().expect("a list");
    assert!(
        numbers.iter().all(|number| number["status"] == "inactive"),
        "{numbers:#?}"
    );
    for number in numbers {
        let path = format!("/v1/numbers/{}", text(number, "id"));
        assert_eq!(grace.delete(&path).await.ok(200), json!({ "released": true }));
    }
    let again = grace.post("/v1/numbers", &json!({})).await.ok(201);
    let holder = holder(&app, &text(&again, "phone_number"));
    assert_eq!(holder, account_of(&app, &grace).0);
    assert_ne!(holder, closed.as_str());
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_number_that_is_given_back_by_hand_keeps_no_tenant_from_leaving(
    #[values(Sqlite, Postgres)] database: Database,
) {
    let Some(app) = per_tenant(database).await else {
        return;
    };
    let user = app.register("Ada Plumbing").await;
    let number = "+918049001234";
    app.emulator().assign_knowlarity_number(number).expect("a number");
    let mut held = row(&app, number.parse().expect("E.164"), saga(&app), number);
    held.provider = "knowlarity".to_owned();
    held.owned = Ownership::Bought;
    add_rows(&app, tenant_of(&user), &[held]).await;
    user.delete("/v1/tenant").await.ok(202);
    eventually("the end of the tenant", async || {
        let tenant = user.get("/v1/tenant").await.ok(200);
        (tenant["status"] == "closed").then_some(())
    })
    .await;
    // An operator sees it until it is gone, and is told when it is not.
    for _ in 0..2 {
        let [finding] = &open(&app, "&kind=number").await[..] else {
            panic!("one finding: {:#?}", open(&app, "").await)
        };
        assert_eq!(
            (
                &finding["classification"],
                &finding["subject"],
                &finding["tenant_id"]
            ),
            (&json!("orphan"), &json!(number), &json!(user.tenant_id()))
        );
        assert!(text(finding, "detail").contains("by hand"));
        let path = format!("/v1/admin/reconciliation/{}/release", text(finding, "id"));
        let refused = app.operator().post(&path, &json!({})).await;
        assert!((400..500).contains(&refused.status()), "{}", refused.text());
        run(&app, json!({ "dry_run": false })).await;
    }
    app.finish().await;
}
