//! The OpenAPI document of all routes, and pages to read it.

use std::sync::{Arc, LazyLock};

use axum::{
    extract::{FromRef, OriginalUri, Path, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use utoipa::openapi::{
    ContentBuilder, Info, OpenApi, Ref, RefOr, ResponseBuilder, SecurityRequirement, Server,
    path::{Operation, PathItem},
    security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme},
};
use utoipa_axum::{router::OpenApiRouter, routes};
use utoipa_swagger_ui::{Config, SwaggerFile};

use crate::{
    ApiState, Problem,
    error::{PROBLEM_JSON, ProblemBody, ProblemField},
};

static DOCUMENT: LazyLock<OpenApi> = LazyLock::new(|| {
    let (_, document) = crate::all_routes::<ApiState>().split_for_parts();
    complete(document)
});

/// The OpenAPI 3.1 document of everything that [`router`](crate::router) serves.
///
/// ```
/// let document = voice_saas_axum::openapi();
/// assert!(document.paths.paths.contains_key("/v1/numbers"));
/// ```
pub fn openapi() -> OpenApi {
    DOCUMENT.clone()
}

/// The document and the pages that show it. They describe everything that [`router`](crate::router) serves; a host that
/// mounts less serves the document of its own `OpenApiRouter` instead.
pub fn documentation_router<S>() -> OpenApiRouter<S>
where
    S: Clone + Send + Sync + 'static,
    ApiState: FromRef<S>,
{
    OpenApiRouter::default()
        .routes(routes!(openapi_json))
        .routes(routes!(docs))
        .routes(routes!(docs_page))
        .routes(routes!(docs_file))
}

/// Adds what all operations have in common.
fn complete(mut document: OpenApi) -> OpenApi {
    let mut info = Info::new("voice-saas", env!("CARGO_PKG_VERSION"));
    info.description = Some(
        "Multi-tenant voice AI: accounts, numbers, agents and calls. Lists take `limit` and `cursor`. Errors are \
         `application/problem+json` (RFC 9457) with a stable `code`. A POST that creates or spends takes an \
         `Idempotency-Key`."
            .to_owned(),
    );
    document.info = info;
    let components = document.components.get_or_insert_default();
    for (name, scheme) in schemes() {
        components.add_security_scheme(name, scheme);
    }
    components.schemas.insert(
        "Problem".to_owned(),
        <ProblemBody as utoipa::PartialSchema>::schema(),
    );
    components.schemas.insert(
        "ProblemField".to_owned(),
        <ProblemField as utoipa::PartialSchema>::schema(),
    );
    document.security = Some(vec![SecurityRequirement::new("bearer", Vec::<String>::new())]);
    for path in document.paths.paths.values_mut() {
        operations_mut(path).for_each(add_problem);
    }
    document
}

/// Every operation may fail, always in the same shape.
fn add_problem(operation: &mut Operation) {
    let content = ContentBuilder::new()
        .schema(Some(RefOr::Ref(Ref::from_schema_name("Problem"))))
        .build();
    let response = ResponseBuilder::new()
        .description("What went wrong")
        .content(PROBLEM_JSON, content)
        .build();
    operation
        .responses
        .responses
        .insert("default".to_owned(), response.into());
}

fn operations_mut(path: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [
        &mut path.get,
        &mut path.put,
        &mut path.post,
        &mut path.patch,
        &mut path.delete,
    ]
    .into_iter()
    .flatten()
}

fn schemes() -> [(&'static str, SecurityScheme); 7] {
    let bearer = |description: &str| {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some(description))
            .build();
        SecurityScheme::Http(scheme)
    };
    let header = |name: &str, description: &str| {
        SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::with_description(name, description)))
    };
    [
        (
            "bearer",
            bearer("An access token (30 minutes) or an API key (`vsk_…`)"),
        ),
        ("operator", bearer("The operator token")),
        ("call_token", header("x-call-token", "The token of one call")),
        (
            "twilio_signature",
            header("x-twilio-signature", "Twilio's signature"),
        ),
        (
            "elevenlabs_signature",
            header("elevenlabs-signature", "ElevenLabs' signature of the body"),
        ),
        (
            "livekit_token",
            header(
                "authorization",
                "LiveKit's token, which holds the hash of the body",
            ),
        ),
        (
            "elevenlabs_secret",
            header(
                "x-voice-saas-secret",
                "The secret that ElevenLabs was told to send",
            ),
        ),
    ]
}

/// This document.
#[utoipa::path(
    get, path = "/openapi.json", tag = "Operations", security(()),
    responses((status = 200, description = "OpenAPI 3.1", body = Object))
)]
async fn openapi_json(
    State(api): State<ApiState>,
    OriginalUri(uri): OriginalUri,
) -> Result<axum::Json<OpenApi>, Problem> {
    let mut document = openapi();
    if let Some(banner) = api.banner() {
        let description = document.info.description.unwrap_or_default();
        document.info.description = Some(format!("{banner}\n\n{description}"));
    }
    // Under a prefix, the paths of the document begin after it.
    let prefix = uri.path().strip_suffix("/openapi.json").unwrap_or("");
    document.servers = Some(vec![Server::new(if prefix.is_empty() { "/" } else { prefix })]);
    Ok(axum::Json(document))
}

/// Pages to read this document.
#[utoipa::path(
    get, path = "/docs", tag = "Operations", security(()),
    responses((status = 307, description = "To the page"))
)]
async fn docs() -> Response {
    // Relative to wherever the routes are mounted.
    (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, "docs/")]).into_response()
}

/// Pages to read this document.
#[utoipa::path(
    get, path = "/docs/", tag = "Operations", security(()),
    responses((status = 200, description = "The page", content_type = "text/html", body = String))
)]
async fn docs_page() -> Result<Response, Problem> {
    swagger("index.html")
}

/// What the pages are made of.
#[utoipa::path(
    get, path = "/docs/{file}", tag = "Operations", security(()),
    params(("file" = String, Path)),
    responses((status = 200, description = "The file", content_type = "application/octet-stream", body = String))
)]
async fn docs_file(Path(file): Path<String>) -> Result<Response, Problem> {
    swagger(&file)
}

fn swagger(file: &str) -> Result<Response, Problem> {
    static CONFIG: LazyLock<Arc<Config<'static>>> =
        LazyLock::new(|| Arc::new(Config::from("../openapi.json").validator_url("none")));
    let found =
        utoipa_swagger_ui::serve(file, Arc::clone(&CONFIG)).map_err(|error| Problem::internal(&*error))?;
    let SwaggerFile {
        bytes,
        content_type,
        gzpipped,
        ..
    } = found.ok_or_else(Problem::not_found)?;
    let mut response = ([(header::CONTENT_TYPE, content_type)], bytes.into_owned()).into_response();
    if gzpipped {
        let gzip = axum::http::HeaderValue::from_static("gzip");
        response.headers_mut().insert(header::CONTENT_ENCODING, gzip);
    }
    Ok(response)
}
