//! What must be there before a saga, and the request that begins it.

use serde_json::{Value, json};

use super::Saga;
use crate::{
    api::{Api, Call, text},
    system::System,
};

/// A saga that is about to be asked for.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// The request that begins it.
    pub(crate) call: Call,
    /// Numbers that a carrier's account has itself, by the carrier's ids.
    pub(crate) given: Vec<String>,
}

impl From<Call> for Prepared {
    fn from(call: Call) -> Self {
        Self {
            call,
            given: Vec::new(),
        }
    }
}

fn dedicated() -> Value {
    json!({ "name": "Front desk", "binding": "dedicated" })
}

impl Saga {
    /// Makes what must be there before.
    pub(crate) async fn prepare(self, system: &System, user: &Api) -> Result<Prepared, String> {
        let call = match self {
            Self::Number | Self::NumberLookedUp => Call::post("/v1/numbers", json!({})),
            Self::AgentWithNumber => {
                let mut agent = dedicated();
                agent["provision_phone"] = json!(true);
                Call::post("/v1/agents", agent)
            }
            Self::Agent | Self::HastyDeletion => Call::post("/v1/agents", dedicated()),
            Self::Release => Call::delete(format!("/v1/numbers/{}", number(user).await?)),
            Self::GiveBack => {
                let agent = user.post("/v1/agents", json!({ "name": "Front desk" })).await?;
                let path = format!("/v1/agents/{}/phone-number", text(&agent, "id")?);
                Call::post(path, json!({}))
            }
            Self::AgentDeletion => {
                let agent = user.post("/v1/agents", dedicated()).await?;
                Call::delete(format!("/v1/agents/{}", text(&agent, "id")?))
            }
            Self::ImportTwilio => return import_from_twilio(system).await,
            Self::ImportKnowlarity => return import_from_knowlarity(system).await,
            Self::Trunk | Self::TrunkGivenBack => {
                let path = format!("/v1/numbers/{}/trunk", number(user).await?);
                Call::post(path, json!({}))
            }
            Self::TrunkDeletion => {
                let path = format!("/v1/numbers/{}/trunk", number(user).await?);
                let trunk = user.post(&path, json!({})).await?;
                Call::delete(format!("/v1/trunks/{}", text(&trunk, "id")?))
            }
            Self::OffBoarding => {
                let mut agent = dedicated();
                agent["provision_phone"] = json!(true);
                user.post("/v1/agents", agent).await?;
                let numbers = user.list("/v1/numbers").await?;
                let number = text(numbers.first().ok_or("the tenant has no number")?, "id")?;
                user.post(&format!("/v1/numbers/{number}/trunk"), json!({}))
                    .await?;
                Call::delete("/v1/tenant")
            }
            Self::Missing => {
                for name in ["Front desk", "Back office"] {
                    user.post("/v1/agents", json!({ "name": name })).await?;
                }
                let tenant = text(&user.get("/v1/tenant").await?, "id")?;
                let body = json!({ "tenant_id": tenant, "dry_run": false });
                Call::post("/v1/admin/numbers/provision-missing", body).by_operator()
            }
            Self::Repointing => {
                for _ in 0..2 {
                    let id = number(user).await?;
                    let number = user.get(&format!("/v1/numbers/{id}")).await?;
                    let elsewhere = [("VoiceUrl", "https://old.example.com/voice")];
                    twilio(system, &format!("/{}", text(&number, "provider_id")?), &elsewhere).await?;
                }
                let body = json!({ "dry_run": false });
                Call::post("/v1/admin/numbers/repoint-webhooks", body).by_operator()
            }
        };
        Ok(call.into())
    }
}

async fn number(user: &Api) -> Result<String, String> {
    text(&user.post("/v1/numbers", json!({})).await?, "id")
}

/// Does something to the account's numbers behind the server's back.
async fn twilio(system: &System, path: &str, form: &[(&str, &str)]) -> Result<Value, String> {
    let state = system.provider_state().await?;
    let (account, token) = (
        text(&state["twilio"], "account_sid")?,
        text(&state["twilio"], "auth_token")?,
    );
    let path = format!("/2010-04-01/Accounts/{account}/IncomingPhoneNumbers{path}.json");
    system.emulator().post_form(&path, (&account, &token), form).await
}

async fn import_from_twilio(system: &System) -> Result<Prepared, String> {
    let held = twilio(system, "", &[("AreaCode", "512")]).await?;
    let body = json!({ "phone_number": held["phone_number"], "provider": "twilio" });
    Ok(Prepared {
        call: Call::post("/v1/numbers/import", body),
        given: vec![text(&held, "sid")?],
    })
}

async fn import_from_knowlarity(system: &System) -> Result<Prepared, String> {
    let held = format!("+9122401{:05}", System::count());
    let number = json!({ "number": held });
    system
        .emulator()
        .post("/_control/knowlarity/numbers", number)
        .await?;
    let body = json!({ "phone_number": held, "provider": "knowlarity" });
    Ok(Prepared {
        call: Call::post("/v1/numbers/import", body),
        given: vec![held],
    })
}
