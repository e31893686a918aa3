//! What providers have against what tenants see.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use serde_json::Value;

use crate::{
    api::{Api, text},
    system::{PUBLIC_URL, System},
};

/// The agent that all shared agents run on; it belongs to no tenant.
const SHARED_AGENT: &str = "voice-saas shared agent";

/// Something that a provider has, by the emulator's names of the provider and of the list.
type Kind = (&'static str, &'static str);

const NUMBER: Kind = ("twilio", "numbers");
const TRUNK: Kind = ("twilio", "trunks");
const CREDENTIALS: Kind = ("twilio", "credential_lists");
const INBOUND: Kind = ("livekit", "inbound_trunks");
const OUTBOUND: Kind = ("livekit", "outbound_trunks");
const RULE: Kind = ("livekit", "dispatch_rules");
const AGENT: Kind = ("elevenlabs", "agents");
const HELD: Kind = ("knowlarity", "numbers");

/// Everything that is paid for or in somebody's way, and the field of its id.
const ALL: [(Kind, &str); 8] = [
    (NUMBER, "sid"),
    (TRUNK, "sid"),
    (CREDENTIALS, "sid"),
    (INBOUND, "sipTrunkId"),
    (OUTBOUND, "sipTrunkId"),
    (RULE, "sipDispatchRuleId"),
    (AGENT, "agent_id"),
    (HELD, "phone_number"),
];

/// What exists at the providers.
#[derive(Debug, Clone, Default)]
pub(crate) struct Account(BTreeMap<(Kind, String), Value>);

/// How much a tenant has, here and at the providers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Holding {
    pub(crate) numbers: usize,
    pub(crate) agents: usize,
    pub(crate) trunks: usize,
}

impl Holding {
    /// What a tenant sees of its own.
    pub(crate) async fn of(user: &Api) -> Result<Self, String> {
        if user.is_gone().await? {
            return Ok(Self::default());
        }
        let agents = user.list("/v1/agents?limit=200").await?;
        let trunks = user.list("/v1/trunks?limit=200").await?;
        Ok(Self {
            numbers: user.list("/v1/numbers?limit=200").await?.len(),
            agents: agents
                .iter()
                .filter(|agent| agent["binding"] == "dedicated")
                .count(),
            trunks: trunks.iter().filter(|trunk| trunk["status"] != "failed").count(),
        })
    }
}

impl fmt::Display for Holding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = |count: usize, word: &str| match count {
            0 => None,
            1 => Some(word.to_owned()),
            _ => Some(format!("{count} {word}s")),
        };
        let parts = [
            words(self.numbers, "number"),
            words(self.trunks, "trunk"),
            words(self.agents, "agent"),
        ];
        let parts: Vec<_> = parts.into_iter().flatten().collect();
        match &*parts {
            [] => write!(f, "nothing"),
            parts => write!(f, "{}", parts.join(", ")),
        }
    }
}

impl Account {
    pub(crate) async fn of(system: &System) -> Result<Self, String> {
        let state = system.provider_state().await?;
        let mut things = BTreeMap::new();
        for (kind, id) in ALL {
            let listed = state[kind.0][kind.1].as_array();
            for thing in listed.ok_or_else(|| format!("the emulator does not list {kind:?}"))? {
                if kind != AGENT || thing["name"] != SHARED_AGENT {
                    things.insert((kind, text(thing, id)?), thing.clone());
                }
            }
        }
        Ok(Self(things))
    }

    /// What these tenants have, when what came to the accounts since `before` is exactly that. `given` are numbers that
    /// the account has itself, whether or not a tenant imported them.
    ///
    /// # Errors
    /// What is extra, missing or different.
    pub(crate) async fn compare(
        before: &Self,
        system: &System,
        users: &[Api],
        given: &[String],
    ) -> Result<Holding, String> {
        let after = Self::of(system).await?;
        let lost = before.0.keys().filter(|key| !after.0.contains_key(key));
        let fresh = after.0.iter().filter(|(key, _)| !before.0.contains_key(key));
        let mut books = Books {
            fresh: fresh.map(|(key, thing)| (key.clone(), thing)).collect(),
            claimed: BTreeSet::new(),
            wrong: lost.map(|key| format!("LOST: {key:?}")).collect(),
            held: Holding::default(),
        };
        for user in users {
            books.read(&user.at(system.api())).await?;
        }
        books.close(given)
    }
}

