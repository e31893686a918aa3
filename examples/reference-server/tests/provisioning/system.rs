//! An emulator and a server on one database, in processes of their own.

use std::sync::atomic::{AtomicU32, Ordering};

use secrecy::ExposeSecret;
use serde_json::{Value, json};
use voice_saas_providers::sql::testing::FreshPostgres;

use crate::{
    api::Api,
    process::{Folder, Process},
    step::{Arm, Operation},
    wait::eventually,
};

/// Where providers are told that the server is. Nobody calls in these tests.
pub(crate) const PUBLIC_URL: &str = "https://voice.example.com";
const OPERATOR_TOKEN: &str = "the operator token of the tests";
/// After a crash, the jobs of the dead worker are taken over so much later.
const LEASE_SECONDS: u8 = 2;

/// On which kind of database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Sqlite,
    Postgres,
}

/// Where the database is.
#[derive(Debug)]
enum Database {
    File(String),
    Postgres(Box<FreshPostgres>),
}

/// An emulator and a server; the server can be killed and started again.
#[derive(Debug)]
pub(crate) struct System {
    name: String,
    emulator: Process,
    control: Api,
    server: Option<(Process, Api)>,
    database: Database,
    folder: Folder,
}

impl System {
    /// `None`, said aloud, where there is no PostgreSQL.
    pub(crate) async fn start(kind: Kind) -> Result<Option<Self>, String> {
        let name = format!("{kind:?}-{}", Self::count()).to_lowercase();
        let folder = Folder::new(&name);
        let database = match kind {
            Kind::Sqlite => Database::File(format!("sqlite:{}", folder.file("server.db").display())),
            Kind::Postgres => match FreshPostgres::create().await {
                Some(fresh) => Database::Postgres(Box::new(fresh)),
                None => return Ok(None),
            },
        };
        let any_port = ("EMULATOR_ADDR", "127.0.0.1:0".to_owned());
        let log = folder.file("emulator.log");
        let emulator = Process::start("emulator", "listen on", &log, &[any_port]).await?;
        let mut system = Self {
            name,
            control: Api::new(emulator.url().clone()),
            emulator,
            server: None,
            database,
            folder,
        };
        system.start_server().await?;
        system.settle_neighbour().await?;
        Ok(Some(system))
    }

    /// Somebody who has one of everything. It must be there in the end, and no provider's list is ever empty: how often
    /// a list is asked for hangs on that.
    async fn settle_neighbour(&self) -> Result<(), String> {
        let neighbour = self.register().await?;
        let agent = json!({ "name": "Neighbour", "binding": "dedicated" });
        neighbour.post("/v1/agents", agent).await?;
        let number = neighbour.post("/v1/numbers", json!({})).await?;
        let trunk = format!("/v1/numbers/{}/trunk", crate::api::text(&number, "id")?);
        neighbour.post(&trunk, Value::Null).await?;
        self.quiet().await
    }

    /// Another server on the same database and the same providers.
    pub(crate) async fn another_server(&self, log: &str) -> Result<(Process, Api), String> {
        let database = match &self.database {
            Database::File(url) => url.clone(),
            Database::Postgres(fresh) => fresh.url().expose_secret().to_owned(),
        };
        let settings = [
            ("BIND_ADDR", "127.0.0.1:0".to_owned()),
            ("PUBLIC_URL", PUBLIC_URL.to_owned()),
            ("DATABASE_URL", database),
            ("EMULATOR_URL", self.emulator.url().to_string()),
            ("SECRET_KEY", "a key that every server of a test has".to_owned()),
            ("OPERATOR_TOKEN", OPERATOR_TOKEN.to_owned()),
            ("JOB_LEASE_SECONDS", LEASE_SECONDS.to_string()),
            ("WORKER", "on".to_owned()),
            // So that there is one more thing that could leak.
            ("LIVEKIT_OUTBOUND", "stored".to_owned()),
        ];
        let server = Process::start("serve", "/openapi.json", &self.folder.file(log), &settings).await?;
        let api = Api::new(server.url().clone());
        // A busy machine's database may not answer in time at first.
        eventually("the server to be ready", async || {
            Ok(api.get("/readyz").await.ok())
        })
        .await?;
        Ok((server, api))
    }

    /// Starts the server that was killed.
    pub(crate) async fn start_server(&mut self) -> Result<(), String> {
        self.server = Some(self.another_server("server.log").await?);
        Ok(())
    }

    pub(crate) async fn kill_server(&mut self) -> Result<(), String> {
        let (server, _) = self.server.take().expect("a server that runs is killed");
        server.kill().await
    }

    /// A server that remembers nothing.
    pub(crate) async fn restart_server(&mut self) -> Result<(), String> {
        self.kill_server().await?;
        self.start_server().await
    }

