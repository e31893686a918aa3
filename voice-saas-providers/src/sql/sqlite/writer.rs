//! The one writer, and group commit.
//!
//! Units of work follow one another on one connection, each within a savepoint. Units that waited for one another
//! share a transaction: whoever commits queues up again behind those that wait already, and the first to get its turn
//! commits for all. Alone, a unit is a transaction of its own; under load, the price of a commit is paid once for
//! many. Nobody hears that a unit is committed before it is; a unit that only looks may see what the unit before it is
//! about to commit, and would lose with a disk that fails at that moment.

use std::{
    mem,
    ops::{Deref, DerefMut},
    sync::Arc,
    time::Duration,
};

use sqlx::SqliteConnection;
use tokio::{
    runtime::Handle,
    sync::{Mutex, OwnedMutexGuard, oneshot},
    time::timeout,
};
use voice_saas_core::store::{StoreError, StoreErrorKind};

use crate::sql::error::failed;

/// As the one writer, so that what a unit of work reads still holds when it writes.
const BEGIN: &str = "BEGIN IMMEDIATE; SAVEPOINT unit";
const NEXT: &str = "RELEASE unit; SAVEPOINT unit";
const UNDO: &str = "ROLLBACK TO unit";
const COMMIT: &str = "COMMIT";
const ROLLBACK: &str = "ROLLBACK";

/// How long a unit of work waits for its turn.
const PATIENCE: Duration = Duration::from_secs(10);

/// The connection that writes.
pub(super) struct Writer {
    state: Arc<Mutex<State>>,
    runtime: Handle,
}

pub(super) struct State {
    connection: SqliteConnection,
    transaction: Option<Group>,
}

/// Units of work that share the open transaction.
struct Group {
    /// Who waits to hear that it is committed.
    members: Vec<oneshot::Sender<Result<(), Arc<sqlx::Error>>>>,
    /// What the last unit of work has left in its savepoint.
    last: Last,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Last {
    /// It is still at work, or nobody knows.
    Open,
    /// All of it is to be kept.
    Kept,
    /// All of it is to be undone.
    Dropped,
}

impl Writer {
    /// Writes on this connection, within the runtime of the caller.
    pub(super) fn new(connection: SqliteConnection) -> Self {
        Self {
            state: Arc::new(Mutex::new(State {
                connection,
                transaction: None,
            })),
            runtime: Handle::current(),
        }
    }

    /// The connection when nobody is at work with it.
    pub(super) async fn idle(&self) -> OwnedMutexGuard<State> {
        let mut state = Arc::clone(&self.state).lock_owned().await;
        state.finish().await;
        state
    }

    /// Begins a unit of work when its turn has come.
    pub(super) async fn begin(&self) -> Result<Unit, StoreError> {
        const OPERATION: &str = "begin";
        let state = timeout(PATIENCE, Arc::clone(&self.state).lock_owned())
            .await
            .map_err(|_| failed(OPERATION, sqlx::Error::PoolTimedOut))?;
        let mut unit = Unit {
            state: Some(state),
            shared: Arc::clone(&self.state),
            runtime: self.runtime.clone(),
        };
        // A caller that goes away in between must not leave a half-begun unit to the others.
        self.runtime
            .spawn(async move {
                unit.state_mut()
                    .begin()
                    .await
                    .map_err(|error| failed(OPERATION, error))?;
                Ok(unit)
            })
            .await
            .map_err(|error| StoreError::new(OPERATION, StoreErrorKind::Internal).with_source(error))?
    }
}

impl State {
    pub(super) fn connection(&mut self) -> &mut SqliteConnection {
        &mut self.connection
    }

    async fn exec(&mut self, sql: &'static str) -> Result<(), sqlx::Error> {
        sqlx::query(sql).execute(&mut self.connection).await.map(drop)
    }

