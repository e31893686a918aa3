//! The conformance suite of [`TrunkProvider`].
//!
//! A provider's own tests say how to look at its account, and run every case on a fresh one:
//!
//! ```text
//! async fn fresh_account() -> MyAccount { … }
//! voice_saas_core::trunk_conformance_tests!(fresh_account);
//! ```

#![expect(clippy::missing_panics_doc, reason = "a case fails by a panic")]

use async_trait::async_trait;
use serde_json::json;

use crate::{
    phone::E164,
    provider::{
        ErrorKind,
        telephony::{ProviderTrunk, Removal, RouteHandle, TrunkOrder, TrunkProvider},
    },
};

/// An account at a provider, empty but for its numbers, as a test sees it.
#[async_trait]
pub trait TrunkAccount: Send + Sync {
    /// The adapter, which sends again nothing that is not safe to send again.
    fn provider(&self) -> &dyn TrunkProvider;

    /// A number of the account; another one each time.
    fn number(&self) -> E164;

    /// An order that the provider can carry out.
    fn order(&self, tag: &str, number: &E164) -> TrunkOrder;

    /// How many things there are in all: trunks, rules, lists of credentials, whatever one trunk consists of.
    async fn things(&self) -> usize;

    /// Makes a trunk for the number behind the adapter's back, with all its parts, under a name that nobody ordered.
    async fn make_foreign(&self, number: &E164, name: &str);

    /// Lets the next creation of a trunk break off when its first part is there and its last one is not.
    fn break_off(&self);

    /// Lets the next creation of a first part succeed without an answer.
    fn lose_answer(&self);
}

async fn listed(account: &dyn TrunkAccount) -> Vec<ProviderTrunk> {
    let (mut trunks, mut page) = (Vec::new(), None::<String>);
    loop {
        let got = account
            .provider()
            .list(page.as_deref())
            .await
            .expect("the list is given");
        trunks.extend(got.items);
        match got.next {
            Some(next) => {
                assert_ne!(page.as_ref(), Some(&next), "the list goes on");
                page = Some(next);
            }
            None => return trunks,
        }
    }
}

async fn ensured(account: &dyn TrunkAccount, order: &TrunkOrder) -> ProviderTrunk {
    account
        .provider()
        .ensure(order)
        .await
        .expect("the trunk is made or found")
}

/// Repeating an order changes nothing.
pub async fn a_trunk_that_is_ensured_twice_is_made_once(account: &dyn TrunkAccount) {
    let number = account.number();
    let order = account.order("t1", &number);
    let before = account.things().await;
    let first = ensured(account, &order).await;
    let made = account.things().await;
    assert!(made > before);
    assert!(first.complete);
    assert_eq!((&*first.tag, &first.numbers), ("t1", &vec![number]));
    assert_eq!(ensured(account, &order).await, first);
    assert_eq!(account.things().await, made);
}

/// A trunk of a number that is out of service is there, is not complete, and is completed again.
pub async fn a_trunk_without_calls_in_stays_and_takes_them_again(account: &dyn TrunkAccount) {
    let number = account.number();
    let order = account.order("t1", &number);
    let closed = order.clone().without_calls_in();
    let before = account.things().await;
    for _ in 0..2 {
        assert!(!ensured(account, &closed).await.complete);
    }
    assert!(account.things().await > before);
    ensured(account, &order).await;
    let whole = account.things().await;
    for _ in 0..2 {
        assert!(!ensured(account, &closed).await.complete);
        let found = account.provider().find("t1", &number).await.expect("an answer");
        assert!(!found.expect("the trunk is there").complete);
    }
    assert!(ensured(account, &order).await.complete);
    assert_eq!(account.things().await, whole);
}

/// Two trunks have nothing in common.
pub async fn two_numbers_have_trunks_of_their_own(account: &dyn TrunkAccount) {
    let (one, two) = (account.number(), account.number());
    let first = ensured(account, &account.order("t1", &one)).await;
    let second = ensured(account, &account.order("t2", &two)).await;
    assert_ne!(first.handle, second.handle);
    account
        .provider()
        .delete(&first.handle)
        .await
        .expect("the first one goes");
    let found = account.provider().find("t2", &two).await.expect("an answer");
    assert_eq!(found, Some(second));
}

/// What was made is found by its tag, and by no other.
pub async fn a_trunk_is_found_by_its_tag_alone(account: &dyn TrunkAccount) {
    let number = account.number();
    let find = async |tag| account.provider().find(tag, &number).await.expect("an answer");
    assert_eq!(find("t1").await, None);
    let made = ensured(account, &account.order("t1", &number)).await;
    assert_eq!(find("t1").await, Some(made));
    assert_eq!(find("t2").await, None);
}

/// What is missing is made, what is there is used.
pub async fn a_creation_that_broke_off_is_completed(account: &dyn TrunkAccount) {
    let number = account.number();
    let order = account.order("t1", &number);
    let before = account.things().await;
    account.break_off();
    account
        .provider()
        .ensure(&order)
        .await
        .expect_err("the creation breaks off");
    let begun = account.things().await;
    assert!(begun > before, "nothing was made before it broke off");
    let found = account.provider().find("t1", &number).await.expect("an answer");
    assert!(!found.expect("what there is of it").complete);

    assert!(ensured(account, &order).await.complete);
    let whole = account.things().await;
    assert!(whole > begun);

    let fresh = account.order("t2", &account.number());
    ensured(account, &fresh).await;
    assert!(
        account.things().await - whole <= whole - before,
        "more was made than one trunk needs"
    );
}

