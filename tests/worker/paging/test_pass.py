"""A whole counted pass through both libraries: canary, chill, steps, file, verdict."""

from __future__ import annotations

import pytest

MIB = 1 << 20


@pytest.mark.parametrize("bytes_of_a_record", [64, 104])
def test_a_pass_counts_what_was_sent(play, stub_cupti, stub_cuda, bytes_of_a_record):
    """State of 11.5 MiB sent away by halves and whole: every byte comes back to its tensor."""
    found = play("whole_pass", stub_cupti, stub_cuda, STUB_RECORD_BYTES=bytes_of_a_record)

    assert (found["level"], found["reasons"], found["absent"]) == ("counted", [], {})
    assert found["sent"] == {"1": 0, "2": 6 * MIB, "3": 23 * MIB // 2, "4": 0}
    assert found["series"]["uvm.htod_bytes"] == [23 * MIB // 2, 0, 6 * MIB, 23 * MIB // 2, 0]
    assert found["series"]["uvm.fault_groups"] == [0, 0, 9, 9, 0]
    assert found["values"]["counters_valid"] == 1
    assert found["owners"] == {"state0 htod": 12 * MIB, "state1 htod": 5 * MIB, "state2 htod": MIB // 2}
    assert (found["outside_dtoh"], found["outside_htod"]) == (35 * MIB // 2, 0)
    assert found["phases"] == 11
    assert found["still_allocated"] == 3  # the state; the canary is gone


def test_an_old_driver_pages_as_well(play, stub_cupti, old_stub_cuda):
    """The same through the older prefetch."""
    assert play("whole_pass", stub_cupti, old_stub_cuda)["level"] == "counted"


@pytest.mark.parametrize(
    ("environment", "level", "reason"),
    [
        ({"STUB_LATE": 1}, "not measured", "attached too late"),
        ({"STUB_STEP_AFTER": 9, "STUB_STEP_NS": 5_000_000}, "not measured", "clock stepped by 5.0 ms"),
        ({"STUB_STEP_AFTER": 9, "STUB_STEP_NS": -5_000_000}, "not measured", "clock stepped by 5.0 ms"),
        ({"STUB_PARSER_BYTES": 64}, "not measured", "code 21"),
        ({"STUB_LOSE": 9}, "lower bound", "records were lost"),
        ({"STUB_DROPPED": 4}, "lower bound", "4 records dropped"),
        ({"STUB_FOREIGN": 1}, "lower bound", "never asked for"),
        ({"STUB_API": 130500}, "counted", "130500"),
    ],
)
def test_a_disturbed_pass_is_not_believed(play, stub_cupti, stub_cuda, environment, level, reason):
    """Late attach, a clock that was set, an unknown layout, silent losses, drops: the verdict says which."""
    found = play("whole_pass", stub_cupti, stub_cuda, **environment)

    assert found["level"] == level
    assert any(reason in one for one in found["reasons"])
    assert found["values"]["counters_valid"] == (level == "counted")
    assert bool(found["absent"]) == (level == "not measured")
