//! What happens by itself when time passes: trials end, periods renew, invoices are collected, pages close.

use serde_json::{Value, json};

use super::subscription::{INCOMPLETE, period};
use super::{State, int, string};

const DAY: i64 = 24 * 3_600;
/// How long before its end a trial is announced.
const NOTICE: i64 = 3 * DAY;
/// How long a renewal's invoice stays a draft.
const DRAFT: i64 = 3_600;
/// More than ten years of daily renewals.
const MOST_STEPS: usize = 100_000;

/// Something that is to happen.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Due {
    Notice(String),
    PeriodEnd(String),
    Expiry(String),
    Finalize(String),
    Retry(String),
    Closing(String),
}

impl State {
    /// Lets everything happen that was due until `now`, each at its time.
    pub(super) fn catch_up(&mut self, now: i64) {
        self.request = None;
        for _ in 0..MOST_STEPS {
            let Some((at, due)) = self.next_due().filter(|(at, _)| *at <= now) else {
                break;
            };
            self.now = at.max(self.now);
            self.happen(due);
        }
        self.now = now.max(self.now);
    }

    /// When something happens next.
    pub(super) fn next_time(&self) -> Option<i64> {
        self.next_due().map(|(at, _)| at)
    }

    fn next_due(&self) -> Option<(i64, Due)> {
        let subscriptions = self.subscriptions.iter().filter_map(|it| self.due_of(it));
        let invoices = self.invoices.iter().filter_map(|it| {
            let id = string(&it["id"]);
            match it["status"].as_str()? {
                "draft" => Some((it["automatically_finalizes_at"].as_i64()?, Due::Finalize(id))),
                "open" => Some((it["next_payment_attempt"].as_i64()?, Due::Retry(id))),
                _ => None,
            }
        });
        let checkouts = self.checkouts.iter().filter_map(|it| {
            let open = it["status"] == "open";
            open.then(|| (int(&it["expires_at"]), Due::Closing(string(&it["id"]))))
        });
        // The earliest; of several at one time the one that was made first.
        subscriptions
            .chain(invoices)
            .chain(checkouts)
            .min_by_key(|(at, _)| *at)
    }

    fn due_of(&self, subscription: &Value) -> Option<(i64, Due)> {
        let id = string(&subscription["id"]);
        match subscription["status"].as_str()? {
            "trialing" => {
                let end = int(&subscription["trial_end"]);
                if self.noticed.contains(&id) {
                    return Some((end, Due::PeriodEnd(id)));
                }
                let notice = (end - NOTICE).max(int(&subscription["trial_start"]));
                Some((notice, Due::Notice(id)))
            }
            "active" | "past_due" => Some((period(subscription).1, Due::PeriodEnd(id))),
            "incomplete" => Some((int(&subscription["created"]) + INCOMPLETE, Due::Expiry(id))),
            _ => None,
        }
    }

    fn happen(&mut self, due: Due) {
        match due {
            Due::Notice(id) => {
                if let Some(subscription) = self.subscriptions.get(&id).cloned() {
                    self.emit("customer.subscription.trial_will_end", &subscription);
                }
                self.noticed.insert(id);
            }
            Due::PeriodEnd(id) => self.end_period(&id),
            Due::Expiry(id) => {
                self.amend(&id, |it| it["status"] = json!("incomplete_expired"));
                let latest = self
                    .subscriptions
                    .get(&id)
                    .map(|it| string(&it["latest_invoice"]));
                self.void(&latest.unwrap_or_default());
            }
            Due::Finalize(id) => {
                self.finalize(&id);
                self.retry(&id);
            }
            Due::Retry(id) => self.retry(&id),
            Due::Closing(id) => {
                if let Some(session) = self.close(&id) {
                    self.emit("checkout.session.expired", &session);
                }
            }
        }
    }

    fn retry(&mut self, id: &str) {
        let Some(invoice) = self.invoices.get_mut(id) else {
            return;
        };
        invoice["next_payment_attempt"] = Value::Null;
        let customer = string(&invoice["customer"]);
        let subscription = string(&invoice["parent"]["subscription_details"]["subscription"]);
        let own = self
            .subscriptions
            .get(&subscription)
            .map(|it| it["default_payment_method"].clone());
        let card = self.paying_card(&customer, own.as_ref().and_then(Value::as_str));
        self.collect(id, card.as_deref());
    }

    fn end_period(&mut self, id: &str) {
        let Some(subscription) = self.subscriptions.get(id) else {
            return;
        };
        if subscription["cancel_at_period_end"] == true {
            self.end(id, "cancellation_requested");
        } else if subscription["status"] == "trialing" {
            self.end_trial(id, false);
        } else {
            let before = period(subscription);
            self.renew(id, before, "subscription_cycle");
        }
    }

    /// A trial that is cut short is invoiced at once, and announced in the same breath.
    pub(super) fn end_trial(&mut self, id: &str, early: bool) {
        let Some(subscription) = self.subscriptions.get(id).cloned() else {
            return;
        };
        let now = self.now;
        if early {
            self.amend(id, |it| {
                it["trial_end"] = json!(now);
                it["billing_cycle_anchor"] = json!(now);
            });
            if let Some(cut) = self.subscriptions.get(id).cloned() {
                self.emit("customer.subscription.trial_will_end", &cut);
            }
        }
        let customer = string(&subscription["customer"]);
        let own = subscription["default_payment_method"].as_str();
        let has_card = self.paying_card(&customer, own).is_some();
        let missing = &subscription["trial_settings"]["end_behavior"]["missing_payment_method"];
        match missing.as_str() {
            Some("cancel") if !has_card => self.end(id, "payment_failed"),
            Some("pause") if !has_card => self.pause(id, "trial_end_without_payment_method"),
            // What was used during the trial is not billed.
            _ => {
                self.renew(id, (now, now), "subscription_cycle");
                if early {
                    self.bill_now(id);
                }
            }
        }
    }

    fn bill_now(&mut self, id: &str) {
        let latest = self.subscriptions.get(id).map(|it| string(&it["latest_invoice"]));
        if let Some(invoice) = latest {
            self.finalize(&invoice);
            self.retry(&invoice);
        }
    }

    fn renew(&mut self, id: &str, used: (i64, i64), reason: &str) {
        let Some(subscription) = self.subscriptions.get(id) else {
            return;
        };
        let (anchor, customer) = (
            int(&subscription["billing_cycle_anchor"]),
            string(&subscription["customer"]),
        );
        let before = subscription.clone();
        self.renew_items(id, anchor);
        let Some(renewed) = self.subscriptions.get_mut(id) else {
            return;
        };
        if renewed["status"] == "trialing" {
            renewed["status"] = json!("active");
        }
        let renewed = renewed.clone();
        let pending = self.pending.remove(id).unwrap_or_default();
        let lines = [pending, self.period_lines(&renewed, Some(used))].concat();
        let invoice = self.make_invoice(&customer, Some(id), reason, lines);
        let at = self.now + DRAFT;
        if let Some(invoice) = self.invoices.get_mut(&invoice) {
            invoice["automatically_finalizes_at"] = json!(at);
            invoice["period_start"] = json!(used.0);
        }
        if let Some(after) = self.subscriptions.get(id).cloned() {
            self.emit_change("customer.subscription.updated", &before, &after);
        }
    }
}
