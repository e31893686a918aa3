//! The conformance suite of [`Store`].
//!
//! Each case is a sentence about what every store does. A store's own tests run them all:
//!
//! ```text
//! async fn fresh_store() -> SqliteStore {
//!     SqliteStore::in_memory().await.expect("an in-memory database opens")
//! }
//! voice_saas_core::store_conformance_tests!(fresh_store);
//! ```

#[doc(hidden)]
pub mod account;
#[doc(hidden)]
pub mod agent;
#[doc(hidden)]
pub mod api_key;
#[doc(hidden)]
pub mod call;
#[doc(hidden)]
pub mod entitlement;
#[doc(hidden)]
pub mod event;
#[doc(hidden)]
pub mod idempotency;
#[doc(hidden)]
pub mod isolation;
#[doc(hidden)]
pub mod job;
#[doc(hidden)]
pub mod ledger;
#[doc(hidden)]
pub mod number;
#[doc(hidden)]
pub mod outbox;
#[doc(hidden)]
pub mod pool;
#[doc(hidden)]
pub mod port;
#[doc(hidden)]
pub mod queue;
#[doc(hidden)]
pub mod reconcile;
#[doc(hidden)]
pub mod saga;
#[doc(hidden)]
pub mod subaccount;
#[doc(hidden)]
pub mod system;
#[doc(hidden)]
pub mod tenant;
#[doc(hidden)]
pub mod trunk;
#[doc(hidden)]
pub mod unit;
#[doc(hidden)]
pub mod usage;
mod world;

use crate::store::Store;

/// What a case runs on: an empty store, or nothing where its server is not at hand.
pub trait FreshStore {
    /// The store.
    type Store: Store;

    /// The store, or `None` to skip the case; whoever decides that says so aloud.
    fn into_store(self) -> Option<Self::Store>;
}

impl<S: Store> FreshStore for S {
    type Store = S;

    fn into_store(self) -> Option<S> {
        Some(self)
    }
}

impl<S: Store> FreshStore for Option<S> {
    type Store = S;

    fn into_store(self) -> Self {
        self
    }
}

