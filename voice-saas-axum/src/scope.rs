//! Who is asking: the tenant's own people and programs, or operators of the platform.

use std::str::FromStr;

use axum::{
    extract::{FromRef, FromRequestParts, Path},
    http::{StatusCode, request::Parts},
};
use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};
use voice_saas_core::{
    auth::{AuthError, Credentials, Principal},
    secret::same,
    tenant::Platform,
};

use crate::{ApiState, Problem, rate_limit};

/// An authenticated caller within one tenant, who has not asked too often. The only way for a handler to know a
/// tenant.
///
/// ```
/// use voice_saas_axum::{Problem, Scoped};
///
/// /// A route of the host's own, behind the same login.
/// async fn my_role(scoped: Scoped) -> Result<String, Problem> {
///     Ok(format!("{:?}", scoped.principal().role()))
/// }
/// # let _: axum::routing::MethodRouter<voice_saas_axum::ApiState> = axum::routing::get(my_role);
/// ```
#[derive(Debug, Clone)]
pub struct Scoped(Principal);

impl Scoped {
    /// The caller.
    pub fn principal(&self) -> &Principal {
        &self.0
    }

    pub(crate) fn into_principal(self) -> Principal {
        self.0
    }
}

impl<S> FromRequestParts<S> for Scoped
where
    S: Send + Sync,
    ApiState: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let api = ApiState::from_ref(state);
        match api.app().authenticate(&Credentials::new(&parts.headers)).await {
            Ok(principal) => {
                api.limiters().tenant(principal.scope().tenant_id())?;
                Ok(Self(principal))
            }
            Err(AuthError::Unauthenticated) => {
                api.limiters().client(rate_limit::client(parts, &api))?;
                Err(Problem::unauthenticated())
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// An operator of the platform, who presented the operator token.
#[derive(Debug, Clone, Copy)]
pub struct Operator(());

impl<S> FromRequestParts<S> for Operator
where
    S: Send + Sync,
    ApiState: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let api = ApiState::from_ref(state);
        let presented = Credentials::new(&parts.headers).bearer();
        if let (Some(presented), Some(token)) = (&presented, api.operator_token()) {
            // Hashed first, so that not even the token's length shows in the time that it takes.
            let [presented, token] = [presented, token].map(|text| Sha256::digest(text.expose_secret()));
            if same(&presented, &token) {
                return Ok(Self(()));
            }
        }
        // A tenant's own credentials are good ones, but not for this.
        Scoped::from_request_parts(parts, state).await?;
        Err(Problem::new(
            StatusCode::FORBIDDEN,
            "forbidden",
            "only operators of the platform may do this",
        ))
    }
}

/// The `{id}` of the path. What is not an id of this kind names nothing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Id<T>(pub(crate) T);

impl<S: Send + Sync, T: FromStr> FromRequestParts<S> for Id<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path(text) = Path::<String>::from_request_parts(parts, state)
            .await
            .map_err(|_| Problem::not_found())?;
        text.parse().map(Self).map_err(|_| Problem::not_found())
    }
}

/// Which kind of product the caller comes through: `X-App-Type`, else the user agent, else the path, else web.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AppType(pub(crate) Platform);

impl<S: Send + Sync> FromRequestParts<S> for AppType {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let header = |name| parts.headers.get(name).and_then(|value| value.to_str().ok());
        let platform = match header("x-app-type").map(str::to_ascii_lowercase).as_deref() {
            Some("mobile") => Platform::Mobile,
            Some("web") => Platform::Web,
            Some(_) => {
                return Err(Problem::new(
                    StatusCode::UNPROCESSABLE_ENTITY,
                    "unknown_app_type",
                    "X-App-Type must be mobile or web",
                ));
            }
            None => guess(header("user-agent").unwrap_or(""), parts.uri.path()),
        };
        Ok(Self(platform))
    }
}

/// An app names itself; a browser on a telephone (`Mozilla/… Mobile Safari`) is still a browser.
fn guess(user_agent: &str, path: &str) -> Platform {
    let app = !user_agent.starts_with("Mozilla/") && user_agent.to_ascii_lowercase().contains("mobile");
    if app || path.split('/').any(|segment| segment == "mobile") {
        Platform::Mobile
    } else {
        Platform::Web
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_app_is_told_by_its_name_and_a_browser_stays_a_browser() {
        let browser = "Mozilla/5.0 (iPhone) AppleWebKit/605.1.15 Version/17.0 Mobile/15E148 Safari/604.1";
        assert_eq!(
            guess("Speech-Assistant-Mobile-iOS", "/v1/auth/register"),
            Platform::Mobile
        );
        assert_eq!(guess(browser, "/v1/auth/register"), Platform::Web);
        assert_eq!(guess(browser, "/v1/mobile/pricing"), Platform::Mobile);
        assert_eq!(guess("", "/v1/auth/register"), Platform::Web);
    }
}
