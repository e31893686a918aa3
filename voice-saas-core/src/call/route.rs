//! Whose number is called: one indexed query, and a small memory of the answers.
//!
//! Calls that come in at the same moment are looked up together: while one query is under way, the numbers that come
//! wait for the next.

use std::{
    collections::HashMap,
    mem,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use moka::future::Cache;
use tokio::sync::oneshot;

use crate::{
    phone::E164,
    scope::SystemScope,
    store::{Route, Store, StoreError, StoreErrorKind},
};

/// Another replica's change is seen after this long at the latest; a change made here is seen at once.
const FRESH: Duration = Duration::from_secs(5);

/// Numbers remembered at once; some 2 KiB each.
const CAPACITY: u64 = 20_000;

/// Numbers in one query.
const TOGETHER: usize = 64;

const LOOK_UP: &str = "find the number that is called";

/// Routes that were looked up lately. Numbers that are nobody's are not remembered: they may be bought any moment.
pub(crate) struct RouteCache {
    store: Arc<dyn Store>,
    routes: Cache<E164, Arc<Route>>,
    waiting: Arc<Mutex<Waiting>>,
}

type Found = Result<Option<Arc<Route>>, Arc<StoreError>>;

/// Numbers that wait for the next query.
#[derive(Default)]
struct Waiting {
    numbers: Vec<(E164, oneshot::Sender<Found>)>,
    /// Whether somebody is going to take them.
    attended: bool,
}

impl RouteCache {
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        Self {
            store,
            routes: Cache::builder()
                .max_capacity(CAPACITY)
                .time_to_live(FRESH)
                .build(),
            waiting: Arc::default(),
        }
    }

    pub(crate) async fn find(&self, number: &E164) -> Result<Option<Arc<Route>>, StoreError> {
        if let Some(route) = self.routes.get(number).await {
            return Ok(Some(route));
        }
        let found = self
            .ask(number)
            .await
            .map_err(|_| StoreError::new(LOOK_UP, StoreErrorKind::Internal))?;
        let route = found.map_err(|error| StoreError::new(LOOK_UP, error.kind()).with_source(error))?;
        if let Some(route) = &route {
            self.routes.insert(number.clone(), Arc::clone(route)).await;
        }
        Ok(route)
    }

    fn ask(&self, number: &E164) -> oneshot::Receiver<Found> {
        let (answer, found) = oneshot::channel();
        let mut waiting = lock(&self.waiting);
        waiting.numbers.push((number.clone(), answer));
        if !mem::replace(&mut waiting.attended, true) {
            // Not within the request that happens to be first: it may be dropped, and the others wait.
            tokio::spawn(attend(Arc::clone(&self.store), Arc::clone(&self.waiting)));
        }
        found
    }

    /// Forgets one number's route.
    pub(crate) async fn forget(&self, number: &E164) {
        self.routes.invalidate(number).await;
    }

    /// Forgets all routes: an agent or a tenant changed, whose numbers are not at hand.
    pub(crate) fn forget_all(&self) {
        self.routes.invalidate_all();
    }
}

fn lock(waiting: &Mutex<Waiting>) -> std::sync::MutexGuard<'_, Waiting> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Looks up whatever waits, until nothing does.
async fn attend(store: Arc<dyn Store>, waiting: Arc<Mutex<Waiting>>) {
    loop {
        let together: Vec<_> = {
            let mut waiting = lock(&waiting);
            if waiting.numbers.is_empty() {
                waiting.attended = false;
                return;
            }
            let count = waiting.numbers.len().min(TOGETHER);
            waiting.numbers.drain(..count).collect()
        };
        let (numbers, answers): (Vec<_>, Vec<_>) = together.into_iter().unzip();
        match look_up(&*store, &numbers).await {
            Ok(routes) => {
                for (number, answer) in numbers.iter().zip(answers) {
                    let _gone = answer.send(Ok(routes.get(number).cloned()));
                }
            }
            Err(error) => {
                let error = Arc::new(error);
                for answer in answers {
                    let _gone = answer.send(Err(Arc::clone(&error)));
                }
            }
        }
    }
}

async fn look_up(store: &dyn Store, numbers: &[E164]) -> Result<HashMap<E164, Arc<Route>>, StoreError> {
    let scope = SystemScope::mint(LOOK_UP);
    let routes = store.begin_reading(&scope).await?.routes(numbers).await?;
    let by_number = routes
        .into_iter()
        .map(|route| (route.number.number.clone(), Arc::new(route)));
    Ok(by_number.collect())
}
