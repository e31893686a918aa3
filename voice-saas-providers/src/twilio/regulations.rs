//! What a country asks for (page `phone-numbers/regulatory/api/regulations`).

use serde::Deserialize;
use serde_json::Value;
use voice_saas_core::{
    phone::Country,
    provider::{
        ErrorKind, ProviderError,
        telephony::{AddressRequirement, NumberKind, NumberRequirements},
    },
};

use super::{
    NAME, Twilio, list,
    numbers::kind_in_path,
    wire::{self, Scalar},
};
use crate::http::Request;

const REQUIREMENTS: &str = "ask what a number requires";

#[derive(Debug, Deserialize)]
struct Regulation {
    #[serde(default)]
    requirements: Value,
}

impl Regulation {
    /// The names of everything that is asked for: who the end user is, and the papers. Papers lie in lists within lists.
    fn documents(&self) -> Vec<String> {
        fn collect(node: &Value, names: &mut Vec<String>) {
            match node {
                Value::Array(items) => items.iter().for_each(|item| collect(item, names)),
                Value::Object(fields) => {
                    let name = ["name", "requirement_name"]
                        .iter()
                        .find_map(|field| fields.get(*field)?.as_str());
                    names.extend(name.map(str::to_owned));
                }
                _ => {}
            }
        }
        let mut names = Vec::new();
        for part in ["end_user", "supporting_document"] {
            collect(&self.requirements[part], &mut names);
        }
        names
    }

    /// Whether one of the papers that would do is an address that Twilio keeps.
    fn takes_an_address(&self) -> bool {
        fn holds(node: &Value) -> bool {
            match node {
                Value::Array(items) => items.iter().any(holds),
                Value::Object(fields) => {
                    fields.get("type").is_some_and(|kind| kind == "address")
                        || fields.get("accepted_documents").is_some_and(holds)
                }
                _ => false,
            }
        }
        holds(&self.requirements["supporting_document"])
    }
}

impl Twilio {
    /// For a business. The regulations say which papers; the address is a property of the numbers themselves, so one of
    /// them is looked at.
    pub(super) async fn requirements_for(
        &self,
        country: Country,
        kind: NumberKind,
    ) -> Result<NumberRequirements, ProviderError> {
        let unsupported = || ProviderError::new(NAME, REQUIREMENTS, ErrorKind::Unsupported);
        let (in_path, number_type) = kind_in_path(kind)
            .zip(number_type(kind))
            .ok_or_else(unsupported)?;
        let (sample, regulations) = tokio::join!(
            self.sample(country, in_path),
            list::all::<Regulation>(
                &self.hosts.numbers,
                REQUIREMENTS,
                format!(
                    "/v2/RegulatoryCompliance/Regulations?IsoCountry={country}&NumberType={number_type}&EndUserType=business"
                ),
            ),
        );
        let (sample, regulations) = (sample?, regulations?);
        let address = match sample {
            Some(address) => address,
            // Sold out, for now.
            None if regulations.iter().any(Regulation::takes_an_address) => AddressRequirement::Any,
            None => AddressRequirement::None,
        };
        let mut documents: Vec<String> = Vec::new();
        for name in regulations.iter().flat_map(Regulation::documents) {
            if !documents.contains(&name) {
                documents.push(name);
            }
        }
        Ok(NumberRequirements::new(address, documents))
    }

    /// The address that a number of this kind requires; `None` when there is no such number at the moment.
    async fn sample(
        &self,
        country: Country,
        kind: &str,
    ) -> Result<Option<AddressRequirement>, ProviderError> {
        let path = self.path(&format!("AvailablePhoneNumbers/{country}/{kind}.json"));
        let request = Request::get(REQUIREMENTS, path)
            .query("VoiceEnabled", true)
            .query("PageSize", 1);
        match self.hosts.api.send(request).await {
            Ok(answer) => {
                let found: wire::AvailableNumbers = answer.json()?;
                Ok(found
                    .available_phone_numbers
                    .first()
                    .map(wire::Available::address))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                Err(ProviderError::new(NAME, REQUIREMENTS, ErrorKind::NoInventory)
                    .with_detail("the country has no numbers of this kind"))
            }
            Err(error) => Err(error),
        }
    }
}

fn number_type(kind: NumberKind) -> Option<&'static str> {
    Some(match kind {
        NumberKind::Local => "local",
        NumberKind::TollFree => "toll-free",
        NumberKind::Mobile => "mobile",
        _ => return None,
    })
}

