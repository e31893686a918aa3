//! Admitting calls, settling them, and telling tenants what they used.

use jiff::Timestamp;

use super::{
    Admitted, CallTerms, Holdings, Limit, Refusal, RefusalCode, Reservation, Situation, Standing, UsageQuery,
    Used, WindowKind, Windows, admit, invoice_month, room, was_connected,
};
use crate::{
    VoiceSaas,
    auth::Principal,
    call::{Call, CallError, Tried, cost},
    entitlement::Entitlement,
    id::{CallId, EntryId},
    ledger::{Account, LedgerEntry, Subject},
    money::{Currency, Money},
    phone::{Country, E164},
    plan::Plan,
    provider::voice_agent::Direction,
    store::{StoreError, StoreErrorKind, TenantTx},
    tenant::{Platform, Role, Tenant, TenantStatus, Zone},
};

/// What decides about the price of a call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CallKind<'a> {
    pub(crate) direction: Direction,
    /// The carrier.
    pub(crate) carrier: &'a str,
    /// Of the number that is called.
    pub(crate) country: Option<Country>,
    /// The platform of the agent.
    pub(crate) agents: Option<&'a str>,
}

impl<'a> CallKind<'a> {
    /// A call to this number, which an agent of this platform takes.
    pub(crate) fn inbound(carrier: &'a str, number: &E164, agents: &'a str) -> Self {
        Self {
            direction: Direction::Inbound,
            carrier,
            country: number.country(),
            agents: Some(agents),
        }
    }
}

/// The line about admission, in the explanation of a call.
pub(crate) fn tried(outcome: &Result<Admitted, Refusal>) -> Tried {
    Tried {
        rule: "admission",
        applied: outcome.is_err(),
        why: match outcome {
            Ok(admitted) => format!("the plan {} has room for the call", admitted.plan).into(),
            Err(refusal) => refusal.reason.clone().into(),
        },
    }
}

/// Whether a call is admitted, in the unit of work that is to write it down, and the windows that it counts in. Nobody
/// else is admitted until the end of that unit of work.
pub(crate) async fn admission(
    app: &VoiceSaas,
    tx: &mut dyn TenantTx,
    zone: &Zone,
    call: &CallKind<'_>,
) -> Result<(Result<Admitted, Refusal>, Windows), StoreError> {
    let now = app.ambient().now();
    let moment = Moment::new(app, now, zone);
    let standing = tx.usage().standing_for_update(&moment.query()).await?;
    let outcome = match &standing {
        Some(standing) => moment.admit(app, standing, call),
        None => Err(Refusal::no_plan()),
    };
    if let Err(refusal) = &outcome
        && refusal.code == RefusalCode::NoPlan
    {
        let plan = standing.map(|standing| standing.entitlement.plan);
        tracing::error!(
            ?plan,
            "a call is refused: its tenant's plan is not in the catalogue"
        );
    }
    Ok((outcome, moment.windows))
}

/// Reserves what was agreed, for a call that was written down in the same unit of work.
pub(crate) async fn reserve(
    app: &VoiceSaas,
    tx: &mut dyn TenantTx,
    call: CallId,
    admitted: &Admitted,
    windows: Windows,
) -> Result<(), StoreError> {
    let reservation = Reservation::new(call, admitted, windows, app.ambient().now());
    if tx.usage().reserve(&reservation).await?
        && let Some(held) = admitted.held
    {
        enter(
            app,
            tx,
            call,
            Account::Reservation,
            "reservation",
            (1, "call"),
            held,
        )
        .await?;
    }
    Ok(())
}

