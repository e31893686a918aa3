//! Access tokens: JWTs that are good for half an hour, without asking the store.

use std::time::Duration;

use jiff::Timestamp;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};

use super::{key::SecretKey, principal::Principal};
use crate::{
    id::{TenantId, UserId},
    scope::{Actor, TenantScope},
    tenant::Role,
};

const ISSUER: &str = "voice-saas";

#[derive(Serialize, Deserialize)]
struct Claims {
    iss: String,
    sub: UserId,
    ten: String,
    role: Role,
    iat: i64,
    exp: i64,
}

/// Makes and reads access tokens.
#[derive(Clone)]
pub(crate) struct AccessTokens {
    encoding: EncodingKey,
    decoding: DecodingKey,
    lifetime: Duration,
}

impl std::fmt::Debug for AccessTokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AccessTokens")
            .field("lifetime", &self.lifetime)
            .finish_non_exhaustive()
    }
}

impl AccessTokens {
    pub(crate) fn new(key: &SecretKey, lifetime: Duration) -> Self {
        // An embedder may have switched on the other backend too, which makes an implicit choice panic. Whoever
        // installed one first keeps it.
        let _ = jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default();
        let secret = key.derive("access");
        Self {
            encoding: EncodingKey::from_secret(&secret),
            decoding: DecodingKey::from_secret(&secret),
            lifetime,
        }
    }

    pub(crate) fn lifetime(&self) -> Duration {
        self.lifetime
    }

    pub(crate) fn issue(&self, user: UserId, tenant: TenantId, role: Role, now: Timestamp) -> String {
        let claims = Claims {
            iss: ISSUER.to_owned(),
            sub: user,
            ten: tenant.to_string(),
            role,
            iat: now.as_second(),
            exp: (now + self.lifetime).as_second(),
        };
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &self.encoding)
            .unwrap_or_else(|error| unreachable!("plain claims are signed with a symmetric key: {error}"))
    }

    /// Whom the token speaks for; `None` when it is not ours, was changed, or is too old.
    pub(crate) fn read(&self, token: &str, now: Timestamp) -> Option<Principal> {
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_issuer(&[ISSUER]);
        // The library would ask the machine's clock; ours decides below.
        validation.validate_exp = false;
        let claims = jsonwebtoken::decode::<Claims>(token, &self.decoding, &validation)
            .ok()?
            .claims;
        if claims.exp <= now.as_second() {
            return None;
        }
        let scope = TenantScope::mint(claims.ten.parse().ok()?, Actor::User(claims.sub));
        Some(Principal::new(scope, claims.role))
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn tokens(secret: u8) -> AccessTokens {
        AccessTokens::new(&SecretKey::new([secret; 32]).unwrap(), Duration::from_mins(30))
    }

    #[test]
    fn a_token_speaks_for_its_user_until_it_is_half_an_hour_old() {
        let (user, tenant) = (
            UserId::from_uuid(Uuid::from_u128(1)),
            TenantId::from_uuid(Uuid::from_u128(2)),
        );
        let now: Timestamp = "2026-11-21T09:00:00Z".parse().unwrap();
        let token = tokens(1).issue(user, tenant, Role::Admin, now);

        let principal = tokens(1).read(&token, now).unwrap();
        assert_eq!(principal.scope().tenant_id(), tenant);
        assert_eq!(principal.scope().actor(), Actor::User(user));
        assert_eq!(principal.role(), Role::Admin);
        assert!(tokens(1).read(&token, now + Duration::from_mins(30)).is_none());
        assert!(tokens(2).read(&token, now).is_none(), "another key signed it");
        assert!(tokens(1).read(&format!("{token}x"), now).is_none());
    }
}
