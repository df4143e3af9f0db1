# SPDX-License-Identifier: MIT
"""vhost-user in front, vhost-net behind: what the tests of the vhost-user port claim of it holds
as well when the kernel carries the frames. (Packed rings and in-order are not offered then.)"""

import pytest

from test_vhost_user import (  # noqa: F401  (collected here once more)
    big, lab, quiet, test_a_disabled_pair_discards_what_is_sent_and_keeps_what_it_gets,
    test_a_disabled_pair_gets_nothing_and_the_other_everything,
    test_a_frame_that_no_buffer_holds_is_dropped_and_the_next_one_comes,
    test_a_guest_that_posts_one_buffer_at_a_time_gets_all, test_a_ring_that_was_stopped_goes_on_where_it_was,
    test_a_stopped_ring_is_left_alone, test_a_table_without_memory_slots,
    test_after_a_reset_what_is_in_the_rings_waits_until_they_are_enabled, test_announce_reaches_the_network,
    test_buffers_may_be_in_memory_that_came_later, test_configuration_space,
    test_descriptors_for_kick_and_call_may_be_missing, test_frames_of_any_length_spread_over_buffers,
    test_frames_pass_whole_and_in_order, test_front_end_without_protocol_features,
    test_guest_leaves_a_checksum_to_the_host, test_guest_leaves_segmentation_to_the_host,
    test_guest_takes_segments_uncut, test_guest_without_offloads_gets_finished_segments,
    test_header_and_frame_are_cut_anywhere, test_killed_in_full_traffic_it_goes_on_with_what_was_in_flight,
    test_large_frames_wait_for_enough_buffers, test_largest_ring, test_legacy_header_and_rings,
    test_lengths_of_a_single_frame, test_many_regions_with_buffers_across,
    test_memory_is_plugged_and_unplugged_while_frames_flow, test_nothing_is_lost_while_the_guest_has_no_buffers,
    test_only_what_is_written_is_in_the_dirty_log, test_the_back_end_is_restarted_under_a_front_end,
    test_thousands_of_frames_through_a_ring_of_any_size, test_two_queue_pairs,
    test_what_is_written_to_the_guest_is_in_the_dirty_log)
from vulab import Lab


@pytest.fixture(autouse=True)
def by_the_kernel(monkeypatch):
    monkeypatch.setattr(Lab, "every_tap", ",vhost=on")
    # Linux before 6.14 leaves the number of buffers 0 where buffers are not mergeable
    monkeypatch.setattr(Lab, "every_front", {"uncounted": 1})
