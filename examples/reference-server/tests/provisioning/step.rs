//! The operations of providers on a saga's way: found by going it once without a fault, so that none is forgotten.

use std::{collections::HashMap, fmt};

use serde_json::Value;
use tokio::sync::OnceCell;

use crate::{
    api::text,
    saga::Saga,
    system::{Kind, System},
    trial::Trial,
};

/// Something that a provider does, by the emulator's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Operation {
    pub(crate) provider: &'static str,
    pub(crate) name: &'static str,
}

impl Operation {
    pub(crate) const fn new(provider: &'static str, name: &'static str) -> Self {
        Self { provider, name }
    }

    pub(crate) fn read(value: &Value) -> Result<Self, String> {
        // There are some eighty, however often they are asked for.
        let word = |field| text(value, field).map(|text| &*Box::leak(text.into_boxed_str()));
        Ok(Self::new(word("provider")?, word("operation")?))
    }

    /// Whether a server asks for it once, and remembers the answer.
    pub(crate) fn is_remembered(self) -> bool {
        self.name == "fetch_prices"
    }

    /// Whether it changes something at the provider.
    pub(crate) fn acts(self) -> bool {
        let reads = ["search_", "list_", "fetch_", "get_", "check_", "read_"];
        !reads.iter().any(|prefix| self.name.starts_with(prefix))
    }
}

/// A fault that is to happen.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arm {
    pub(crate) operation: Operation,
    /// So many uses of the operation pass before.
    pub(crate) skip: usize,
    pub(crate) fault: &'static str,
    pub(crate) times: u32,
    pub(crate) delay_ms: Option<u32>,
}

impl Arm {
    pub(crate) const fn once(operation: Operation, fault: &'static str) -> Self {
        Self {
            operation,
            skip: 0,
            fault,
            times: 1,
            delay_ms: None,
        }
    }
}

/// One use of an operation by a saga.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) operation: Operation,
    /// Which use, from 0.
    pub(crate) nth: usize,
}

impl Step {
    pub(crate) fn arm(self, fault: &'static str) -> Arm {
        Arm {
            skip: self.nth,
            ..Arm::once(self.operation, fault)
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.nth {
            0 => write!(f, "{} `{}`", self.operation.provider, self.operation.name),
            nth => write!(
                f,
                "{} `{}` ({})",
                self.operation.provider,
                self.operation.name,
                nth + 1
            ),
        }
    }
}

/// The steps of every saga, in the order in which they are taken; found once, for all tests.
///
/// # Errors
/// A saga does not end as it should even without a fault.
pub(crate) async fn all() -> Result<&'static [(Saga, Vec<Step>)], String> {
    static ALL: OnceCell<Vec<(Saga, Vec<Step>)>> = OnceCell::const_new();
    ALL.get_or_try_init(find_all).await.map(Vec::as_slice)
}

async fn find_all() -> Result<Vec<(Saga, Vec<Step>)>, String> {
    let mut system = System::start(Kind::Sqlite)
        .await?
        .ok_or("there is always SQLite")?;
    let mut all = Vec::new();
    for saga in Saga::ALL {
        let steps = find(&system, saga).await;
        let steps = steps.map_err(|error| {
            let evidence = system.keep_evidence();
            format!("{} without a fault: {error} (logs in {evidence})", saga.name())
        })?;
        all.push((saga, steps));
    }
    Ok(all)
}

async fn find(system: &System, saga: Saga) -> Result<Vec<Step>, String> {
    let trial = Trial::prepare(system, saga).await?;
    let before = system.operations().await?.len();
    trial.open(system).await?;
    let asked = trial.ask(system);
    saga.lead_up(system, &trial.user).await?;
    asked.await.map_err(|error| error.to_string())??;
    saga.afterwards(&trial.user).await?;
    system.quiet().await?;
    system.heal().await?;
    trial.check(system).await?;
    let mut uses: HashMap<Operation, usize> = HashMap::new();
    let mut steps = Vec::new();
    for operation in system.operations().await?.split_off(before) {
        let uses = uses.entry(operation).or_default();
        steps.push(Step {
            operation,
            nth: *uses,
        });
        *uses += 1;
    }
    steps.retain(|step| saga.owns(*step));
    if steps.is_empty() {
        return Err("no provider was asked for anything".to_owned());
    }
    Ok(steps)
}
