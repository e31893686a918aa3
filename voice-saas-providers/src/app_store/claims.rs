//! What a signed text says. Apple adds fields and words without notice, so a field that is missing or of another kind is
//! none, and whoever needs it says so.

use jiff::Timestamp;
use serde_json::{Map, Value};
use voice_saas_core::provider::app_store::StoreEnvironment;

/// The object in a signed text.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Claims(Map<String, Value>);

/// Which app a text is about, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Place<'a> {
    pub(super) bundle_id: Option<&'a str>,
    pub(super) app_id: Option<u64>,
    pub(super) environment: Option<StoreEnvironment>,
}

/// Where a notification says what it is about; exactly one of them is there.
const PARTS: [&str; 4] = ["data", "summary", "externalPurchaseToken", "appData"];

impl Claims {
    /// `None` when the text is not an object.
    pub(super) fn parse(json: &[u8]) -> Option<Self> {
        serde_json::from_slice(json).ok().map(Self)
    }

    pub(super) fn into_json(self) -> Value {
        Value::Object(self.0)
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        text(&self.0, name)
    }

    pub(super) fn whole(&self, name: &str) -> Option<i64> {
        self.0.get(name)?.as_i64()
    }

    pub(super) fn flag(&self, name: &str) -> bool {
        self.0.get(name).and_then(Value::as_bool).unwrap_or_default()
    }

    /// Milliseconds since 1970.
    pub(super) fn time(&self, name: &str) -> Option<Timestamp> {
        Timestamp::from_millisecond(self.whole(name)?).ok()
    }

    pub(super) fn part(&self, name: &str) -> Option<Self> {
        self.0.get(name)?.as_object().cloned().map(Self)
    }

    pub(super) fn is_notification(&self) -> bool {
        self.0.contains_key("notificationType")
    }

    pub(super) fn place(&self) -> Place<'_> {
        if !self.is_notification() {
            return place(&self.0);
        }
        let part = PARTS
            .iter()
            .find_map(|name| Some((*name, self.0.get(*name)?.as_object()?)));
        match part {
            Some(("externalPurchaseToken", part)) => Place {
                // It says so in its id alone.
                environment: text(part, "externalPurchaseId").map(|id| {
                    if id.starts_with("SANDBOX") {
                        StoreEnvironment::Sandbox
                    } else {
                        StoreEnvironment::Production
                    }
                }),
                ..place(part)
            },
            Some((_, part)) => place(part),
            None => Place::default(),
        }
    }
}

fn text<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    object.get(name)?.as_str()
}

fn place(object: &Map<String, Value>) -> Place<'_> {
    Place {
        bundle_id: text(object, "bundleId"),
        app_id: object.get("appAppleId").and_then(Value::as_u64),
        // `Xcode` and `LocalTesting` are signed by whoever likes to, and are never believed.
        environment: match text(object, "environment") {
            Some("Production") => Some(StoreEnvironment::Production),
            Some("Sandbox") => Some(StoreEnvironment::Sandbox),
            _ => None,
        },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn claims(value: &Value) -> Claims {
        Claims::parse(value.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn a_field_of_another_kind_is_no_field() {
        let claims = claims(&json!({"a": 1, "b": "x", "c": null}));
        assert_eq!(
            (claims.text("a"), claims.whole("b"), claims.text("c")),
            (None, None, None)
        );
        assert!(!claims.flag("b"));
        assert_eq!(claims.time("a").unwrap().as_millisecond(), 1);
        assert!(Claims::parse(b"[]").is_none() && Claims::parse(b"{").is_none());
    }

    #[test]
    fn a_notification_says_in_one_of_its_parts_where_it_belongs() {
        for part in ["data", "summary", "appData"] {
            let inside = json!({"bundleId": "b", "appAppleId": 7, "environment": "Sandbox"});
            let claims = claims(&json!({"notificationType": "T", part: inside}));
            let expected = Place {
                bundle_id: Some("b"),
                app_id: Some(7),
                environment: Some(StoreEnvironment::Sandbox),
            };
            assert_eq!(claims.place(), expected);
        }
        let token = |id: &str| {
            let inside = json!({"bundleId": "b", "externalPurchaseId": id});
            claims(&json!({"notificationType": "T", "externalPurchaseToken": inside}))
        };
        let (sandbox, live) = (token("SANDBOX_1"), token("1"));
        assert_eq!(sandbox.place().environment, Some(StoreEnvironment::Sandbox));
        assert_eq!(live.place().environment, Some(StoreEnvironment::Production));
        // What stands beside the part does not count.
        let beside = claims(&json!({"notificationType": "T", "bundleId": "b", "environment": "Sandbox"}));
        assert_eq!(
            (beside.place().bundle_id, beside.place().environment),
            (None, None)
        );
    }

    #[test]
    fn texts_that_anybody_can_sign_come_from_no_environment() {
        for environment in ["Xcode", "LocalTesting", ""] {
            let claims = claims(&json!({"environment": environment}));
            assert_eq!(claims.place().environment, None, "{environment}");
        }
    }
}
