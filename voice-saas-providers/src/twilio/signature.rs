//! `X-Twilio-Signature` (pages `usage/webhooks/webhooks-security` and `usage/security`).
//!
//! Twilio signs the URL that it was given. What it gave, and what reaches us, can differ by a port, by user
//! information, and by how the query is written; Twilio's own libraries disagree on which form to check. Here any of
//! the forms will do: each of them is this very URL, and none can be signed without the token.

use std::fmt::Write;

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use url::{Url, form_urlencoded};
use voice_saas_core::secret::same;

/// The parameters of a form, decoded.
pub(super) type Params = Vec<(String, String)>;

/// Signs a webhook as Twilio would, so that tests can send one.
///
/// `params` are those of a posted form; a GET and a WebSocket handshake have none.
///
/// ```
/// use voice_saas_providers::twilio::sign_for_tests;
///
/// let signature = sign_for_tests("12345", "wss://voice.example.com/media", &[]);
/// assert_eq!(signature, "jFDHVhI8XO69C49uXR3xmdZPylY=");
/// ```
pub fn sign_for_tests(token: &str, url: &str, params: &[(&str, &str)]) -> String {
    sign(token, url, &ordered(params))
}

fn ordered(params: &[(&str, &str)]) -> Params {
    let mut params = params
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    order(&mut params);
    params
}

/// Puts parameters into the order of signing: by name, and a name's several values by value, each once, as Twilio's
/// libraries for Python and Node do.
pub(super) fn order(params: &mut Params) {
    params.sort();
    params.dedup();
}

/// Whether `signature` holds under this token for this URL and [ordered](order) form.
pub(super) fn holds(token: &str, url: &str, params: &Params, signature: &[u8]) -> bool {
    forms(url)
        .iter()
        .any(|url| same(sign(token, url, params).as_bytes(), signature))
}

fn sign(token: &str, url: &str, params: &Params) -> String {
    let mut mac =
        Hmac::<Sha1>::new_from_slice(token.as_bytes()).expect("a key of any length will do for an HMAC");
    mac.update(url.as_bytes());
    for (name, value) in params {
        mac.update(name.as_bytes());
        mac.update(value.as_bytes());
    }
    STANDARD.encode(mac.finalize().into_bytes())
}

/// The forms in which Twilio may have signed a URL, the likeliest first.
fn forms(url: &str) -> Vec<String> {
    let url = url.split_once('#').map_or(url, |(before, _)| before);
    let Some((scheme, rest)) = url.split_once("://") else {
        return Vec::new();
    };
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));

    let mut forms = Vec::new();
    for path in paths(scheme, url, path) {
        for authority in authorities(scheme, authority) {
            let form = format!("{scheme}://{authority}{path}");
            if !forms.contains(&form) {
                forms.push(form);
            }
        }
    }
    forms
}

/// Without a port and with one; the user information as given and left out.
fn authorities(scheme: &str, authority: &str) -> Vec<String> {
    let (user, host) = match authority.rsplit_once('@') {
        Some((user, host)) => (Some(user), host),
        None => (None, authority),
    };
    let (name, port) = match host.rsplit_once(':') {
        // The colons of an IPv6 address are inside of brackets.
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => (name, port),
        _ if matches!(scheme, "https" | "wss") => (host, "443"),
        _ => (host, "80"),
    };
    let hosts = [name.to_owned(), format!("{name}:{port}")];
    let with_user = user.map(|user| hosts.clone().map(|host| format!("{user}@{host}")));
    with_user.into_iter().flatten().chain(hosts).collect()
}

/// Path and query as they came, as a browser would write them (`'` becomes `%27`), and with each query value decoded
/// and encoded anew, which Twilio's library for Node calls the legacy form. A socket's URL also with a slash at its
/// end.
fn paths(scheme: &str, url: &str, path: &str) -> Vec<String> {
    let mut paths = vec![path.to_owned()];
    if let Ok(parsed) = Url::parse(url) {
        let query = parsed.query().map(|query| format!("?{query}"));
        paths.push(format!("{}{}", parsed.path(), query.unwrap_or_default()));
    }
    if let Some((path, query)) = path.split_once('?') {
        paths.push(format!("{path}?{}", legacy_query(query)));
    } else if matches!(scheme, "ws" | "wss") {
        paths.push(format!("{path}/"));
    }
    paths
}

fn legacy_query(query: &str) -> String {
    let pairs: Vec<String> = form_urlencoded::parse(query.as_bytes())
        .map(|(name, value)| format!("{}={}", encode_component(&name), encode_component(&value)))
        .collect();
    pairs.join("&")
}

