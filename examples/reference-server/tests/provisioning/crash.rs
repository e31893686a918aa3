//! The server is killed while a provider has its request.

use crate::{
    matrix::{Cell, DONE, Matrix, cells},
    orphan,
    page::Extent,
    step::{self, Step},
    system::{Kind, System},
    trial::Trial,
};

/// When the server is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kill {
    BeforeItActs,
    AfterItActed,
    ItActsLater,
}

impl Kill {
    pub(crate) const ALL: [Self; 3] = [Self::BeforeItActs, Self::AfterItActed, Self::ItActsLater];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::BeforeItActs => "before it acts",
            Self::AfterItActed => "after it acted, before the answer",
            Self::ItActsLater => "before it acts; it acts after the recovery",
        }
    }

    fn fault(self) -> &'static str {
        match self {
            Self::BeforeItActs => "hold_before",
            Self::AfterItActed => "hold_after",
            Self::ItActsLater => "hold_detached",
        }
    }

    /// Those that differ at this step.
    pub(crate) fn at(step: Step) -> Vec<Self> {
        if step.operation.acts() {
            Self::ALL.to_vec()
        } else {
            vec![Self::BeforeItActs]
        }
    }
}

/// Who goes on after the crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Heir {
    /// The same server, started again.
    Itself,
    /// Another one on the same database, which was there before.
    Another,
}

/// Kills the server at the cell's step, and compares when its heir has nothing left to do.
pub(crate) async fn crash(system: &mut System, cell: Cell<Kill>, heir: Heir) -> Result<String, String> {
    let Cell { saga, step, fault } = cell;
    if step.operation.is_remembered() {
        system.restart_server().await?;
    }
    let trial = Trial::prepare(system, saga).await?;
    trial.open(system).await?;
    system.arm(step.arm(fault.fault())).await?;
    let mut asked = Some(trial.ask(system));
    if saga.is_answered_at_once()
        && let Some(asked) = asked.take()
    {
        asked.await.map_err(|error| error.to_string())??;
    }
    saga.lead_up(system, &trial.user).await?;
    system.wait_until_held(step.operation.name).await?;
    // It comes when the first one has the job, so that it is certain who is at it.
    let other = match heir {
        Heir::Another => Some(system.another_server("other.log").await?),
        Heir::Itself => None,
    };
    system.kill_server().await?;
    if let Some(asked) = asked {
        // Nobody answers any more; what matters is what is there in the end.
        let _ = asked.await;
    }
    if fault != Kill::ItActsLater {
        // The provider notices that nobody waits any more.
        system.wait_until_nothing_is_held().await?;
    }

    match other {
        Some(other) => system.continue_with(other),
        None => system.start_server().await?,
    }
    saga.afterwards(&trial.user.at(system.api())).await?;
    system.quiet().await?;
    system.heal().await?;
    system.wait_until_nothing_is_held().await?;
    match trial.check(system).await {
        Ok(()) => Ok(DONE.to_owned()),
        Err(wrong) if fault == Kill::ItActsLater => orphan::clear(system, &trial, &wrong).await,
        Err(wrong) => Err(wrong),
    }
}

/// What every test of crashes shares: its columns.
pub(crate) fn matrix(title: &'static str, section: &'static str, extent: Extent) -> Matrix {
    Matrix {
        title,
        section,
        columns: Kill::ALL.iter().map(|kill| kill.name()).collect(),
        extent,
    }
}

#[tokio::test]
async fn a_server_killed_at_any_step_leaves_nothing_extra_and_nothing_missing_on_sqlite() {
    let steps = step::all().await.expect("every saga ends as it should");
    let cells = cells(steps, |_, step| Kill::at(step));
    let matrix = matrix("Killed and started again, on SQLite", "killed", Extent::Whole);
    matrix
        .try_all(Kind::Sqlite, cells, Kill::name, async |system, cell| {
            crash(system, cell, Heir::Itself).await
        })
        .await;
}

/// The next test kills at every step on PostgreSQL; here the same server goes on, after what is hardest to tell.
#[tokio::test]
async fn a_server_killed_after_a_provider_acted_leaves_nothing_extra_and_nothing_missing_on_postgres() {
    let steps = step::all().await.expect("every saga ends as it should");
    let cells = cells(steps, |_, step| {
        let acts = step.operation.acts().then_some(Kill::AfterItActed);
        acts.into_iter().collect()
    });
    let matrix = matrix("Killed and started again, on PostgreSQL", "killed", Extent::Part);
    matrix
        .try_all(Kind::Postgres, cells, Kill::name, async |system, cell| {
            crash(system, cell, Heir::Itself).await
        })
        .await;
}