/// Settles the reservation of a call that has ended: counts it and charges for it, or gives it back. Settling it again
/// changes nothing.
pub(crate) async fn settle(app: &VoiceSaas, tx: &mut dyn TenantTx, call: &Call) -> Result<(), StoreError> {
    let connected = was_connected(call);
    let seconds = call.duration_seconds.filter(|_| connected).unwrap_or(0);
    let Some(settled) = tx.usage().settle(call.id, connected, seconds).await? else {
        return Ok(());
    };
    if let Some(held) = settled.held {
        let back = Money::from_micros(-held.amount_micros(), held.currency());
        enter(
            app,
            tx,
            call.id,
            Account::Reservation,
            "reservation_release",
            (1, "call"),
            back,
        )
        .await?;
    }
    if !connected {
        return Ok(());
    }
    if let Some(price) = settled.unit_price {
        enter(app, tx, call.id, Account::Price, "call", (1, "call"), price).await?;
    }
    let minutes = i64::from(seconds.div_ceil(60));
    if let Some(price) = settled.minute_price
        && minutes > 0
    {
        enter(
            app,
            tx,
            call.id,
            Account::Price,
            "minutes",
            (minutes, "minute"),
            price.times(minutes),
        )
        .await?;
    }
    Ok(())
}

async fn enter(
    app: &VoiceSaas,
    tx: &mut dyn TenantTx,
    call: CallId,
    account: Account,
    kind: &str,
    (quantity, unit): (i64, &str),
    amount: Money,
) -> Result<(), StoreError> {
    let ambient = app.ambient();
    let entry = LedgerEntry {
        id: EntryId::generate(ambient.ids()),
        subject: Subject::Call(call),
        account,
        kind: kind.to_owned(),
        provider: "voice-saas".to_owned(),
        quantity,
        unit: unit.to_owned(),
        amount,
        rating_version: app.plans().version().to_owned(),
        at: ambient.now(),
    };
    tx.ledger().add(&entry).await.map(drop)
}

/// Sees to it that the tenant is open and its plan has room for one more number or agent, in the unit of work that is to
/// make it. `Ok(Err(_))` when it has no room.
pub(crate) async fn require_room(
    app: &VoiceSaas,
    tx: &mut dyn TenantTx,
    what: Limit,
) -> Result<Result<(), Refusal>, StoreError> {
    tx.tenant().require_open().await?;
    let now = app.ambient().now();
    // Which day it is does not matter here.
    let zone = Zone::utc();
    let moment = Moment::new(app, now, &zone);
    let Some(standing) = tx.usage().standing_for_update(&moment.query()).await? else {
        return Ok(Err(Refusal::no_plan()));
    };
    let Some(situation) = moment.situation(app, &standing) else {
        return Ok(Err(Refusal::no_plan()));
    };
    let holdings = tx.usage().holdings().await?;
    let held = match what {
        Limit::Numbers => holdings.numbers,
        _ => holdings.agents,
    };
    Ok(room(&situation, what, held))
}

/// A moment, as counters know it.
struct Moment<'a> {
    now: Timestamp,
    zone: &'a Zone,
    windows: Windows,
    invoice_month: String,
    currency: Currency,
}

impl<'a> Moment<'a> {
    fn new(app: &VoiceSaas, now: Timestamp, zone: &'a Zone) -> Self {
        Self {
            now,
            zone,
            windows: Windows::at(now, zone),
            invoice_month: invoice_month(now),
            currency: app.plans().currency(),
        }
    }

    fn query(&self) -> UsageQuery<'_> {
        UsageQuery {
            windows: &self.windows,
            invoice_month: &self.invoice_month,
            currency: self.currency,
        }
    }

    fn situation<'s>(&'s self, app: &'s VoiceSaas, standing: &'s Standing) -> Option<Situation<'s>> {
        Some(Situation {
            status: standing.status,
            entitlement: &standing.entitlement,
            plan: app.plans().find(standing.entitlement.plan.as_str())?,
            catalogue: app.plans(),
            used: &standing.used,
            zone: self.zone,
            now: self.now,
        })
    }

    fn admit(&self, app: &VoiceSaas, standing: &Standing, call: &CallKind<'_>) -> Result<Admitted, Refusal> {
        let Some(situation) = self.situation(app, standing) else {
            return Err(Refusal::no_plan());
        };
        let capped = situation.plan.limits.spend.is_some();
        let terms = CallTerms {
            minute_cost: capped.then(|| cost::minute(app.rates(), call)).flatten(),
            max_call: app.settings().max_call,
        };
        admit(&situation, &terms)
    }
}