/// JavaScript's `encodeURIComponent`.
fn encode_component(text: &str) -> String {
    const LITERAL: &[u8] = b"-_.!~*'()";
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || LITERAL.contains(&byte) {
            encoded.push(byte.into());
        } else {
            write!(encoded, "%{byte:02X}").expect("a String takes whatever is written");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "12345";
    const U: &str = "https://mycompany.com/myapp.php?foo=1&bar=2";
    const P: &[(&str, &str)] = &[
        ("To", "+18005551212"),
        ("CallSid", "CA1234567890ABCDE"),
        ("Caller", "+14158675309"),
        ("Digits", "1234"),
        ("From", "+14158675309"),
    ];
    const PROPERTY: &str = "bodySHA256=0a1ff7634d9ab3b95db5c9a2dfe9416e41502b283a80c7cf19632632f96e6620";
    const EMPTY: &str = "bodySHA256=44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";

    fn accepted(url: &str, with: &[(&str, &str)], signature: &str) -> bool {
        holds(TOKEN, url, &ordered(with), signature.as_bytes())
    }

    /// The vectors are those of Twilio's own libraries and documentation, and some computed by the same rule.
    #[track_caller]
    fn check(url: &str, with: &[(&str, &str)], signature: &str) {
        assert_eq!(sign_for_tests(TOKEN, url, with), signature);
        assert!(accepted(url, with, signature));
    }

    #[test]
    fn a_form_is_signed_with_its_url() {
        check(U, P, "RSOYDt4T1cUTdK1PDd93/VVr8B8=");
        let other: Vec<_> = P
            .iter()
            .map(|(name, value)| (*name, value.replace("5309", "5310")))
            .collect();
        let other: Vec<_> = other.iter().map(|(name, value)| (*name, &**value)).collect();
        check(
            "https://example.com/myapp.php?foo=1&bar=2",
            &other,
            "L/OH5YylLD5NRKLltdqwSvS0BnU=",
        );
    }

    #[test]
    fn a_port_may_be_signed() {
        let at = |origin: &str| format!("{origin}/myapp.php?foo=1&bar=2");
        check(
            &at("https://mycompany.com:443"),
            P,
            "kvajT1Ptam85bY51eRf/AJRuM3w=",
        );
        check(&at("http://mycompany.com:80"), P, "0ZXoZLH/DfblKGATFgpif+LLRf4=");
        check(
            &at("http://mycompany.com:1234"),
            P,
            "Zmvh+3yNM1Phv2jhDCwEM3q5ebU=",
        );
    }

    #[test]
    fn user_information_may_be_signed() {
        let at = |origin: &str| format!("{origin}/myapp.php?foo=1&bar=2");
        check(
            &at("https://user:pass@mycompany.com"),
            P,
            "CukzLTc1tT5dXEDIHm/tKBanW10=",
        );
        check(
            &at("https://user@mycompany.com"),
            P,
            "2YRLlVAflCqxaNicjMpJcSTgzSs=",
        );
        check(
            &at("https://user:pass@mycompany.com:443"),
            P,
            "ZQFR1PTIZXF2MXB8ZnKCvnnA+rI=",
        );
    }

    #[test]
    fn names_are_sorted_and_repeated_values_are_signed_once() {
        let repeated = [
            ("Sid", "CA123"),
            ("SidAccount", "AC123"),
            ("Digits", "5678"),
            ("Digits", "1234"),
            ("Digits", "1234"),
        ];
        check(U, &repeated, "IK+Dwps556ElfBT0I3Rgjkr1wJU=");
        let bindings = [
            ("MessagingBinding.Address", "+1325xxxxxxx"),
            ("MessagingBinding.Address", "+1415xxxxxxx"),
        ];
        check(U, &bindings, "83O6e2vORAoJHUNzJjDWN1jz+BA=");
        let cases = [("a", "1"), ("B", "2"), ("Zed", "3"), ("_x", "4")];
        check("https://example.com/v", &cases, "j6eOGadBm06T0IENX1msA6/xvTQ=");
    }

    #[test]
    fn an_empty_value_and_any_letter_are_signed() {
        let empty = [("ForwardedFrom", ""), ("CallSid", "CA1")];
        check("https://example.com/v", &empty, "Jy46AMCskv6rytnU5A94gjIjctE=");
        let letters = [("Body", "héllo ☎"), ("From", "+14155550100")];
        check(
            "https://example.com/sms",
            &letters,
            "o1wMD/y60g1mD/n2hS3H2F3BNuo=",
        );
    }

    #[test]
    fn the_hash_of_another_body_is_a_part_of_the_url() {
        let alone = format!("https://mycompany.com/myapp.php?{PROPERTY}");
        let with_port = U.replace(".com", ".com:443");
        check(&format!("{U}&{PROPERTY}"), &[], "a9nBmqA0ju/hNViExpshrM61xv4=");
        check(&alone, &[], "y77kIzt2vzLz71DgmJGsen2scGs=");
        check(
            &format!("{with_port}&{EMPTY}"),
            &[],
            "Ldidvp12m26NI7eqEvxnEpkd9Hc=",
        );
        check(&format!("{U}&{EMPTY}"), &[], "rw/jVviOgicj2+kHZULvebnA4ag=");
    }

    #[test]
    fn a_quote_in_the_query_may_be_escaped() {
        let plain = format!("{U}&Body=It's+amazing");
        check(&plain, P, "dsq4Ehbj6cs+KdTkpF5sSSplOWw=");
        check(
            &format!("{U}&Body=It%27s+amazing"),
            P,
            "TfZzewPq8wqrGlMfyAud8+/IvJ0=",
        );
        assert!(accepted(&plain, P, "TfZzewPq8wqrGlMfyAud8+/IvJ0="));
    }

    #[test]
    fn a_get_and_a_socket_are_signed_by_their_url_alone() {
        let get = "https://example.com/voice?CallSid=CA123&From=%2B14155550100";
        check(get, &[], "4/tK9hIVE7WOg2E7syJnlxcSXWE=");
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
    }

    #[test]
    fn any_form_of_the_url_will_do() {
        let with = |rest: &str| format!("https://mycompany.com{rest}/myapp.php?foo=1&bar=2");
        for (received, signed) in [
            (with(""), with(":443")),
            (with(":443"), with("")),
            (with(":8443"), with("")),
            (format!("{U}#rc=3&rp=ct,rt"), U.to_owned()),
            (U.replace("//", "//user:pass@"), U.to_owned()),
            (
                U.replace("//", "//user:pass@"),
                U.replace("//", "//user:pass@").replace(".com", ".com:443"),
            ),
            (
                format!("{U}&Body=It's+amazing"),
                format!("{U}&Body=It%27s+amazing"),
            ),
            (format!("{U}&Body=It%27s+(so)"), format!("{U}&Body=It's%20(so)")),
            (
                "https://mycompany.com".to_owned(),
                "https://mycompany.com/".to_owned(),
            ),
            ("http://[::1]/a".to_owned(), "http://[::1]:80/a".to_owned()),
            ("http://[::1]:8080/a".to_owned(), "http://[::1]/a".to_owned()),
            (
                "wss://a.example/media".to_owned(),
                "wss://a.example:443/media".to_owned(),
            ),
            (
                "wss://a.example/media".to_owned(),
                "wss://a.example/media/".to_owned(),
            ),
        ] {
            let signature = sign_for_tests(TOKEN, &signed, P);
            assert!(accepted(&received, P, &signature), "{received} {signed}");
        }
    }

    #[test]
    fn what_twilio_did_not_sign_does_not_hold() {
        let signature = sign_for_tests(TOKEN, U, P);
        let mut changed = P.to_vec();
        changed[3].1 = "1235";
        assert!(!accepted(U, &changed, &signature), "a changed parameter");
        let mut extra = P.to_vec();
        extra.push(("Extra", ""));
        assert!(!accepted(U, &extra, &signature), "an extra parameter");
        assert!(!accepted(U, &P[1..], &signature), "a missing parameter");
        assert!(
            !holds("12346", U, &ordered(P), signature.as_bytes()),
            "another token"
        );
        for url in [
            "http://mycompany.com/myapp.php?foo=1&bar=2",
            "https://mycompany.org/myapp.php?foo=1&bar=2",
            "https://mycompany.com/Myapp.php?foo=1&bar=2",
            "https://mycompany.com/myapp.php?bar=2&foo=1",
            "https://mycompany.com/myapp.php?foo=1&bar=3",
            "https://mycompany.com/myapp.php?foo=1&bar=2&baz=3",
            "https://mycompany.com/myapp.php/?foo=1&bar=2",
            "mycompany.com",
            "",
        ] {
            assert!(!accepted(url, P, &signature), "{url}");
        }
        for signature in [
            "",
            "RSOY",
            &signature[..27],
            &format!("{signature}="),
            &signature.to_lowercase(),
        ] {
            assert!(!accepted(U, P, signature), "{signature}");
        }
        let slash = sign_for_tests(TOKEN, "https://a.example/media/", &[]);
        assert!(
            !accepted("https://a.example/media", &[], &slash),
            "a slash is a socket's affair"
        );
    }

    #[test]
    fn a_check_stays_cheap() {
        assert!(forms(U).len() <= 4, "{:?}", forms(U));
        let worst = "https://u:p@example.com:8443/a?b='c'&d=e+f";
        assert!(forms(worst).len() <= 12, "{:?}", forms(worst));
    }
}
