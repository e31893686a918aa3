//! Whose number is called: one indexed query, and a small memory of the answers.

use std::{sync::Arc, time::Duration};

use moka::future::Cache;

use crate::{
    VoiceSaas,
    phone::E164,
    scope::SystemScope,
    store::{Route, StoreError},
};

/// Another replica's change is seen after this long at the latest; a change made here is seen at once.
const FRESH: Duration = Duration::from_secs(5);

/// Numbers remembered at once; some 2 KiB each.
const CAPACITY: u64 = 20_000;

/// Routes that were looked up lately. Numbers that are nobody's are not remembered: they may be bought any moment.
pub(crate) struct RouteCache {
    routes: Cache<E164, Arc<Route>>,
}

impl RouteCache {
    pub(crate) fn new() -> Self {
        Self {
            routes: Cache::builder()
                .max_capacity(CAPACITY)
                .time_to_live(FRESH)
                .build(),
        }
    }

    pub(crate) async fn find(
        &self,
        app: &VoiceSaas,
        number: &E164,
    ) -> Result<Option<Arc<Route>>, StoreError> {
        if let Some(route) = self.routes.get(number).await {
            return Ok(Some(route));
        }
        let scope = SystemScope::mint("find the number that is called");
        let Some(route) = app.store().begin_reading(&scope).await?.route(number).await? else {
            return Ok(None);
        };
        let route = Arc::new(route);
        self.routes.insert(number.clone(), Arc::clone(&route)).await;
        Ok(Some(route))
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
