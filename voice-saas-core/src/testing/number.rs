//! The conformance suite of [`NumberProvider`].
//!
//! A provider's own tests say how to look at its account, and run every case on a fresh one. What
//! [`capabilities`](TelephonyProvider::capabilities) lacks is left out of the cases that need it, and must be refused
//! as unsupported:
//!
//! ```text
//! async fn fresh_account() -> MyAccount { … }
//! voice_saas_core::number_conformance_tests!(fresh_account);
//! ```
#![expect(clippy::missing_panics_doc, reason = "a case fails by a panic")]

use std::collections::BTreeSet;

use crate::{
    phone::E164,
    provider::{
        ErrorKind, ProviderError, Recovery,
        telephony::{
            Capability, NumberOrder, NumberProvider, NumberQuery, NumberWebhooks, ProviderNumber,
            ProviderNumberId, Removal, TelephonyProvider,
        },
    },
};

/// An account at a carrier, without numbers, as a test sees it.
pub trait NumberAccount: Send + Sync {
    /// The adapter, which sends again nothing that is not safe to send again. Its pages are short: two numbers where
    /// their length can be chosen.
    fn carrier(&self) -> &dyn TelephonyProvider;

    /// A search that finds at least three numbers.
    fn query(&self) -> NumberQuery;

    /// Lets the next purchase succeed without an answer.
    fn lose_answer(&self);
}

fn numbers(account: &dyn NumberAccount) -> &dyn NumberProvider {
    account.carrier().numbers().expect("the carrier has numbers")
}

/// Whether the carrier can do all this; where it cannot, a case ends.
fn can(account: &dyn NumberAccount, wanted: &[Capability]) -> bool {
    let has = account.carrier().capabilities();
    wanted.iter().all(|capability| has.contains(capability))
}

fn webhooks(host: &str) -> NumberWebhooks {
    let url = |path: &str| {
        let text = format!("https://{host}.example.com/webhooks/{path}");
        text.parse().expect("a URL")
    };
    NumberWebhooks::new(url("voice"), url("fallback"), url("status"))
}

fn order(number: &E164, tag: &str) -> NumberOrder {
    NumberOrder::new(number.clone(), tag, webhooks("voice"))
}

async fn offers(account: &dyn NumberAccount) -> Vec<E164> {
    let found = numbers(account)
        .search(&account.query())
        .await
        .expect("the search is answered");
    let found: Vec<_> = found.into_iter().map(|offer| offer.number).collect();
    assert!(found.len() >= 3, "the search finds {} numbers", found.len());
    found
}

async fn buy(account: &dyn NumberAccount, number: &E164, tag: &str) -> ProviderNumber {
    let bought = numbers(account)
        .buy(&order(number, tag))
        .await
        .expect("it can be bought");
    assert_eq!(bought.number, *number);
    bought
}

async fn find(account: &dyn NumberAccount, number: &E164) -> Option<ProviderNumber> {
    numbers(account)
        .find(number)
        .await
        .expect("the account is looked into")
}

async fn listed(account: &dyn NumberAccount) -> Vec<ProviderNumber> {
    let (mut held, mut page) = (Vec::new(), None::<String>);
    let mut seen = BTreeSet::new();
    loop {
        let got = numbers(account)
            .list(page.as_deref())
            .await
            .expect("the list is given");
        held.extend(got.items);
        let Some(next) = got.next else { return held };
        assert!(seen.insert(next.clone()), "the list goes on");
        page = Some(next);
    }
}

fn kind<T>(answer: Result<T, ProviderError>) -> Option<ErrorKind> {
    answer.err().map(|error| error.kind())
}

/// Every number that a search finds carries calls, is none of ours, and can be bought.
pub async fn a_search_finds_numbers_that_can_be_bought(account: &dyn NumberAccount) {
    if !can(account, &[Capability::SearchNumbers]) {
        return;
    }
    let query = account.query().with_limit(3);
    let found = numbers(account)
        .search(&query)
        .await
        .expect("the search is answered");
    assert_eq!(found.len(), 3, "as many as were asked for");
    for offer in &found {
        assert!(offer.capabilities.voice, "{offer:?}");
        assert_eq!(offer.number.country(), Some(query.country), "{offer:?}");
        assert_eq!(find(account, &offer.number).await, None, "it is nobody's");
    }
    if !can(account, &[Capability::BuyNumbers]) {
        return;
    }
    for offer in &found {
        buy(account, &offer.number, "the tag").await;
    }
    let later = offers(account).await;
    for offer in found {
        assert!(
            !later.contains(&offer.number),
            "a number of ours is offered again"
        );
    }
}

