//! Numbers move in from other carriers: ordered once, followed for weeks, answered when they are here.

use std::time::Duration;

use rstest::rstest;
use serde_json::{Value, json};
use voice_saas_providers::emulator::{FaultKind, Operation};
use voice_saas_tests::{Api, Database, TestApp, TestUser, eventually, listener, text};

use Database::{Postgres, Sqlite};

const PORTS: &str = "/v1/numbers/ports";
const NUMBER: &str = "+16175551212";
const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);

/// An order of one number, with what the emulator looks at.
pub(crate) fn order(number: &str) -> Value {
    json!({
        "numbers": [{ "phone_number": number, "pin": "pin-4711" }],
        "losing_carrier": {
            "customer_name": "Acme Dental", "customer_type": "business",
            "address": { "street": "1 Main St", "city": "Boston", "state": "MA", "zip": "02101", "country": "US" },
            "representative": "Ann Smith", "representative_email": "ann@example.com",
            "account_number": "account-4711",
        },
        "documents": ["RD0123456789abcdef0123456789abcdef"],
    })
}

/// A program's key outlives an access token, and ports take weeks.
async fn program(user: &TestUser) -> Api {
    user.api_key(&["read", "write"]).await
}

async fn ordered(api: &Api, order: &Value) -> String {
    let port = api.post(PORTS, order).await.ok(202);
    assert_eq!(port["status"], "submitted", "{port}");
    format!("{PORTS}/{}", text(&port, "id"))
}

/// The port as soon as it has this status.
async fn becomes(api: &Api, path: &str, status: &str) -> Value {
    eventually(status, async || {
        let port = api.get(path).await.ok(200);
        (port["status"] == status).then_some(port)
    })
    .await
}

/// The ports in the carrier's books.
fn carrier_ports(app: &TestApp) -> Vec<Value> {
    let state = app.emulator().state();
    state["twilio"]["port_ins"].as_array().expect("a list").clone()
}

async fn listed(api: &Api, path: &str) -> Vec<Value> {
    let listed = api.get(path).await.ok(200);
    listed["data"].as_array().expect("a list").clone()
}

