//! The tenant itself.

use std::collections::BTreeMap;

use axum::{
    extract::{FromRef, State},
    http::StatusCode,
};
use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use voice_saas_core::{
    id::{SagaId, TenantId},
    phone::{Country, E164},
    tenant::{Platform, Profile, Tenant, TenantChange, TenantStatus, Zone},
    validate::{FieldError, Invalid},
};

use crate::{ApiState, Problem, Scoped, json::Json};

/// Reading and changing the tenant's profile.
pub fn tenant_router<S>() -> OpenApiRouter<S>
where
    S: Clone + Send + Sync + 'static,
    ApiState: FromRef<S>,
{
    OpenApiRouter::default().routes(routes!(get_tenant, update_tenant, close_tenant))
}

/// Opening hours by weekday (`mon` … `sun`), as pairs of `HH:MM`.
type Hours = BTreeMap<String, Vec<(String, String)>>;

/// A customer of the platform.
#[derive(Serialize, ToSchema)]
pub(crate) struct TenantView {
    #[schema(value_type = String)]
    id: TenantId,
    name: String,
    /// `trial`, `active`, `past_due`, `suspended`, `closing` or `closed`.
    #[schema(value_type = String)]
    status: TenantStatus,
    /// `web` or `mobile`.
    #[schema(value_type = String)]
    platform: Platform,
    /// How its people write phone numbers.
    #[schema(value_type = String, example = "US")]
    country: Country,
    #[schema(value_type = String, example = "America/New_York")]
    timezone: Zone,
    industry: Option<String>,
    owner_name: Option<String>,
    #[schema(value_type = Option<String>, example = "+12125550142")]
    phone: Option<E164>,
    #[schema(value_type = Option<String>)]
    emergency_phone: Option<E164>,
    greeting: Option<String>,
    services: Vec<String>,
    /// Opening hours by weekday (`mon` … `sun`), as pairs of `HH:MM`.
    #[schema(value_type = BTreeMap<String, Vec<Vec<String>>>)]
    hours: Hours,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
}

impl From<Tenant> for TenantView {
    fn from(tenant: Tenant) -> Self {
        let profile = tenant.profile;
        Self {
            id: tenant.id,
            name: tenant.name,
            status: tenant.status,
            platform: tenant.platform,
            country: tenant.country,
            timezone: tenant.timezone,
            industry: profile.industry,
            owner_name: profile.owner_name,
            phone: profile.phone,
            emergency_phone: profile.emergency_phone,
            greeting: profile.greeting,
            services: profile.services,
            hours: profile.hours,
            created_at: tenant.created_at,
        }
    }
}

/// What to change; what is left out stays, and `null` empties an optional field.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct TenantPatch {
    name: Option<String>,
    #[schema(value_type = Option<String>, example = "US")]
    country: Option<String>,
    #[schema(value_type = Option<String>, example = "America/New_York")]
    timezone: Option<String>,
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    industry: Edit,
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    owner_name: Edit,
    /// As people write it, in the tenant's country or with a country code.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    phone: Edit,
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    emergency_phone: Edit,
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    greeting: Edit,
    services: Option<Vec<String>>,
    /// Opening hours by weekday (`mon` … `sun`), as pairs of `HH:MM`.
    #[schema(value_type = Option<BTreeMap<String, Vec<Vec<String>>>>)]
    hours: Option<Hours>,
}

/// An optional text that is left alone, filled or emptied.
#[derive(Default)]
enum Edit {
    /// The field is not there.
    #[default]
    Keep,
    /// The field is a text or `null`.
    Set(Option<String>),
}

impl<'de> Deserialize<'de> for Edit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Option::deserialize(deserializer).map(Self::Set)
    }
}

impl Edit {
    fn apply(self, field: &mut Option<String>) {
        if let Self::Set(text) = self {
            *field = text;
        }
    }
}

impl TenantPatch {
    /// What becomes of this tenant.
    fn change(self, tenant: Tenant) -> Result<TenantChange, Invalid> {
        let mut errors = Vec::new();
        let mut change = TenantChange::default();
        change.name = self.name;
        change.country = self
            .country
            .and_then(|text| read(text.parse(), "/country", &mut errors));
        change.timezone = self
            .timezone
            .and_then(|text| read(text.parse(), "/timezone", &mut errors));

        let country = change.country.unwrap_or(tenant.country);
        let mut profile: Profile = tenant.profile;
        let mut phone = |field: &mut Option<E164>, edit, pointer| {
            if let Edit::Set(text) = edit {
                *field = text.and_then(|text| read(E164::read(&text, country), pointer, &mut errors));
            }
        };
        phone(&mut profile.phone, self.phone, "/phone");
        phone(
            &mut profile.emergency_phone,
            self.emergency_phone,
            "/emergency_phone",
        );
        self.industry.apply(&mut profile.industry);
        self.owner_name.apply(&mut profile.owner_name);
        self.greeting.apply(&mut profile.greeting);
        profile.services = self.services.unwrap_or(profile.services);
        profile.hours = self.hours.unwrap_or(profile.hours);
        change.profile = Some(profile);
        if errors.is_empty() {
            Ok(change)
        } else {
            Err(Invalid { errors })
        }
    }
}

