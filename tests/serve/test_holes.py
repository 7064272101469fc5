"""The ways in which one client, one disk or one signal took the server from everybody, and the tests that keep each closed.

A maintainer who changes a test named here keeps what it proves, or names another one that does.
"""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

TESTS = Path(__file__).parents[1]
HOLES = {
    1: (
        "a feature of a wrong type was found by asking the model once for each, on the event loop",
        "serve/test_reading.py test_a_wrong_feature_among_many_costs_no_more_than_right_ones",
        "serve/test_reading.py test_all_wrong_features_are_named_up_to_a_bound",
        "serve/test_reading.py test_long_bodies_are_read_in_a_thread",
    ),
    2: (
        "a bad cell of an upsert embedded all rows again and copied the index, once for each cell",
        "serve/test_misfits.py test_one_bad_cell_among_many_embeds_nothing_and_copies_nothing",
        "serve/test_misfits.py test_a_batch_with_a_bad_row_changes_nothing_of_it_and_spoils_no_other",
        "recommender/test_cells.py test_one_misfit_costs_three_looks_at_all_values",
    ),
    3: (
        "large honest requests starved small ones: one lane, one pace",
        "serve/test_batching.py test_four_clients_with_long_requests_refuse_no_single_one",
        "serve/test_batching.py test_single_requests_wait_for_one_piece_of_a_long_one",
        "serve/test_batching.py test_a_kind_has_a_pace_of_its_own",
        "serve/test_turns.py test_while_small_work_waits_long_work_has_a_quarter_of_its_time",
        "serve/test_turns.py test_small_work_waits_for_one_slice_of_a_long_turn",
        "serve/test_turns.py test_other_threads_wait_for_small_work",
        "serve/test_batching.py test_no_turn_is_spent_on_what_folding_in_needs_first",
        "serve/test_app.py test_few_requests_with_long_bodies_wait",
        "serve/test_http.py test_a_compressed_body_of_nothing_is_read_in_steps",
        "serve/test_lookups.py test_many_look_ups_take_few_places_of_others",
        "serve/test_lookups.py test_columns_are_not_looked_through_on_the_event_loop",
        "serve/test_protocol.py test_bodies_that_arrive_behind_their_heads_have_their_turns_in_the_queue",
        "serve/test_log_lines.py test_lines_are_those_of_one_call_and_few_entries_are_encoded_between_two_pauses",
        "serve/test_freeing.py test_what_frees_is_behind_while_more_is_given_than_was_freed",
    ),
    4: (
        "columns of a reply had no bound, could be repeated, and were written on the event loop",
        "serve/test_answers.py test_columns_have_a_bound_and_come_once",
        "serve/test_answers.py test_long_replies_are_not_written_on_the_event_loop",
        "serve/test_reply_parts.py test_every_reply_has_the_bound",
    ),
    5: (
        "replies that nobody reads stayed in memory for good, and held up SIGTERM",
        "serve/test_unsent.py test_sixty_replies_that_nobody_reads_are_one_in_memory",
        "serve/test_unsent.py test_a_reader_that_takes_nothing_is_cut_off_and_one_that_takes_a_little_is_not",
        "serve/test_unsent.py test_a_server_that_stops_waits_for_no_reader_that_is_slow",
        "serve/test_protocol.py test_nothing_is_answered_or_read_while_a_reply_is_unread",
        "serve/test_protocol.py test_who_reads_nothing_is_cut_off_and_counted",
    ),
    6: (
        "header lines, addresses and trailers had no bound before the key",
        "serve/test_parsing.py test_no_part_of_a_head_grows_without_a_bound",
        "serve/test_parsing.py test_a_head_that_is_too_long_is_told_so_in_one_reply",
        "serve/test_parsing.py test_trailers_are_no_headers",
        "serve/test_received.py test_forty_bodies_that_never_end",
        "serve/test_received.py test_what_is_answered_takes_no_room",
        "serve/test_received.py test_slow_senders_take_no_place_of_others",
    ),
    7: (
        "conditions: texts added to texts, many ilike, and a filter that held up everybody",
        "serve/test_filtering.py test_texts_are_not_added",
        "serve/test_filtering.py test_a_condition_that_costs_too_much_is_refused_before_it_is_computed",
        "serve/test_filtering.py test_a_condition_is_computed_in_turns_of_its_own_lane_and_once",
        "recommender/test_conditions.py test_what_a_condition_costs_is_known_before_it_is_computed",
        "recommender/test_conditions.py test_large_answers_are_not_all_remembered",
    ),
    8: (
        "an error at the wrong moment left answers hanging for good, while /readyz was green",
        "serve/test_batching.py test_whatever_an_answer_raises_ends_one_request_and_no_turn",
        "serve/test_turns.py test_work_that_cannot_be_begun_or_handed_over_takes_no_turn",
        "serve/test_writer.py test_whatever_goes_wrong_a_change_is_answered_and_the_next_is_made",
        "serve/test_app.py test_ready_means_that_requests_are_answered_and_none_waits_for_good",
    ),
    9: (
        "the log removed, rotated or truncated under the server lost acknowledged deletions; a second server could start",
        "serve/test_journal.py test_a_log_that_is_taken_away_is_noticed_and_put_back",
        "serve/test_journal.py test_no_second_server_starts_where_the_file_of_the_first_is_gone",
        "serve/test_journal.py test_who_lost_its_folder_to_another_server_writes_nothing",
        "serve/test_writer.py test_what_was_acknowledged_outlives_a_log_that_is_taken_away",
    ),
    10: (
        "expiries were looked through for each record, and the log was shortened at the start alone",
        "serve/test_writer.py test_expiries_are_not_looked_through_for_each_record",
        "serve/test_writer.py test_the_log_is_shortened_while_the_server_runs",
        "serve/test_changes.py test_a_shortened_log_says_the_same",
        "serve/test_replay.py test_it_is_the_same_as_one_by_one",
    ),
    11: (
        "a standard error that cannot be written ended the sweep of slow senders",
        "serve/test_protocol.py test_a_log_that_cannot_be_written_ends_no_sweep",
        "serve/test_server.py test_one_look_that_fails_ends_no_sweep",
        "serve/test_logs.py test_lines_that_cannot_be_written_are_counted_in_the_next_that_can",
        "serve/test_logs.py test_a_reader_that_is_behind_holds_up_nobody_and_loses_nothing",
    ),
    12: (
        "empty lines kept a connection for good, and idle ones took all files",
        "serve/test_protocol.py test_empty_lines_do_not_keep_an_idle_connection",
        "serve/test_connection_limit.py test_idle_connections_do_not_block_others",
        "serve/test_connection_limit.py test_the_limit_is_raised_to_what_the_system_allows",
    ),
    13: (
        "ids that can be upserted and never deleted; a text to search for without a bound",
        "serve/test_change_schema.py test_what_does_not_fit_is_refused",
        "serve/test_change_schema.py test_the_ends_of_the_bounds_fit",
        "serve/test_lookups.py test_a_text_to_search_for_has_a_bound",
    ),
    14: (
        "SIGTERM refused and reset clients, SIGHUP dropped what was in flight",
        "serve/test_server.py test_sigterm_finishes_what_is_under_way",
        "serve/test_server.py test_a_server_that_drains_answers_until_it_closes",
        "serve/test_server.py test_a_hangup_ends_nothing_and_looks_again",
        "serve/test_accepting.py test_at_the_end_all_that_wait_are_taken",
        "serve/processes/test_supervisor.py test_whoever_has_connected_before_the_end_is_answered",
    ),
    15: (
        "DNS rebinding read a server on loopback, and a variable without a key in it opened a server",
        "serve/test_app.py test_a_page_under_another_name_is_refused",
        "cli/test_serve.py test_a_variable_without_a_key_in_it_does_not_open_the_server",
        "cli/test_serve.py test_a_server_for_all_without_keys_says_so",
    ),
    16: (
        "a bundle of other data was put in place",
        "serve/test_swap.py test_a_bundle_of_other_data_is_known_by_its_ids",
        "serve/test_swap.py test_a_bundle_of_other_data_is_refused_unless_it_is_wanted",
        "serve/processes/test_supervisor.py test_a_bundle_of_other_data_is_refused_unless_it_is_wanted",
    ),
    17: (
        "a new bundle was not warmed with histories and mixed features",
        "serve/test_swap.py test_a_new_bundle_is_warmed_by_every_group_of_the_last_requests",
    ),
    18: (
        "changes counted before they were on the disk, failures in no metric, wrong statuses, numbers that are none, clocks",
        "serve/test_writer.py test_only_what_is_on_the_disk_is_counted",
        "serve/test_writer.py test_a_full_disk_refuses_the_change",
        "serve/test_app.py test_a_reading_key_may_not_write",
        "serve/test_parsing.py test_one_host_and_one_that_the_server_is",
        "cli/test_serve.py test_every_number_is_finite_and_not_below_zero",
        "serve/test_protocol.py test_who_has_sent_all_still_gets_its_replies",
        "serve/test_writer.py test_a_clock_set_back_brings_no_candidate_back",
    ),
    19: (
        "the page rounded long ids, and its map was empty without a column to colour it by",
        "serve/test_page.py test_long_integers_are_the_ids_they_are",
        "serve/test_page.py test_json_is_read_and_written_without_loss",
        "serve/test_lookups.py test_map_of_a_catalogue_without_columns",
    ),
    20: (
        "clients of TensorFlow Serving that name their input, a version or a label were refused",
        "serve/test_predict.py test_rows",
        "serve/test_predict.py test_columns",
        "serve/test_predict.py test_state_and_metadata",
        "serve/test_predict.py test_a_wrong_name_is_told_the_right_one",
        "serve/test_predict.py test_another_model_is_told_the_one_there_is",
    ),
    21: (
        "equal vectors made exact search several times slower",
        "index/test_equal_vectors.py test_a_search_looks_at_a_few_of_each_group",
        "index/test_equal_vectors.py test_lists_are_those_of_sorting_everything",
    ),
    22: (
        "the clock of latencies began after the queue, so that no alert could fire",
        "serve/test_parsing.py test_the_time_of_a_request_begins_with_its_last_byte",
        "serve/test_parsing.py test_the_time_that_a_sender_takes_is_in_no_figure",
        "serve/test_deploy.py test_promtool_accepts_the_rules_and_they_fire_where_they_shall",
    ),
    23: (
        "a pause of the process was taken for a slow pace, and refused requests",
        "serve/test_admission.py test_a_pause_of_the_process_refuses_nobody",
        "serve/test_clock.py test_what_passes_is_the_lesser_of_both_clocks",
        "serve/test_clock.py test_short_work_is_timed_with_few_looks_at_the_processor_time",
    ),
    24: (
        "series appeared above zero, probes were in the latencies, process figures were missing",
        "serve/test_metrics.py test_what_an_alert_needs_is_there_before_it_happens",
        "serve/test_metrics.py test_probes_are_in_no_latency",
        "serve/processes/test_figures.py test_one_process_reads_as_its_registry_does",
    ),
    25: (
        "clients in JavaScript rounded long ids and recorded another person's choice",
        "serve/test_string_ids.py test_every_route_gives_and_takes_strings",
        "serve/test_string_ids.py test_ids_that_a_double_cannot_hold_are_noticed",
        "serve/processes/test_supervisor.py test_long_ids_are_warned_of_at_the_start",
    ),
    26: (
        "a ScaNN bundle did not start without a temporary folder, and the bundle was blamed",
        "index/test_scann.py test_without_a_temporary_folder_it_is_read_or_the_error_names_the_folder",
    ),
    27: (
        "clients made from the OpenAPI document had wrong types; the caller's X-Request-Id was ignored",
        "serve/test_openapi.py test_what_clients_are_made_from_is_typed_and_the_same_for_every_bundle",
        "serve/test_openapi.py test_every_route_answers_as_the_document_says",
        "serve/test_generated_clients.py test_a_client_in_python_calls_every_route",
        "serve/test_generated_clients.py test_a_client_in_typescript_calls_every_route",
        "serve/test_app.py test_the_callers_request_id_and_trace_come_back",
    ),
}
"""By number: what was seen, and each file with the test that fails if it comes back."""


@cache
def names_of(file: str) -> frozenset[str]:
    """The names of a file's tests."""
    tree = ast.parse((TESTS / file).read_text(encoding="utf-8"))
    return frozenset(one.name for one in tree.body if isinstance(one, ast.FunctionDef) and one.name.startswith("test_"))


def test_every_hole_has_its_tests() -> None:
    assert list(HOLES) == list(range(1, 28))
    named = [one.split() for _, *tests in HOLES.values() for one in tests]
    lacking = [f"{file} {name}" for file, name in named if name not in names_of(file)]
    assert not lacking, "name the tests that took their place"
    assert all(tests for _, *tests in HOLES.values())
