"""The counters at the ABI: a libcupti made for the test calls back from its own thread and refuses as CUPTI does."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys

import pytest

from bench.worker.paging.cupti import REFUSALS, CountersUnavailableError, mapped, open_mapped
from tests.worker.paging.conftest import ROOT, run_scene

CALLS = ("cuptiGetVersion", "cuptiSubscribe", "cuptiActivityRegisterCallbacks", "cuptiGetTimestamp",
         "cuptiActivityConfigureUnifiedMemoryCounter", "cuptiActivityEnable")  # fmt: skip


@pytest.mark.parametrize(("bytes_of_a_record", "buffers"), [(64, 2), (104, 3)])
def test_records_of_both_sizes_arrive_whole(play, stub_cupti, bytes_of_a_record, buffers):
    """100 records in buffers of 4 KiB, every field as it was sent, nothing lost and nothing left on."""
    found = play("deliver", stub_cupti, STUB_RECORD_BYTES=bytes_of_a_record)

    assert found == {
        "arrived": 100, "same": True, "buffers": buffers, "losses": [0, 0, 0, 0], "faults": [], "still_on": 0,
    }  # fmt: skip


def test_a_buffer_is_lent_to_one_at_a_time(play, stub_cupti):
    """Thousands of records through many buffers, two of them out at once: none is written over before it is read."""
    found = play("deliver", stub_cupti, RECORDS=3000, DELIVER_EARLY=1)

    assert (found["arrived"], found["same"], found["losses"]) == (3000, True, [0, 0, 0, 0])


def test_buffers_come_back_while_a_step_runs(play, stub_cupti):
    """What CUPTI delivers before the end, from its own thread, counts as what it delivers at the end."""
    found = play("deliver", stub_cupti, DELIVER_EARLY=1)

    assert (found["arrived"], found["same"]) == (100, True)


@pytest.mark.parametrize(
    ("call", "code"), [*(("cuptiActivityEnable", code) for code in REFUSALS), *((call, 35) for call in CALLS[:-1])]
)
def test_a_refusal_is_a_reason(play, stub_cupti, call, code):
    """Every code from one call and one code from every call: what it means, what to do, and nothing left on."""
    found = play("start", stub_cupti, STUB_FAIL=f"{call}={code}")

    assert found["code"] == code
    assert found["why"] == f"{call} answered {code}: {REFUSALS[code]}."
    assert found["still_on"] == 0


def test_an_unknown_refusal_is_not_hidden(play, stub_cupti):
    """A code nobody has met yet is said as it is."""
    found = play("start", stub_cupti, STUB_FAIL="cuptiActivityEnable=999")

    assert (found["code"], "answered 999" in found["why"]) == (999, True)


def test_a_second_client_is_refused_and_the_first_left_alone(play, stub_cupti):
    """Another profiler was there: it stays, and we say so."""
    found = play("start", stub_cupti, STUB_OTHER_CLIENT=1)

    assert (found["code"], found["still_on"]) == (39, 1)
    assert "another profiler" in found["why"]


def test_a_session_ends_as_it_began(play, stub_cupti):
    """Client and counters are on in between, with seven kinds configured, and off afterwards."""
    found = play("start", stub_cupti)

    assert found == {"while_on": 3, "still_on": 0, "configured": 7, "faults": []}


@pytest.mark.parametrize("call", ["cuptiActivityFlushAll", "cuptiActivityDisable", "cuptiUnsubscribe"])
def test_trouble_at_the_end_is_a_fault_of_the_capture(play, stub_cupti, call):
    """Stopping never raises; what CUPTI refused is in the capture."""
    found = play("start", stub_cupti, STUB_FAIL=f"{call}=15")

    assert found["faults"]
    assert all(sentence.startswith(f"{call} answered 15") for sentence in found["faults"])


@pytest.mark.parametrize(
    ("environment", "losses", "arrived"),
    [
        ({"STUB_DROPPED": 5}, [5, 0, 0, 0], 100),
        ({"STUB_FAIL": "cuptiActivityGetNumDroppedRecords=15"}, [None, 0, 0, 0], 100),
        ({"STUB_FOREIGN": 1}, [0, 1, 0, 0], 100),
        ({"STUB_OVERSTATE": 1}, [0, 3, 0, 0], 0),
        ({"STUB_KEEP": 1}, [0, 0, 3, 0], 0),
        ({"MOST_BYTES": 9000}, [0, 0, 0, 100 * 104 - 2 * 39 * 104], 78),
    ],
)
def test_losses_are_known(play, stub_cupti, environment, losses, arrived):
    """Dropped records, buffers never asked for, too long, or kept, what is over the limit: none crashes."""
    found = play("deliver", stub_cupti, **environment)

    assert (found["losses"], found["arrived"], found["faults"]) == (losses, arrived, [])


def test_an_unknown_layout_is_a_fault(play, stub_cupti):
    """Where CUPTI's parser stops within its own buffer, none of its records is believed."""
    found = play("deliver", stub_cupti, STUB_RECORD_BYTES=104, STUB_PARSER_BYTES=64)

    assert found["arrived"] == 0
    assert len(found["faults"]) == found["buffers"] == 3
    assert "code 21 after 1 records" in found["faults"][0]


