//! Reading and changing the tenant itself.

use super::{Profile, Role, Tenant, Zone};
use crate::{
    VoiceSaas,
    auth::{AccountError, Principal},
    phone::Country,
    validate::Checks,
};

/// What to change about a tenant; `None` = leave it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TenantChange {
    /// Its name.
    pub name: Option<String>,
    /// How its people write phone numbers.
    pub country: Option<Country>,
    /// Its day.
    pub timezone: Option<Zone>,
    /// What its callers may know.
    pub profile: Option<Profile>,
}

/// The tenant itself: see [`VoiceSaas::tenants`].
#[derive(Debug)]
pub struct Tenants<'a> {
    app: &'a VoiceSaas,
}

impl<'a> Tenants<'a> {
    pub(crate) fn new(app: &'a VoiceSaas) -> Self {
        Self { app }
    }

    pub(super) fn app(&self) -> &'a VoiceSaas {
        self.app
    }

    /// The caller's tenant.
    ///
    /// # Errors
    /// `Forbidden`, `Store`.
    pub async fn get(&self, principal: &Principal) -> Result<Tenant, AccountError> {
        let scope = principal.require(Role::Viewer)?;
        Ok(self.app.store().begin(scope).await?.tenant().get().await?)
    }

    /// Changes the caller's tenant.
    ///
    /// # Errors
    /// `Forbidden`, `Invalid`, `Store`.
    pub async fn update(&self, principal: &Principal, change: TenantChange) -> Result<Tenant, AccountError> {
        let scope = principal.require(Role::Admin)?;
        let mut checks = Checks::new();
        if let Some(name) = &change.name {
            checks.length(name, 1..=200, "/name");
        }
        if let Some(profile) = &change.profile {
            check_hours(profile, &mut checks);
        }
        checks.finish()?;

        let mut tx = self.app.store().begin(scope).await?;
        let mut tenant = tx.tenant().get().await?;
        tenant.name = change.name.unwrap_or(tenant.name);
        tenant.country = change.country.unwrap_or(tenant.country);
        tenant.timezone = change.timezone.unwrap_or(tenant.timezone);
        tenant.profile = change.profile.unwrap_or(tenant.profile);
        tx.tenant().update(&tenant).await?;
        tx.commit().await?;
        self.app.routes().forget_all();
        Ok(tenant)
    }
}

fn check_hours(profile: &Profile, checks: &mut Checks) {
    const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
    for (day, spans) in &profile.hours {
        let pointer = format!("/hours/{day}");
        checks.require(
            DAYS.contains(&day.as_str()),
            &pointer,
            "weekday",
            "must be one of mon, tue, wed, thu, fri, sat, sun",
        );
        for (index, (from, to)) in spans.iter().enumerate() {
            let span = (minute(from), minute(to));
            let right = matches!(span, (Some(from), Some(to)) if from < to);
            let pointer = format!("{pointer}/{index}");
            checks.require(
                right,
                &pointer,
                "hours",
                "must be [\"HH:MM\", \"HH:MM\"], the first before the second",
            );
        }
    }
}

/// Minutes since midnight; 24:00 is the end of the day.
fn minute(text: &str) -> Option<u16> {
    let (hour, minute) = text.split_once(':')?;
    let digits = |text: &str| text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit());
    if !digits(hour) || !digits(minute) {
        return None;
    }
    let (hour, minute): (u16, u16) = (hour.parse().ok()?, minute.parse().ok()?);
    (minute < 60 && hour * 60 + minute <= 24 * 60).then_some(hour * 60 + minute)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_are_spans_of_a_day() {
        assert_eq!(minute("08:30"), Some(510));
        assert_eq!(minute("24:00"), Some(1_440));
        for wrong in ["8:30", "24:01", "12:60", "noon", ""] {
            assert_eq!(minute(wrong), None, "{wrong}");
        }
    }
}