/// What a tenant used, and what it may use yet.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct UsageReport {
    /// What it came through.
    pub platform: Platform,
    /// Where it stands.
    pub status: TenantStatus,
    /// What it may use.
    pub entitlement: Entitlement,
    /// Its plan; `None` when the catalogue has it no more.
    pub plan: Option<Plan>,
    /// The plans that it may choose from.
    pub pricing: Vec<Plan>,
    /// What it used.
    pub used: Used,
    /// What it holds.
    pub holdings: Holdings,
    /// Whether it is on trial.
    pub is_trial_active: bool,
    /// The calls that are left of the trial; `None` without a trial, or when they are not counted.
    pub trial_calls_remaining: Option<u64>,
    /// When the present day, week and month end for it.
    pub windows_end: [Option<Timestamp>; 3],
    /// Whether a call would be admitted now.
    pub next_call: Result<Admitted, Refusal>,
}

impl UsageReport {
    /// Whether the tenant should be told to choose another plan.
    pub fn upgrade_recommended(&self) -> bool {
        self.next_call
            .as_ref()
            .map_or(true, |admitted| !admitted.prompts.is_empty())
    }
}

/// What tenants use: see [`VoiceSaas::usage`].
#[derive(Debug)]
pub struct Usages<'a> {
    app: &'a VoiceSaas,
}

impl<'a> Usages<'a> {
    pub(crate) fn new(app: &'a VoiceSaas) -> Self {
        Self { app }
    }

    /// What the caller's tenant used, and what it may use yet.
    ///
    /// # Errors
    /// `Forbidden`, `Store`.
    pub async fn report(&self, principal: &Principal) -> Result<UsageReport, CallError> {
        let scope = principal.require(Role::Viewer)?;
        let app = self.app;
        let mut tx = app.store().begin(scope).await?;
        let tenant = tx.tenant().get().await?;
        let moment = Moment::new(app, app.ambient().now(), &tenant.timezone);
        let standing = tx.usage().standing(&moment.query()).await?;
        let holdings = tx.usage().holdings().await?;
        let missing = || StoreError::new("find the tenant's entitlement", StoreErrorKind::NotFound);
        Ok(report(
            app,
            &moment,
            &tenant,
            standing.ok_or_else(missing)?,
            holdings,
        ))
    }

    /// Whether a call of the caller's tenant would be admitted now.
    ///
    /// # Errors
    /// `Forbidden`, `Store`.
    pub async fn check_call(&self, principal: &Principal) -> Result<Result<Admitted, Refusal>, CallError> {
        Ok(self.report(principal).await?.next_call)
    }
}

fn report(
    app: &VoiceSaas,
    moment: &Moment<'_>,
    tenant: &Tenant,
    standing: Standing,
    holdings: Holdings,
) -> UsageReport {
    let plans = app.plans();
    let plan = plans.find(standing.entitlement.plan.as_str()).cloned();
    let pricing = match &plan {
        Some(plan) => plans.family_of(plan).into_iter().cloned().collect(),
        None => plans.of_platform(tenant.platform).cloned().collect(),
    };
    let is_trial_active = standing.entitlement.is_on_trial(moment.now);
    let trial_calls = plan
        .as_ref()
        .and_then(|plan| plan.trial)
        .and_then(|trial| trial.calls);
    let ends = |kind: WindowKind| kind.ends_at(moment.now, moment.zone);
    UsageReport {
        platform: tenant.platform,
        status: standing.status,
        is_trial_active,
        trial_calls_remaining: trial_calls
            .filter(|_| is_trial_active)
            .map(|calls| u64::from(calls).saturating_sub(standing.used.calls_total)),
        windows_end: [
            ends(WindowKind::Day),
            ends(WindowKind::Week),
            ends(WindowKind::Month),
        ],
        next_call: moment.admit(app, &standing, &any_call(app, tenant.country)),
        entitlement: standing.entitlement,
        plan,
        pricing,
        used: standing.used,
        holdings,
    }
}

/// A call such as the tenant usually has.
fn any_call(app: &VoiceSaas, country: Country) -> CallKind<'_> {
    CallKind {
        direction: Direction::Inbound,
        carrier: app
            .default_telephony()
            .map_or("", |carrier| carrier.name().as_str()),
        country: Some(country),
        agents: app
            .default_voice_agents()
            .ok()
            .map(|platform| platform.name().as_str()),
    }
}
