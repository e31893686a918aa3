//! Cells that are tried beside one another, and the table of what came of them.

use std::{
    collections::VecDeque,
    fmt::Write as _,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use futures_util::future::join_all;

use crate::{
    orphan,
    page::{self, Extent},
    saga::Saga,
    step::Step,
    system::{Kind, System},
};

/// How many systems there are at a time. They wait for leases and delays most of the time.
const LANES: usize = 8;
/// What a system has seen makes every look at it longer; so many cells later it is replaced.
const CELLS_OF_A_SYSTEM: usize = 40;
/// No cell takes nearly as long.
const LONGEST_CELL: Duration = Duration::from_mins(5);
/// The saga ended as it should: what tenants see and what providers have is the same.
pub(crate) const DONE: &str = "✓";

/// What goes wrong, and where.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cell<F> {
    pub(crate) saga: Saga,
    pub(crate) step: Step,
    pub(crate) fault: F,
}

/// What came of a cell.
#[derive(Debug)]
pub(crate) struct Tried {
    pub(crate) saga: Saga,
    pub(crate) step: Step,
    /// The column.
    pub(crate) fault: &'static str,
    pub(crate) outcome: Result<String, String>,
}

/// A saga's step, and what came of it under each fault that was tried.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Row(pub(crate) Vec<String>);

/// A table: saga and operation down, faults across.
#[derive(Debug)]
pub(crate) struct Matrix {
    pub(crate) title: &'static str,
    /// Where it stands in the page.
    pub(crate) section: &'static str,
    pub(crate) columns: Vec<&'static str>,
    pub(crate) extent: Extent,
}

/// Every cell that `faults` knows for a step of a saga.
pub(crate) fn cells<F: Copy>(
    steps: &[(Saga, Vec<Step>)],
    faults: impl Fn(Saga, Step) -> Vec<F>,
) -> Vec<Cell<F>> {
    let mut cells = Vec::new();
    for (saga, steps) in steps {
        for step in steps {
            cells.extend(faults(*saga, *step).into_iter().map(|fault| Cell {
                saga: *saga,
                step: *step,
                fault,
            }));
        }
    }
    cells
}

/// Cells that wait for a lane, and what came of the others.
#[derive(Debug)]
pub(crate) struct Work<F> {
    waiting: Mutex<VecDeque<(usize, Cell<F>)>>,
    tried: Mutex<Vec<(usize, Tried)>>,
}

impl<F> Work<F> {
    pub(crate) fn new(cells: Vec<Cell<F>>) -> Self {
        Self {
            waiting: Mutex::new(cells.into_iter().enumerate().collect()),
            tried: Mutex::default(),
        }
    }

    pub(crate) fn next(&self) -> Option<(usize, Cell<F>)> {
        self.waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop_front()
    }

    fn is_empty(&self) -> bool {
        self.waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_empty()
    }

    pub(crate) fn put_back(&self, order: usize, cell: Cell<F>) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.push_back((order, cell));
    }

    pub(crate) fn done(&self, order: usize, tried: Tried) {
        self.tried
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push((order, tried));
    }

    /// In the order of the cells.
    pub(crate) fn finish(self) -> Vec<Tried> {
        let mut tried = self.tried.into_inner().unwrap_or_else(PoisonError::into_inner);
        tried.sort_by_key(|(order, _)| *order);
        tried.into_iter().map(|(_, tried)| tried).collect()
    }
}

/// Runs as many lanes beside one another as there are; `None`, said aloud, where there is no database.
pub(crate) async fn in_lanes(lane: impl AsyncFn() -> Option<()>) -> Option<()> {
    join_all((0..LANES).map(|_| lane())).await.into_iter().collect()
}

impl Matrix {
    /// Tries every cell on one of several systems, prints the table, and fails when something leaked, was lost or did
    /// not end, or the page says otherwise.
    pub(crate) async fn try_all<F: Copy>(
        &self,
        kind: Kind,
        cells: Vec<Cell<F>>,
        name: impl Fn(F) -> &'static str,
        attempt: impl AsyncFn(&mut System, Cell<F>) -> Result<String, String>,
    ) {
        let work = Work::new(cells);
        let lane = async || {
            let mut system: Option<(System, usize)> = None;
            while let Some((order, cell)) = work.next() {
                let (mut here, age) = match system.take() {
                    Some(here) => here,
                    None => (System::start(kind).await.expect("the processes start")?, 1),
                };
                let is_last = age == CELLS_OF_A_SYSTEM || work.is_empty();
                let whole = async {
                    let outcome = attempt(&mut here, cell).await?;
                    if is_last {
                        orphan::none(&here).await?;
                    }
                    Ok(outcome)
                };
                let tried = tokio::time::timeout(LONGEST_CELL, whole).await;
                let outcome = tried.unwrap_or_else(|_| Err("HANG: the cell does not end".to_owned()));
                let outcome = outcome.map_err(|wrong| format!("{wrong} (logs in {})", here.keep_evidence()));
                // After a failure, the next cell begins afresh.
                system = (outcome.is_ok() && !is_last).then_some((here, age + 1));
                let tried = Tried {
                    saga: cell.saga,
                    step: cell.step,
                    fault: name(cell.fault),
                    outcome,
                };
                work.done(order, tried);
            }
            Some(())
        };
        if in_lanes(lane).await.is_some() {
            self.report(&work.finish());
        }
    }

    /// Prints the table, and fails when something is wrong with it.
    #[expect(clippy::print_stderr, reason = "the table is what the test shows")]
    pub(crate) fn report(&self, tried: &[Tried]) {
        let rows = self.rows(tried);
        eprintln!("\n{}\n\n{}", self.title, self.table(&rows));
        let wrong: Vec<_> = tried.iter().filter(|tried| tried.outcome.is_err()).collect();
        assert!(wrong.is_empty(), "{wrong:#?}");
        assert!(!rows.is_empty(), "nothing was tried");
        page::agree(self, &rows);
    }

    fn rows(&self, tried: &[Tried]) -> Vec<Row> {
        let mut rows: Vec<Row> = Vec::new();
        for tried in tried {
            let names = [tried.saga.name().to_owned(), tried.step.to_string()];
            let at = rows
                .iter()
                .position(|row| row.0[..2] == names)
                .unwrap_or_else(|| {
                    let mut row = names.to_vec();
                    row.resize(2 + self.columns.len(), String::new());
                    rows.push(Row(row));
                    rows.len() - 1
                });
            let column = self.columns.iter().position(|column| *column == tried.fault);
            let column = column.expect("every fault has a column");
            let outcome = tried.outcome.as_ref().unwrap_or_else(|wrong| wrong);
            rows[at].0[2 + column].clone_from(outcome);
        }
        rows
    }

    /// In Markdown.
    pub(crate) fn table(&self, rows: &[Row]) -> String {
        let mut table = format!("| saga | operation | {} |\n", self.columns.join(" | "));
        let _ = writeln!(table, "|---|---{}|", "|---".repeat(self.columns.len()));
        for row in rows {
            let _ = writeln!(table, "| {} |", row.0.join(" | "));
        }
        table
    }
}