fn read<T, E: std::fmt::Display>(
    result: Result<T, E>,
    pointer: &str,
    errors: &mut Vec<FieldError>,
) -> Option<T> {
    result
        .map_err(|error| {
            errors.push(FieldError {
                pointer: pointer.to_owned(),
                code: "invalid",
                detail: error.to_string(),
            });
        })
        .ok()
}

/// The tenant.
#[utoipa::path(
    get, path = "/v1/tenant", tag = "Tenant",
    responses((status = 200, description = "The tenant", body = TenantView))
)]
async fn get_tenant(State(api): State<ApiState>, scoped: Scoped) -> Result<axum::Json<TenantView>, Problem> {
    let tenant = api.app().tenants().get(scoped.principal()).await?;
    Ok(axum::Json(tenant.into()))
}

/// Changes the tenant's profile.
#[utoipa::path(
    patch, path = "/v1/tenant", tag = "Tenant",
    request_body = TenantPatch,
    responses((status = 200, description = "The tenant as it is now", body = TenantView))
)]
async fn update_tenant(
    State(api): State<ApiState>,
    scoped: Scoped,
    Json(patch): Json<TenantPatch>,
) -> Result<axum::Json<TenantView>, Problem> {
    let tenants = api.app().tenants();
    let change = patch.change(tenants.get(scoped.principal()).await?)?;
    let tenant = tenants.update(scoped.principal(), change).await?;
    Ok(axum::Json(tenant.into()))
}

/// A tenant that is being closed.
#[derive(Serialize, ToSchema)]
struct OffBoardingView {
    /// The work that closes it: the same whenever it is asked for.
    #[schema(value_type = String)]
    id: SagaId,
    #[schema(value_type = String)]
    tenant_id: TenantId,
}

/// Closes the tenant, for good; for owners alone. Its numbers are not answered from now on. Numbers, trunks and agents
/// are given back at their providers by and by, then keys and sessions end; the tenant's status is `closing` until then
/// and `closed` afterwards. Asking again answers the same.
#[utoipa::path(
    delete, path = "/v1/tenant", tag = "Tenant",
    responses((status = 202, description = "It is being closed, or is closed", body = OffBoardingView))
)]
async fn close_tenant(
    State(api): State<ApiState>,
    scoped: Scoped,
) -> Result<(StatusCode, axum::Json<OffBoardingView>), Problem> {
    let principal = scoped.principal();
    let closing = api.app().tenants().off_board(principal).await?;
    let view = OffBoardingView {
        id: closing.id,
        tenant_id: principal.scope().tenant_id(),
    };
    Ok((StatusCode::ACCEPTED, axum::Json(view)))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use voice_saas_core::testing::fixtures;

    use super::*;

    fn change(patch: Value) -> Result<TenantChange, Vec<String>> {
        let mut tenant = fixtures::route("Acme", "Receptionist").tenant;
        tenant.profile.greeting = Some("Hello".to_owned());
        tenant.profile.industry = Some("HVAC".to_owned());
        let patch: TenantPatch = serde_json::from_value(patch).unwrap();
        let pointers = |invalid: Invalid| invalid.errors.into_iter().map(|error| error.pointer).collect();
        patch.change(tenant).map_err(pointers)
    }

    #[test]
    fn null_empties_a_field_and_silence_leaves_it() {
        let profile = change(json!({ "greeting": null })).unwrap().profile.unwrap();
        assert_eq!(profile.greeting, None);
        assert_eq!(profile.industry.as_deref(), Some("HVAC"));
    }

    #[test]
    fn phone_numbers_are_read_in_the_country_that_the_tenant_gets() {
        let profile = change(json!({ "country": "GB", "phone": "020 7946 0958" }))
            .unwrap()
            .profile
            .unwrap();
        assert_eq!(profile.phone.unwrap().as_str(), "+442079460958");
    }

    #[test]
    fn every_wrong_field_is_named() {
        let wrong = change(json!({ "country": "XX1", "timezone": "Mars/Olympus", "phone": "call me" }));
        assert_eq!(wrong.unwrap_err(), ["/country", "/timezone", "/phone"]);
    }
}
