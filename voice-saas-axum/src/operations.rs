//! How the service is: alive, ready, measured.

use std::sync::OnceLock;

use axum::{
    extract::{FromRef, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusHandle};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{ApiState, Problem};

/// Health, readiness and metrics.
pub fn operations_router<S>() -> OpenApiRouter<S>
where
    S: Clone + Send + Sync + 'static,
    ApiState: FromRef<S>,
{
    OpenApiRouter::default()
        .routes(routes!(healthz))
        .routes(routes!(readyz))
        .routes(routes!(metrics_text))
}

/// How the service is.
#[derive(Serialize, ToSchema)]
struct HealthView {
    #[schema(example = "ok")]
    status: &'static str,
    /// What the host says about this service, for instance which providers are emulated.
    #[serde(skip_serializing_if = "Option::is_none")]
    banner: Option<String>,
}

impl HealthView {
    fn new(status: &'static str, api: &ApiState) -> axum::Json<Self> {
        axum::Json(Self {
            status,
            banner: api.banner().map(str::to_owned),
        })
    }
}

/// The process is alive.
#[utoipa::path(
    get, path = "/healthz", tag = "Operations", security(()),
    responses((status = 200, description = "Alive", body = HealthView))
)]
async fn healthz(State(api): State<ApiState>) -> axum::Json<HealthView> {
    HealthView::new("ok", &api)
}

/// The process can take requests: its database answers, and it is not about to stop.
#[utoipa::path(
    get, path = "/readyz", tag = "Operations", security(()),
    responses(
        (status = 200, description = "Ready", body = HealthView),
        (status = 503, description = "Not now", body = crate::error::ProblemBody),
    )
)]
async fn readyz(State(api): State<ApiState>) -> Result<axum::Json<HealthView>, Problem> {
    let not_ready = |why| Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not_ready", why);
    if api.app().is_draining() {
        return Err(not_ready("the service finishes its calls and takes no new ones"));
    }
    if let Err(error) = api.app().store().ping().await {
        tracing::warn!("the database does not answer: {error}");
        return Err(not_ready("the database does not answer"));
    }
    Ok(HealthView::new("ready", &api))
}

/// Everything that is counted, in Prometheus' text format.
#[utoipa::path(
    get, path = "/metrics", tag = "Operations", security(()),
    responses(
        (status = 200, description = "Metrics", content_type = "text/plain", body = String),
        (status = 503, description = "The host records metrics elsewhere", body = crate::error::ProblemBody),
    )
)]
async fn metrics_text(State(api): State<ApiState>) -> Result<Response, Problem> {
    let handle = api.metrics().cloned().or_else(|| recorder().cloned());
    let handle = handle.ok_or_else(|| {
        Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "metrics_elsewhere",
            "the metrics of this process go to a recorder of the host's own",
        )
    })?;
    let content_type = "text/plain; version=0.0.4; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, content_type)], handle.render()).into_response())
}

/// The recorder of this process: installed once, by whichever router is made first. `None` when the host installed
/// another before.
pub(crate) fn recorder() -> Option<&'static PrometheusHandle> {
    static RECORDER: OnceLock<Option<PrometheusHandle>> = OnceLock::new();
    RECORDER
        .get_or_init(|| {
            let installed = install();
            installed
                .inspect_err(|error| tracing::info!("metrics go to the host's own recorder: {error}"))
                .ok()
        })
        .as_ref()
}

fn install() -> Result<PrometheusHandle, BuildError> {
    // From a cached look-up to a purchase that a request waits for.
    const SECONDS: [f64; 12] = [
        0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 10.0,
    ];
    PrometheusBuilder::new().set_buckets(&SECONDS)?.install_recorder()
}