/// What is bought is ours, under the name and with the webhooks of the order where the carrier keeps those.
pub async fn a_bought_number_is_as_it_was_ordered(account: &dyn NumberAccount) {
    if !can(account, &[Capability::SearchNumbers, Capability::BuyNumbers]) {
        return;
    }
    let number = &offers(account).await[0];
    let bought = buy(account, number, "saga_1").await;
    let found = find(account, number).await.expect("it is ours");
    assert_eq!((&found.id, &found.number), (&bought.id, number));
    assert!(found.capabilities.voice);
    if can(account, &[Capability::NameNumbers]) {
        assert_eq!(
            (&*bought.friendly_name, &*found.friendly_name),
            ("saga_1", "saga_1")
        );
    }
    if can(account, &[Capability::ConfigureNumbers]) {
        assert_eq!(found.voice_url.as_deref(), Some(webhooks("voice").voice.as_str()));
    }
}

/// A number that is somebody's cannot be bought, and trying changes nothing.
pub async fn a_taken_number_is_unavailable(account: &dyn NumberAccount) {
    if !can(account, &[Capability::SearchNumbers, Capability::BuyNumbers]) {
        return;
    }
    let number = &offers(account).await[0];
    let bought = buy(account, number, "first").await;
    let again = numbers(account).buy(&order(number, "second")).await;
    assert_eq!(kind(again), Some(ErrorKind::NumberUnavailable));
    let found = find(account, number).await.expect("it is ours still");
    assert_eq!((found.id, found.friendly_name), (bought.id, bought.friendly_name));
    assert_eq!(listed(account).await.len(), 1);
}

/// A purchase whose answer was lost says so, and is found by its number.
pub async fn a_purchase_without_an_answer_is_found(account: &dyn NumberAccount) {
    if !can(account, &[Capability::SearchNumbers, Capability::BuyNumbers]) {
        return;
    }
    let number = &offers(account).await[0];
    account.lose_answer();
    let error = numbers(account)
        .buy(&order(number, "saga_1"))
        .await
        .expect_err("the answer was lost");
    assert_eq!(error.recovery(), Recovery::Reconcile);
    let found = find(account, number).await.expect("it was bought");
    assert_eq!(found.number, *number);
    if can(account, &[Capability::NameNumbers]) {
        assert_eq!(found.friendly_name, "saga_1");
    }
    assert_eq!(listed(account).await.len(), 1, "bought once");
}

/// A number is found exactly, and not by its parts.
pub async fn a_number_is_found_exactly(account: &dyn NumberAccount) {
    if !can(account, &[Capability::SearchNumbers, Capability::BuyNumbers]) {
        return;
    }
    let [one, other, ..] = &offers(account).await[..] else {
        panic!("three numbers")
    };
    buy(account, one, "one").await;
    assert_eq!(find(account, other).await, None);
    let part: E164 = one.as_str()[..one.as_str().len() - 1]
        .parse()
        .expect("a shorter number");
    assert_eq!(find(account, &part).await, None);
    buy(account, other, "other").await;
    assert_eq!(find(account, one).await.expect("it is ours").number, *one);
    assert_eq!(find(account, other).await.expect("it is ours").number, *other);
}

/// The list has every number once, page after page, and ends.
pub async fn the_list_goes_to_its_end(account: &dyn NumberAccount) {
    if !can(account, &[Capability::ListNumbers]) {
        return;
    }
    assert_eq!(listed(account).await, []);
    if !can(account, &[Capability::SearchNumbers, Capability::BuyNumbers]) {
        return;
    }
    let mut bought = BTreeSet::new();
    for number in offers(account).await.iter().take(3) {
        bought.insert(buy(account, number, "the tag").await.number);
    }
    let held: Vec<_> = listed(account)
        .await
        .into_iter()
        .map(|held| held.number)
        .collect();
    assert_eq!(held.len(), 3, "{held:?}");
    assert_eq!(held.into_iter().collect::<BTreeSet<_>>(), bought);
}

/// A number that was given back is nobody's, and giving it back again is no error.
pub async fn a_number_is_released_once(account: &dyn NumberAccount) {
    let wanted = [
        Capability::SearchNumbers,
        Capability::BuyNumbers,
        Capability::ReleaseNumbers,
    ];
    if !can(account, &wanted) {
        return;
    }
    let [one, other, ..] = &offers(account).await[..] else {
        panic!("three numbers")
    };
    let bought = buy(account, one, "one").await;
    buy(account, other, "other").await;
    let release = async || {
        numbers(account)
            .release(&bought.id)
            .await
            .expect("it is given back")
    };
    assert_eq!(release().await, Removal::Removed);
    assert_eq!(release().await, Removal::AlreadyGone);
    assert_eq!(find(account, one).await, None);
    let left: Vec<_> = listed(account)
        .await
        .into_iter()
        .map(|held| held.number)
        .collect();
    assert_eq!(left, std::slice::from_ref(other));
}

