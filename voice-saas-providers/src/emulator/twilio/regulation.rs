//! What countries ask for: `RegulatoryCompliance/Regulations`. Those whose numbers need a bundle have one for each kind
//! of number and of end user.

use axum::Json;
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::Ask;
use super::inventory::{COUNTRIES, needs_bundle};
use super::wire::{ApiError, meta_page};
use crate::emulator::id::lower_hex;

/// Kinds as the inventory and as the regulations spell them, with the name for people.
const KINDS: [(&str, &str, &str); 3] = [
    ("Local", "local", "Local"),
    ("Mobile", "mobile", "Mobile"),
    ("TollFree", "toll-free", "Toll-Free"),
];
const END_USERS: [(&str, &str); 2] = [("individual", "Individual"), ("business", "Business")];

/// A regulation, the same on every start.
fn regulation(base: &str, country: (&str, &str), kind: (&str, &str), user: (&str, &str)) -> Value {
    let digest = Sha256::digest(format!("{}/{}/{}", country.0, kind.0, user.0));
    let sid = format!("RN{}", &lower_hex(&digest)[..32]);
    let documents = format!("{base}/v2/RegulatoryCompliance/DocumentTypes");
    let field = |name: &str, friendly: &str| json!({"machine_name": name, "friendly_name": friendly, "description": friendly});
    let (fields, name_document) = if user.0 == "business" {
        let document = json!({
            "name": "Business Name", "type": "document", "requirement_name": "business_name_info",
            "description": "An excerpt from the commercial register that shows the name of the business.",
            "accepted_documents": [{
                "name": "Excerpt from the commercial register", "type": "commercial_registrar_excerpt",
                "url": format!("{documents}/commercial_registrar_excerpt"), "fields": ["business_name"],
                "detailed_fields": [field("business_name", "Business Name")],
            }],
        });
        (vec![field("business_name", "Business Name")], Some(document))
    } else {
        (
            vec![field("first_name", "First Name"), field("last_name", "Last Name")],
            None,
        )
    };
    let address = json!({
        "name": "Address", "type": "document", "requirement_name": "proof_of_address",
        "description": "The place of the individual or business, within the area of the number's prefix.",
        "accepted_documents": [{
            "name": "Address Validation", "type": "address", "url": format!("{documents}/address"),
            "fields": ["address_sids"], "detailed_fields": [field("address_sids", "Address sid(s)")],
        }],
    });
    let papers: Vec<Value> = name_document.into_iter().chain([address]).collect();
    let names: Vec<&Value> = fields.iter().map(|field| &field["machine_name"]).collect();
    json!({
        "sid": sid, "friendly_name": format!("{}: {} - {}", country.1, kind.1, user.1), "iso_country": country.0,
        "number_type": kind.0, "end_user_type": user.0,
        "requirements": {
            "end_user": [{
                "name": user.1, "type": user.0, "requirement_name": format!("{}_info", user.0),
                "url": format!("{base}/v2/RegulatoryCompliance/Regulations/{}", user.0), "fields": names,
                "detailed_fields": fields,
            }],
            "supporting_document": [papers],
        },
        "url": format!("{base}/v2/RegulatoryCompliance/Regulations/{sid}"),
    })
}

fn regulations(base: &str) -> impl Iterator<Item = Value> {
    let kinds = COUNTRIES
        .iter()
        .flat_map(|country| KINDS.iter().map(move |kind| (country, kind)));
    kinds
        .filter(|(country, kind)| needs_bundle(country.0, kind.0) == Some(true))
        .flat_map(move |(country, kind)| {
            END_USERS.map(|user| regulation(base, *country, (kind.1, kind.2), user))
        })
}

/// A list by its filters, or one of them.
pub(super) fn handle(ask: &Ask<'_>, only: Option<&str>) -> Result<Response, ApiError> {
    let base = ask.base();
    if let Some(sid) = only {
        let found = regulations(&base).find(|regulation| regulation["sid"] == sid);
        return Ok(Json(found.ok_or_else(|| ask.not_found())?).into_response());
    }
    let is = |regulation: &Value, parameter: &str, field: &str| {
        let wanted = ask.query.given(parameter);
        wanted.is_none_or(|wanted| {
            regulation[field]
                .as_str()
                .is_some_and(|have| have.eq_ignore_ascii_case(wanted))
        })
    };
    let wanted: Vec<Value> = regulations(&base)
        .filter(|it| is(it, "IsoCountry", "iso_country"))
        .filter(|it| is(it, "NumberType", "number_type"))
        .filter(|it| is(it, "EndUserType", "end_user_type"))
        .collect();
    let seqs = (1..=wanted.len() as u64).rev();
    Ok(meta_page(&ask.url(), "results", ask.query, seqs.zip(wanted)))
}
