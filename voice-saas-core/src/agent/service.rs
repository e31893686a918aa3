//! Making, changing and linking agents.

use std::time::Duration;

use secrecy::SecretString;

use super::{Agent, object};
use crate::{
    VoiceSaas,
    auth::{ApiScope, Forbidden, Principal},
    id::{AgentId, NumberId},
    number::{NumberError, NumberFilter, PhoneNumber, ProvisionRequest, Provisioned},
    page::{Page, PageRequest},
    provider::{
        ProviderError,
        voice_agent::{AgentSpec, Binding, Variables},
    },
    store::{StoreError, TenantTx},
    tenant::Role,
    usage::{Limit, Refusal, require_room},
    validate::{Checks, Invalid},
};

/// How long a request waits for an agent's object at its platform; a job goes on with it then.
const PATIENCE: Duration = Duration::from_secs(8);

/// Why an agent's request is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AgentError {
    /// Something about the request itself.
    #[error("the request cannot be accepted")]
    Invalid(#[from] Invalid),
    /// The caller's role is not enough.
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    /// Somebody else changed it in the meantime.
    #[error("the agent was changed by somebody else in the meantime")]
    Stale,
    /// The tenant's plan has no room for it.
    #[error(transparent)]
    Plan(#[from] Refusal),
    /// A number could not be had.
    #[error(transparent)]
    Number(#[from] NumberError),
    /// A provider is not there.
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// The store failed.
    #[error(transparent)]
    Store(StoreError),
}

impl From<StoreError> for AgentError {
    fn from(error: StoreError) -> Self {
        if error.kind() == crate::store::StoreErrorKind::Stale {
            Self::Stale
        } else {
            Self::Store(error)
        }
    }
}

/// What to make of an agent, or to change about one; `None` = the default, or leave it.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct AgentChange {
    /// Its name.
    pub name: Option<String>,
    /// Its instructions.
    pub system_prompt: Option<String>,
    /// What it says first.
    pub first_message: Option<String>,
    /// The language (BCP 47).
    pub language: Option<String>,
    /// The platform's id of a voice.
    pub voice: Option<String>,
    /// Its manner of speaking.
    pub tone: Option<String>,
    /// Whether it answers.
    pub active: Option<bool>,
    /// Whether it has an object of its own at the platform. Cannot be changed later.
    pub binding: Option<Binding>,
    /// Its platform. Cannot be changed later.
    pub provider: Option<String>,
    /// Defaults of the variables that its prompts use.
    pub variables: Option<Variables>,
}

/// An agent that was made together with a number.
#[derive(Debug)]
#[expect(clippy::exhaustive_structs, reason = "the answer of one request")]
pub struct AgentWithNumber {
    /// The agent.
    pub agent: Agent,
    /// Its number, or the one that is still being bought.
    pub number: Provisioned,
    /// A key of its own; shown this once.
    pub api_token: SecretString,
}

/// Agents: see [`VoiceSaas::agents`].
#[derive(Debug)]
pub struct Agents<'a> {
    app: &'a VoiceSaas,
}

impl<'a> Agents<'a> {
    pub(crate) fn new(app: &'a VoiceSaas) -> Self {
        Self { app }
    }

    /// Makes an agent.
    ///
    /// # Errors
    /// `Forbidden`, `Invalid`, `Provider` when the platform is unknown, `Store`.
    pub async fn create(&self, principal: &Principal, new: AgentChange) -> Result<Agent, AgentError> {
        let scope = principal.require(Role::Member)?;
        let agent = self.fresh(new)?;
        let mut tx = self.app.store().begin(scope).await?;
        require_room(self.app, &mut *tx, Limit::Agents).await??;
        tx.agents().add(&agent).await?;
        let job = object::enqueue_ensure(self.app, &mut *tx, &agent).await?;
        tx.commit().await?;
        self.bound(principal, agent, job).await
    }

    /// Makes an agent with a key and a number of its own. When no number can be had, nothing is left behind.
    ///
    /// # Errors
    /// As [`create`](Self::create), and `Number`.
    pub async fn create_with_number(
        &self,
        principal: &Principal,
        new: AgentChange,
        request: ProvisionRequest,
    ) -> Result<AgentWithNumber, AgentError> {
        let scope = principal.require(Role::Member)?;
        let agent = self.fresh(new)?;
        let id = agent.spec.id;
        let name = format!("agent {}", agent.spec.name)
            .chars()
            .take(100)
            .collect::<String>();
        let (key, api_token) = self
            .app
            .accounts()
            .fresh_api_key(&name, vec![ApiScope::Read, ApiScope::Write]);
        let mut tx = self.app.store().begin(scope).await?;
        require_room(self.app, &mut *tx, Limit::Agents).await??;
        tx.agents().add(&agent).await?;
        tx.api_keys().add(&key).await?;
        let job = object::enqueue_ensure(self.app, &mut *tx, &agent).await?;
        let numbers = self.app.numbers();
        let purchase = numbers.begin(&mut *tx, request.for_agent(id)).await?;
        tx.commit().await?;

        let (agent, number) = tokio::join!(
            self.bound(principal, agent, job),
            numbers.finish(principal, purchase)
        );
        match number {
            Ok(number) => Ok(AgentWithNumber {
                agent: agent?,
                number,
                api_token,
            }),
            Err(error) => {
                self.delete(principal, id).await?;
                let mut tx = self.app.store().begin(scope).await?;
                tx.api_keys().revoke(key.id, self.app.ambient().now()).await?;
                tx.commit().await?;
                Err(error.into())
            }
        }
    }

