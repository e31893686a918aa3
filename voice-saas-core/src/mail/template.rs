//! The letters that the library writes, one function each.

use std::time::Duration;

use jiff::civil::Date;
use rust_decimal::Decimal;
use url::Url;

use super::letter::{Draft, Letter, Letterhead};
use crate::{money::Money, phone::E164};

/// For [`welcome`].
#[derive(Debug, Clone)]
#[expect(
    clippy::exhaustive_structs,
    reason = "callers fill in every field of a letter"
)]
pub struct Welcome<'a> {
    /// The reader.
    pub name: &'a str,
    /// The number that is theirs by now.
    pub number: Option<&'a E164>,
    /// The last day of their trial.
    pub trial_ends: Option<Date>,
    /// Where they sign in.
    pub sign_in: &'a Url,
}

/// Somebody has signed up.
pub fn welcome(head: &Letterhead, welcome: &Welcome<'_>) -> Letter {
    let mut draft = Draft::new(head, format!("Welcome to {}", head.product))
        .to(welcome.name)
        .say(format!("Your account with {} is ready.", head.product));
    if let Some(number) = welcome.number {
        draft = draft.say(format!(
            "Your telephone number is {number}. Call it, and hear who answers."
        ));
    }
    if let Some(day) = welcome.trial_ends {
        draft = draft.say(format!("Your free trial runs until {}.", date(day)));
    }
    draft.action("Sign in", welcome.sign_in).finish("welcome")
}

/// Somebody gave this address as theirs. `link` proves it, once, for `valid_for`.
pub fn verify_address(head: &Letterhead, link: &Url, valid_for: Duration) -> Letter {
    Draft::new(head, "Confirm your e-mail address")
        .say(format!(
            "Please confirm that this address belongs to your account with {}.",
            head.product
        ))
        .action("Confirm the address", link)
        .close(format!("The link is good for {}.", span(valid_for)))
        .close("If you have no account with us, ignore this mail: nothing happens then.")
        .finish("verify_address")
}

/// Somebody has forgotten the password. `link` sets a new one, once, for `valid_for`.
pub fn reset_password(head: &Letterhead, link: &Url, valid_for: Duration) -> Letter {
    Draft::new(head, format!("Reset your password for {}", head.product))
        .say("Somebody, probably you, asked for a new password for your account.")
        .action("Choose a new password", link)
        .close(format!(
            "The link is good once, for {}. Give it to nobody.",
            span(valid_for)
        ))
        .close("If it was not you, ignore this mail: your password stays as it is.")
        .finish("reset_password")
}

/// For [`invitation`].
#[derive(Debug, Clone)]
#[expect(
    clippy::exhaustive_structs,
    reason = "callers fill in every field of a letter"
)]
pub struct Invitation<'a> {
    /// Who invites.
    pub inviter: &'a str,
    /// Into which business.
    pub business: &'a str,
    /// Where the reader accepts, once.
    pub link: &'a Url,
    /// For how long.
    pub valid_for: Duration,
}

/// Somebody is invited to work with a business.
pub fn invitation(head: &Letterhead, invitation: &Invitation<'_>) -> Letter {
    let Invitation {
        inviter, business, ..
    } = invitation;
    Draft::new(head, format!("{inviter} invites you to {business}"))
        .say(format!(
            "{inviter} invites you to work with {business} on {}.",
            head.product
        ))
        .action("Accept the invitation", invitation.link)
        .close(format!(
            "The invitation is good for {}.",
            span(invitation.valid_for)
        ))
        .close("If you do not know who this is, ignore this mail.")
        .finish("invitation")
}

/// The trial ends on this day. `upgrade` is where a plan is chosen.
pub fn trial_ending(head: &Letterhead, name: &str, ends: Date, upgrade: &Url) -> Letter {
    Draft::new(
        head,
        format!("Your trial of {} ends on {}", head.product, date(ends)),
    )
    .to(name)
    .say(format!("Your free trial ends on {}.", date(ends)))
    .say("Choose a plan by then, and your number goes on being answered.")
    .action("Choose a plan", upgrade)
    .finish("trial_ending")
}