/// What is new at the providers, and what tenants know of it.
struct Books<'a> {
    fresh: BTreeMap<(Kind, String), &'a Value>,
    claimed: BTreeSet<(Kind, String)>,
    wrong: Vec<String>,
    held: Holding,
}

impl Books<'_> {
    /// Everything that the tenant sees must be there.
    async fn read(&mut self, user: &Api) -> Result<(), String> {
        if user.is_gone().await? {
            return Ok(());
        }
        let numbers = user.list("/v1/numbers?limit=200").await?;
        let trunks = user.list("/v1/trunks?limit=200").await?;
        for number in &numbers {
            self.held.numbers += 1;
            self.number(number);
        }
        for trunk in &trunks {
            if trunk["status"] != "failed" {
                self.held.trunks += 1;
                let number = numbers.iter().find(|number| number["id"] == trunk["number_id"]);
                self.trunk(trunk, number);
            }
        }
        for agent in user.list("/v1/agents?limit=200").await? {
            if agent["binding"] == "dedicated" {
                self.held.agents += 1;
                let ending = format!("[{}]", text(&agent, "id")?);
                self.one(AGENT, &ending, |there| {
                    there["name"].as_str().is_some_and(|name| name.ends_with(&ending))
                });
            }
        }
        Ok(())
    }

    fn number(&mut self, here: &Value) {
        let id = here["provider_id"].as_str().unwrap_or_default();
        let (kind, right): (Kind, fn(&Value) -> bool) = match here["provider"].as_str() {
            Some("knowlarity") => (HELD, |_| true),
            _ => (NUMBER, |there| {
                there["voice_url"] == format!("{PUBLIC_URL}/webhooks/twilio/voice")
            }),
        };
        let there = self.fresh.get(&(kind, id.to_owned()));
        let same = there.is_some_and(|there| {
            here["status"] == "active" && here["phone_number"] == there["phone_number"] && right(there)
        });
        if !same {
            self.wrong
                .push(format!("DIFFERENT: {here} here, {there:?} at the carrier"));
        }
        self.claimed.insert((kind, id.to_owned()));
    }

    /// All five parts of a trunk, each once, and the number's calls go through it.
    fn trunk(&mut self, here: &Value, number: Option<&Value>) {
        let tag = here["id"].as_str().unwrap_or_default();
        if here["status"] != "active" {
            self.wrong.push(format!("DIFFERENT: {here}"));
        }
        let called = |field: &'static str| move |there: &Value| there[field] == tag;
        let sid = self.one(TRUNK, tag, called("friendly_name"));
        self.one(CREDENTIALS, tag, called("friendly_name"));
        for kind in [INBOUND, OUTBOUND, RULE] {
            self.one(kind, tag, called("name"));
        }
        let number = number
            .and_then(|number| number["provider_id"].as_str())
            .unwrap_or_default();
        let through = self
            .fresh
            .get(&(NUMBER, number.to_owned()))
            .map(|there| &there["trunk_sid"]);
        if sid.is_none() || through.and_then(|sid| sid.as_str()) != sid.as_deref() {
            self.wrong.push(format!(
                "DIFFERENT: the calls of {number} go through {through:?}, not {sid:?}"
            ));
        }
    }

    /// The id of the one thing that fits.
    fn one(&mut self, kind: Kind, what: &str, fits: impl Fn(&Value) -> bool) -> Option<String> {
        let found = self
            .fresh
            .iter()
            .filter(|((of, _), there)| *of == kind && fits(there));
        let found: Vec<_> = found.map(|(key, _)| key.clone()).collect();
        let Some(first) = found.first() else {
            self.wrong.push(format!("MISSING: {kind:?} of {what}"));
            return None;
        };
        self.claimed.insert(first.clone());
        Some(first.1.clone())
    }

    /// Everything that is there must be somebody's.
    fn close(mut self, given: &[String]) -> Result<Holding, String> {
        for (key, thing) in &self.fresh {
            if !self.claimed.contains(key) && !given.contains(&key.1) {
                self.wrong
                    .push(format!("LEAK, paid for and unowned: {key:?} {thing}"));
            }
        }
        for id in given {
            if !self.fresh.keys().any(|key| key.1 == *id) {
                self.wrong.push(format!("LOST, and not ours to give back: {id}"));
            }
        }
        if self.wrong.is_empty() {
            Ok(self.held)
        } else {
            Err(self.wrong.join("; "))
        }
    }
}