    /// Newest first.
    ///
    /// # Errors
    /// `Forbidden`, `Store`.
    pub async fn list(&self, principal: &Principal, page: PageRequest) -> Result<Page<Agent>, AgentError> {
        let scope = principal.require(Role::Viewer)?;
        Ok(self.app.store().begin(scope).await?.agents().list(page).await?)
    }

    /// The agent in its present version.
    ///
    /// # Errors
    /// `Forbidden`, `Store` (`NotFound`).
    pub async fn get(&self, principal: &Principal, id: AgentId) -> Result<Agent, AgentError> {
        let scope = principal.require(Role::Viewer)?;
        Ok(self.app.store().begin(scope).await?.agents().find(id).await?)
    }

    /// Makes the agent's next version. Calls that run keep theirs.
    ///
    /// # Errors
    /// `Forbidden`, `Invalid`, `Stale`, `Store` (`NotFound`).
    pub async fn update(
        &self,
        principal: &Principal,
        id: AgentId,
        change: AgentChange,
    ) -> Result<Agent, AgentError> {
        let scope = principal.require(Role::Member)?;
        let mut tx = self.app.store().begin(scope).await?;
        let mut agent = tx.agents().find(id).await?;
        let mut checks = Checks::new();
        let keeps_binding = change.binding.is_none_or(|binding| binding == agent.spec.binding);
        checks.require(
            keeps_binding,
            "/binding",
            "fixed",
            "cannot be changed; make a new agent",
        );
        let keeps_provider = change
            .provider
            .as_ref()
            .is_none_or(|provider| *provider == agent.provider);
        checks.require(
            keeps_provider,
            "/provider",
            "fixed",
            "cannot be changed; make a new agent",
        );
        apply(&mut agent, change);
        check(&agent, &mut checks);
        checks.finish()?;
        agent.updated_at = self.app.ambient().now();
        let agent = tx.agents().save(&agent).await?;
        let job = object::enqueue_ensure(self.app, &mut *tx, &agent).await?;
        tx.commit().await?;
        self.app.routes().forget_all();
        self.bound(principal, agent, job).await
    }

    /// Takes the agent off its numbers and deletes it; its numbers are kept.
    ///
    /// # Errors
    /// `Forbidden`, `Store` (`NotFound`).
    pub async fn delete(&self, principal: &Principal, id: AgentId) -> Result<(), AgentError> {
        let scope = principal.require(Role::Member)?;
        let mut tx = self.app.store().begin(scope).await?;
        let agent = tx.agents().find(id).await?;
        tx.agents().delete(id).await?;
        object::enqueue_delete(self.app, &mut *tx, &agent).await?;
        tx.commit().await?;
        self.app.routes().forget_all();
        self.app.store().wake_jobs().await?;
        Ok(())
    }

    /// The numbers that the agent answers.
    ///
    /// # Errors
    /// `Forbidden`, `Store` (`NotFound`).
    pub async fn numbers(&self, principal: &Principal, id: AgentId) -> Result<Vec<PhoneNumber>, AgentError> {
        let scope = principal.require(Role::Viewer)?;
        let mut tx = self.app.store().begin(scope).await?;
        tx.agents().find(id).await?;
        Ok(numbers_of(&mut *tx, id).await?)
    }

    /// Lets the agent answer these numbers and no others.
    ///
    /// # Errors
    /// `Forbidden`, `Store` (`NotFound` when one of them is not the tenant's).
    pub async fn set_numbers(
        &self,
        principal: &Principal,
        id: AgentId,
        numbers: &[NumberId],
    ) -> Result<Vec<PhoneNumber>, AgentError> {
        let scope = principal.require(Role::Member)?;
        let mut tx = self.app.store().begin(scope).await?;
        tx.agents().find(id).await?;
        for before in numbers_of(&mut *tx, id).await? {
            if !numbers.contains(&before.id) {
                tx.numbers().unlink(before.id, id).await?;
            }
        }
        for number in numbers {
            tx.numbers().link(*number, id).await?;
        }
        let linked = numbers_of(&mut *tx, id).await?;
        tx.commit().await?;
        self.app.routes().forget_all();
        Ok(linked)
    }