/// For [`payment_failed`].
#[derive(Debug, Clone)]
#[expect(
    clippy::exhaustive_structs,
    reason = "callers fill in every field of a letter"
)]
pub struct PaymentFailed<'a> {
    /// The reader.
    pub name: &'a str,
    /// How much could not be collected.
    pub amount: Money,
    /// When it is tried again.
    pub next_attempt: Option<Date>,
    /// From when on calls are no longer answered.
    pub suspended_from: Option<Date>,
    /// Where the payment method is changed.
    pub portal: &'a Url,
}

/// A payment failed.
pub fn payment_failed(head: &Letterhead, failed: &PaymentFailed<'_>) -> Letter {
    let mut draft = Draft::new(head, format!("Your payment for {} failed", head.product))
        .to(failed.name)
        .say(format!(
            "We could not collect {} for {}.",
            amount(failed.amount),
            head.product
        ));
    if let Some(day) = failed.next_attempt {
        draft = draft.say(format!("We try again on {}.", date(day)));
    }
    if let Some(day) = failed.suspended_from {
        let day = date(day);
        draft = draft.say(format!(
            "Without a payment, your calls are no longer answered from {day} on."
        ));
    }
    draft
        .action("Update the payment method", failed.portal)
        .finish("payment_failed")
}

/// Calls are no longer answered. Numbers are kept until `numbers_kept_until`; `reactivate` is where that is mended.
pub fn suspended(
    head: &Letterhead,
    name: &str,
    numbers_kept_until: Option<Date>,
    reactivate: &Url,
) -> Letter {
    let mut draft = Draft::new(head, format!("Your account with {} is suspended", head.product))
        .to(name)
        .say("Your account is suspended, and your agents no longer answer calls.");
    if let Some(day) = numbers_kept_until {
        draft = draft.say(format!(
            "We keep your numbers until {}. After that day they are given back, and others may get them.",
            date(day)
        ));
    }
    draft
        .action("Reactivate the account", reactivate)
        .finish("suspended")
}

/// For [`receipt`].
#[derive(Debug, Clone)]
#[expect(
    clippy::exhaustive_structs,
    reason = "callers fill in every field of a letter"
)]
pub struct Receipt<'a> {
    /// The reader.
    pub name: &'a str,
    /// The invoice's number.
    pub number: &'a str,
    /// When it was paid.
    pub paid: Date,
    /// What for, and how much.
    pub lines: &'a [(String, Money)],
    /// Altogether.
    pub total: Money,
    /// Where the invoice is.
    pub link: Option<&'a Url>,
}

/// A payment was collected.
pub fn receipt(head: &Letterhead, receipt: &Receipt<'_>) -> Letter {
    let mut draft = Draft::new(head, format!("Your receipt from {}", head.product))
        .to(receipt.name)
        .say(format!("Thank you for your payment on {}.", date(receipt.paid)))
        .row("Invoice", receipt.number);
    for (what, price) in receipt.lines {
        draft = draft.row(what, amount(*price));
    }
    draft = draft.row("Total", amount(receipt.total));
    if let Some(link) = receipt.link {
        draft = draft.action("See the invoice", link);
    }
    draft.finish("receipt")
}

/// A business has left, and all that was paid for is given back.
pub fn off_boarded(head: &Letterhead, business: &str, numbers: &[E164]) -> Letter {
    let mut draft = Draft::new(head, format!("Your account with {} is closed", head.product)).say(format!(
        "The account of {business} is closed. Nothing more is charged."
    ));
    if !numbers.is_empty() {
        let numbers: Vec<_> = numbers.iter().map(ToString::to_string).collect();
        draft = draft.say(format!("These numbers were given back: {}.", numbers.join(", ")));
    }
    draft
        .say("Thank you for having been with us.")
        .finish("off_boarded")
}

/// `21 November 2026`.
fn date(day: Date) -> String {
    day.strftime("%-d %B %Y").to_string()
}

/// `9.99 EUR`, `1200 JPY`: with as many digits as the currency has.
fn amount(money: Money) -> String {
    let digits = money.currency().exponent().map_or(2, u32::from);
    let mut value = Decimal::new(money.amount_micros(), 6);
    value = value.round_dp(digits);
    value.rescale(digits);
    format!("{value} {}", money.currency().code())
}

