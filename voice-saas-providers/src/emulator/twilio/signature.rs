//! `X-Twilio-Signature`: HMAC-SHA1 over the URL and the sorted parameters.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha1::Sha1;

/// The signature of a request to `url` with these form parameters (none for GET and for socket handshakes).
///
/// A name that occurs more than once contributes each of its different values, sorted.
pub(super) fn sign(auth_token: &str, url: &str, parameters: &[(String, String)]) -> String {
    let mut sorted: Vec<_> = parameters
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    sorted.sort_unstable();
    sorted.dedup();
    let mut mac = Hmac::<Sha1>::new_from_slice(auth_token.as_bytes()).expect("HMAC takes keys of any length");
    mac.update(url.as_bytes());
    for (name, value) in sorted {
        mac.update(name.as_bytes());
        mac.update(value.as_bytes());
    }
    STANDARD.encode(mac.finalize().into_bytes())
}

/// The form of a voice webhook's URL that Twilio signs: no fragment, no credentials, and for HTTPS no port.
pub(super) fn signed_url(url: &str) -> String {
    let url = url.split('#').next().unwrap_or_default();
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    let (authority, path) = rest.find(['/', '?']).map_or((rest, ""), |at| rest.split_at(at));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let host = match host.rsplit_once(':') {
        Some((name, port)) if scheme == "https" && port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    format!("{scheme}://{host}{path}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALL: &[(&str, &str)] = &[
        ("CallSid", "CA1234567890ABCDE"),
        ("Caller", "+14158675309"),
        ("Digits", "1234"),
        ("From", "+14158675309"),
        ("To", "+18005551212"),
    ];

    #[track_caller]
    fn check(url: &str, parameters: &[(&str, &str)], expected: &str) {
        let parameters: Vec<_> = parameters
            .iter()
            .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
            .collect();
        assert_eq!(sign("12345", url, &parameters), expected, "{url}");
    }

    #[test]
    fn signatures_of_forms_equal_the_published_ones() {
        check(
            "https://mycompany.com/myapp.php?foo=1&bar=2",
            CALL,
            "RSOYDt4T1cUTdK1PDd93/VVr8B8=",
        );
        check(
            "https://mycompany.com:443/myapp.php?foo=1&bar=2",
            CALL,
            "kvajT1Ptam85bY51eRf/AJRuM3w=",
        );
        check(
            "http://mycompany.com:80/myapp.php?foo=1&bar=2",
            CALL,
            "0ZXoZLH/DfblKGATFgpif+LLRf4=",
        );
        check(
            "http://mycompany.com:1234/myapp.php?foo=1&bar=2",
            CALL,
            "Zmvh+3yNM1Phv2jhDCwEM3q5ebU=",
        );
        check(
            "https://example.com/v",
            &[("a", "1"), ("B", "2"), ("Zed", "3"), ("_x", "4")],
            "j6eOGadBm06T0IENX1msA6/xvTQ=",
        );
        check(
            "https://example.com/v",
            &[("ForwardedFrom", ""), ("CallSid", "CA1")],
            "Jy46AMCskv6rytnU5A94gjIjctE=",
        );
        check(
            "https://example.com/sms",
            &[("Body", "héllo ☎"), ("From", "+14155550100")],
            "o1wMD/y60g1mD/n2hS3H2F3BNuo=",
        );
    }

    #[test]
    fn repeated_names_contribute_each_value_once() {
        check(
            "https://mycompany.com/myapp.php?foo=1&bar=2",
            &[
                ("Sid", "CA123"),
                ("SidAccount", "AC123"),
                ("Digits", "5678"),
                ("Digits", "1234"),
                ("Digits", "1234"),
            ],
            "IK+Dwps556ElfBT0I3Rgjkr1wJU=",
        );
        check(
            "https://mycompany.com/myapp.php?foo=1&bar=2",
            &[
                ("MessagingBinding.Address", "+1325xxxxxxx"),
                ("MessagingBinding.Address", "+1415xxxxxxx"),
            ],
            "83O6e2vORAoJHUNzJjDWN1jz+BA=",
        );
    }

    #[test]
    fn signatures_without_parameters_equal_the_published_ones() {
        check(
            "wss://voice.example.com/media",
            &[],
            "jFDHVhI8XO69C49uXR3xmdZPylY=",
        );
        check(
            "wss://voice.example.com/media/",
            &[],
            "BXF4dPv/qKwfALEQ/o2fVPPvK/c=",
        );
        check(
            "https://example.com/voice?CallSid=CA123&From=%2B14155550100",
            &[],
            "4/tK9hIVE7WOg2E7syJnlxcSXWE=",
        );
    }

    #[test]
    fn the_signed_url_drops_what_twilio_drops() {
        assert_eq!(
            signed_url("https://u:p@a.example:8443/v?x=1#rc=3"),
            "https://a.example/v?x=1"
        );
        assert_eq!(
            signed_url("http://127.0.0.1:8080/v?x=1#rc=3"),
            "http://127.0.0.1:8080/v?x=1"
        );
        assert_eq!(signed_url("https://a.example"), "https://a.example");
    }
}