#[rstest]
#[tokio::test]
async fn a_number_moves_in_is_answered_and_is_given_back_like_any_other(
    #[values(Sqlite, Postgres)] database: Database,
) {
    // No trial lasts as long as a port.
    let app = TestApp::on(database).with_plans(&crate::plans::plans("")).start();
    let Some(app) = app.await else {
        return;
    };
    let user = app.register("Ada Plumbing").await;
    let agent = text(&user.agent_with(json!({})).await, "id");
    let program = program(&user).await;
    let question = "/v1/numbers/portability?phone_number=617-555-1212";
    let portable = json!({ "portable": true, "reason": null, "pin_required": false, "type": "local" });
    assert_eq!(program.get(question).await.ok(200), portable);

    let mut request = order("(617) 555-1212");
    request["agent_id"] = json!(agent);
    let answer = program.post(PORTS, &request).await;
    let port = answer.ok(202);
    assert_eq!(
        (&port["status"], &port["provider"]),
        (&json!("submitted"), &json!("twilio"))
    );
    assert_eq!(port["numbers"][0]["phone_number"], NUMBER);
    let path = format!("{PORTS}/{}", text(&port, "id"));
    // The carrier was told what nobody else hears.
    let told = &carrier_ports(&app)[0]["losing_carrier_information"];
    assert_eq!(told["account_number"], "account-4711");
    for seen in [answer.text(), program.get(PORTS).await.text()] {
        assert!(!seen.contains("4711") && !seen.contains("Main St"), "{seen}");
    }
    // The number is held, and nobody answers it yet.
    let numbers = listed(&program, "/v1/numbers").await;
    assert_eq!(
        (&numbers[0]["phone_number"], &numbers[0]["status"]),
        (&json!(NUMBER), &json!("pending"))
    );
    assert_eq!(numbers[0]["id"], port["numbers"][0]["number_id"]);
    let number = format!("/v1/numbers/{}", text(&numbers[0], "id"));
    program.delete(&number).await.problem(409, "number_pending");

    app.advance(2 * HOUR).await;
    let waiting = becomes(&program, &path, "waiting_for_signature").await;
    assert!(text(&waiting, "signature_url").starts_with("https://"));
    app.advance(DAY).await;
    let moving = becomes(&program, &path, "in_progress").await;
    assert!(!moving["numbers"][0]["port_date"].is_null(), "{moving}");
    app.advance(8 * DAY).await;
    let done = becomes(&program, &path, "completed").await;
    assert!(!done["ended_at"].is_null());

    let here = program.get(&number).await.ok(200);
    assert_eq!(
        (&here["status"], &here["owned"], &here["agent_ids"]),
        (&json!("active"), &json!("bought"), &json!([agent]))
    );
    let owned = app.owned_numbers();
    assert_eq!(owned.len(), 1);
    assert_eq!(
        (&owned[0]["sid"], &owned[0]["phone_number"]),
        (&here["provider_id"], &json!(NUMBER))
    );
    let report = app.call(NUMBER, listener()).await;
    assert!(!report.transcript.is_empty());

    // Each step was told of, once.
    let told: Vec<_> = app.events("number.port_updated");
    let told: Vec<&Value> = told.iter().map(|event| &event["status"]).collect();
    assert_eq!(told.first(), Some(&&json!("submitted")));
    assert_eq!(told.last(), Some(&&json!("completed")));
    assert!(told.windows(2).all(|pair| pair[0] != pair[1]), "{told:?}");
    assert_eq!(app.events("number.provisioned").len(), 1);

    // What exists and what we know agree.
    app.advance(HOUR).await;
    crate::reconciliation::run(&app, json!({})).await;
    let findings = app
        .operator()
        .get("/v1/admin/reconciliation?kind=number")
        .await
        .ok(200);
    assert_eq!(findings["data"], json!([]));

    program.delete(&path).await.problem(409, "port_too_late");
    assert_eq!(program.delete(&number).await.ok(200), json!({ "released": true }));
    assert_eq!(app.owned_numbers(), [Value::Null; 0]);
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn an_order_whose_answer_is_lost_is_found_and_not_submitted_again(
    #[values(Sqlite, Postgres)] database: Database,
    #[values(FaultKind::AnswerLost, FaultKind::ServerError, FaultKind::RateLimited)] fault: FaultKind,
) {
    let Some(app) = TestApp::start(database).await else {
        return;
    };
    let program = program(&app.register("Ada Plumbing").await).await;
    app.break_next(Operation::CreatePortIn, fault, 1);
    // The first look fails too: nothing is submitted without it.
    app.break_next(Operation::ListPortIns, FaultKind::ServerError, 1);
    let port = program.post(PORTS, &order(NUMBER)).await.ok(202);
    let path = format!("{PORTS}/{}", text(&port, "id"));
    let port = becomes(&program, &path, "submitted").await;
    assert_eq!(port["numbers"][0]["phone_number"], NUMBER);
    assert_eq!(carrier_ports(&app).len(), 1);
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_port_that_was_over_before_anybody_could_look_is_seen_by_its_number(
    #[values(Sqlite, Postgres)] database: Database,
) {
    let Some(app) = TestApp::start(database).await else {
        return;
    };
    let program = program(&app.register("Ada Plumbing").await).await;
    app.break_next(Operation::CreatePortIn, FaultKind::AnswerLost, 1);
    app.break_next(Operation::ListPortIns, FaultKind::ServerError, 10_000);
    let port = program.post(PORTS, &order(NUMBER)).await.ok(202);
    assert_eq!(port["status"], "ordered");
    let path = format!("{PORTS}/{}", text(&port, "id"));
    app.advance(9 * DAY).await;
    app.emulator().clear_faults();
    app.advance(DAY).await;
    becomes(&program, &path, "completed").await;
    assert_eq!(carrier_ports(&app).len(), 1);
    assert_eq!(listed(&program, "/v1/numbers").await[0]["status"], "active");
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_rejected_number_shows_why_and_is_ordered_again_rightly(
    #[values(Sqlite, Postgres)] database: Database,
) {
    let Some(app) = TestApp::start(database).await else {
        return;
    };
    let program = program(&app.register("Ada Plumbing").await).await;
    let mut wrong = order(NUMBER);
    wrong["numbers"][0]["pin"] = json!("0000");
    let path = ordered(&program, &wrong).await;
    app.advance(4 * DAY).await;
    let rejected = becomes(&program, &path, "action_required").await;
    assert_eq!(rejected["numbers"][0]["reason"], "INVALID_PIN");
    // The number is still held.
    program
        .post(PORTS, &order(NUMBER))
        .await
        .problem(409, "number_unavailable");
    for _ in 0..2 {
        let port = program.delete(&path).await.ok(200);
        assert_eq!(port["status"], "canceled");
    }
    let again = ordered(&program, &order(NUMBER)).await;
    app.advance(9 * DAY).await;
    becomes(&program, &again, "completed").await;
    let ports = listed(&program, PORTS).await;
    let states: Vec<_> = ports.iter().map(|port| &port["status"]).collect();
    assert_eq!(states, ["completed", "canceled"]);
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_letter_that_nobody_signs_lets_go_of_the_number(#[values(Sqlite, Postgres)] database: Database) {
    let Some(app) = TestApp::start(database).await else {
        return;
    };
    let program = program(&app.register("Ada Plumbing").await).await;
    let mut unsigned = order(NUMBER);
    unsigned["losing_carrier"]["representative_email"] = json!("unsigned@example.com");
    let path = ordered(&program, &unsigned).await;
    app.advance(31 * DAY).await;
    becomes(&program, &path, "expired").await;
    assert_eq!(listed(&program, "/v1/numbers").await, [Value::Null; 0]);
    ordered(&program, &order(NUMBER)).await;
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_port_is_canceled_once_however_often_it_is_asked_for_and_whatever_the_carrier_does(
    #[values(Sqlite, Postgres)] database: Database,
    #[values(FaultKind::AnswerLost, FaultKind::ServerError)] fault: FaultKind,
) {
    let Some(app) = TestApp::start(database).await else {
        return;
    };
    let (ada, grace) = tokio::join!(app.register("Ada Plumbing"), app.register("Grace Dental"));
    let path = ordered(&ada, &order(NUMBER)).await;
    app.break_next(Operation::CancelPortIn, fault, 1);
    for _ in 0..2 {
        assert_eq!(ada.delete(&path).await.ok(200)["status"], "canceled");
    }
    assert_eq!(carrier_ports(&app)[0]["port_in_request_status"], "Canceled");
    assert_eq!(listed(&ada, "/v1/numbers").await, [Value::Null; 0]);
    // Nobody holds the number any more.
    ordered(&grace, &order(NUMBER)).await;
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_port_that_the_losing_carrier_lets_go_cannot_be_canceled_and_comes(
    #[values(Sqlite, Postgres)] database: Database,
) {
    let Some(app) = TestApp::start(database).await else {
        return;
    };
    let program = program(&app.register("Ada Plumbing").await).await;
    let path = ordered(&program, &order(NUMBER)).await;
    app.advance(2 * DAY).await;
    for _ in 0..2 {
        program.delete(&path).await.problem(409, "port_too_late");
    }
    let port = becomes(&program, &path, "in_progress").await;
    assert_eq!(port["cancel_requested"], false);
    app.advance(7 * DAY).await;
    becomes(&program, &path, "completed").await;
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_number_that_somebody_holds_or_moves_is_refused_without_saying_who(
    #[values(Sqlite, Postgres)] database: Database,
) {
    let Some(app) = TestApp::start(database).await else {
        return;
    };
    let (ada, grace) = tokio::join!(app.register("Ada Plumbing"), app.register("Grace Dental"));
    let bought = ada.post("/v1/numbers", &json!({})).await.ok(201);
    let path = ordered(&ada, &order(NUMBER)).await;
    let mut both = order("+16175551313");
    both["numbers"]
        .as_array_mut()
        .expect("a list")
        .push(json!({ "phone_number": NUMBER }));
    for request in [order(NUMBER), order(&text(&bought, "phone_number")), both] {
        let refused = grace.post(PORTS, &request).await;
        let problem = refused.problem(409, "number_unavailable").to_string();
        for secret in [&ada.tenant_id(), &text(&bought, "id"), "port_", "Ada"] {
            assert!(!problem.contains(secret), "{problem}");
        }
    }
    grace.get(&path).await.problem(404, "not_found");
    grace.delete(&path).await.problem(404, "not_found");
    assert_eq!(listed(&grace, PORTS).await, [Value::Null; 0]);
    assert_eq!(listed(&grace, "/v1/numbers").await, [Value::Null; 0]);
    // Nothing is left of what was refused.
    ordered(&grace, &order("+16175551313")).await;
    assert_eq!(carrier_ports(&app).len(), 2);
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn of_many_who_order_a_number_at_once_one_does(#[values(Sqlite, Postgres)] database: Database) {
    let Some(app) = TestApp::start(database).await else {
        return;
    };
    let (ada, grace) = tokio::join!(app.register("Ada Plumbing"), app.register("Grace Dental"));
    let order = order(NUMBER);
    let (one, two) = tokio::join!(ada.post(PORTS, &order), grace.post(PORTS, &order));
    let mut answers = [one.status(), two.status()];
    answers.sort_unstable();
    assert!(matches!(answers, [202, 409 | 422]), "{answers:?}");
    assert_eq!(carrier_ports(&app).len(), 1);
    app.finish().await;
}

/// Wishes for the day after tomorrow.
#[expect(
    clippy::disallowed_methods,
    reason = "the emulated carrier counts from the day that it is"
)]
fn too_soon(order: &mut Value) {
    let day = jiff::Zoned::now()
        .date()
        .saturating_add(jiff::Span::new().days(2));
    order["target_date"] = json!(day);
}

/// What is wrong with an order, and the answer.
type Wrong = (fn(&mut Value), u16, &'static str, Option<&'static str>);

#[rstest]
#[tokio::test]
async fn a_wrong_order_is_refused_and_holds_nothing(#[values(Sqlite, Postgres)] database: Database) {
    let Some(app) = TestApp::on(database).with_sip().start().await else {
        return;
    };
    let user = app.register("Ada Plumbing").await;
    let invalid = "invalid_request";
    let wrong: &[Wrong] = &[
        (|it| it["numbers"] = json!([]), 422, invalid, Some("/numbers")),
        (
            |it| it["numbers"][0]["phone_number"] = json!("call me"),
            422,
            invalid,
            Some("/numbers/0/phone_number"),
        ),
        (
            |it| it["numbers"][0]["secret"] = json!("x"),
            422,
            invalid,
            Some("/numbers/0/secret"),
        ),
        (|it| it["documents"] = json!([]), 422, invalid, Some("/documents")),
        (
            |it| it["target_date"] = json!("2020-01-01"),
            422,
            invalid,
            Some("/target_date"),
        ),
        (
            |it| it["target_date"] = json!("soon"),
            422,
            invalid,
            Some("/target_date"),
        ),
        (
            |it| it["agent_id"] = json!("num_1"),
            422,
            invalid,
            Some("/agent_id"),
        ),
        (
            |it| it["provider"] = json!("hal"),
            422,
            invalid,
            Some("/provider"),
        ),
        (
            |it| it["losing_carrier"]["customer_type"] = json!("cat"),
            422,
            invalid,
            Some("/losing_carrier/customer_type"),
        ),
        (
            |it| it["losing_carrier"]["address"]["country"] = json!("Utopia"),
            422,
            invalid,
            Some("/losing_carrier/address/country"),
        ),
        (
            |it| it["losing_carrier"]["representative_email"] = json!("ann"),
            422,
            invalid,
            Some("/losing_carrier/representative_email"),
        ),
        // A mobile number without its PIN.
        (
            |it| it["numbers"][0] = json!({ "phone_number": "+16175551219" }),
            422,
            invalid,
            Some("/numbers/0/pin"),
        ),
        (
            |it| it["agent_id"] = json!("agt_018f3c1e5d0f7a3b9c2d4e5f60718293"),
            404,
            "not_found",
            None,
        ),
        (
            |it| it["provider"] = json!("knowlarity"),
            422,
            "porting_unsupported",
            None,
        ),
        (
            |it| it["numbers"][0]["phone_number"] = json!("+18005551212"),
            422,
            "number_not_portable",
            None,
        ),
        (too_soon, 422, "port_refused", None),
    ];
    for (spoil, status, code, pointer) in wrong {
        let mut request = order(NUMBER);
        spoil(&mut request);
        let answer = user.post(PORTS, &request).await;
        let problem = answer.problem(*status, code);
        if let Some(pointer) = pointer {
            assert_eq!(answer.wrong_field().0, *pointer, "{problem}");
        }
        if *code == "number_not_portable" {
            assert_eq!(problem["numbers"][0]["reason"], "MANUAL_PORTING_AVAILABLE");
        }
        assert_eq!(listed(&user, "/v1/numbers").await, [Value::Null; 0], "{problem}");
    }
    assert_eq!(carrier_ports(&app), [Value::Null; 0]);
    // What the carrier itself refused is kept for the record.
    let kept = listed(&user, PORTS).await;
    assert_eq!((kept.len(), &kept[0]["status"]), (1, &json!("refused")));
    for (question, pointer) in [
        ("/v1/numbers/portability", "/phone_number"),
        ("/v1/numbers/portability?phone_number=x", "/phone_number"),
        ("/v1/numbers/portability?number=x", "/number"),
    ] {
        assert_eq!(user.get(question).await.wrong_field().0, pointer);
    }
    user.get("/v1/numbers/portability?phone_number=%2B16175551212&provider=livekit")
        .await
        .problem(422, "porting_unsupported");
    ordered(&user, &order(NUMBER)).await;
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn wrong_credentials_are_named_and_nothing_is_held(#[values(Sqlite, Postgres)] database: Database) {
    let Some(app) = TestApp::on(database).with_wrong_carrier_token().start().await else {
        return;
    };
    let user = app.register("Ada Plumbing").await;
    let problem = user
        .post(PORTS, &order(NUMBER))
        .await
        .problem(502, "provider_unavailable");
    assert_eq!(problem["provider"], "twilio");
    assert_eq!(listed(&user, "/v1/numbers").await, [Value::Null; 0]);
    assert_eq!(listed(&user, PORTS).await, [Value::Null; 0]);
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn an_order_that_is_sent_twice_with_one_key_is_one_port(
    #[values(Sqlite, Postgres)] database: Database,
) {
    let Some(app) = TestApp::start(database).await else {
        return;
    };
    let user = app.register("Ada Plumbing").await;
    let first = user.post_once(PORTS, "one", &order(NUMBER)).await.ok(202);
    assert_eq!(user.post_once(PORTS, "one", &order(NUMBER)).await.ok(202), first);
    assert_eq!(carrier_ports(&app).len(), 1);
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn the_carrier_is_asked_once_a_minute_however_often_a_port_is_looked_at(
    #[values(Sqlite, Postgres)] database: Database,
) {
    let Some(app) = TestApp::start(database).await else {
        return;
    };
    let user = app.register("Ada Plumbing").await;
    let path = ordered(&user, &order(NUMBER)).await;
    let asked = || {
        let requests = app.emulator().requests();
        let fetches = requests
            .iter()
            .filter(|request| request.method == "GET" && request.path.contains("/PortIn/KW"));
        fetches.count()
    };
    for _ in 0..3 {
        user.get(&path).await.ok(200);
    }
    assert_eq!(asked(), 0);
    app.advance(Duration::from_mins(2)).await;
    for _ in 0..3 {
        user.get(&path).await.ok(200);
    }
    assert_eq!(asked(), 1);
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_tenant_that_leaves_cancels_its_ports_or_waits_for_their_numbers_and_gives_them_back(
    #[values(Sqlite, Postgres)] database: Database,
    #[values(false, true)] too_late: bool,
) {
    let Some(app) = TestApp::start(database).await else {
        return;
    };
    let user = app.register("Ada Plumbing").await;
    let path = ordered(&user, &order(NUMBER)).await;
    if too_late {
        app.advance(2 * DAY).await;
    }
    let status = if too_late { "in_progress" } else { "submitted" };
    // The first token is too old after two days.
    let login = json!({ "email": user.email(), "password": voice_saas_tests::PASSWORD });
    let session = app.api().post("/v1/auth/login", &login).await.ok(200);
    let owner = app.api().with_bearer(text(&session, "token"));
    becomes(&owner, &path, status).await;
    owner.delete("/v1/tenant").await.ok(202);
    let closed = || !app.events("tenant.closed").is_empty();
    if too_late {
        // Nothing is given up while the number is on its way.
        app.advance(HOUR).await;
        assert!(!closed());
        app.advance(7 * DAY).await;
        eventually("the number", async || {
            (app.events("number.provisioned").len() == 1).then_some(())
        })
        .await;
        app.advance(DAY).await;
    }
    eventually("the end of the tenant", async || closed().then_some(())).await;
    assert_eq!(app.owned_numbers(), [Value::Null; 0]);
    let expected = if too_late { "Completed" } else { "Canceled" };
    assert_eq!(carrier_ports(&app)[0]["port_in_request_status"], expected);
    app.finish().await;
}
