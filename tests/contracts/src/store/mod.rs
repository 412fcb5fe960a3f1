//! The contract of the store: every promise of its traits as a case of its own.
//!
//! A backend names a function that makes an empty store, and every case becomes a test:
//!
//! ```ignore
//! async fn empty_store() -> quaestor_contracts::store::EmptyStore { … }
//! quaestor_contracts::store_contract!(empty_store);
//! ```

pub mod access;
pub mod backups;
pub mod batches;
pub mod beginning;
pub mod chain;
pub mod checkpoints;
pub mod checks;
pub mod claims;
pub mod conversations;
pub mod dead;
pub mod documents;
pub mod exports;
pub mod fixture;
pub mod furnished;
pub mod generations;
pub mod ingest;
pub mod isolation;
pub mod money;
pub mod portable;
pub mod questions;
pub mod readings;
pub mod schedules;
pub mod search;
pub mod sweeps;
pub mod turns;
pub mod uploads;

pub use checks::Damage;
pub use fixture::{EmptyStore, Fixture, Harm, Leftovers};

/// Makes a test of every case. `$make` is an async function that returns an
/// [`EmptyStore`](crate::store::EmptyStore).
#[macro_export]
macro_rules! store_contract {
    ($make:ident) => {
        $crate::store_contract!(@empty $make, beginning:
            of_many_first_starts_at_once_one_makes_a_workspace_and_a_key,
            an_installation_with_a_key_is_not_given_another,
        );
        $crate::store_contract!(@cases $make, access:
            a_key_is_found_by_its_prefix_and_shown_without_its_secret,
            a_taken_prefix_is_a_conflict_and_leaves_nothing,
            a_revoked_key_stays_revoked_at_its_first_moment,
            keys_are_listed_oldest_first_in_pages,
            the_oldest_workspace_is_the_first,
            audit_entries_are_listed_newest_first_in_pages,
            a_collection_has_its_name_alone,
            a_collection_is_renamed_and_counted,
            the_store_answers_a_ping,
        );
        $crate::store_contract!(@cases $make, chain:
            old_entries_become_links_in_the_order_of_their_ids,
            several_that_seal_at_once_seal_each_entry_once,
            each_workspace_has_a_chain_of_its_own,
            an_entry_that_is_added_in_the_past_shows,
        );
        $crate::store_contract!(@cases $make, uploads:
            an_upload_makes_documents_jobs_and_messages,
            the_same_bytes_are_a_duplicate_within_the_collection_only,
            the_same_bytes_after_a_failure_are_a_new_version,
            the_same_name_with_new_bytes_is_a_new_version,
            files_of_one_request_count_for_each_other,
            an_upload_to_no_collection_leaves_nothing,
            an_idempotency_key_has_one_effect_and_keeps_the_answer,
            two_requests_under_one_key_at_once_have_one_effect,
            the_same_bytes_uploaded_at_once_are_one_document,
            keys_of_different_principals_never_meet,
        );
        $crate::store_contract!(@cases $make, batches:
            an_upload_is_a_batch_that_is_counted,
            files_of_several_uploads_are_one_batch,
            a_batch_is_closed_once,
            files_of_a_paused_batch_wait_and_go_on,
            a_large_batch_is_resumed_one_file_after_another,
            a_cancelled_batch_ends_every_unfinished_file,
            failed_and_dead_files_are_tried_again,
            what_became_of_a_batch_is_summed_up,
            batches_are_their_principals_and_listed_newest_first,
        );
        $crate::store_contract!(@cases $make, checkpoints:
            a_parse_goes_on_behind_what_is_stored,
            what_another_parser_has_stored_is_removed,
            a_parse_that_takes_long_goes_on_as_another_message,
        );
        $crate::store_contract!(@cases $make, documents:
            documents_are_listed_and_filtered_in_pages,
            a_document_has_its_pages_passages_and_files,
            the_keys_of_files_that_rows_name_are_known,
            a_deleted_document_leaves_nothing_and_fences_its_worker,
            a_deleted_collection_leaves_nothing_and_fences_its_workers,
            a_deletion_cancels_waiting_jobs,
        );
        $crate::store_contract!(@cases $make, ingest:
            a_version_becomes_searchable_when_it_is_finished,
            without_a_next_step_the_document_is_ready,
            a_new_version_replaces_the_one_before_in_one_step,
            a_version_overtaken_by_a_later_one_is_not_searched,
            a_restarted_ingestion_forgets_what_was_stored,
            a_failed_ingestion_leaves_the_former_version_searched,
            a_stale_claim_writes_nothing,
            a_claim_of_another_job_writes_nothing,
            a_collection_has_one_generation_of_one_model,
            vectors_are_stored_once_and_counted,
            a_vector_of_the_wrong_length_is_refused,
            a_failed_embedding_keeps_the_words_searchable,
        );
        $crate::store_contract!(@cases $make, generations:
            a_generation_is_built_beside_and_switched_to_in_one_step,
            a_collection_without_vectors_gets_its_first_by_reindexing,
            a_document_that_was_left_out_is_looked_for_again,
            a_second_reindexing_waits_for_the_first,
            the_former_generation_is_gone_back_to_at_once,
            a_reindexing_is_paused_and_goes_on,
            progress_makes_the_tries_of_a_step_count_anew,
            a_reindexing_is_sized_by_what_is_searched,
            a_reindexing_is_accepted_once_under_its_key,
            another_workspace_sees_no_generation,
            a_deleted_collection_ends_its_reindexing,
            what_was_embedded_once_is_found_again_by_its_text,
            a_replaced_version_gets_no_vectors,
        );
        $crate::store_contract!(@cases $make, readings:
            a_version_is_read_again_beside_and_changes_over_in_one_step,
            a_reading_that_is_the_same_changes_nothing,
            a_version_that_cannot_be_read_again_keeps_its_reading,
            a_reading_that_a_later_version_overtakes_is_not_searched,
            passages_are_cut_anew_beside_and_switched_to_in_one_step,
            a_document_that_comes_while_passages_are_cut_is_read_for_both,
            what_stood_in_for_a_reading_leaves_its_generation,
            what_is_checked_is_the_reading_that_is_searched,
            a_file_that_was_cut_for_what_is_no_longer_searched_is_read_anew,
            what_was_cut_in_vain_is_removed_and_what_was_searched_stays,
            another_workspace_reads_nothing_again,
        );
        $crate::store_contract!(@cases $make, search:
            words_find_the_chunks_that_hold_them_best_first,
            a_rare_word_weighs_more_than_a_common_one,
            terms_are_matched_exactly_as_they_were_given,
            an_empty_scope_finds_nothing,
            filters_narrow_what_is_found,
            a_narrow_scope_still_gives_as_many_as_were_asked_for,
            terms_are_counted_over_current_versions,
            several_searches_at_once_find_what_each_finds_alone,
            scores_are_bm25_over_all_terms,
            equal_scores_come_in_the_order_of_ids,
            a_term_of_any_length_is_found,
            what_is_no_longer_current_is_not_counted,
            vectors_are_found_nearest_first,
            several_generations_are_searched_as_one,
            what_stands_in_collections_is_told_by_a_text_of_its_own,
            only_the_asked_generations_are_searched,
            passages_come_in_the_order_asked_for,
            generations_are_those_of_the_collections,
        );
        $crate::store_contract!(@cases $make, conversations:
            conversations_are_private_and_listed_newest_first,
            a_conversation_over_an_unknown_collection_is_refused,
            the_first_question_gives_the_title,
            messages_are_listed_oldest_first_in_pages,
            a_deleted_conversation_cancels_its_jobs,
        );
        $crate::store_contract!(@cases $make, questions:
            a_question_makes_a_pending_answer_and_a_message,
            a_conversation_tells_its_unfinished_jobs,
            a_question_in_no_conversation_leaves_nothing,
            a_question_is_accepted_once_under_its_key,
            questions_under_one_key_at_once_have_one_effect,
            a_text_with_a_nul_keeps_its_length,
            the_context_has_the_finished_turns_before_it,
            deleted_collections_are_left_out_of_the_context,
            what_was_retrieved_is_read_back_without_deleted_documents,
            an_answer_is_stored_with_its_job,
            an_unfinished_answer_keeps_what_was_written,
            a_second_judgement_replaces_the_first,
            the_answer_of_a_job_is_its_principals,
        );
        $crate::store_contract!(@cases $make, claims:
            a_claim_holds_until_its_lease_ends,
            a_message_of_a_past_step_is_stale,
            an_ended_job_says_how_it_ended,
            every_claim_raises_the_attempt_and_a_next_step_counts_anew,
            a_kept_step_needs_no_message,
            a_kept_step_is_told_of_a_wish_to_cancel,
            a_heartbeat_extends_a_held_claim_alone,
            a_job_put_off_waits_with_its_reason,
            a_step_handed_back_is_due_at_once,
            a_step_handed_back_often_is_not_given_up,
            a_settled_claim_is_fenced,
            a_failed_job_ends_with_its_document,
            a_cancelled_job_ends_with_its_answer,
            a_job_that_nobody_holds_is_cancelled_at_once,
            a_job_that_is_held_is_asked_to_stop,
            a_cancel_wish_is_met_at_the_next_claim,
            jobs_are_listed_and_filtered_newest_first,
            a_job_without_subject_is_done,
            of_many_claims_at_once_one_is_granted,
        );
        $crate::store_contract!(@cases $make, sweeps:
            messages_are_due_until_they_are_sent,
            a_message_that_was_taken_is_not_given_twice,
            a_promised_message_is_held_back,
            questions_are_taken_before_documents,
            unfinished_work_is_counted_by_workspaces,
            messages_that_a_queue_lost_are_due_again,
            a_later_message_is_not_due_yet,
            after_a_restart_every_unfinished_job_is_due,
            an_expired_lease_is_requeued,
            overdue_jobs_fail_with_their_subjects,
            running_jobs_are_not_overdue,
            old_idempotency_keys_are_forgotten,
            messages_of_jobs_that_have_ended_are_forgotten,
            a_call_that_is_dropped_midway_leaves_all_or_nothing,
        );
        $crate::store_contract!(@cases $make, money:
            an_answer_is_stored_with_every_request_it_took,
            every_way_to_end_a_claim_writes_its_requests,
            vectors_are_stored_with_the_requests_that_made_them,
            requests_of_a_stale_claim_or_of_no_job_are_written_alone,
            a_request_whose_process_died_is_accounted_once,
            what_is_spent_is_added_up_by_days_and_principals,
            a_budget_is_set_changed_and_removed,
            usage_is_told_by_day_model_and_principal,
        );
        $crate::store_contract!(@cases $make, turns:
            a_step_that_nobody_has_claimed_is_put_off_and_brought_forward,
            turns_are_called_of_each_workspace_in_turn,
            a_step_put_off_untried_is_not_given_up,
            what_is_claimed_or_ended_is_not_put_off,
        );
        $crate::store_contract!(@cases $make, dead:
            a_job_that_waits_keeps_its_last_error,
            what_an_earlier_step_ran_into_is_not_shown,
            a_dead_job_has_a_letter_with_what_it_ran_into,
            letters_are_listed_filtered_and_grouped,
            a_replayed_question_is_asked_again_and_can_be_answered,
            a_question_that_dies_while_it_is_answered_goes_on_there,
            a_replayed_document_begins_where_its_passages_are,
            a_replay_of_what_is_not_dead_does_nothing,
            what_was_deleted_is_not_replayed,
            many_replays_begin_one_after_another,
            a_missing_job_undoes_a_replay,
            a_replay_under_a_key_has_one_effect,
            of_many_replays_at_once_one_has_effect,
            a_discarded_letter_is_gone_and_its_job_has_failed,
            a_message_is_kept_where_it_belongs,
            no_more_messages_are_kept_than_may_be,
            the_front_of_a_queue_is_told_in_its_order,
            what_stands_still_is_counted,
            what_the_queues_have_is_counted,
            another_workspaces_letters_are_as_missing,
        );
        $crate::store_contract!(@cases $make, portable:
            what_is_read_is_written_back_the_same,
            pages_are_bounded_by_records_and_by_bytes,
            a_record_that_is_there_is_refused_and_nothing_is_written,
            a_record_that_names_nothing_or_is_of_another_kind_is_refused,
            the_standing_is_kept_until_it_changes,
            workspaces_are_listed_in_the_order_they_were_made,
            a_snapshot_stays_as_it_was,
        );
        $crate::store_contract!(@cases $make, backups:
            of_many_who_want_a_slot_one_is_given_it,
            a_backup_whose_maker_died_is_taken_over,
            a_backup_that_failed_is_tried_again_a_few_times,
            backups_by_hand_do_not_stand_in_each_others_way,
        );
        $crate::store_contract!(@cases $make, schedules:
            of_many_that_take_a_moment_one_makes_its_run,
            a_moment_whose_run_before_has_not_ended_is_skipped,
            what_an_operator_has_changed_stays,
            what_is_paused_or_switched_off_is_not_taken,
            a_run_whose_worker_died_goes_on_where_it_was,
            a_run_that_is_put_off_waits_and_may_fail,
            of_many_that_ask_for_a_run_one_is_given_it,
        );
        $crate::store_contract!(@cases $make, checks:
            what_agrees_is_told_as_it_is,
            a_version_that_is_replaced_is_not_searched,
            postings_that_are_gone_show,
            a_vector_that_is_gone_shows_and_can_be_made,
            an_index_of_vectors_that_is_gone_shows,
            vectors_of_another_length_show,
            a_passage_that_is_gone_shows_and_so_does_its_vector,
            a_passage_of_no_version_shows,
        );
        $crate::store_contract!(@cases $make, exports:
            an_export_is_its_askers_and_stands_as_its_job_does,
            an_export_under_a_key_is_accepted_once,
            what_is_not_there_or_holds_nothing_is_not_exported,
            a_stale_claim_names_no_file,
            what_is_exported_is_read_as_it_was,
            files_of_old_exports_are_taken_away_once,
            templates_have_versions_and_an_export_keeps_its_own,
            another_workspaces_exports_are_as_missing,
        );
        $crate::store_contract!(@cases $make, isolation:
            another_workspaces_ids_are_as_missing,
            another_workspaces_claims_write_nothing,
            another_workspaces_chunks_are_never_found,
            another_workspaces_rows_do_not_weigh,
        );
    };
    (@empty $make:ident, $module:ident: $($case:ident),+ $(,)?) => {
        mod $module {
            $(
                #[tokio::test]
                async fn $case() {
                    $crate::store::$module::$case(super::$make().await).await;
                }
            )+
        }
    };
    (@cases $make:ident, $module:ident: $($case:ident),+ $(,)?) => {
        mod $module {
            $(
                #[tokio::test]
                async fn $case() {
                    let fixture = $crate::store::Fixture::over(super::$make().await).await;
                    $crate::store::$module::$case(fixture).await;
                }
            )+
        }
    };
}