/// Reads the word that numbers have for the address that they require. A new word asks for something.
pub(super) fn address_requirement(word: &Scalar) -> AddressRequirement {
    match word {
        Scalar::Text(word) => match word.as_str() {
            "" | "none" => AddressRequirement::None,
            "local" => AddressRequirement::Local,
            "foreign" => AddressRequirement::Foreign,
            _ => AddressRequirement::Any,
        },
        _ => AddressRequirement::None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use voice_saas_core::provider::telephony::NumberProvider;
    use wiremock::{
        Mock, MockServer, ResponseTemplate,
        matchers::{path, query_param},
    };

    use super::*;
    use crate::twilio::fixture::{ROOT, twilio};

    fn ok(body: Value) -> ResponseTemplate {
        ResponseTemplate::new(200).set_body_json(body)
    }

    async fn server(numbers: ResponseTemplate, regulations: Value) -> MockServer {
        let server = MockServer::start().await;
        Mock::given(path(format!("{ROOT}/AvailablePhoneNumbers/DE/Local.json")))
            .and(query_param("PageSize", "1"))
            .respond_with(numbers)
            .mount(&server)
            .await;
        Mock::given(path("/v2/RegulatoryCompliance/Regulations"))
            .and(query_param("IsoCountry", "DE"))
            .and(query_param("NumberType", "local"))
            .and(query_param("EndUserType", "business"))
            .respond_with(ok(
                json!({"results": regulations, "meta": {"key": "results", "next_page_url": null}}),
            ))
            .mount(&server)
            .await;
        server
    }

    fn german() -> Value {
        json!([{"sid": "RN1", "requirements": {
            "end_user": [{"name": "Business", "type": "business", "requirement_name": "business_info"}],
            "supporting_document": [[
                {"name": "Business Name", "requirement_name": "business_name_info",
                 "accepted_documents": [{"name": "Commercial register", "type": "commercial_registrar_excerpt"}]},
                {"requirement_name": "proof_of_address",
                 "accepted_documents": [{"name": "Address", "type": "address"}]},
            ]],
        }}])
    }

    async fn ask(server: &MockServer) -> Result<NumberRequirements, ProviderError> {
        twilio(server)
            .requirements("DE".parse().unwrap(), NumberKind::Local)
            .await
    }

    #[tokio::test]
    async fn papers_come_from_the_regulations_and_the_address_from_a_number() {
        let number = json!({"available_phone_numbers": [
            {"phone_number": "+493023125000", "address_requirements": "local"}]});
        let server = server(ok(number), german()).await;
        let requirements = ask(&server).await.unwrap();
        assert_eq!(requirements.address, AddressRequirement::Local);
        assert_eq!(
            requirements.documents,
            ["Business", "Business Name", "proof_of_address"]
        );
    }

    #[tokio::test]
    async fn a_country_without_regulations_asks_for_nothing() {
        let number = json!({"available_phone_numbers": [
            {"phone_number": "+493023125000", "address_requirements": "none"}]});
        let server = server(ok(number), json!([])).await;
        assert!(ask(&server).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn where_no_number_is_left_the_regulations_tell_of_the_address() {
        for (regulations, address) in [
            (german(), AddressRequirement::Any),
            (json!([{"requirements": null}]), AddressRequirement::None),
        ] {
            let server = server(ok(json!({"available_phone_numbers": []})), regulations).await;
            assert_eq!(ask(&server).await.unwrap().address, address);
        }
    }

    #[tokio::test]
    async fn a_kind_that_a_country_does_not_have_has_no_requirements() {
        let refusal = ResponseTemplate::new(404).set_body_json(json!({"code": 20404}));
        let server = server(refusal, json!([])).await;
        assert_eq!(ask(&server).await.unwrap_err().kind(), ErrorKind::NoInventory);
    }

    #[tokio::test]
    async fn half_an_answer_is_none() {
        let server = MockServer::start().await;
        Mock::given(path(format!("{ROOT}/AvailablePhoneNumbers/DE/Local.json")))
            .respond_with(ok(json!({"available_phone_numbers": []})))
            .mount(&server)
            .await;
        Mock::given(path("/v2/RegulatoryCompliance/Regulations"))
            .respond_with(ResponseTemplate::new(500))
            .mount(&server)
            .await;
        assert_eq!(ask(&server).await.unwrap_err().kind(), ErrorKind::ServerError);
    }

    #[test]
    fn a_new_word_for_an_address_asks_for_one() {
        for (word, requirement) in [
            ("none", AddressRequirement::None),
            ("any", AddressRequirement::Any),
            ("local", AddressRequirement::Local),
            ("foreign", AddressRequirement::Foreign),
            ("a new word", AddressRequirement::Any),
        ] {
            assert_eq!(address_requirement(&Scalar::Text(word.into())), requirement);
        }
        assert_eq!(address_requirement(&Scalar::default()), AddressRequirement::None);
    }
}
