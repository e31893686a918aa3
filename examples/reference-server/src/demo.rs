//! The main job by itself: two tenants register, get an agent and a number each, are called at the same time, and
//! each call is answered by its own tenant's agent.

use std::{net::SocketAddr, process::ExitCode, time::Duration};

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use url::Url;
use voice_saas_providers::emulator::{CallReport, Emulator, PlaceCall};

use crate::{Failure, settings::Settings, story, system::System};

/// How long the carrier's and the platform's reports may take after a call ended.
const SETTLING: Duration = Duration::from_secs(10);

const BUSINESSES: [&str; 2] = ["Ada Plumbing", "Grace Dental"];

/// Runs the main job and says how it went; exit 0 when it held.
pub(crate) async fn demo(settings: Settings) -> Result<ExitCode, Failure> {
    let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
    let settings = Settings {
        database_url: settings
            .database_url
            .clone()
            .or_else(|| Some("sqlite::memory:".into())),
        bind_addr: settings.bind_addr.or(Some(any_port)),
        emulator_addr: settings.emulator_addr.or(Some(any_port)),
        ..settings
    };
    let system = System::new(&settings).await?;
    let real = system.providers.kinds().iter().any(|(_, real)| *real);
    let Some(emulator) = system.providers.emulator.as_ref().filter(|_| !real) else {
        return Err(
            "the demo calls through the emulator: unset the providers' credentials and EMULATOR_URL".into(),
        );
    };
    let api = system.api(&settings)?;
    let stop = CancellationToken::new();
    let server = {
        let stop = stop.clone();
        let router = voice_saas_axum::router(api);
        tokio::spawn(voice_saas_axum::serve(
            system.listener,
            router,
            stop.cancelled_owned(),
        ))
    };
    let worker = {
        let (app, stop) = (system.app.clone(), stop.clone());
        tokio::spawn(async move { app.jobs().work(stop).await })
    };
    system.app.warm_up().await;
    println!(
        "The server is at {}, with emulated providers at {}.\n",
        system.local_url,
        emulator.url()
    );

    let client = story::client()?;
    let mut tenants = Vec::new();
    for business in BUSINESSES {
        tenants.push(Tenant::register(&client, &system.local_url, business).await?);
    }
    println!("\nCalling both numbers at once with real audio …\n");
    let [first, second] = [&tenants[0], &tenants[1]];
    let (first_call, second_call) = tokio::join!(first.call(emulator), second.call(emulator));

    let mut held = true;
    for (tenant, report) in [(first, first_call?), (second, second_call?)] {
        held &= tenant.tell(&client, &system.local_url, &report).await?;
    }
    stop.cancel();
    server.await??;
    worker.await?;
    println!(
        "{}",
        if held {
            "Both calls were answered by their own tenant's agent."
        } else {
            "It did NOT hold."
        }
    );
    Ok(if held {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

struct Tenant {
    business: &'static str,
    token: String,
    number: String,
}

impl Tenant {
    async fn register(client: &reqwest::Client, url: &Url, business: &'static str) -> Result<Self, Failure> {
        let email = format!("{}@example.com", business.to_lowercase().replace(' ', "."));
        let account = json!({ "email": email, "password": "correct horse battery", "name": business });
        let account: Value = story::post(client, url.join("/v1/auth/register")?, None, &account).await?;
        let token = text(&account, "token")?;
        let agent = json!({
            "name": format!("{business}'s receptionist"),
            "system_prompt": "You answer the phone for {{business_name}}.",
            "first_message": "Hello, this is {{business_name}}.",
            "provision_phone": true,
        });
        let agent: Value = story::post(client, url.join("/v1/agents")?, Some(&token), &agent).await?;
        let number = text(&agent, "phone_number")?;
        println!("{business}: {} has the number {number}", text(&agent, "name")?);
        Ok(Self {
            business,
            token,
            number,
        })
    }

    async fn call(&self, emulator: &Emulator) -> Result<CallReport, Failure> {
        let sid = emulator.place_call(PlaceCall::new("+12125550123", &self.number))?;
        Ok(emulator
            .wait_for_call(&sid)
            .await
            .ok_or("the emulator forgot the call")?)
    }

    /// Prints what became of the call; whether this tenant's agent answered it, and what was heard came from there.
    async fn tell(&self, client: &reqwest::Client, url: &Url, report: &CallReport) -> Result<bool, Failure> {
        let call = self.settled(client, url).await?;
        let id = text(&call, "id")?;
        let path = url.join(&format!("/v1/calls/{id}/transcript"))?;
        let transcript: Value = story::get_as(client, path, &self.token).await?;

        println!("{} ({})", self.business, self.number);
        println!(
            "  call        {id}, {}, {} s",
            call["status"].as_str().unwrap_or("?"),
            call["duration_seconds"]
        );
        println!("  answered by {}", call["agent_id"].as_str().unwrap_or("nobody"));
        for turn in transcript["turns"].as_array().into_iter().flatten() {
            println!(
                "  {:>11} {}",
                turn["speaker"].as_str().unwrap_or("?"),
                turn["text"].as_str().unwrap_or("")
            );
        }
        let report_json = serde_json::to_value(report)?;
        let round_trip = &report_json["round_trip_ms"];
        println!(
            "  round trip  {:.2} ms (p50), {:.2} ms (p99)",
            number(&round_trip["p50"]),
            number(&round_trip["p99"])
        );
        println!(
            "  frames      {} sent, {} heard",
            report.frames_sent, report.frames_heard
        );
        let total = &call["cost"]["total"];
        println!(
            "  cost        {:.4} {}",
            number(&total["amount_micros"]) / 1e6,
            total["currency"].as_str().unwrap_or("")
        );
        println!(
            "  recording   {}\n",
            report_json["heard_wav"].as_str().unwrap_or("none")
        );

        let heard = serde_json::to_value(&report.transcript)?.to_string();
        let others = BUSINESSES
            .into_iter()
            .filter(|business| *business != self.business);
        Ok(heard.contains(self.business) && others.into_iter().all(|other| !heard.contains(other)))
    }

    /// The call's record once the carrier's and the platform's reports are in.
    async fn settled(&self, client: &reqwest::Client, url: &Url) -> Result<Value, Failure> {
        let deadline = tokio::time::Instant::now() + SETTLING;
        loop {
            let calls: Value = story::get_as(client, url.join("/v1/calls")?, &self.token).await?;
            let id = calls["data"][0]["id"].as_str().unwrap_or_default();
            // The record first: what it changes about the call is written with it.
            let transcript = url.join(&format!("/v1/calls/{id}/transcript"))?;
            let transcript: Value = story::get_as(client, transcript, &self.token).await?;
            let call: Value =
                story::get_as(client, url.join(&format!("/v1/calls/{id}"))?, &self.token).await?;
            let done = call["status"] == "completed" && transcript["complete"] == true;
            if done || tokio::time::Instant::now() > deadline {
                return Ok(call);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or(f64::NAN)
}

fn text(value: &Value, field: &str) -> Result<String, Failure> {
    let text = value[field]
        .as_str()
        .ok_or_else(|| format!("no {field} in {value}"))?;
    Ok(text.to_owned())
}
