//! Numbers of a carrier's account for tenants, for operators: where members may not import them themselves, and where an
//! operator knows whose a number is.

use axum::{
    extract::{FromRef, State},
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use voice_saas_core::{id::TenantId, number::ImportRequest, phone::E164};

use crate::{
    ApiState, Operator, Problem,
    json::Json,
    number::{NumberView, PendingNumberView, provisioned},
};

/// Importing numbers on tenants' behalf, for operators.
pub fn import_for_tenants_router<S>() -> OpenApiRouter<S>
where
    S: Clone + Send + Sync + 'static,
    ApiState: FromRef<S>,
{
    OpenApiRouter::default().routes(routes!(import_number_for_tenant))
}

/// A number that the carrier's account holds already, and who gets it.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ImportForTenant {
    /// Who gets it.
    #[schema(example = "ten_018f3c1e5d0f7a3b9c2d4e5f60718293")]
    tenant_id: String,
    /// In E.164.
    #[schema(example = "+918049001234")]
    phone_number: String,
    /// The carrier; `knowlarity` unless told otherwise.
    #[schema(example = "knowlarity")]
    provider: Option<String>,
    /// What people shall call it.
    label: Option<String>,
}

impl ImportForTenant {
    fn read(self) -> Result<(TenantId, ImportRequest), Problem> {
        let tenant = self.tenant_id.parse();
        let tenant = tenant.map_err(|_| Problem::field("/tenant_id", "unknown", "no such tenant"))?;
        let number: Result<E164, _> = self.phone_number.parse();
        let number =
            number.map_err(|error| Problem::field("/phone_number", "phone_number", error.to_string()))?;
        let provider = self.provider.unwrap_or_else(|| "knowlarity".to_owned());
        Ok((
            tenant,
            ImportRequest::new(number, provider).with_label(self.label),
        ))
    }
}

/// Takes a number of the carrier's account into service for a tenant, whatever the policy for members says. One that a
/// tenant holds is refused with 409. It is never given back to the carrier.
#[utoipa::path(
    post, path = "/v1/admin/numbers/import", tag = "Operators", security(("operator" = [])),
    request_body = ImportForTenant,
    responses(
        (status = 201, description = "In service", body = NumberView),
        (status = 202, description = "Still being imported", body = PendingNumberView),
    )
)]
async fn import_number_for_tenant(
    State(api): State<ApiState>,
    _: Operator,
    Json(request): Json<ImportForTenant>,
) -> Result<Response, Problem> {
    let (tenant, request) = request.read()?;
    let imported = api.app().numbers().import_for(tenant, request).await?;
    Ok(provisioned(imported)?.into_response())
}
