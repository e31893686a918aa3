//! What shall become of a call: one pure function, for live calls and for `routing/explain`.

use std::borrow::Cow;

use serde::Serialize;

use super::EndReason;
use crate::{agent::Agent, number::NumberStatus, store::Route};

/// What was decided.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome<'a> {
    /// This agent takes it.
    Agent(&'a Agent),
    /// Nobody takes it.
    Refuse(EndReason),
}

/// One rule that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[expect(clippy::exhaustive_structs, reason = "a line of the explanation")]
pub struct Tried {
    /// Which rule.
    pub rule: &'static str,
    /// Whether it decided the call.
    pub applied: bool,
    /// Why, or why not.
    pub why: Cow<'static, str>,
}

/// What was decided, and every rule that was looked at on the way.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Decision<'a> {
    /// What.
    pub outcome: Outcome<'a>,
    /// How.
    pub tried: Vec<Tried>,
}

/// Decides what becomes of a call to the route's number.
///
/// ```
/// use voice_saas_core::{call::{Outcome, decide}, testing::fixtures};
///
/// let route = fixtures::route("Acme", "Receptionist");
/// let decision = decide(&route);
/// assert!(matches!(decision.outcome, Outcome::Agent(agent) if agent.spec.name == "Receptionist"));
/// ```
pub fn decide(route: &Route) -> Decision<'_> {
    let mut tried = Vec::with_capacity(3);
    let mut rule = |rule, applied, why: Cow<'static, str>| {
        tried.push(Tried { rule, applied, why });
        applied
    };

    let takes_calls = route.tenant.status.takes_calls();
    let why = if takes_calls {
        "the tenant is in good standing"
    } else {
        "the tenant is suspended or closed"
    };
    if rule("tenant_status", !takes_calls, why.into()) {
        return Decision {
            outcome: Outcome::Refuse(EndReason::TenantSuspended),
            tried,
        };
    }

    let in_service = route.number.status == NumberStatus::Active;
    let why = if in_service {
        "the number is in service"
    } else {
        "the number is not in service"
    };
    if rule("number_status", !in_service, why.into()) {
        return Decision {
            outcome: Outcome::Refuse(EndReason::NumberInactive),
            tried,
        };
    }

    match route.agents.iter().find(|agent| agent.active) {
        Some(agent) => {
            rule(
                "linked_agent",
                true,
                format!("{} is the first active agent of the number", agent.spec.name).into(),
            );
            Decision {
                outcome: Outcome::Agent(agent),
                tried,
            }
        }
        None => {
            let why = if route.agents.is_empty() {
                "no agent is linked"
            } else {
                "no linked agent is active"
            };
            rule("linked_agent", false, why.into());
            Decision {
                outcome: Outcome::Refuse(EndReason::NoActiveAgent),
                tried,
            }
        }
    }
}

#[cfg(all(test, feature = "testing"))]
mod tests {
    use super::*;
    use crate::{tenant::TenantStatus, testing::fixtures};

    #[track_caller]
    fn check(change: impl FnOnce(&mut Route), expected: Result<&str, EndReason>) {
        let mut route = fixtures::route("Acme", "Receptionist");
        change(&mut route);
        let decision = decide(&route);
        let outcome = match decision.outcome {
            Outcome::Agent(agent) => Ok(agent.spec.name.as_str()),
            Outcome::Refuse(reason) => Err(reason),
        };
        assert_eq!(outcome, expected);
        assert!(!decision.tried.is_empty());
    }

    #[test]
    fn the_first_active_agent_takes_the_call() {
        check(|_| (), Ok("Receptionist"));
        check(
            |route| {
                let mut second = route.agents[0].clone();
                second.spec.name = "Night shift".to_owned();
                route.agents[0].active = false;
                route.agents.push(second);
            },
            Ok("Night shift"),
        );
    }

    #[test]
    fn a_suspended_tenant_an_idle_number_and_a_number_without_agent_refuse() {
        check(
            |route| route.tenant.status = TenantStatus::Suspended,
            Err(EndReason::TenantSuspended),
        );
        check(
            |route| route.number.status = NumberStatus::Inactive,
            Err(EndReason::NumberInactive),
        );
        check(|route| route.agents.clear(), Err(EndReason::NoActiveAgent));
        check(
            |route| route.agents[0].active = false,
            Err(EndReason::NoActiveAgent),
        );
    }
}