def test_no_buffer_is_lent_after_the_end(play, stub_cupti):
    """CUPTI keeps our callbacks for the process; after a session they decline."""
    assert play("late_request", stub_cupti) == {"arrived": 1, "dropped": 1}


def test_a_deadlock_ends_the_process_and_says_where(stub_cupti):
    """A thread keeps the GIL while CUPTI waits for our callback: nothing in Python can run, yet the process ends."""
    done = run_scene("deadlock", stub_cupti)

    assert done.returncode == 1
    assert done.stderr.startswith("Timeout (0:00:01")
    assert re.search(r"scenes\.py.*in deadlock", done.stderr)


@pytest.mark.parametrize("environment", [{}, {"STUB_FAIL": "cuptiGetTimestamp=15"}])
def test_the_watchdog_goes_with_its_session(play, stub_cupti, environment):
    """A process that outlives the deadline after a session, or after a refused one, is left alone."""
    assert play("quiet_watchdog", stub_cupti, **environment) == "alive"


def test_two_copies_are_refused(play, compile_stub):
    """Two libraries called libcupti in one process do not see each other's clients."""
    first, second = (compile_stub("libcupti", name) for name in ("libcupti.so.12", "libcupti.so.13"))

    assert "2 copies of libcupti" in play("two_copies", first, second)


def test_one_copy_under_two_names_is_one(play, stub_cupti, tmp_path):
    """A link to the library is the library."""
    link = tmp_path / "libcupti.so"
    link.symlink_to(stub_cupti)

    assert play("two_copies", stub_cupti, link) is None


def test_two_equal_files_are_two_copies(play, stub_cupti, tmp_path):
    """Equal bytes in another file are another CUPTI."""
    copy = shutil.copy(stub_cupti, tmp_path / "libcupti.so.13")

    assert "2 copies" in play("two_copies", stub_cupti, copy)


def test_where_there_is_none_it_says_so(tmp_path):
    """No libcupti in the process, or no list of what is mapped: a reason, and no other library is loaded instead."""
    for maps in (tmp_path / "absent", tmp_path / "maps"):
        (tmp_path / "maps").write_text(
            "7f00-7f01 r-xp 00000000 08:01 77 /usr/lib/libcuptix.so\n7f02-7f03 rw-p 0 0:0 0\n"
        )
        assert mapped(maps) == []
        with pytest.raises(CountersUnavailableError, match="no libcupti"):
            open_mapped(maps)


def test_a_file_is_known_by_its_inode(tmp_path):
    """One file under two paths, one of them with a space, is one; another file under the same path is another."""
    lines = ("08:01 77 /a b/libcupti.so.13", "08:01 77 /c/libcupti.so", "08:02 77 /a b/libcupti.so.13")
    (tmp_path / "maps").write_text("".join(f"7f00-7f01 r-xp 00000000 {line}\n" for line in lines))

    assert mapped(tmp_path / "maps") == ["/a b/libcupti.so.13", "/a b/libcupti.so.13"]


def test_a_library_is_never_loaded(stub_cupti, tmp_path):
    """Only what the process already uses is bound: a library that is merely there stays where it is."""
    maps = tmp_path / "maps"
    maps.write_text(f"7f00-7f01 r-xp 00000000 08:01 77 {stub_cupti}\n")
    code = f"""
from pathlib import Path
from bench.worker.paging.cupti import CountersUnavailableError, mapped, open_mapped
try:
    open_mapped(Path({str(maps)!r}))
except CountersUnavailableError as refusal:
    print(refusal)
print(mapped())
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)

    refusal, loaded = done.stdout.splitlines()
    assert "cannot be used" in refusal
    assert loaded == "[]"