    async fn begin(&mut self) -> Result<(), sqlx::Error> {
        let last = self
            .transaction
            .as_mut()
            .map(|group| mem::replace(&mut group.last, Last::Open));
        let joined = match last {
            None => Ok(false),
            Some(Last::Kept) => self.exec(NEXT).await.map(|()| true),
            Some(Last::Dropped) => self.exec(UNDO).await.map(|()| true),
            Some(Last::Open) => Err(sqlx::Error::BeginFailed),
        };
        match joined {
            Ok(true) => return Ok(()),
            Ok(false) => {}
            // SQLite has rolled everything back by itself: the disk is full, or broken.
            Err(error) => self.fail(error).await,
        }
        self.exec(BEGIN).await?;
        self.transaction = Some(Group {
            members: Vec::new(),
            last: Last::Open,
        });
        Ok(())
    }

    /// Ends the open transaction, if there is one, and says so to its members.
    async fn finish(&mut self) {
        let Some(group) = &mut self.transaction else {
            return;
        };
        let last = mem::replace(&mut group.last, Last::Open);
        let nobody = group.members.is_empty();
        let ended = match last {
            _ if nobody => self.exec(ROLLBACK).await,
            Last::Kept => self.exec(COMMIT).await,
            Last::Dropped => match self.exec(UNDO).await {
                Ok(()) => self.exec(COMMIT).await,
                failed => failed,
            },
            Last::Open => Err(sqlx::Error::BeginFailed),
        };
        match ended {
            Ok(()) => {
                for member in self
                    .transaction
                    .take()
                    .into_iter()
                    .flat_map(|group| group.members)
                {
                    let _gone = member.send(Ok(()));
                }
            }
            Err(error) => self.fail(error).await,
        }
    }

    /// The open transaction is lost.
    async fn fail(&mut self, error: sqlx::Error) {
        let _rolled_back_already = self.exec(ROLLBACK).await;
        let error = Arc::new(error);
        for member in self
            .transaction
            .take()
            .into_iter()
            .flat_map(|group| group.members)
        {
            let _gone = member.send(Err(Arc::clone(&error)));
        }
    }
}

/// A unit of work that has its turn. Dropped = undone.
pub(in crate::sql) struct Unit {
    /// `None` once it is over.
    state: Option<OwnedMutexGuard<State>>,
    shared: Arc<Mutex<State>>,
    runtime: Handle,
}

impl Unit {
    fn state(&self) -> &State {
        self.state
            .as_ref()
            .unwrap_or_else(|| unreachable!("only commit and drop take it"))
    }

    fn state_mut(&mut self) -> &mut State {
        self.state
            .as_mut()
            .unwrap_or_else(|| unreachable!("only commit and drop take it"))
    }

    /// Makes it all true, together with whoever waits.
    pub(in crate::sql) async fn commit(mut self) -> Result<(), StoreError> {
        const OPERATION: &str = "commit";
        let (committed, outcome) = oneshot::channel();
        if let Some(mut state) = self.state.take()
            && let Some(group) = &mut state.transaction
        {
            group.members.push(committed);
            group.last = Last::Kept;
        }
        self.finish_in_turn();
        match outcome.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(StoreError::new(OPERATION, StoreErrorKind::Unavailable).with_source(error)),
            Err(_) => Err(failed(OPERATION, sqlx::Error::WorkerCrashed)),
        }
    }

    /// Lets those who wait already join, and then ends the transaction if none of them has done so.
    fn finish_in_turn(&self) {
        let shared = Arc::clone(&self.shared);
        self.runtime
            .spawn(async move { shared.lock().await.finish().await });
    }
}

impl Drop for Unit {
    fn drop(&mut self) {
        if let Some(mut state) = self.state.take() {
            if let Some(group) = &mut state.transaction {
                group.last = Last::Dropped;
            }
            drop(state);
            self.finish_in_turn();
        }
    }
}

impl Deref for Unit {
    type Target = SqliteConnection;

    fn deref(&self) -> &SqliteConnection {
        &self.state().connection
    }
}

impl DerefMut for Unit {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        &mut self.state_mut().connection
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;
    use sqlx::Connection;

    use super::*;

