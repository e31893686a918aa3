//! Tokens that are bound to one call: they name it, prove that we made them, and are good for one purpose.
//!
//! They are derived from the call, so nothing is stored and a repeated webhook gets the same one. That a media
//! token is used once is the call row's affair ([`claim_media`](super::CallRepo::claim_media)).

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use uuid::Uuid;

use crate::{
    auth::{SecretKey, mac},
    id::{CallId, TenantId},
    scope::{Actor, TenantScope},
    secret::same,
};

/// What a token is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Bringing the call's audio.
    Media,
    /// Acting for the call as its agent's tools.
    Tool,
    /// Saying which call a platform's conversation belongs to.
    Reference,
}

impl Purpose {
    const fn word(self) -> &'static [u8] {
        match self {
            Self::Media => b"media",
            Self::Tool => b"tool",
            Self::Reference => b"reference",
        }
    }
}

/// Makes and reads call tokens.
#[derive(Clone)]
pub(crate) struct CallTokens {
    key: [u8; 32],
}

impl std::fmt::Debug for CallTokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CallTokens")
    }
}

impl CallTokens {
    pub(crate) fn new(key: &SecretKey) -> Self {
        Self {
            key: key.derive("call"),
        }
    }

    pub(crate) fn make(&self, purpose: Purpose, tenant: TenantId, call: CallId) -> String {
        let mut bytes = [0; 48];
        bytes[..16].copy_from_slice(tenant.as_uuid().as_bytes());
        bytes[16..32].copy_from_slice(call.as_uuid().as_bytes());
        let tag = mac(&self.key, &[purpose.word(), &bytes[..32]]);
        bytes[32..].copy_from_slice(&tag[..16]);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The call that the token is bound to, and the right to its tenant's rows.
    pub(crate) fn read(&self, purpose: Purpose, token: &str) -> Option<(TenantScope, CallId)> {
        let bytes: [u8; 48] = URL_SAFE_NO_PAD.decode(token).ok()?.try_into().ok()?;
        let tag = mac(&self.key, &[purpose.word(), &bytes[..32]]);
        if !same(&tag[..16], &bytes[32..]) {
            return None;
        }
        let tenant = TenantId::from_uuid(Uuid::from_slice(&bytes[..16]).ok()?);
        let call = CallId::from_uuid(Uuid::from_slice(&bytes[16..32]).ok()?);
        Some((TenantScope::mint(tenant, Actor::Call(call)), call))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_good_for_its_call_and_its_purpose_alone() {
        let tokens = CallTokens::new(&SecretKey::new([1; 32]).unwrap());
        let (tenant, call) = (
            TenantId::from_uuid(Uuid::from_u128(1)),
            CallId::from_uuid(Uuid::from_u128(2)),
        );
        let token = tokens.make(Purpose::Media, tenant, call);

        let (scope, found) = tokens.read(Purpose::Media, &token).unwrap();
        assert_eq!((scope.tenant_id(), found), (tenant, call));
        assert!(tokens.read(Purpose::Tool, &token).is_none());
        assert!(
            CallTokens::new(&SecretKey::new([2; 32]).unwrap())
                .read(Purpose::Media, &token)
                .is_none()
        );
        for spoiled in ["", "x", &token[1..], &token.replace(&token[..1], "-")] {
            assert!(tokens.read(Purpose::Media, spoiled).is_none(), "{spoiled}");
        }
    }
}