/// `2 hours`, `1 day`, `30 minutes`: the largest unit that fits without a rest.
fn span(span: Duration) -> String {
    let minutes = span.as_secs() / 60;
    let (count, unit) = match minutes {
        minutes if minutes >= 24 * 60 && minutes.is_multiple_of(24 * 60) => (minutes / (24 * 60), "day"),
        minutes if minutes >= 60 && minutes.is_multiple_of(60) => (minutes / 60, "hour"),
        minutes => (minutes, "minute"),
    };
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {unit}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::money::Currency;

    fn head() -> Letterhead {
        Letterhead::new("Acme Voice")
    }

    fn link() -> Url {
        "https://app.example.com/x?token=t0k3n".parse().unwrap()
    }

    fn day() -> Date {
        jiff::civil::date(2026, 11, 1)
    }

    #[track_caller]
    fn check(letter: &Letter, template: &str, subject: &str, says: &[&str]) {
        assert_eq!((letter.template(), letter.subject()), (template, subject));
        for words in says {
            assert!(letter.text().contains(words), "{words:?} in {}", letter.text());
        }
        assert!(letter.html().contains("Acme Voice"));
    }

    #[test]
    fn letters_about_the_account_carry_their_link() {
        let (head, link, number) = (head(), link(), "+12125550142".parse().unwrap());
        let letter = welcome(
            &head,
            &Welcome {
                name: "Jane",
                number: Some(&number),
                trial_ends: Some(day()),
                sign_in: &link,
            },
        );
        let says = [
            "Hello Jane,",
            "+12125550142",
            "until 1 November 2026",
            "token=t0k3n",
        ];
        check(&letter, "welcome", "Welcome to Acme Voice", &says);
        let letter = verify_address(&head, &link, Duration::from_hours(48));
        check(
            &letter,
            "verify_address",
            "Confirm your e-mail address",
            &["2 days", "token=t0k3n"],
        );
        let letter = reset_password(&head, &link, Duration::from_hours(1));
        let says = ["once, for 1 hour", "token=t0k3n"];
        check(
            &letter,
            "reset_password",
            "Reset your password for Acme Voice",
            &says,
        );
        let letter = invitation(
            &head,
            &Invitation {
                inviter: "Joe",
                business: "Smith & Sons",
                link: &link,
                valid_for: Duration::from_hours(36),
            },
        );
        check(
            &letter,
            "invitation",
            "Joe invites you to Smith & Sons",
            &["36 hours", "token=t0k3n"],
        );
        assert!(letter.html().contains("Smith &#38; Sons"));
    }

    #[test]
    fn letters_about_money_say_how_much_and_by_when() {
        let (head, link) = (head(), link());
        let letter = trial_ending(&head, "", day(), &link);
        let subject = "Your trial of Acme Voice ends on 1 November 2026";
        check(&letter, "trial_ending", subject, &["Hello,", "Choose a plan"]);
        let failed = PaymentFailed {
            name: "Jane",
            amount: Money::from_micros(49_000_000, Currency::USD),
            next_attempt: Some(day()),
            suspended_from: None,
            portal: &link,
        };
        let letter = payment_failed(&head, &failed);
        let says = ["collect 49.00 USD", "again on 1 November 2026"];
        check(
            &letter,
            "payment_failed",
            "Your payment for Acme Voice failed",
            &says,
        );
        assert!(!letter.text().contains("no longer answered"));
        let letter = suspended(&head, "Jane", Some(day()), &link);
        let says = ["until 1 November 2026", "Reactivate"];
        check(
            &letter,
            "suspended",
            "Your account with Acme Voice is suspended",
            &says,
        );
        let lines = [(
            "Professional, November".to_owned(),
            Money::from_micros(1_200_000_000, Currency::JPY),
        )];
        let receipt = super::receipt(
            &head,
            &Receipt {
                name: "Jane",
                number: "A-1",
                paid: day(),
                lines: &lines,
                total: lines[0].1,
                link: None,
            },
        );
        let says = [
            "Invoice: A-1",
            "Professional, November: 1200 JPY",
            "Total: 1200 JPY",
        ];
        check(&receipt, "receipt", "Your receipt from Acme Voice", &says);
    }

    #[test]
    fn the_last_letter_names_the_numbers_that_are_gone() {
        let letter = off_boarded(&head(), "Acme Ltd", &["+12125550142".parse().unwrap()]);
        let says = ["Acme Ltd is closed", "given back: +12125550142."];
        check(
            &letter,
            "off_boarded",
            "Your account with Acme Voice is closed",
            &says,
        );
    }
}
