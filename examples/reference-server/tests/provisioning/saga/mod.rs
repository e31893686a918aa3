//! What is provisioned, and the ways that it goes. A new saga is a new arm of each method here and in `prepare`.

mod prepare;

use crate::{
    account::Holding,
    api::{Api, text},
    step::{Arm, Operation, Step},
    system::System,
    wait::eventually,
};

const BUY: Operation = Operation::new("twilio", "buy_number");
const CREATE_RULE: Operation = Operation::new("livekit", "create_dispatch_rule");

/// What a tenant or an operator asks for, and the way that it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Saga {
    Number,
    /// The answer to the purchase is lost.
    NumberLookedUp,
    AgentWithNumber,
    Agent,
    Release,
    /// The agent is deleted while its number is being bought, so the saga turns back.
    GiveBack,
    AgentDeletion,
    /// The agent is deleted when nobody knows yet whether its object was made.
    HastyDeletion,
    ImportTwilio,
    ImportKnowlarity,
    Trunk,
    /// The number is released while its trunk is being set up, so the saga turns back.
    TrunkGivenBack,
    TrunkDeletion,
    OffBoarding,
    Missing,
    Repointing,
}

impl Saga {
    pub(crate) const ALL: [Self; 16] = [
        Self::Number,
        Self::NumberLookedUp,
        Self::AgentWithNumber,
        Self::Agent,
        Self::Release,
        Self::GiveBack,
        Self::AgentDeletion,
        Self::HastyDeletion,
        Self::ImportTwilio,
        Self::ImportKnowlarity,
        Self::Trunk,
        Self::TrunkGivenBack,
        Self::TrunkDeletion,
        Self::OffBoarding,
        Self::Missing,
        Self::Repointing,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Number => "buy a number",
            Self::NumberLookedUp => "buy a number, and the answer is lost",
            Self::AgentWithNumber => "agent with number",
            Self::Agent => "agent",
            Self::Release => "release a number",
            Self::GiveBack => "give a number back: its agent is deleted meanwhile",
            Self::AgentDeletion => "delete an agent",
            Self::HastyDeletion => "delete an agent whose object is being made",
            Self::ImportTwilio => "import from Twilio",
            Self::ImportKnowlarity => "import from Knowlarity",
            Self::Trunk => "set up a trunk",
            Self::TrunkGivenBack => "give a trunk back: its number is released meanwhile",
            Self::TrunkDeletion => "delete a trunk",
            Self::OffBoarding => "close a tenant with agent, number and trunk",
            Self::Missing => "numbers for two agents that have none",
            Self::Repointing => "point two numbers to the present address",
        }
    }

    /// What the tenant has at the end, unless the provider refuses for good.
    pub(crate) fn ends_with(self) -> Holding {
        let (numbers, agents, trunks) = match self {
            Self::Number
            | Self::NumberLookedUp
            | Self::ImportTwilio
            | Self::ImportKnowlarity
            | Self::TrunkDeletion => (1, 0, 0),
            Self::AgentWithNumber => (1, 1, 0),
            Self::Agent => (0, 1, 0),
            Self::Trunk => (1, 0, 1),
            Self::Missing | Self::Repointing => (2, 0, 0),
            Self::Release
            | Self::GiveBack
            | Self::AgentDeletion
            | Self::HastyDeletion
            | Self::TrunkGivenBack
            | Self::OffBoarding => (0, 0, 0),
        };
        Holding {
            numbers,
            agents,
            trunks,
        }
    }

    /// Whether the request is answered before any provider is asked.
    pub(crate) fn is_answered_at_once(self) -> bool {
        matches!(
            self,
            Self::AgentDeletion | Self::OffBoarding | Self::Missing | Self::Repointing
        )
    }

    /// Whether the platform does it for all tenants together.
    pub(crate) fn is_one_at_a_time(self) -> bool {
        self == Self::Repointing
    }

    /// Whether it comes to its own only when the server is killed: otherwise the answer to the creation is waited for.
    pub(crate) fn needs_a_crash(self) -> bool {
        self == Self::HastyDeletion
    }

    /// What goes wrong before, so that the saga takes this way.
    pub(crate) fn opening(self) -> &'static [Arm] {
        match self {
            Self::NumberLookedUp => const { &[Arm::once(BUY, "answer_lost")] },
            Self::GiveBack => const { &[Arm::once(BUY, "hold_before")] },
            Self::TrunkGivenBack => const { &[Arm::once(CREATE_RULE, "hold_before")] },
            _ => &[],
        }
    }

    /// Whether the step is tried here; others on the way are tried with the saga whose own they are.
    pub(crate) fn owns(self, step: Step) -> bool {
        let operation = step.operation.name;
        match self {
            Self::NumberLookedUp => operation == "list_numbers",
            Self::GiveBack => operation == "release_number",
            Self::HastyDeletion => operation == "create_agent",
            Self::TrunkGivenBack => {
                let taken_away = ["detach_", "delete_", "release_"];
                taken_away.iter().any(|prefix| operation.starts_with(prefix))
            }
            _ => true,
        }
    }

    /// What else happens before the step is reached, once the request is under way.
    pub(crate) async fn lead_up(self, system: &System, user: &Api) -> Result<(), String> {
        match self {
            Self::GiveBack => {
                system.wait_until_held(BUY.name).await?;
                delete_agents(user).await?;
                system.release().await
            }
            Self::TrunkGivenBack => {
                system.wait_until_held(CREATE_RULE.name).await?;
                let numbers = user.list("/v1/numbers").await?;
                let number = numbers.first().ok_or("the tenant has no number")?;
                let path = format!("/v1/numbers/{}", text(number, "id")?);
                let (releasing, released) = (user.clone(), path.clone());
                // It is answered when the trunk is gone; here it only has to begin.
                tokio::spawn(async move { releasing.delete(&released).await });
                eventually("the number to be out of service", async || {
                    let number = user.get(&path).await?;
                    Ok((number["status"] != "active").then_some(()))
                })
                .await?;
                system.release().await
            }
            _ => Ok(()),
        }
    }

    /// What the tenant does as soon as the server is there again.
    pub(crate) async fn afterwards(self, user: &Api) -> Result<(), String> {
        match self {
            Self::HastyDeletion => delete_agents(user).await,
            _ => Ok(()),
        }
    }
}

async fn delete_agents(user: &Api) -> Result<(), String> {
    for agent in user.list("/v1/agents").await? {
        let path = format!("/v1/agents/{}", text(&agent, "id")?);
        user.delete(&path).await?;
    }
    Ok(())
}
