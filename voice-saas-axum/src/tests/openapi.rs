//! The document of all routes.

use std::collections::BTreeSet;

use axum::Router;
use serde_json::Value;

use super::{fake::get, routes};

fn document() -> Value {
    serde_json::to_value(crate::openapi()).unwrap()
}

/// Every operation as `(METHOD path, operation)`.
fn operations(document: &Value) -> Vec<(String, &Value)> {
    let paths = document["paths"].as_object().unwrap();
    paths
        .iter()
        .flat_map(|(path, item)| {
            let methods = item.as_object().unwrap().iter();
            methods.map(move |(method, operation)| (format!("{} {path}", method.to_uppercase()), operation))
        })
        .collect()
}

#[test]
fn the_document_knows_every_route() {
    let document = document();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    let known: BTreeSet<String> = operations(&document).into_iter().map(|(line, _)| line).collect();
    let expected: BTreeSet<String> = "
        POST /v1/auth/register; POST /v1/auth/login; POST /v1/auth/refresh; POST /v1/auth/logout; GET /v1/auth/me;
        GET /v1/members; GET /v1/api-keys; POST /v1/api-keys; DELETE /v1/api-keys/{id};
        GET /v1/plans; GET /v1/usage; POST /v1/usage/check-call; GET /v1/billing/ledger;
        GET /v1/tenant; PATCH /v1/tenant; DELETE /v1/tenant;
        GET /v1/numbers/portability; GET /v1/numbers/ports; POST /v1/numbers/ports;
        GET /v1/numbers/ports/{id}; DELETE /v1/numbers/ports/{id};
        GET /v1/numbers/available; GET /v1/numbers; POST /v1/numbers;
        POST /v1/numbers/import; GET /v1/trunks; DELETE /v1/trunks/{id}; POST /v1/numbers/{id}/trunk;
        POST /v1/admin/numbers/provision-missing; POST /v1/admin/numbers/import;
        GET /v1/admin/pool; POST /v1/admin/pool; DELETE /v1/admin/pool/{id};
        GET /v1/numbers/{id}; PATCH /v1/numbers/{id}; DELETE /v1/numbers/{id}; POST /v1/routing/explain;
        GET /v1/agents; POST /v1/agents; GET /v1/agents/{id}; PATCH /v1/agents/{id}; DELETE /v1/agents/{id};
        GET /v1/agents/{id}/numbers; PUT /v1/agents/{id}/numbers;
        POST /v1/agents/{id}/phone-number; DELETE /v1/agents/{id}/phone-number;
        GET /v1/calls; GET /v1/calls/{id}; POST /v1/calls/{id}/hangup; GET /v1/calls/{id}/transcript;
        GET /v1/calls/{id}/events; POST /v1/tools/{tool};
        GET /v1/admin/unrouted-calls; GET /v1/admin/jobs; GET /v1/admin/jobs/{id}; POST /v1/admin/jobs/{id}/retry;
        GET /v1/admin/reconciliation; POST /v1/admin/reconciliation/run; POST /v1/admin/numbers/repoint-webhooks;
        POST /v1/admin/reconciliation/{finding}/adopt; POST /v1/admin/reconciliation/{finding}/release;
        POST /v1/admin/reconciliation/{finding}/repair;
        POST /webhooks/twilio/voice; POST /webhooks/twilio/fallback; POST /webhooks/twilio/status;
        POST /webhooks/twilio/after-media; GET /media/twilio/{token};
        POST /webhooks/elevenlabs/conversation-init; POST /webhooks/elevenlabs/post-call;
        GET /webhooks/knowlarity/{secret}; POST /webhooks/knowlarity/{secret}; POST /webhooks/livekit;
        GET /healthz; GET /readyz; GET /metrics; GET /openapi.json; GET /docs; GET /docs/; GET /docs/{file}"
        .split(';')
        .map(|line| line.trim().to_owned())
        .collect();
    assert_eq!(known, expected);
}

#[test]
fn every_operation_has_a_name_of_its_own_a_problem_and_known_credentials() {
    let document = document();
    let schemes = document["components"]["securitySchemes"].as_object().unwrap();
    let mut names = BTreeSet::new();
    for (line, operation) in operations(&document) {
        assert!(names.insert(operation["operationId"].as_str().unwrap()), "{line}");
        assert!(
            operation["responses"]["default"]["content"]
                .get("application/problem+json")
                .is_some(),
            "{line}"
        );
        assert!(operation["summary"].is_string(), "{line}");
        for requirement in operation["security"].as_array().into_iter().flatten() {
            for name in requirement.as_object().unwrap().keys() {
                assert!(schemes.contains_key(name), "{line} {name}");
            }
        }
    }
    assert!(schemes.contains_key("bearer"));
}

#[test]
fn every_reference_leads_somewhere() {
    fn check(document: &Value, value: &Value) {
        match value {
            Value::Object(object) => {
                if let Some(Value::String(reference)) = object.get("$ref") {
                    let pointer = reference.strip_prefix('#').unwrap();
                    assert!(document.pointer(pointer).is_some(), "{reference}");
                }
                object.values().for_each(|value| check(document, value));
            }
            Value::Array(values) => values.iter().for_each(|value| check(document, value)),
            _ => {}
        }
    }
    let document = document();
    check(&document, &document);
}

#[tokio::test]
async fn the_document_says_where_its_paths_begin() {
    let got = get(&routes(), "/openapi.json").await;
    assert_eq!(got.json()["servers"][0]["url"], "/");
    let nested = Router::new().nest("/phone", routes());
    let got = get(&nested, "/phone/openapi.json").await;
    assert_eq!(got.json()["servers"][0]["url"], "/phone");
}

#[tokio::test]
async fn the_pages_come_from_here_under_any_prefix() {
    let routes = Router::new().nest("/phone", routes());
    let got = get(&routes, "/phone/docs").await;
    assert_eq!((got.status, got.header("location")), (307, "docs/"));
    let got = get(&routes, "/phone/docs/").await;
    let page = String::from_utf8(got.body).unwrap();
    assert!(
        page.contains("swagger-ui-bundle.js") && !page.contains("https://"),
        "{page}"
    );
    let got = get(&routes, "/phone/docs/swagger-initializer.js").await;
    assert!(String::from_utf8(got.body).unwrap().contains("../openapi.json"));
    get(&routes, "/phone/docs/nothing.js")
        .await
        .is_problem(404, "not_found");
}