    fn fresh(&self, new: AgentChange) -> Result<Agent, AgentError> {
        let mut checks = Checks::new();
        checks.require(new.name.is_some(), "/name", "required", "must be given");
        let provider = match &new.provider {
            None => self.app.default_voice_agents()?.name(),
            Some(name) => match self.app.voice_agents(name) {
                Some(provider) => provider.name(),
                None => {
                    return Err(
                        Invalid::field("/provider", "unknown", "no such voice-agent platform").into(),
                    );
                }
            },
        };
        let ambient = self.app.ambient();
        let spec = AgentSpec::new(AgentId::generate(ambient.ids()), "", "")
            .with_binding(new.binding.unwrap_or_default());
        let mut agent = Agent::new(spec, provider.as_str(), ambient.now());
        apply(&mut agent, new);
        check(&agent, &mut checks);
        checks.finish()?;
        Ok(agent)
    }

    /// Gives the platform a moment to make the agent's object, and returns the agent as it is then.
    async fn bound(
        &self,
        principal: &Principal,
        agent: Agent,
        job: Option<crate::id::JobId>,
    ) -> Result<Agent, AgentError> {
        let Some(job) = job else { return Ok(agent) };
        self.app.jobs().run_now(job, PATIENCE).await?;
        self.get(principal, agent.spec.id).await
    }
}

/// All numbers of an agent, however many.
async fn numbers_of(tx: &mut dyn TenantTx, agent: AgentId) -> Result<Vec<PhoneNumber>, StoreError> {
    let filter = NumberFilter {
        agent: Some(agent),
        ..NumberFilter::default()
    };
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let request = PageRequest::new(PageRequest::MAX, after).unwrap_or_default();
        let page = tx.numbers().list(filter, request).await?;
        all.extend(page.data);
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(all),
        }
    }
}

fn apply(agent: &mut Agent, change: AgentChange) {
    let spec = &mut agent.spec;
    spec.name = change.name.unwrap_or_else(|| std::mem::take(&mut spec.name));
    spec.system_prompt = change
        .system_prompt
        .unwrap_or_else(|| std::mem::take(&mut spec.system_prompt));
    spec.first_message = change
        .first_message
        .unwrap_or_else(|| std::mem::take(&mut spec.first_message));
    spec.language = change
        .language
        .unwrap_or_else(|| std::mem::take(&mut spec.language));
    spec.voice = change.voice.or_else(|| spec.voice.take());
    spec.variables = change
        .variables
        .unwrap_or_else(|| std::mem::take(&mut spec.variables));
    agent.tone = change.tone.or_else(|| agent.tone.take());
    agent.active = change.active.unwrap_or(agent.active);
}

fn check(agent: &Agent, checks: &mut Checks) {
    let spec = &agent.spec;
    checks.length(&spec.name, 1..=100, "/name");
    checks.length(&spec.system_prompt, 0..=100_000, "/system_prompt");
    checks.length(&spec.first_message, 0..=5_000, "/first_message");
    let language = (2..=35).contains(&spec.language.len())
        && spec
            .language
            .split('-')
            .all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric()));
    checks.require(
        language,
        "/language",
        "language",
        "must be a language tag such as en or pt-BR",
    );
    let scalars = spec
        .variables
        .values()
        .all(|value| value.is_string() || value.is_number() || value.is_boolean());
    checks.require(
        scalars,
        "/variables",
        "scalar",
        "must have strings, numbers or booleans as values",
    );
    let ours = spec
        .variables
        .keys()
        .all(|name| !name.starts_with("system__") && !name.starts_with("secret__"));
    checks.require(
        ours,
        "/variables",
        "reserved",
        "must not use names that begin with system__ or secret__",
    );
}

#[cfg(all(test, feature = "testing"))]
mod tests {
    use super::*;
    use crate::testing::fixtures;

    #[track_caller]
    fn wrong(change: impl FnOnce(&mut Agent)) -> Vec<String> {
        let mut agent = fixtures::route("Acme", "Receptionist").agents.remove(0);
        change(&mut agent);
        let mut checks = Checks::new();
        check(&agent, &mut checks);
        checks.finish().map_or_else(
            |invalid| invalid.errors.into_iter().map(|e| e.pointer).collect(),
            |()| vec![],
        )
    }

    #[test]
    fn an_agent_needs_a_name_a_language_and_scalar_variables_of_its_own() {
        assert!(wrong(|_| ()).is_empty());
        assert_eq!(wrong(|agent| agent.spec.name.clear()), ["/name"]);
        assert_eq!(
            wrong(|agent| agent.spec.language = "english!".to_owned()),
            ["/language"]
        );
        let variable = |name: &str, value| Variables::from([(name.to_owned(), value)]);
        assert_eq!(
            wrong(|agent| agent.spec.variables = variable("list", serde_json::json!([]))),
            ["/variables"]
        );
        assert_eq!(
            wrong(|agent| agent.spec.variables = variable("secret__x", "y".into())),
            ["/variables"]
        );
    }
}
