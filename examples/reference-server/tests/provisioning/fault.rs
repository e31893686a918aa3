//! Nobody is killed, but a provider fails.

use crate::{
    account::Holding,
    api::Answer,
    matrix::{Cell, DONE, Matrix, cells},
    page::Extent,
    saga::Saga,
    step::{self, Arm, Step},
    system::{Kind, System},
    trial::{Trial, check},
};

/// What the provider does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Fault {
    name: &'static str,
    word: &'static str,
    times: u32,
    delay_ms: Option<u32>,
}

const fn once(name: &'static str, word: &'static str) -> Fault {
    Fault {
        name,
        word,
        times: 1,
        delay_ms: None,
    }
}

const fn always(name: &'static str, word: &'static str) -> Fault {
    Fault {
        times: ALWAYS,
        ..once(name, word)
    }
}

const ALWAYS: u32 = 1_000_000;

const ANSWER_LOST: Fault = once("answer lost", "answer_lost");

const FOR_A_MOMENT: [Fault; 6] = [
    ANSWER_LOST,
    once("429", "rate_limited"),
    Fault {
        delay_ms: Some(1_000),
        ..once("429, Retry-After", "rate_limited")
    },
    once("500", "server_error"),
    Fault {
        delay_ms: Some(500),
        ..once("late", "slow")
    },
    once("reset", "refused"),
];

const FOR_GOOD: [Fault; 3] = [
    always("429", "rate_limited"),
    always("500", "server_error"),
    always("reset", "refused"),
];

/// What fails for good turns a saga back that can turn back.
fn is_tried_for_good(saga: Saga, step: Step) -> bool {
    let operation = step.operation.name;
    let operations: &[&str] = match saga {
        Saga::Number => &["search_numbers", "buy_number"],
        Saga::AgentWithNumber => &["buy_number"],
        Saga::ImportTwilio => &["list_numbers", "update_number"],
        Saga::ImportKnowlarity => &["list_numbers"],
        Saga::Trunk => &[
            "create_trunk",
            "attach_number",
            "create_inbound_trunk",
            "create_dispatch_rule",
        ],
        _ => &[],
    };
    step.nth == 0 && operations.contains(&operation)
}

/// What fails for good leaves what was there before.
fn ends_with(saga: Saga, fault: Fault) -> Holding {
    match (fault.times, saga) {
        (ALWAYS, Saga::Trunk) => Holding {
            numbers: 1,
            ..Holding::default()
        },
        (ALWAYS, _) => Holding::default(),
        _ => saga.ends_with(),
    }
}

async fn fail(system: &mut System, cell: Cell<Fault>) -> Result<String, String> {
    let Cell { saga, step, fault } = cell;
    if step.operation.is_remembered() {
        system.restart_server().await?;
    }
    let trial = Trial::prepare(system, saga).await?;
    trial.open(system).await?;
    let arm = Arm {
        times: fault.times,
        delay_ms: fault.delay_ms,
        ..step.arm(fault.word)
    };
    system.arm(arm).await?;
    let asked = trial.ask(system);
    saga.lead_up(system, &trial.user).await?;
    let answer = asked.await.map_err(|error| error.to_string())??;
    typed(saga, fault, &answer)?;
    system.quiet().await?;
    if fault.times != ALWAYS && !system.all_happened().await? {
        return Err("the fault did not happen".to_owned());
    }
    system.heal().await?;
    check(ends_with(saga, fault), trial.compare(system).await?)?;
    Ok(DONE.to_owned())
}

/// A failure says whether the same request may be sent again.
fn typed(saga: Saga, fault: Fault, answer: &Answer) -> Result<(), String> {
    let said = answer.typed()?;
    let refused = answer.status >= 400;
    let right = match (saga, fault.times) {
        (Saga::GiveBack, _) => answer.status == 404 || answer.status == 202,
        (Saga::TrunkGivenBack, _) => answer.status == 409 || answer.status == 202,
        (_, ALWAYS) => answer.status == 202 || (refused && answer.body["safe_to_retry"] == true),
        _ => !refused,
    };
    if right {
        Ok(())
    } else {
        Err(format!("WRONG ANSWER: {said} {}", answer.body))
    }
}

async fn try_momentary(kind: Kind, extent: Extent, faults: &[Fault]) {
    let steps = step::all().await.expect("every saga ends as it should");
    // Without a crash, the answer to the creation is waited for.
    let cells = cells(steps, |saga, step| {
        let mut faults = faults.to_vec();
        // Without a crash, the answer to the creation is waited for. A question whose answer is lost is a reset.
        faults.retain(|fault| !saga.needs_a_crash() && (step.operation.acts() || *fault != ANSWER_LOST));
        faults
    });
    let matrix = Matrix {
        title: "A provider fails once",
        section: "failing",
        columns: FOR_A_MOMENT.iter().map(|fault| fault.name).collect(),
        extent,
    };
    matrix
        .try_all(
            kind,
            cells,
            |fault| fault.name,
            async |system, cell| fail(system, cell).await,
        )
        .await;
}

#[tokio::test]
async fn a_provider_that_fails_at_any_step_leaves_nothing_extra_and_nothing_missing_on_sqlite() {
    try_momentary(Kind::Sqlite, Extent::Whole, &FOR_A_MOMENT).await;
}

#[tokio::test]
async fn a_provider_whose_answer_is_lost_leaves_nothing_extra_and_nothing_missing_on_postgres() {
    try_momentary(Kind::Postgres, Extent::Part, &[ANSWER_LOST]).await;
}

#[tokio::test]
async fn a_provider_that_fails_for_good_leaves_what_was_there_before() {
    let steps = step::all().await.expect("every saga ends as it should");
    let cells = cells(steps, |saga, step| {
        let mut faults = FOR_GOOD.to_vec();
        faults.retain(|_| is_tried_for_good(saga, step));
        faults
    });
    let matrix = Matrix {
        title: "A provider fails for good",
        section: "failing for good",
        columns: FOR_GOOD.iter().map(|fault| fault.name).collect(),
        extent: Extent::Whole,
    };
    matrix
        .try_all(
            Kind::Sqlite,
            cells,
            |fault| fault.name,
            async |system, cell| fail(system, cell).await,
        )
        .await;
}
