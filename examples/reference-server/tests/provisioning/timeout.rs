//! A provider does not answer for longer than our client waits.

use std::time::Duration;

use tokio::{task::JoinHandle, time::Instant};

use crate::{
    account::{Account, Holding},
    api::{Answer, Api},
    matrix::{Cell, DONE, Matrix, Tried, Work, cells, in_lanes},
    orphan,
    page::Extent,
    saga::Saga,
    step::{self, Step},
    system::{Kind, System},
    trial::{Trial, check},
    wait::eventually,
};

/// The shortest of our clients' patience is 10 s. Requests that are held one after another must all be held before the
/// first is given up. The price of a number is waited for 3 s alone, and does without.
const ARMING: Duration = Duration::from_secs(5);
/// So many are held at once.
const MOST: usize = 10;

const SILENCES: [(&str, &str); 2] = [("it never acts", "hold_before"), ("it acted", "hold_after")];

/// One request that waits for its answer.
struct Waiting {
    order: usize,
    cell: Cell<(&'static str, &'static str)>,
    trial: Trial,
    asked: JoinHandle<Result<Answer, String>>,
}

/// Where it differs. Sagas that are led onto their way are made of others' steps.
fn silences(saga: Saga, step: Step) -> Vec<(&'static str, &'static str)> {
    if saga.needs_a_crash() || !saga.opening().is_empty() {
        return Vec::new();
    }
    let mut silences = SILENCES.to_vec();
    silences.truncate(if step.operation.acts() { 2 } else { 1 });
    silences
}

/// Holds requests of several tenants, and waits until our client has given them up, tried again, and is done.
async fn hold(system: &mut System, work: &Work<(&'static str, &'static str)>) -> Result<usize, String> {
    let before = Account::of(system).await?;
    let began = Instant::now();
    let mut waiting: Vec<Waiting> = Vec::new();
    while began.elapsed() < ARMING && waiting.len() < MOST {
        let Some((order, cell)) = work.next() else { break };
        if cell.step.operation.is_remembered() {
            if !waiting.is_empty() {
                work.put_back(order, cell);
                break;
            }
            system.restart_server().await?;
        }
        if cell.saga.is_one_at_a_time() && waiting.iter().any(|other| other.cell.saga == cell.saga) {
            work.put_back(order, cell);
            break;
        }
        let trial = Trial::prepare_beside_others(system, cell.saga).await?;
        let so_far = system.held_so_far().await?;
        system.arm(cell.step.arm(cell.fault.1)).await?;
        let asked = trial.ask(system);
        waiting.push(Waiting {
            order,
            cell,
            trial,
            asked,
        });
        let what = format!("{} of {:?} to be held", cell.step, cell.saga);
        eventually(&what, async || {
            Ok((system.held_so_far().await? > so_far).then_some(()))
        })
        .await?;
    }
    let mut answered = Vec::new();
    for it in waiting {
        let answer = it.asked.await.map_err(|error| error.to_string())??;
        answered.push((it.order, it.cell, it.trial, answer));
    }
    system.quiet().await?;
    system.heal().await?;
    let users: Vec<Api> = answered
        .iter()
        .map(|(_, _, trial, _)| trial.user.clone())
        .collect();
    let given: Vec<String> = answered
        .iter()
        .flat_map(|(_, _, trial, _)| trial.given.clone())
        .collect();
    Account::compare(&before, system, &users, &given).await?;
    let count = answered.len();
    for (order, cell, trial, answer) in answered {
        let found = Holding::of(&trial.user.at(system.api())).await?;
        let outcome = answer.typed().and_then(|_| check(cell.saga.ends_with(), found));
        let tried = Tried {
            saga: cell.saga,
            step: cell.step,
            fault: cell.fault.0,
            outcome: outcome.map(|()| DONE.to_owned()),
        };
        work.done(order, tried);
    }
    Ok(count)
}

#[tokio::test]
async fn a_provider_slower_than_our_patience_leaves_nothing_extra_and_nothing_missing() {
    let steps = step::all().await.expect("every saga ends as it should");
    let work = Work::new(cells(steps, silences));
    let lane = async || {
        let mut system = System::start(Kind::Sqlite).await.expect("the processes start")?;
        let held = async {
            while hold(&mut system, &work).await? > 0 {}
            orphan::none(&system).await
        };
        if let Err(wrong) = held.await {
            panic!("{wrong} (logs in {})", system.keep_evidence());
        }
        Some(())
    };
    in_lanes(lane).await;
    let matrix = Matrix {
        title: "A provider does not answer for longer than our client waits",
        section: "silent",
        columns: SILENCES.iter().map(|(name, _)| *name).collect(),
        extent: Extent::Whole,
    };
    matrix.report(&work.finish());
}
