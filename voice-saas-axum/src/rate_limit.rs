//! How often clients and tenants may ask.

use std::{
    fmt,
    hash::Hash,
    net::{IpAddr, SocketAddr},
    num::NonZeroU32,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use axum::{
    extract::{ConnectInfo, FromRef, FromRequestParts},
    http::{StatusCode, request::Parts},
};
use governor::{
    DefaultKeyedRateLimiter, Quota, RateLimiter,
    clock::{Clock, DefaultClock},
};
use voice_saas_core::id::TenantId;

use crate::{ApiState, Problem};

/// So many at once, and so many in a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    burst: NonZeroU32,
    every: Duration,
}

impl Rate {
    /// `count` a minute, all at once if need be. Zero counts as one.
    pub fn per_minute(count: u32) -> Self {
        Self::new(count, Duration::from_mins(1))
    }

    /// `count` a second, all at once if need be. Zero counts as one.
    pub fn per_second(count: u32) -> Self {
        Self::new(count, Duration::from_secs(1))
    }

    /// Allows this many at once. Zero counts as one.
    #[must_use]
    pub fn with_burst(mut self, burst: u32) -> Self {
        self.burst = NonZeroU32::new(burst).unwrap_or(NonZeroU32::MIN);
        self
    }

    fn new(count: u32, time: Duration) -> Self {
        let count = NonZeroU32::new(count).unwrap_or(NonZeroU32::MIN);
        Self {
            burst: count,
            every: time / count.get(),
        }
    }
}

/// How often clients and tenants may ask; `None` = as often as they like. Each process counts for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct RateLimits {
    /// Registering, logging in and wrong credentials, by the client's address.
    pub client: Option<Rate>,
    /// Logging in, by the client's address and the email address: what makes guessing passwords hopeless.
    pub login: Option<Rate>,
    /// Everything else, by tenant.
    pub tenant: Option<Rate>,
}

impl Default for RateLimits {
    fn default() -> Self {
        Self {
            client: Some(Rate::per_minute(300)),
            login: Some(Rate::per_minute(10)),
            tenant: Some(Rate::per_second(200).with_burst(1_000)),
        }
    }
}

impl RateLimits {
    /// No limits.
    pub const fn off() -> Self {
        Self {
            client: None,
            login: None,
            tenant: None,
        }
    }
}

/// A client's address; `None` when nobody knows it, and then all such clients share one allowance.
pub(crate) type Client = Option<IpAddr>;

/// What was used up so far.
pub(crate) struct Limiters {
    client: Option<Limiter<Client>>,
    login: Option<Limiter<(Client, String)>>,
    tenant: Option<Limiter<TenantId>>,
}

impl Limiters {
    pub(crate) fn new(limits: RateLimits) -> Self {
        Self {
            client: limits.client.map(Limiter::new),
            login: limits.login.map(Limiter::new),
            tenant: limits.tenant.map(Limiter::new),
        }
    }

    pub(crate) fn client(&self, client: Client) -> Result<(), Problem> {
        self.client
            .as_ref()
            .map_or(Ok(()), |limiter| limiter.check(&client))
    }

    pub(crate) fn login(&self, client: Client, email: &str) -> Result<(), Problem> {
        self.login
            .as_ref()
            .map_or(Ok(()), |limiter| limiter.check(&(client, key_of(email))))
    }

    pub(crate) fn tenant(&self, tenant: TenantId) -> Result<(), Problem> {
        self.tenant
            .as_ref()
            .map_or(Ok(()), |limiter| limiter.check(&tenant))
    }
}

/// An address as a key that cannot be longer than addresses are.
fn key_of(email: &str) -> String {
    email
        .trim()
        .chars()
        .take(254)
        .flat_map(char::to_lowercase)
        .collect()
}

/// After this many looks, keys that have their full allowance again are forgotten.
const SWEEP: u32 = 4_096;

struct Limiter<K: Hash + Eq + Clone> {
    keys: DefaultKeyedRateLimiter<K>,
    looks: AtomicU32,
}

impl<K: Hash + Eq + Clone + fmt::Debug> Limiter<K> {
    fn new(rate: Rate) -> Self {
        // A period of nothing would be no limit at all.
        let quota = Quota::with_period(rate.every.max(Duration::from_nanos(1))).map_or_else(
            || Quota::per_second(rate.burst),
            |quota| quota.allow_burst(rate.burst),
        );
        Self {
            keys: RateLimiter::keyed(quota),
            looks: AtomicU32::new(0),
        }
    }

    fn check(&self, key: &K) -> Result<(), Problem> {
        if self.looks.fetch_add(1, Ordering::Relaxed) % SWEEP == SWEEP - 1 {
            self.keys.retain_recent();
        }
        self.keys.check_key(key).map_err(|refused| {
            let wait = refused.wait_time_from(DefaultClock::default().now());
            Problem::new(
                StatusCode::TOO_MANY_REQUESTS,
                "rate_limited",
                "too many requests; try again later",
            )
            .with_retry_after(wait)
        })
    }
}

/// Lets a request through if its client has not asked too often, and says who the client is.
pub(crate) struct ClientQuota(pub(crate) Client);

impl<S> FromRequestParts<S> for ClientQuota
where
    S: Send + Sync,
    ApiState: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let api = ApiState::from_ref(state);
        let client = client(parts, &api);
        api.limiters().client(client)?;
        Ok(Self(client))
    }
}

/// The client's address, as far as it can be known.
pub(crate) fn client(parts: &Parts, api: &ApiState) -> Client {
    let told = api.client_address_header().and_then(|header| {
        // The last entry is the proxy's own; those before it are the client's word.
        let entry = parts.headers.get_all(header).iter().next_back()?.to_str().ok()?;
        entry.rsplit(',').next()?.trim().parse().ok()
    });
    told.or_else(|| {
        parts
            .extensions
            .get::<ConnectInfo<SocketAddr>>()
            .map(|ConnectInfo(address)| address.ip())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_too_often_is_told_when_to_come_back_and_nobody_else_suffers() {
        let limits = RateLimits {
            client: Some(Rate::per_minute(1).with_burst(2)),
            ..RateLimits::off()
        };
        let limiters = Limiters::new(limits);
        let (one, other) = (
            Some(IpAddr::from([192, 0, 2, 1])),
            Some(IpAddr::from([192, 0, 2, 2])),
        );
        assert_eq!(limiters.client(one), Ok(()));
        assert_eq!(limiters.client(one), Ok(()));
        let refused = limiters.client(one).unwrap_err();
        assert_eq!((refused.status().as_u16(), refused.code()), (429, "rate_limited"));
        assert_eq!(limiters.client(other), Ok(()));
        assert_eq!(limiters.client(None), Ok(()));
        assert_eq!(limiters.login(one, "a@b.co"), Ok(()), "switched off");
    }

    #[test]
    fn an_address_in_other_letters_is_the_same_login() {
        let limits = RateLimits {
            login: Some(Rate::per_minute(1)),
            ..RateLimits::off()
        };
        let limiters = Limiters::new(limits);
        assert!(limiters.login(None, "a@b.co").is_ok());
        assert!(limiters.login(None, " A@B.co").is_err());
        assert!(limiters.login(None, "c@b.co").is_ok());
    }
}