    /// Puts another server in the place of the one that was killed.
    pub(crate) fn continue_with(&mut self, server: (Process, Api)) {
        self.server = Some(server);
    }

    pub(crate) fn api(&self) -> &Api {
        &self.server.as_ref().expect("a server runs").1
    }

    /// Leaves the logs and the database where they are, and says where that is.
    pub(crate) fn keep_evidence(&mut self) -> String {
        self.folder.keep();
        self.folder.file("").display().to_string()
    }

    /// A number that no other has in this run.
    pub(crate) fn count() -> u32 {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        COUNT.fetch_add(1, Ordering::Relaxed)
    }

    /// A business of its own.
    pub(crate) async fn register(&self) -> Result<Api, String> {
        let email = format!("{}-{}@example.com", self.name, Self::count());
        let account = json!({ "email": email, "password": "correct horse battery", "name": "Ada Plumbing" });
        let session = self.api().post("/v1/auth/register", account).await?;
        Ok(self.api().with_bearer(&crate::api::text(&session, "token")?))
    }

    /// Who runs the platform.
    pub(crate) fn operator(&self) -> Api {
        self.api().with_bearer(OPERATOR_TOKEN)
    }

    /// The emulator's control, and everything that it plays.
    pub(crate) fn emulator(&self) -> &Api {
        &self.control
    }

    /// Lets something go wrong at a provider.
    pub(crate) async fn arm(&self, arm: Arm) -> Result<(), String> {
        let Arm {
            operation,
            skip,
            fault,
            times,
            delay_ms,
        } = arm;
        let fault = json!({
            "provider": operation.provider, "operation": operation.name, "fault": fault, "skip": skip,
            "times": times, "delay_ms": delay_ms,
        });
        self.control.post("/_control/faults", fault).await.map(drop)
    }

    /// What providers were asked for since the emulator was started.
    pub(crate) async fn operations(&self) -> Result<Vec<Operation>, String> {
        let listed = self.control.get("/_control/operations").await?;
        let listed = listed["operations"].as_array().cloned().unwrap_or_default();
        listed.iter().map(Operation::read).collect()
    }

    /// Whether every fault has happened that was armed.
    pub(crate) async fn all_happened(&self) -> Result<bool, String> {
        let faults = self.control.get("/_control/faults").await?;
        Ok(faults["waiting"] == 0)
    }

    /// How many requests the emulator has held so far.
    pub(crate) async fn held_so_far(&self) -> Result<u64, String> {
        let held = self.control.get("/_control/faults/held").await?;
        held["so_far"]
            .as_u64()
            .ok_or_else(|| format!("no count in {held}"))
    }

    /// The operations whose requests the emulator holds.
    pub(crate) async fn held(&self) -> Result<Vec<Value>, String> {
        let held = self.control.get("/_control/faults/held").await?;
        Ok(held["held"].as_array().cloned().unwrap_or_default())
    }

    pub(crate) async fn wait_until_held(&self, operation: &str) -> Result<(), String> {
        eventually(&format!("{operation} to be held"), async || {
            Ok(self.held().await?.iter().any(|it| it == operation).then_some(()))
        })
        .await
    }

    pub(crate) async fn wait_until_nothing_is_held(&self) -> Result<(), String> {
        eventually("held requests to end", async || {
            Ok(self.held().await?.is_empty().then_some(()))
        })
        .await
    }

    /// Lets go of the requests that are held; faults that have not happened yet stay.
    pub(crate) async fn release(&self) -> Result<(), String> {
        self.control.delete("/_control/faults/held").await.map(drop)
    }

    /// Lets nothing go wrong any more.
    pub(crate) async fn heal(&self) -> Result<(), String> {
        self.control.delete("/_control/faults").await.map(drop)
    }

    pub(crate) async fn provider_state(&self) -> Result<Value, String> {
        self.control.get("/_control/state").await
    }

    /// Waits until no job is left to be done. A job that died is an error.
    pub(crate) async fn quiet(&self) -> Result<(), String> {
        let operator = self.operator();
        let mut jobs = Vec::new();
        let ended = eventually("the end of all jobs", async || {
            for state in ["leased", "ready"] {
                let path = format!("/v1/admin/jobs?limit=1&state={state}");
                jobs = operator.list(&path).await?;
                if !jobs.is_empty() {
                    return Ok(None);
                }
            }
            // All in one answer: a job that went from one list to the other was on neither. No trial begins as many.
            jobs = operator.list("/v1/admin/jobs?limit=50").await?;
            jobs.retain(|job| job["state"] != "finished");
            Ok(jobs.iter().all(|job| job["state"] == "dead").then_some(()))
        })
        .await;
        ended.map_err(|error| format!("{error}: {jobs:?}"))?;
        if jobs.is_empty() {
            Ok(())
        } else {
            Err(format!("DEAD JOBS: {jobs:?}"))
        }
    }
}
