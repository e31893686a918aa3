//! What a call cost: by the rate table as soon as it ends, corrected when the providers' own figures arrive.

use super::Call;
use crate::{
    VoiceSaas,
    id::EntryId,
    ledger::{LedgerEntry, Rate},
    money::Money,
    phone::E164,
    provider::voice_agent::Direction,
    store::{StoreError, TenantTx},
};

/// Under which name an agent platform's charge stands.
const AGENT: &str = "agent";

/// Writes down what an ended call cost by the rate table.
pub(crate) async fn record(app: &VoiceSaas, tx: &mut dyn TenantTx, call: &Call) -> Result<(), StoreError> {
    let seconds = i64::from(call.duration_seconds.unwrap_or(0));
    if seconds == 0 {
        return Ok(());
    }
    let minutes = (seconds + 59) / 60;
    let ours = if call.direction == Direction::Inbound {
        &call.to
    } else {
        &call.from
    };
    let country = ours.parse::<E164>().ok().and_then(|number| number.country());
    let rates = app.rates();
    let kind = match call.direction {
        Direction::Inbound => "telephony_inbound",
        Direction::Outbound => "telephony_outbound",
    };
    if let Some(rate) = rates.find(kind, &call.provider, country) {
        add(app, tx, call, rate, minutes).await?;
    }
    if call.media_at.is_some()
        && let Some(rate) = rates.find("media_stream", &call.provider, country)
    {
        add(app, tx, call, rate, minutes).await?;
    }
    // The platform's own figure may have come first.
    let charged = tx
        .ledger()
        .of_call(call.id)
        .await?
        .iter()
        .any(|entry| entry.kind == AGENT);
    if call.conversation.is_some()
        && !charged
        && let Some((agent, version)) = call.agent
    {
        let agent = tx.agents().version(agent, version).await?;
        if let Some(rate) = rates.find(AGENT, &agent.provider, None) {
            add(app, tx, call, rate, minutes).await?;
        }
    }
    Ok(())
}

/// Writes down what the agent's platform says it charged, against what was reckoned.
pub(crate) async fn correct_agent(
    app: &VoiceSaas,
    tx: &mut dyn TenantTx,
    call: &Call,
    provider: &str,
    charged: Money,
) -> Result<(), StoreError> {
    let entries = tx.ledger().of_call(call.id).await?;
    let reckoned = entries.iter().find(|entry| entry.kind == AGENT);
    let (kind, amount) = match reckoned {
        None => (AGENT, charged),
        Some(entry) if entry.amount.currency() == charged.currency() => {
            let difference = charged
                .amount_micros()
                .saturating_sub(entry.amount.amount_micros());
            if entry.rating_version == "provider" || difference == 0 {
                return Ok(());
            }
            (
                "agent_correction",
                Money::from_micros(difference, charged.currency()),
            )
        }
        Some(_) => return Ok(()),
    };
    let ambient = app.ambient();
    let entry = LedgerEntry {
        id: EntryId::generate(ambient.ids()),
        call: call.id,
        kind: kind.to_owned(),
        provider: provider.to_owned(),
        quantity: 1,
        unit: "conversation".to_owned(),
        amount,
        rating_version: "provider".to_owned(),
        at: ambient.now(),
    };
    tx.ledger().add(&entry).await?;
    Ok(())
}

async fn add(
    app: &VoiceSaas,
    tx: &mut dyn TenantTx,
    call: &Call,
    rate: &Rate,
    quantity: i64,
) -> Result<(), StoreError> {
    let ambient = app.ambient();
    let id = EntryId::generate(ambient.ids());
    let entry = LedgerEntry::rated(id, call.id, rate, quantity, app.rates().version(), ambient.now());
    tx.ledger().add(&entry).await?;
    Ok(())
}
