//! What every store must do, whatever it is made of.
//!
//! A store is put under it with one line: `store_conformance!(expression that is a Fresh)`.

#![allow(clippy::unwrap_used)] // They are tests, although no attribute says so.

pub(crate) mod accounts;
pub(crate) mod chain;
pub(crate) mod deletion;
pub(crate) mod finishing;
pub(crate) mod fires;
pub(crate) mod fleet;
pub(crate) mod installation;
pub(crate) mod items;
pub(crate) mod leases;
pub(crate) mod ledger;
pub(crate) mod logs;
pub(crate) mod outbox;
pub(crate) mod retention;
pub(crate) mod tasks;
pub(crate) mod upgrade;
pub(crate) mod waiting;
pub(crate) mod wishes;
pub(crate) mod world;

use std::future::Future;
use std::sync::Arc;

use isochrone_store::{Clock, Store};

/// Makes stores that nobody else has used. What they need stays alive as long as this does.
pub(crate) trait Fresh: Send + Sync {
    /// An empty store that goes by this clock.
    fn store(&self, clock: Clock) -> impl Future<Output = Arc<dyn Store>> + Send;
}

/// What is tried beside what the store holds, on `$world`, whose records `$bodies` reads and writes.
#[macro_export]
macro_rules! upgrade_conformance {
    ($open:expr) => {
        $crate::upgrade_conformance! { $open;
            a_tasks_fields_are_kept, a_runs_fields_are_kept, fields_of_users_items_and_grants_are_kept,
            an_unknown_value_stops_no_other_and_is_never_overwritten,
            an_unreadable_run_in_a_line_holds_up_nobody_ahead_of_it
        }
    };
    ($open:expr; $($case:ident),+) => {
        mod upgrade {
            #[allow(unused_imports)]
            use super::*;
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    let (world, bodies) = $open.await;
                    $crate::conformance::upgrade::$case(&world, &bodies).await;
                }
            )+
        }
    };
}

/// The whole suite as tests, each on a store of its own from `$fresh`.
#[macro_export]
macro_rules! store_conformance {
    ($fresh:expr) => {
        $crate::store_conformance! { $fresh;
            tasks: keeps_a_task_whole, keeps_text_as_it_came, saves_only_over_what_was_read,
                filters_tasks, pages_tasks_in_the_order_of_their_creation,
                goes_on_behind_a_task, goes_on_behind_a_run, counts_active_tasks,
                a_spent_task_is_active_as_long_as_it_has_an_open_run;
            fires: gives_due_tasks_the_earliest_first, keeps_a_disabled_tasks_fire_due, counts_what_has_not_ended, commits_a_fire_whole,
                commits_nothing_of_a_stale_fire, answers_each_commit_in_order, one_of_many_schedulers_wins,
                counts_a_repeated_commit_once, counts_a_repeated_request_once, refuses_a_stale_request,
                fires_no_minute_again_after_an_import,
                counts_of_an_import_only_what_it_makes;
            outbox: holds_a_run_until_it_is_claimed, holds_what_was_not_said_to_be_published,
                holds_a_run_again_for_each_attempt, holds_a_retry_until_it_is_due, gives_the_longest_due_first,
                numbers_what_was_lost_anew, tells_when_something_is_new, counts_what_waits,
                knows_the_next_thing_to_do;
            leases: one_of_fifty_claimers_wins, refuses_claims_with_the_right_word,
                begins_attempts_with_rising_numbers, renews_in_order_and_keeps_progress,
                renews_a_lapsed_lease_that_nobody_reaped, reaps_what_lapsed_and_nothing_else,
                fences_a_lapsed_attempt, gives_up_after_too_many_crashes, keeps_a_checkpoint_for_the_next_attempt,
                notes_the_item_that_an_attempt_found,
                grants_a_repeated_claim_again, takes_back_a_run_whose_claim_is_forgotten,
                tells_attempts_of_the_same_number_apart,
                publishes_again_what_was_claimed_too_early, shortens_leases_after_the_clock_was_set_back,
                gives_no_lease_longer_than_the_longest, a_renewal_leaves_the_runs_record, renews_very_many;
            finishing: keeps_an_outcome_once, answers_a_late_repetition_and_changes_nothing,
                waits_for_a_retry, gives_back_at_once, disables_a_task_that_fails_too_often,
                makes_a_scheduler_read_a_disabled_task_again;
            waiting: lets_waiting_runs_go_one_by_one, lets_none_go_while_another_is_ahead,
                lets_go_what_waits_for_nothing, lets_the_next_go_when_a_lease_lapses_for_good,
                lets_all_go_once_they_may_overlap;
            wishes: cancels_what_waits, cancels_what_is_queued, tells_an_attempt_of_its_cancel,
                cancels_no_ended_run, retries_an_ended_run, retries_nothing_else,
                retries_behind_the_run_that_is_ahead, amends_what_has_ended,
                amended_runs_count_as_they_stand, deletes_what_has_ended;
            deletion: forgets_a_task_and_its_runs, takes_the_run_from_its_worker,
                keeps_ledger_and_audit_of_the_deleted, tells_the_deleted_from_the_unknown;
            logs: keeps_lines_in_order, keeps_a_line_once, joins_the_attempts, pages_lines;
            accounts: knows_users_in_any_case, adds_a_user_once, changes_what_is_said_of_a_user, keeps_the_last_administrator,
                forgets_a_user_with_the_tokens, gives_tokens_to_who_the_user_still_is, keeps_tokens_until_they_expire,
                forgets_tokens_with_the_password, lists_and_forgets_keys, gives_a_grant_to_one_taker,
                forgets_expired_grants;
            items: keeps_items_and_data, replaces_items, writes_only_over_the_item_that_was_read, pages_items_newest_first, deletes_items_with_their_data;
            fleet: one_leads_at_a_time, one_of_many_leads, a_lead_lapses, knows_who_is_there, one_at_a_time_has_it;
            installation: has_one_id_for_ever;
            retention: keeps_the_latest_runs, forgets_runs_by_their_age, forgets_records_of_forgotten_runs,
                knows_which_runs_it_deleted;
            chain: chains_what_is_done_at_once, forgets_the_beginning_behind_a_checkpoint;
            ledger: shows_fires_of_a_span_and_a_task, follows_a_run_to_its_end, shows_what_was_done_in_a_span;
        }
    };
    ($fresh:expr; $($module:ident: $($case:ident),+;)+) => {
        $(
            mod $module {
                #[allow(unused_imports)]
                use super::*;
                $(
                    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                    async fn $case() {
                        $crate::conformance::$module::$case(&$fresh).await;
                    }
                )+
            }
        )+
    };
}
