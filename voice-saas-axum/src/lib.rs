//! Ready-made axum routes of voice-saas: accounts, numbers, agents, calls, provider webhooks and media sockets.
//!
//! [`router`] is all of them. It may be mounted anywhere in an application of one's own; providers must then be told
//! the same prefix, which is part of the public URL that [`VoiceSaas::builder`](voice_saas_core::VoiceSaas::builder)
//! takes.
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use axum::{Router, routing::get};
//! use tokio::net::TcpListener;
//! use voice_saas_axum::ApiState;
//! use voice_saas_core::{VoiceSaas, auth::SecretKey, store::Store};
//!
//! async fn run(store: Arc<dyn Store>, key: SecretKey) -> Result<(), Box<dyn std::error::Error>> {
//!     let app = VoiceSaas::builder(store, key, "https://example.com/phone".parse()?).build();
//!     let api = ApiState::new(app.clone())
//!         .with_operator_token("a long random text".into())
//!         .with_cors_origins(["https://app.example.com"])?;
//!
//!     let routes = Router::new()
//!         .route("/", get(|| async { "my own page" }))
//!         .nest("/phone", voice_saas_axum::router(api));
//!
//!     let stop = async move {
//!         let _ = tokio::signal::ctrl_c().await;
//!         app.drain(std::time::Duration::from_secs(30)).await;
//!     };
//!     let listener = TcpListener::bind("127.0.0.1:8080").await?;
//!     voice_saas_axum::serve(listener, routes, stop).await?;
//!     Ok(())
//! }
//! ```
//!
//! Each concept has a router of its own, generic over the host's state: see [`ApiState`]. Around single concepts,
//! [`with_conventions`] puts what all routes have in common: request ids, spans, CORS, and problems instead of panics.
//!
//! Every route is registered through `utoipa_axum`'s `routes!`, so [`openapi`] describes each of them.

mod account;
mod admin;
mod agent;
mod api_key;
mod call;
mod call_events;
mod error;
mod idempotency;
mod json;
mod ledger;
mod media;
mod number;
mod number_import;
mod number_missing;
mod number_pool;
mod number_port;
mod openapi;
mod operations;
mod page;
mod plan;
mod query;
mod rate_limit;
mod reconciliation;
mod routing;
mod scope;
mod serve;
mod state;
mod tenant;
mod tool;
mod trace;
mod trunk;
mod usage;
mod view;
mod webhook;

use std::{any::Any, time::Duration};

use axum::{
    Router,
    extract::FromRef,
    http::{HeaderName, HeaderValue, Method, StatusCode, header},
    middleware,
    response::{IntoResponse, Response},
};
use tower_http::{
    catch_panic::CatchPanicLayer,
    cors::{AllowOrigin, CorsLayer},
};
use utoipa_axum::router::OpenApiRouter;

pub use account::accounts_router;
pub use admin::admin_router;
pub use agent::agents_router;
pub use api_key::api_keys_router;
pub use call::calls_router;
pub use error::Problem;
pub use ledger::ledger_router;
pub use media::media_router;
pub use number::numbers_router;
pub use number_import::import_for_tenants_router;
pub use number_missing::missing_numbers_router;
pub use number_pool::number_pool_router;
pub use number_port::ports_router;
pub use openapi::{documentation_router, openapi};
pub use operations::operations_router;
pub use plan::plans_router;
pub use rate_limit::{Rate, RateLimits};
pub use reconciliation::reconciliation_router;
pub use routing::routing_router;
pub use scope::{Operator, Scoped};
pub use serve::serve;
pub use state::{ApiState, InvalidOrigin};
pub use tenant::tenant_router;
pub use tool::tools_router;
pub use trunk::trunks_router;
pub use usage::usage_router;
pub use webhook::webhooks_router;

/// Everything: all routes, their document, and what they have in common.
pub fn router(api: ApiState) -> Router {
    if api.metrics().is_none() {
        // From here on, so that nothing is missed before somebody asks for the metrics.
        let _ = operations::recorder();
    }
    let (router, _) = all_routes::<ApiState>().split_for_parts();
    let router = router
        .fallback(async || Problem::not_found())
        .method_not_allowed_fallback(async || {
            Problem::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                "the path does not take this method",
            )
        });
    with_conventions(router, &api).with_state(api)
}

/// Puts around routes what all of ours have in common: request ids, spans and metrics, CORS for the configured origins,
/// and a problem instead of a panic.
pub fn with_conventions<S: Clone + Send + Sync + 'static>(router: Router<S>, api: &ApiState) -> Router<S> {
    let router = router.layer(CatchPanicLayer::custom(panicked));
    let router = match cors(api) {
        Some(cors) => router.layer(cors),
        None => router,
    };
    router.layer(middleware::from_fn_with_state(api.clone(), trace::observe))
}

fn all_routes<S>() -> OpenApiRouter<S>
where
    S: Clone + Send + Sync + 'static,
    ApiState: FromRef<S>,
{
    accounts_router()
        .merge(tenant_router())
        .merge(api_keys_router())
        .merge(agents_router())
        .merge(numbers_router())
        .merge(ports_router())
        .merge(trunks_router())
        .merge(missing_numbers_router())
        .merge(number_pool_router())
        .merge(import_for_tenants_router())
        .merge(routing_router())
        .merge(calls_router())
        .merge(plans_router())
        .merge(usage_router())
        .merge(ledger_router())
        .merge(tools_router())
        .merge(admin_router())
        .merge(reconciliation_router())
        .merge(webhooks_router())
        .merge(media_router())
        .merge(operations_router())
        .merge(documentation_router())
}

fn cors(api: &ApiState) -> Option<CorsLayer> {
    const X_APP_TYPE: HeaderName = HeaderName::from_static("x-app-type");
    const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

    let origins = api.cors_origins();
    if origins.is_empty() {
        return None;
    }
    let origins = if origins.contains(&HeaderValue::from_static("*")) {
        AllowOrigin::any()
    } else {
        AllowOrigin::list(origins.iter().cloned())
    };
    let layer = CorsLayer::new()
        .allow_origin(origins)
        .allow_methods([
            Method::GET,
            Method::POST,
            Method::PUT,
            Method::PATCH,
            Method::DELETE,
        ])
        .allow_headers([
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            idempotency::IDEMPOTENCY_KEY,
            trace::X_REQUEST_ID,
            X_APP_TYPE,
            LAST_EVENT_ID,
        ])
        .expose_headers([trace::X_REQUEST_ID, header::RETRY_AFTER])
        .max_age(Duration::from_hours(1));
    Some(layer)
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "CatchPanicLayer hands the panic over"
)]
fn panicked(panic: Box<dyn Any + Send>) -> Response {
    let said = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("nothing");
    tracing::error!(said, "a handler panicked");
    Problem::blank().into_response()
}

#[cfg(test)]
mod tests;