    async fn writer() -> Arc<Writer> {
        let mut connection = SqliteConnection::connect("sqlite::memory:").await.unwrap();
        sqlx::query("CREATE TABLE words (word TEXT NOT NULL UNIQUE)")
            .execute(&mut connection)
            .await
            .unwrap();
        Arc::new(Writer::new(connection))
    }

    async fn say(unit: &mut Unit, word: &str) -> Result<(), sqlx::Error> {
        let added = sqlx::query("INSERT INTO words VALUES ($1)").bind(word);
        added.execute(&mut **unit).await.map(drop)
    }

    async fn words(writer: &Writer) -> Vec<String> {
        let mut state = writer.idle().await;
        sqlx::query_scalar("SELECT word FROM words ORDER BY word")
            .fetch_all(state.connection())
            .await
            .unwrap()
    }

    /// Nobody at work, and no transaction open.
    async fn is_idle(writer: &Writer) -> bool {
        writer.shared().await.transaction.is_none()
    }

    impl Writer {
        async fn shared(&self) -> OwnedMutexGuard<State> {
            Arc::clone(&self.state).lock_owned().await
        }
    }

    #[tokio::test]
    async fn what_is_committed_is_there_and_what_is_dropped_is_not() {
        let writer = writer().await;
        let mut kept = writer.begin().await.unwrap();
        say(&mut kept, "kept").await.unwrap();
        kept.commit().await.unwrap();
        assert!(is_idle(&writer).await);
        let mut dropped = writer.begin().await.unwrap();
        say(&mut dropped, "dropped").await.unwrap();
        drop(dropped);
        assert_eq!(words(&writer).await, ["kept"]);
        assert!(is_idle(&writer).await);
    }

    #[tokio::test]
    async fn units_that_wait_for_one_another_share_a_commit_and_nothing_else() {
        let writer = writer().await;
        let first = writer.begin().await.unwrap();
        let others = (0..20).map(|n| {
            let writer = Arc::clone(&writer);
            async move {
                let mut unit = writer.begin().await.unwrap();
                say(&mut unit, &format!("{n:02}")).await.unwrap();
                if n % 3 == 0 {
                    // Undone, in the middle of the group.
                    assert!(say(&mut unit, &format!("{n:02}")).await.is_err());
                    return None;
                }
                unit.commit().await.unwrap();
                Some(n)
            }
        });
        let go = async {
            tokio::task::yield_now().await;
            drop(first);
        };
        let (done, ()) = tokio::join!(join_all(others), go);
        let kept: Vec<_> = done.into_iter().flatten().map(|n| format!("{n:02}")).collect();
        assert_eq!(kept.len(), 13);
        assert_eq!(words(&writer).await, kept);
        assert!(is_idle(&writer).await);
    }

    #[tokio::test]
    async fn a_caller_that_goes_away_while_it_commits_leaves_nothing_open() {
        let writer = writer().await;
        let mut unit = writer.begin().await.unwrap();
        say(&mut unit, "gone").await.unwrap();
        let mut commit = Box::pin(unit.commit());
        assert!(futures_util::poll!(&mut commit).is_pending());
        drop(commit);
        assert_eq!(words(&writer).await, ["gone"]);
        assert!(is_idle(&writer).await);
    }

    #[tokio::test]
    async fn a_lost_transaction_is_told_to_all_who_were_in_it() {
        let writer = writer().await;
        let mut first = writer.begin().await.unwrap();
        say(&mut first, "first").await.unwrap();
        let mut second = Box::pin(writer.begin());
        assert!(futures_util::poll!(&mut second).is_pending());
        let mut commit = Box::pin(first.commit());
        assert!(futures_util::poll!(&mut commit).is_pending());
        let mut second = second.await.unwrap();
        // As SQLite does by itself when the disk is full.
        sqlx::query("ROLLBACK").execute(&mut *second).await.unwrap();
        drop(second);
        assert_eq!(commit.await.unwrap_err().kind(), StoreErrorKind::Unavailable);
        assert!(words(&writer).await.is_empty());
        let mut next = writer.begin().await.unwrap();
        say(&mut next, "next").await.unwrap();
        next.commit().await.unwrap();
        assert_eq!(words(&writer).await, ["next"]);
    }
}