/// A number's calls go where the last word sent them, and its name is the last one given.
pub async fn a_number_can_be_set_up_again(account: &dyn NumberAccount) {
    if !can(account, &[Capability::SearchNumbers, Capability::BuyNumbers]) {
        return;
    }
    let number = &offers(account).await[0];
    let bought = buy(account, number, "old").await;
    if can(account, &[Capability::ConfigureNumbers]) {
        let elsewhere = webhooks("elsewhere");
        numbers(account)
            .configure(&bought.id, &elsewhere)
            .await
            .expect("it is ours");
        let found = find(account, number).await.expect("it is ours");
        assert_eq!(found.voice_url.as_deref(), Some(elsewhere.voice.as_str()));
    }
    if can(account, &[Capability::NameNumbers]) {
        numbers(account)
            .rename(&bought.id, "new")
            .await
            .expect("it is ours");
        assert_eq!(
            find(account, number).await.expect("it is ours").friendly_name,
            "new"
        );
    }
}

/// An operation is refused as unsupported, with what to do instead, exactly where the carrier does not claim it.
pub async fn what_is_not_supported_is_no_capability(account: &dyn NumberAccount) {
    #[track_caller]
    fn check<T>(account: &dyn NumberAccount, capability: Capability, answer: Result<T, ProviderError>) {
        let error = answer
            .err()
            .filter(|error| error.kind() == ErrorKind::Unsupported);
        assert_eq!(
            error.is_none(),
            can(account, &[capability]),
            "{capability:?}: {error:?}"
        );
        if let Some(error) = error {
            assert!(
                error.detail().is_some(),
                "{capability:?} says nothing of what to do instead"
            );
        }
    }
    let provider = numbers(account);
    let query = account.query();
    check(account, Capability::SearchNumbers, provider.search(&query).await);
    check(account, Capability::ListNumbers, provider.list(None).await);
    let number = match provider.search(&query).await {
        Ok(found) => found[0].number.clone(),
        Err(_) => "+14155550100".parse().expect("a number"),
    };
    let bought = provider.buy(&order(&number, "the tag")).await;
    let id = match &bought {
        Ok(bought) => bought.id.clone(),
        // Whatever is refused at all is refused before anybody looks for the number.
        Err(_) => ProviderNumberId::new(number.as_str()),
    };
    check(account, Capability::BuyNumbers, bought);
    let configured = provider.configure(&id, &webhooks("elsewhere")).await;
    check(account, Capability::ConfigureNumbers, configured);
    check(
        account,
        Capability::NameNumbers,
        provider.rename(&id, "new").await,
    );
    check(account, Capability::ReleaseNumbers, provider.release(&id).await);
}

/// Makes a `#[tokio::test]` of every case of the suite. Its argument is the name of an async function without
/// arguments that gives a [`NumberAccount`](crate::testing::number::NumberAccount), empty each time.
#[macro_export]
macro_rules! number_conformance_tests {
    ($fresh_account:ident) => {
        $crate::number_conformance_tests! { $fresh_account;
            a_search_finds_numbers_that_can_be_bought
            a_bought_number_is_as_it_was_ordered
            a_taken_number_is_unavailable
            a_purchase_without_an_answer_is_found
            a_number_is_found_exactly
            the_list_goes_to_its_end
            a_number_is_released_once
            a_number_can_be_set_up_again
            what_is_not_supported_is_no_capability
        }
    };
    ($fresh_account:ident; $($case:ident)*) => {
        $(#[::tokio::test]
        async fn $case() {
            $crate::testing::number::$case(&$fresh_account().await).await;
        })*
    };
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_macro_lists_every_case_once() {
        let text = include_str!("number.rs");
        let list = text.split("macro_rules!").nth(1).expect("a macro");
        let list = list.split("($fresh_account:ident; $(").next().expect("a list");
        for case in text
            .split("pub async fn ")
            .skip(1)
            .map(|rest| rest.split('(').next())
        {
            let case = case.expect("a name");
            // This test's own text holds the pattern that it splits by.
            if case.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_') {
                let listed = list.split_whitespace().filter(|word| *word == case).count();
                assert_eq!(listed, 1, "{case}");
            }
        }
    }
}
