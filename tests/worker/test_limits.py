"""A limited run runs out of memory for real, as an error that the device recognises."""

from __future__ import annotations

import json
import mmap
import subprocess
import sys

import pytest

from bench.errors import BadValueError, UnsupportedError
from bench.worker.limits import held_bytes, limit_memory

GROWING_CHILD = """
import json, sys, torch
from bench.worker.devices.cpu import Cpu
from bench.worker.limits import held_bytes, limit_memory
room, asked = int(sys.argv[1]), int(sys.argv[2])
limit_memory(held_bytes() + room)
try:
    block = torch.ones(asked, dtype=torch.uint8)
    print(json.dumps([int(block[-1]), None]))
except Exception as error:
    shortage = Cpu().shortage(error)
    print(json.dumps([None, shortage and shortage.bytes_requested]))
"""

MIB = 2**20
linux = pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_DATA covers mappings on Linux only")


@linux
@pytest.mark.parametrize(("asked", "expected"), [(300 * MIB, [None, 300 * MIB]), (100 * MIB, [1, None])])
def test_a_tensor_beyond_the_limit_is_a_shortage_and_one_within_it_is_not(asked, expected):
    """With 200 MiB to go, 300 MiB are refused and the device knows how much was asked; 100 MiB are given."""
    command = [sys.executable, "-c", GROWING_CHILD, str(200 * MIB), str(asked)]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    assert json.loads(said.stdout) == expected


@linux
def test_a_limit_below_what_is_held_names_both(tmp_path):
    """The run would die somewhere in a library; instead one line gives both figures, before anything is limited."""
    status = tmp_path / "status"
    status.write_text("Name:\tpython\nVmData:\t  1000 kB\nVmStk:\t 132 kB\n")
    with pytest.raises(BadValueError, match="memory_limit=1024000 bytes is below the 1024000 bytes"):
        limit_memory(1000 * 1024, status)


@linux
def test_what_is_held_grows_with_what_is_allocated():
    """Private memory counts when it is mapped, before it is touched."""
    before = held_bytes()
    block = mmap.mmap(-1, 64 * MIB, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    assert held_bytes() - before == pytest.approx(64 * MIB, abs=MIB)
    block.close()


@linux
def test_no_limit_changes_nothing():
    """0 is the default and asks the system for nothing."""
    import resource

    before = resource.getrlimit(resource.RLIMIT_DATA)
    limit_memory(0)
    assert resource.getrlimit(resource.RLIMIT_DATA) == before


def test_other_systems_say_that_they_cannot(monkeypatch):
    """A limit that would not hold is refused; no limit is fine anywhere."""
    monkeypatch.setattr(sys, "platform", "win32")
    limit_memory(0)
    with pytest.raises(UnsupportedError, match="win32"):
        limit_memory(10**12)


def test_an_unreadable_status_is_not_taken_for_nothing(tmp_path):
    """Without VmData nobody knows what is held."""
    (tmp_path / "status").write_text("Name:\tpython\n")
    with pytest.raises(UnsupportedError, match="VmData"):
        held_bytes(tmp_path / "status")
