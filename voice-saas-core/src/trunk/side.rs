//! The two sides of a trunk, each made to be as it should be. Both look by number and tag before they act, so that
//! either may be repeated after any failure.

use std::sync::Arc;

use serde_json::json;

use super::{Trunk, TrunkFailure};
use crate::{
    VoiceSaas,
    job::JobError,
    number::{NumberStatus, PhoneNumber},
    provider::{
        ProviderError,
        telephony::{
            AgentDispatch, ProviderTrunk, RouteHandle, SipCredentials, TelephonyProvider, TrunkOrder,
        },
    },
    saga::StepError,
    scope::TenantScope,
    store::StoreError,
    subaccount::CarrierError,
};

/// Why a side is not as it should be.
#[derive(Debug, thiserror::Error)]
pub(super) enum SideError {
    #[error("no media side is configured")]
    NotConfigured,
    #[error("the trunk's password was sealed under another key")]
    Sealed,
    #[error(transparent)]
    Provider(#[from] ProviderError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<CarrierError> for SideError {
    fn from(error: CarrierError) -> Self {
        match error {
            CarrierError::Provider(error) => Self::Provider(error),
            CarrierError::Store(error) => Self::Store(error),
        }
    }
}

impl SideError {
    pub(super) fn into_step(self, trunk: &Trunk) -> StepError {
        let failure = match &self {
            Self::Store(_) => return StepError::again(self.to_string(), None),
            Self::NotConfigured => TrunkFailure::NotConfigured,
            Self::Sealed => TrunkFailure::Provider {
                provider: trunk.media.clone(),
                retryable: false,
            },
            Self::Provider(error) => return StepError::provider(error, json!(TrunkFailure::of(error))),
        };
        StepError::give_up(self.to_string(), json!(failure))
    }
}

impl From<SideError> for JobError {
    fn from(error: SideError) -> Self {
        match error {
            SideError::Provider(error) => Self::provider(&error),
            SideError::Store(error) => error.into(),
            error => Self::give_up(error.to_string()),
        }
    }
}

/// A side of the number's trunk: the carrier's is in the account that the number is in.
async fn side(
    app: &VoiceSaas,
    scope: &TenantScope,
    provider: &str,
    number: &PhoneNumber,
) -> Result<Arc<dyn TelephonyProvider>, CarrierError> {
    let account = number.account.as_ref().filter(|_| number.provider == provider);
    app.telephony_of(scope, provider, account).await
}

/// Whether the trunk of this number is to take calls.
pub(super) fn takes_calls(number: &PhoneNumber) -> bool {
    number.status == NumberStatus::Active
}

fn credentials(app: &VoiceSaas, trunk: &Trunk) -> Result<SipCredentials, SideError> {
    trunk.credentials(app).ok_or(SideError::Sealed)
}

fn order(trunk: &Trunk, number: &PhoneNumber) -> TrunkOrder {
    let order = TrunkOrder::new(&trunk.tag, number.number.clone());
    if takes_calls(number) {
        order
    } else {
        order.without_calls_in()
    }
}

/// The carrier's trunk, where the carrier has trunks: it sends the number's calls to the media side, and takes calls
/// out from whoever has the password. Without calls in, the number's calls come to our webhook again.
pub(super) async fn ensure_carrier(
    app: &VoiceSaas,
    scope: &TenantScope,
    trunk: &Trunk,
    number: &PhoneNumber,
) -> Result<Option<ProviderTrunk>, SideError> {
    let Some(carrier) = &trunk.carrier else {
        return Ok(None);
    };
    let side = side(app, scope, carrier, number).await?;
    let Some(trunks) = side.trunks() else {
        return Ok(None);
    };
    let media = app.settings().sip.as_ref().ok_or(SideError::NotConfigured)?;
    let order = order(trunk, number).with_peer(&media.host, Some(credentials(app, trunk)?));
    Ok(Some(trunks.ensure(&order).await?))
}

/// The media side's trunk, and the rule that says who answers.
pub(super) async fn ensure_media(
    app: &VoiceSaas,
    scope: &TenantScope,
    trunk: &Trunk,
    number: &PhoneNumber,
    sip_host: Option<&str>,
) -> Result<ProviderTrunk, SideError> {
    let media = app.settings().sip.as_ref();
    let side = side(app, scope, &trunk.media, number).await?;
    let (Some(media), Some(trunks)) = (media, side.trunks()) else {
        return Err(SideError::NotConfigured);
    };
    let metadata = json!({
        "tenant_id": scope.tenant_id(), "number_id": number.id, "phone_number": number.number,
        "trunk_id": trunk.id,
    });
    let dispatch = AgentDispatch::new(&media.agent_name, metadata.to_string(), &media.room_prefix);
    let mut order = order(trunk, number).with_dispatch(dispatch);
    if let Some(host) = sip_host {
        order = order.with_peer(host, Some(credentials(app, trunk)?));
    }
    Ok(trunks.ensure(&order).await?)
}

/// Takes away what one provider made for a trunk: what we know of, and what is found by its tag, which an act made
/// whose answer was lost.
pub(super) async fn remove(
    app: &VoiceSaas,
    scope: &TenantScope,
    provider: &str,
    route: Option<&RouteHandle>,
    trunk: &Trunk,
    number: &PhoneNumber,
) -> Result<(), SideError> {
    let side = match side(app, scope, provider, number).await {
        // With its account the trunk is gone.
        Err(error) if error.is_gone() => return Ok(()),
        side => side?,
    };
    let Some(trunks) = side.trunks() else {
        return Ok(());
    };
    if let Some(route) = route {
        trunks.delete(route).await?;
    }
    if let Some(found) = trunks.find(&trunk.tag, &number.number).await?
        && found.tag == trunk.tag
    {
        trunks.delete(&found.handle).await?;
    }
    Ok(())
}

/// Takes both sides away, the carrier's first: no call is sent any more to where nobody answers.
pub(super) async fn remove_both(
    app: &VoiceSaas,
    scope: &TenantScope,
    trunk: &Trunk,
    number: &PhoneNumber,
) -> Result<(), SideError> {
    if let Some(carrier) = &trunk.carrier {
        remove(app, scope, carrier, trunk.carrier_route.as_ref(), trunk, number).await?;
    }
    remove(
        app,
        scope,
        &trunk.media,
        trunk.media_route.as_ref(),
        trunk,
        number,
    )
    .await
}
