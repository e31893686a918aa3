//! Changing what is subscribed to (page `billing/subscriptions/change-price`).

use jiff::Timestamp;
use voice_saas_core::provider::{
    ErrorKind, ProviderError,
    billing::{
        BillingSubscription, ChangePreview, PlanChange, Proration, ProviderPriceId, SubscriptionStatus,
    },
};

use super::{
    api::{Api, Form, error, key},
    subscription::{fetch, path},
    wire::{Invoice, Item, PLAN, Subscription},
};
use crate::http::{Effect, Request};

const PREVIEW: &str = "preview a change of plan";
const CHANGE: &str = "change a plan";

/// What becomes of one item.
#[derive(Debug, PartialEq, Eq)]
enum Move<'a> {
    /// The item goes on at another price.
    To(&'a str, &'a ProviderPriceId),
    /// There is a further item.
    Add(&'a ProviderPriceId),
    /// The item goes.
    Drop(&'a str),
}

/// How the present items become the wanted ones. The flat item moves, so that its period is settled; metered ones come
/// and go.
fn moves<'a>(items: &'a [Item], wanted: &'a [ProviderPriceId]) -> Vec<Move<'a>> {
    let has = |price: &ProviderPriceId| items.iter().any(|item| item.price.id == price.as_str());
    let stays = |item: &Item| wanted.iter().any(|price| item.price.id == price.as_str());
    let mut flat = items.iter().filter(|item| !stays(item) && !item.is_metered());
    // The plan's flat price comes first.
    let mut missing = wanted.iter().filter(|price| !has(price));
    let mut moves = Vec::new();
    if let Some(item) = flat.next() {
        match missing.next() {
            Some(price) => moves.push(Move::To(&item.id, price)),
            None => moves.push(Move::Drop(&item.id)),
        }
    }
    moves.extend(missing.map(Move::Add));
    let metered = items.iter().filter(|item| !stays(item) && item.is_metered());
    moves.extend(flat.chain(metered).map(|item| Move::Drop(&item.id)));
    moves
}

fn put(mut form: Form, prefix: &str, moves: &[Move<'_>]) -> Form {
    for (n, step) in moves.iter().enumerate() {
        let name = |field: &str| {
            if prefix.is_empty() {
                format!("items[{n}][{field}]")
            } else {
                format!("{prefix}[items][{n}][{field}]")
            }
        };
        form = match step {
            Move::To(item, price) => form.set(name("id"), item).set(name("price"), price),
            Move::Add(price) => form.set(name("price"), price),
            Move::Drop(item) => form.set(name("id"), item).set(name("deleted"), true),
        };
    }
    form
}

fn proration(proration: Proration) -> &'static str {
    match proration {
        Proration::PayNow => "always_invoice",
        Proration::NextInvoice => "create_prorations",
        Proration::None => "none",
    }
}

/// Stripe wants no date where nothing is prorated.
fn date(change: &PlanChange) -> Option<i64> {
    let counts = change.proration != Proration::None;
    change.at.map(Timestamp::as_second).filter(|_| counts)
}

async fn open(
    api: &Api,
    operation: &'static str,
    change: &PlanChange,
) -> Result<Subscription, ProviderError> {
    let found = fetch(api, &change.subscription).await?;
    if SubscriptionStatus::from(found.status.clone()).is_final() {
        return Err(error(operation, ErrorKind::Conflict, "the subscription ended"));
    }
    Ok(found)
}

pub(super) async fn preview(api: &Api, change: &PlanChange) -> Result<ChangePreview, ProviderError> {
    let found = open(api, PREVIEW, change).await?;
    let form = Form::new()
        .set("subscription", &change.subscription)
        .set(
            "subscription_details[proration_behavior]",
            proration(change.proration),
        )
        .maybe("subscription_details[proration_date]", date(change))
        .with(|form| {
            put(
                form,
                "subscription_details",
                &moves(&found.items.data, &change.prices),
            )
        });
    let request = Request::post(PREVIEW, "/v1/invoices/create_preview").effect(Effect::Read);
    let invoice: Invoice = api.set(request, form).await?;
    let at = change.at.or_else(|| invoice.proration_date());
    let created = super::wire::time(invoice.created);
    Ok(ChangePreview {
        amount_due: invoice.amount_due(),
        prorated: invoice.prorated(),
        at: at
            .or(created)
            .ok_or_else(|| error(PREVIEW, ErrorKind::UnexpectedAnswer, "the preview has no date"))?,
    })
}

/// A change that was made already is not sent again: the items in the request would be others than the first time.
pub(super) async fn change(api: &Api, change: &PlanChange) -> Result<BillingSubscription, ProviderError> {
    let found = open(api, CHANGE, change).await?;
    let moves = moves(&found.items.data, &change.prices);
    if moves.is_empty() {
        return Ok(found.into());
    }
    let mut form = Form::new()
        .set("proration_behavior", proration(change.proration))
        .maybe("proration_date", date(change))
        .set(format!("metadata[{PLAN}]"), &change.plan);
    if change.proration == Proration::PayNow {
        form = form.set("payment_behavior", "error_if_incomplete");
    }
    let form = put(form, "", &moves);
    let key = key("change_plan", &change.operation, &[change.subscription.as_str()]);
    let request = Request::post(CHANGE, path(&change.subscription));
    let changed: Subscription = api.act(request, form, key).await?;
    Ok(changed.into())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn item(id: &str, price: &str, usage: &str) -> Item {
        serde_json::from_value(json!({"id": id, "price": {"id": price, "recurring": {"usage_type": usage}}}))
            .unwrap()
    }

    fn prices(ids: &[&str]) -> Vec<ProviderPriceId> {
        ids.iter().map(|id| ProviderPriceId::new(*id)).collect()
    }

    #[test]
    fn the_flat_item_moves_and_metered_ones_come_and_go() {
        let items = [
            item("si_1", "price_basic", "licensed"),
            item("si_2", "price_minutes", "metered"),
        ];
        let wanted = prices(&["price_pro", "price_calls"]);
        assert_eq!(
            moves(&items, &wanted),
            [
                Move::To("si_1", &wanted[0]),
                Move::Add(&wanted[1]),
                Move::Drop("si_2")
            ]
        );
    }

    #[test]
    fn a_change_that_was_made_needs_no_move() {
        let items = [item("si_1", "price_pro", "licensed")];
        assert!(moves(&items, &prices(&["price_pro"])).is_empty());
    }

    #[test]
    fn what_is_not_wanted_any_more_goes() {
        let items = [
            item("si_1", "price_pro", "licensed"),
            item("si_2", "price_extra", "licensed"),
        ];
        assert_eq!(moves(&items, &prices(&["price_pro"])), [Move::Drop("si_2")]);
    }
}