/// After a creation whose answer never came, the trunk that is there is used.
pub async fn a_creation_without_an_answer_makes_nothing_twice(account: &dyn TrunkAccount) {
    let number = account.number();
    let order = account.order("t1", &number);
    account.lose_answer();
    account
        .provider()
        .ensure(&order)
        .await
        .expect_err("the answer is lost");
    let made = ensured(account, &order).await;
    assert!(made.complete);
    let of_number = |trunk: &&ProviderTrunk| trunk.numbers.contains(&number);
    assert_eq!(listed(account).await.iter().filter(of_number).count(), 1);
}

/// A number that somebody else's trunk has is left to them.
pub async fn a_number_under_another_tag_is_a_conflict(account: &dyn TrunkAccount) {
    let (ours, foreign) = (account.number(), account.number());
    ensured(account, &account.order("t1", &ours)).await;
    account.make_foreign(&foreign, "theirs").await;
    let before = account.things().await;
    for number in [ours, foreign] {
        let refused = account.provider().ensure(&account.order("t2", &number)).await;
        assert_eq!(refused.expect_err("a conflict").kind(), ErrorKind::Conflict);
    }
    assert_eq!(account.things().await, before);
}

/// Deleting leaves nothing, and may be repeated.
pub async fn a_trunk_that_is_deleted_twice_is_gone_already(account: &dyn TrunkAccount) {
    let number = account.number();
    let before = account.things().await;
    let made = ensured(account, &account.order("t1", &number)).await;
    let delete = async || account.provider().delete(&made.handle).await.expect("an answer");
    assert_eq!(delete().await, Removal::Removed);
    assert_eq!(account.things().await, before);
    assert_eq!(delete().await, Removal::AlreadyGone);
    let found = account.provider().find("t1", &number).await.expect("an answer");
    assert_eq!(found, None);
}

/// What was begun can be taken away by the handle under which it is found.
pub async fn what_there_is_of_a_trunk_can_be_deleted(account: &dyn TrunkAccount) {
    let number = account.number();
    let before = account.things().await;
    account.break_off();
    account
        .provider()
        .ensure(&account.order("t1", &number))
        .await
        .expect_err("the creation breaks off");
    let found = account.provider().find("t1", &number).await.expect("an answer");
    let handle = found.expect("what there is of it").handle;
    let removed = account.provider().delete(&handle).await.expect("an answer");
    assert_eq!(removed, Removal::Removed);
    assert_eq!(account.things().await, before);
}

/// The list holds our trunks, those of others, and what is left over, each once.
pub async fn the_list_shows_whole_trunks_foreign_ones_and_parts(account: &dyn TrunkAccount) {
    let (whole, foreign, broken) = (account.number(), account.number(), account.number());
    ensured(account, &account.order("t1", &whole)).await;
    account.make_foreign(&foreign, "theirs").await;
    account.break_off();
    account
        .provider()
        .ensure(&account.order("t2", &broken))
        .await
        .expect_err("the creation breaks off");
    let mut shown: Vec<_> = listed(account)
        .await
        .into_iter()
        .map(|trunk| (trunk.tag, trunk.complete))
        .collect();
    shown.sort();
    let expected = [("t1", true), ("t2", false), ("theirs", true)];
    assert_eq!(shown, expected.map(|(tag, complete)| (tag.to_owned(), complete)));
}

/// A handle that this provider did not give deletes nothing.
pub async fn a_handle_of_somebody_elses_is_refused(account: &dyn TrunkAccount) {
    ensured(account, &account.order("t1", &account.number())).await;
    let before = account.things().await;
    for value in [json!({}), json!(null), json!({"something": "else"})] {
        let refused = account.provider().delete(&RouteHandle::new(value)).await;
        assert_eq!(refused.expect_err("no such handle").kind(), ErrorKind::Invalid);
    }
    assert_eq!(account.things().await, before);
}

/// Makes a `#[tokio::test]` of every case of the suite. Its argument is the name of an async function without arguments
/// that gives a fresh [`TrunkAccount`](crate::testing::trunk::TrunkAccount).
#[macro_export]
macro_rules! trunk_conformance_tests {
    ($fresh_account:ident) => {
        $crate::trunk_conformance_tests! { $fresh_account;
            a_trunk_that_is_ensured_twice_is_made_once
            a_trunk_without_calls_in_stays_and_takes_them_again
            two_numbers_have_trunks_of_their_own
            a_trunk_is_found_by_its_tag_alone
            a_creation_that_broke_off_is_completed
            a_creation_without_an_answer_makes_nothing_twice
            a_number_under_another_tag_is_a_conflict
            a_trunk_that_is_deleted_twice_is_gone_already
            what_there_is_of_a_trunk_can_be_deleted
            the_list_shows_whole_trunks_foreign_ones_and_parts
            a_handle_of_somebody_elses_is_refused
        }
    };
    ($fresh_account:ident; $($case:ident)+) => {$(
        #[tokio::test]
        async fn $case() {
            let account = $fresh_account().await;
            $crate::testing::trunk::$case(&account).await;
        }
    )+};
}
