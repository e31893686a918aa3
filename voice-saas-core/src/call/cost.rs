//! What a call cost: by the rate table as soon as it ends, corrected when the providers' own figures arrive.

use super::Call;
use crate::{
    VoiceSaas,
    id::EntryId,
    ledger::{Account, LedgerEntry, Rate, RateTable, Subject},
    money::Money,
    phone::E164,
    provider::voice_agent::Direction,
    store::{StoreError, TenantTx},
    usage::CallKind,
};

/// Under which name an agent platform's charge stands.
const AGENT: &str = "agent";

const fn telephony(direction: Direction) -> &'static str {
    match direction {
        Direction::Inbound => "telephony_inbound",
        Direction::Outbound => "telephony_outbound",
    }
}

/// What a minute of a call costs at its providers, as far as the rates know.
pub(crate) fn minute(rates: &RateTable, call: &CallKind<'_>) -> Option<Money> {
    let carrier = |kind| rates.find(kind, call.carrier, call.country);
    let agent = call.agents.and_then(|platform| rates.find(AGENT, platform, None));
    [carrier(telephony(call.direction)), carrier("media_stream"), agent]
        .into_iter()
        .flatten()
        .map(|rate| rate.amount)
        .reduce(|sum, amount| sum.checked_add(amount).unwrap_or(sum))
}

/// Writes down what an ended call cost by the rate table.
pub(crate) async fn record(app: &VoiceSaas, tx: &mut dyn TenantTx, call: &Call) -> Result<(), StoreError> {
    let seconds = i64::from(call.duration_seconds.unwrap_or(0));
    if seconds == 0 {
        return Ok(());
    }
    let minutes = (seconds + 59) / 60;
    // A minute's price goes by the number that is called: ours when a call comes in, theirs when it goes out.
    let country = call.to.parse::<E164>().ok().and_then(|number| number.country());
    let rates = app.rates();
    if let Some(rate) = rates.find(telephony(call.direction), &call.provider, country) {
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
        subject: Subject::Call(call.id),
        account: Account::Cost,
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