/// Makes a `#[tokio::test]` of every case of the suite. Its argument is the name of an async function without
/// arguments that gives a [`FreshStore`](crate::testing::store::FreshStore), empty each time.
#[macro_export]
macro_rules! store_conformance_tests {
    ($fresh_store:ident) => {
        $crate::store_conformance_tests! { $fresh_store;
            unit {
                the_database_answers_a_ping
                what_is_committed_lasts
                what_is_dropped_without_commit_leaves_nothing
                a_wake_up_reaches_who_waits_for_jobs
                a_wake_up_is_kept_for_who_comes_next
            }
            account {
                a_registered_person_is_found_by_address_and_by_id
                an_address_belongs_to_one_person
                a_person_belongs_to_the_tenant_that_they_registered
                a_refresh_token_reads_back_as_written
                a_refresh_token_is_used_once_however_many_try
                a_revoked_family_has_no_usable_token_and_others_do
                a_closed_tenant_has_no_usable_token_and_others_do
            }
            tenant {
                a_tenant_reads_back_as_written
                members_are_listed_with_their_roles
                a_tenant_that_is_not_there_has_nothing_and_can_write_nothing
                a_tenant_that_is_being_closed_begins_nothing
            }
            entitlement {
                an_entitlement_reads_back_as_written
                of_two_writers_of_an_entitlement_one_is_stale
            }
            usage {
                a_reservation_reads_back_as_written
                a_call_is_reserved_once
                a_connected_call_is_counted_once_with_its_seconds
                a_call_that_never_connected_is_given_back_once
                calls_are_counted_in_the_windows_in_which_they_were_admitted
                everything_in_one_look
                of_many_who_settle_at_once_one_does
                of_many_who_are_admitted_at_once_no_more_than_the_limit_are
                what_a_tenant_holds_is_counted_with_what_it_is_getting
            }
            api_key {
                a_key_is_found_by_its_hash_until_it_is_revoked
                keys_are_listed_newest_first_without_the_revoked
                a_key_that_is_not_there_cannot_be_revoked_or_touched
                two_keys_never_have_one_hash
            }
            number {
                a_number_reads_back_as_written
                a_held_number_is_nobody_elses
                a_released_number_can_be_held_again
                of_many_who_reach_for_a_number_at_once_one_gets_it
                a_number_cannot_become_one_that_is_held
                a_number_is_found_by_its_saga
                numbers_are_listed_by_status_and_agent
                pages_of_numbers_hold_each_number_once
                agents_answer_in_the_order_in_which_they_were_linked
                agents_that_are_linked_at_once_all_answer
                a_link_needs_both_its_ends
                a_number_that_waits_for_documents_is_nobodys
                of_the_numbers_that_wait_the_newest_is_found
            }
            pool {
                a_number_of_the_pool_reads_back_as_written
                a_number_is_in_the_pool_once_until_it_is_retired
                who_read_an_old_version_of_a_pools_number_writes_in_vain
                the_longest_unused_number_that_fits_is_lent_first
                of_many_who_want_a_number_of_the_pool_at_once_each_gets_another
                a_quarantine_ends_when_its_time_has_come
                the_pool_is_listed_newest_first_without_the_retired_and_by_fill
                numbers_of_the_pool_that_a_run_did_not_see_are_found_in_order
                a_caller_of_a_shared_number_reaches_whoever_called_them_last
            }
            trunk {
                a_trunk_reads_back_as_written
                a_number_has_one_trunk_that_is_not_over
                of_many_who_add_a_numbers_trunk_at_once_one_does
                a_trunk_needs_its_number
                pages_of_trunks_hold_each_trunk_once_without_the_deleted
                a_stranger_cannot_reach_trunks
            }
            port {
                a_port_reads_back_as_written
                who_read_an_old_version_of_a_port_writes_in_vain
                pages_of_ports_hold_each_port_once
                a_stranger_cannot_reach_ports
            }
            subaccount {
                an_account_reads_back_as_written
                a_tenant_has_one_account_at_a_carrier_that_is_not_closed
                of_many_who_go_on_with_an_account_at_once_one_does
                an_account_at_a_carrier_leads_to_its_one_tenant
                a_stranger_cannot_reach_accounts
                accounts_are_walked_in_order_and_those_that_a_run_did_not_see_are_found
            }
            agent {
                an_agent_reads_back_as_written
                an_edit_makes_the_next_version_and_keeps_the_last
                an_edit_of_an_old_version_is_stale
                of_two_edits_at_once_one_is_stale
                binding_an_agent_makes_no_version
                a_deleted_agent_answers_nothing_and_its_versions_stay
                pages_of_agents_hold_each_agent_once
            }
            call {
                a_call_reads_back_as_written
                a_carriers_call_is_added_once
                of_many_who_add_a_carriers_call_at_once_one_does
                calls_that_the_carrier_does_not_know_yet_are_told_apart
                a_call_is_found_by_the_carriers_id
                the_media_of_a_call_is_claimed_once_however_many_try
                the_media_of_a_call_that_is_over_cannot_be_claimed
                a_writer_who_saw_no_media_does_not_take_it_away
                a_locked_call_is_changed_by_one_at_a_time
                calls_are_listed_by_every_filter
                pages_of_calls_hold_each_call_once
                a_call_that_is_not_there_cannot_be_written
            }
            event {
                every_kind_of_event_reads_back_as_written
                events_have_consecutive_places_from_one
                events_that_are_appended_at_once_have_different_places
                a_transcript_is_what_was_heard_until_the_platform_sends_its_own
            }
            ledger {
                an_entry_reads_back_as_written
                an_entry_is_written_once_for_its_key
                entries_are_listed_oldest_first
                pages_of_entries_hold_each_entry_once_newest_first
                a_balance_is_the_sum_of_its_entries_by_month_and_account
                an_entry_that_is_written_by_many_at_once_counts_once
                the_balances_of_all_tenants_are_walked_in_order
            }
            saga {
                a_saga_reads_back_as_written
                a_runner_that_read_an_old_version_writes_in_vain
                of_two_runners_at_once_one_writes
                sagas_that_are_not_over_are_listed_oldest_first
            }
            job {
                a_job_exists_once_its_unit_of_work_is_committed
                an_unfinished_jobs_unique_key_is_enqueued_once
                of_many_who_enqueue_a_unique_key_at_once_one_does
                a_finished_or_dead_jobs_unique_key_is_free_again
                jobs_are_listed_newest_first_by_state
                pages_of_jobs_hold_each_job_once
                the_next_due_time_is_that_of_the_earliest_ready_job
                finished_jobs_are_forgotten_and_others_are_not
            }
            queue {
                due_jobs_are_claimed_oldest_first_and_later_ones_stay
                tenants_are_served_in_turn
                a_long_queue_of_one_tenant_keeps_nobody_else_waiting
                workers_who_claim_at_once_share_the_jobs
                one_job_can_be_claimed_before_it_is_due_and_by_one_worker
                a_job_is_finished_by_its_latest_claim_alone
                a_job_is_retried_by_its_latest_claim_alone
                a_job_is_buried_by_its_latest_claim_alone
                a_heartbeat_keeps_a_job_from_the_reaper
                a_reaped_job_is_ready_again_and_its_worker_is_refused
                a_job_whose_attempts_are_used_up_is_reaped_dead
                a_dead_job_can_be_revived_and_no_other
                a_jobs_progress_is_written_by_its_latest_claim_alone_and_outlives_it
            }
            outbox {
                events_wait_in_order_until_they_are_delivered
                an_event_of_a_dropped_unit_of_work_is_never_delivered
            }
            idempotency {
                a_key_is_fresh_then_in_flight_then_answered
                a_key_of_another_request_is_refused
                a_released_key_is_fresh_again
                a_key_of_a_dead_server_is_fresh_again
                of_many_who_take_a_key_at_once_one_does
                keys_are_kept_by_route
            }
            reconcile {
                a_finding_reads_back_as_written
                a_disagreement_is_one_finding_however_often_it_is_seen
                findings_are_listed_newest_first_by_every_filter
                what_a_run_did_not_see_again_is_gone
                numbers_of_a_page_are_looked_up_with_those_released_a_moment_ago
                active_numbers_that_a_run_did_not_see_are_found_in_order
                agents_are_looked_up_and_those_that_a_run_did_not_see_are_found
                trunks_are_looked_up_and_those_that_a_run_did_not_see_are_found
                live_calls_of_a_carrier_are_walked_in_order
                a_tag_leads_to_whoever_began_its_saga
            }
            system {
                a_number_leads_to_its_tenant_and_its_agents_in_order
                a_released_or_unknown_number_leads_nowhere
                active_agents_without_a_number_are_found_page_by_page
                a_carriers_call_leads_to_its_tenant
                calls_that_have_not_ended_are_found_oldest_first
                an_unrouted_call_is_kept_once
                pages_of_unrouted_calls_hold_each_call_once
                what_has_served_its_time_is_forgotten_and_nothing_else
                numbers_that_are_called_at_once_are_looked_up_together
            }
            isolation {
                a_stranger_cannot_reach_a_tenants_row_or_members
                a_stranger_cannot_reach_keys
                a_stranger_cannot_reach_numbers
                a_stranger_cannot_reach_agents
                a_stranger_cannot_reach_calls
                a_stranger_cannot_reach_the_ledger
                a_stranger_cannot_reach_what_a_tenant_may_use_and_used
                a_stranger_cannot_reach_sagas
                a_stranger_cannot_reach_idempotency_keys
            }
        }
    };
    ($fresh_store:ident; $($concept:ident { $($case:ident)* })*) => {
        $(mod $concept {
            $(#[::tokio::test]
            async fn $case() {
                use $crate::testing::store::{$concept, FreshStore};
                if let Some(store) = super::$fresh_store().await.into_store() {
                    $concept::$case(&store).await;
                }
            })*
        })*
    };
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    #[test]
    fn the_macro_lists_every_case_once() {
        let list = include_str!("mod.rs").split("macro_rules!").nth(1).unwrap();
        let list = list.split("($fresh_store:ident; $(").next().unwrap();
        let mut listed = BTreeMap::<&str, usize>::new();
        for word in list.split_whitespace() {
            *listed.entry(word).or_default() += 1;
        }
        for (file, text) in [
            ("account", include_str!("account.rs")),
            ("agent", include_str!("agent.rs")),
            ("api_key", include_str!("api_key.rs")),
            ("call", include_str!("call.rs")),
            ("entitlement", include_str!("entitlement.rs")),
            ("event", include_str!("event.rs")),
            ("idempotency", include_str!("idempotency.rs")),
            ("isolation", include_str!("isolation.rs")),
            ("job", include_str!("job.rs")),
            ("ledger", include_str!("ledger.rs")),
            ("number", include_str!("number.rs")),
            ("outbox", include_str!("outbox.rs")),
            ("pool", include_str!("pool.rs")),
            ("queue", include_str!("queue.rs")),
            ("reconcile", include_str!("reconcile.rs")),
            ("saga", include_str!("saga.rs")),
            ("system", include_str!("system.rs")),
            ("tenant", include_str!("tenant.rs")),
            ("trunk", include_str!("trunk.rs")),
            ("unit", include_str!("unit.rs")),
            ("usage", include_str!("usage.rs")),
        ] {
            let cases: Vec<_> = text
                .split("pub async fn ")
                .skip(1)
                .map(|rest| rest.split('(').next().unwrap())
                .collect();
            assert!(!cases.is_empty(), "{file} has no case");
            for case in cases {
                assert_eq!(listed.get(case), Some(&1), "{file}: {case}");
            }
        }
    }
}
