//! Access tokens, by hand: HS256 with the API secret.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::wire::TwirpError;

/// How long the token of a webhook lasts, in seconds.
const VOUCHER: i64 = 300;
/// How far clocks may differ, in seconds.
const LEEWAY: i64 = 60;

/// What a token allows.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Claims {
    iss: String,
    exp: i64,
    nbf: i64,
    video: Video,
    sip: Sip,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Video {
    room_create: bool,
    room_list: bool,
    room_admin: bool,
    room: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Sip {
    admin: bool,
    call: bool,
}

fn granted(granted: bool) -> Result<(), TwirpError> {
    if granted {
        Ok(())
    } else {
        // 401, although the keys are right.
        Err(TwirpError::new("unauthenticated", "permissions denied"))
    }
}

impl Claims {
    pub(super) fn sip_admin(&self) -> Result<(), TwirpError> {
        granted(self.sip.admin)
    }

    pub(super) fn sip_call(&self) -> Result<(), TwirpError> {
        granted(self.sip.call)
    }

    pub(super) fn room_create(&self) -> Result<(), TwirpError> {
        granted(self.video.room_create)
    }

    pub(super) fn room_list(&self) -> Result<(), TwirpError> {
        granted(self.video.room_list)
    }

    pub(super) fn room_admin(&self, room: &str) -> Result<(), TwirpError> {
        granted(self.video.room_admin && self.video.room == room)
    }
}

fn signature(secret: &str, signed: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes keys of any length");
    mac.update(signed.as_bytes());
    URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes())
}

/// Reads the token of a request, at the time `now` (Unix seconds). The message of an error is what LiveKit answers as
/// plain text.
pub(super) fn verify(
    header: Option<&str>,
    key: &str,
    secret: &str,
    now: i64,
) -> Result<Claims, &'static str> {
    const INVALID: &str = "invalid authorization token";
    let Some(header) = header else {
        // A request without a token has no permissions; the methods say so.
        return Ok(Claims::default());
    };
    let token = header
        .strip_prefix("Bearer ")
        .ok_or("invalid authorization header. Must start with Bearer ")?;
    let (signed, given) = token.rsplit_once('.').ok_or(INVALID)?;
    let (head, payload) = signed.split_once('.').ok_or(INVALID)?;
    let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| INVALID);
    let head: serde_json::Value = serde_json::from_slice(&decode(head)?).map_err(|_| INVALID)?;
    let claims: Claims = serde_json::from_slice(&decode(payload)?).map_err(|_| INVALID)?;
    if claims.iss != key {
        return Err("invalid API key");
    }
    let holds = bool::from(given.as_bytes().ct_eq(signature(secret, signed).as_bytes()));
    let timely = claims.nbf - LEEWAY <= now && now <= claims.exp + LEEWAY;
    if head["alg"] == "HS256" && holds && timely {
        Ok(claims)
    } else {
        Err(INVALID)
    }
}

/// The token that vouches for a webhook's body.
pub(super) fn voucher(key: &str, secret: &str, body: &str, now: i64) -> String {
    let head = URL_SAFE_NO_PAD.encode(json!({"alg": "HS256", "typ": "JWT"}).to_string());
    let sha256 = STANDARD.encode(Sha256::digest(body.as_bytes()));
    let claims = json!({"iss": key, "nbf": now, "exp": now + VOUCHER, "sha256": sha256});
    let signed = format!("{head}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()));
    format!("{signed}.{}", signature(secret, &signed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_that_of_rfc_7515() {
        // The example of RFC 7515, appendix A.1.
        let key = URL_SAFE_NO_PAD
            .decode("AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow")
            .expect("base64");
        let signed = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("a key");
        mac.update(signed.as_bytes());
        assert_eq!(
            URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()),
            "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
        );
    }

    #[track_caller]
    fn refused(header: &str, now: i64, because: &str) {
        assert_eq!(verify(Some(header), "key", "secret", now).err(), Some(because));
    }

    #[test]
    fn a_token_that_does_not_hold_is_refused_in_livekits_words() {
        let token = voucher("key", "secret", "body", 1_000);
        let header = format!("Bearer {token}");
        assert!(verify(Some(&header), "key", "secret", 1_000).is_ok());
        refused(
            &token,
            1_000,
            "invalid authorization header. Must start with Bearer ",
        );
        refused(
            &header,
            1_000 + VOUCHER + LEEWAY + 1,
            "invalid authorization token",
        );
        refused(&header, 900, "invalid authorization token");
        refused("Bearer a.b", 1_000, "invalid authorization token");
        let other = format!("Bearer {}", voucher("other", "secret", "body", 1_000));
        refused(&other, 1_000, "invalid API key");
        let forged = format!("Bearer {}", voucher("key", "guess", "body", 1_000));
        refused(&forged, 1_000, "invalid authorization token");
    }
}
