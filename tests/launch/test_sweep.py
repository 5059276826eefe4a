"""Sweeps: what is finished is kept, what is asked for again is made again, and no record is lost."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from bench import store
from bench.errors import BadValueError, BusyError, StoreError
from bench.launch import journal
from bench.launch.sweep import Finished, Repeat, Sweep, locked
from bench.schema import Failure, Kind, RunConfig, RunRecord, Status
from bench.schema.codec import decode
from tests.launch.conftest import asked
from tests.records import STACK, record

DEVICE = "example-cpu-2-cores"
VERSIONS = {f"package.{name}": version for name, version in STACK.items()}
FAILURE = Failure(phase="train", message="made up")


class Counting:
    """Makes records without running anything, and remembers what was asked."""

    def __init__(self, status: Status = Status.OK) -> None:
        self.status = status
        self.ran: list[RunConfig] = []

    def run(self, config: RunConfig) -> RunRecord:
        self.ran.append(config)
        made = record(config, device=DEVICE, environment=VERSIONS, resolved={"model.revision": "abc"})
        return made if self.status is Status.OK else replace(made, status=self.status, failure=FAILURE)


def sweep(root: Path, runs: Counting | None = None, **changes: object) -> Sweep:
    finished = Finished(**{"root": root, "device": DEVICE, "stack": VERSIONS, **changes})
    return Sweep(root, runs or Counting(), finished)


def made_again(root: Path, config: RunConfig, **changes: object) -> bool:
    """Tell whether a new session with these changes makes the run of `config` again."""
    return sweep(root, **changes).result(config)[1]


def test_a_finished_run_is_kept_and_its_file_is_the_same(tmp_path):
    """The second session runs nothing and hands out the first one's record."""
    first, fresh = sweep(tmp_path).result(asked())
    assert fresh
    runs = Counting()
    second, fresh = sweep(tmp_path, runs).result(asked())
    assert (fresh, runs.ran) == (False, [])
    assert (second.path, second.record) == (first.path, first.record)


@pytest.mark.parametrize("change", [{"seed": 5}, {"steps": 5}, {"method": "full"}, {"rank": 8}])
def test_another_config_or_seed_is_another_run(tmp_path, change):
    """Only what was asked for exactly so is kept."""
    sweep(tmp_path).result(asked())
    assert made_again(tmp_path, asked().but(**change))


@pytest.mark.parametrize(
    "change",
    [
        {"device": "another-device"},
        {"stack": {**VERSIONS, "package.torch": "9.9"}},
        {"stack": {k: v for k, v in VERSIONS.items() if k != "package.bitsandbytes"}},
        {"stack": {**VERSIONS, "package.new": "1"}},
        {"revisions": {"tiny-llama": "def"}},
        {"repeat": Repeat(everything=True)},
    ],
)
def test_what_makes_another_result_makes_another_run(tmp_path, change):
    """Another device, another version of the training stack or other weights under the same name are not resumed."""
    sweep(tmp_path).result(asked())
    assert made_again(tmp_path, asked(), **change)
    assert not made_again(tmp_path, asked(), revisions={"tiny-llama": "abc"})


@pytest.mark.parametrize("status", [s for s in Status if s is not Status.OK])
def test_retry_repeats_those_that_ended_so_and_no_others(tmp_path, status):
    """A run that ended badly is a finished run, until it is asked for again by its status."""
    sweep(tmp_path, Counting(status)).result(asked(seed=1))
    sweep(tmp_path).result(asked(seed=2))
    others = Repeat(statuses=frozenset(Status) - {status, Status.OK})
    assert not made_again(tmp_path, asked(seed=1), repeat=others)
    retry = Repeat.parse(rerun=False, retry=f" {status},")
    assert not made_again(tmp_path, asked(seed=2), repeat=retry)
    assert made_again(tmp_path, asked(seed=1), repeat=retry)


def test_more_time_is_a_reason_to_run_again(tmp_path):
    """A run stopped for its time is made again when the timeout was raised, as its record advises."""
    sweep(tmp_path, Counting(Status.TIMEOUT)).result(asked(timeout_s=60.0))
    assert not made_again(tmp_path, asked(timeout_s=30.0))
    assert made_again(tmp_path, asked(timeout_s=90.0))


@pytest.mark.parametrize("kind", [Kind.PREDICTED, Kind.PUBLISHED])
def test_a_number_that_was_not_measured_here_is_no_finished_run(tmp_path, kind):
    """A prediction for this device does not stand in for a measurement."""
    journal.save(replace(Counting().run(asked()), kind=kind), tmp_path)
    assert made_again(tmp_path, asked())


@pytest.mark.parametrize("wanted", Kind)
@pytest.mark.parametrize("kind", Kind)
def test_a_sweep_takes_only_its_own_kind(tmp_path, kind, wanted):
    """Measured, predicted and made-up runs of one case never stand in for each other, whatever their device says."""
    if kind is Kind.DRY:
        store.prepare_dry_root(tmp_path)
    journal.save(replace(Counting().run(asked()), kind=kind), tmp_path)
    assert sweep(tmp_path, kinds=(wanted,)).has(asked()) is (kind is wanted)


def test_a_sweep_knows_what_it_would_not_run(tmp_path):
    """What is finished is known without being taken, once taken it is gone; what had too little time does not count."""
    sweep(tmp_path).result(asked())
    sweep(tmp_path, Counting(Status.TIMEOUT)).result(asked(seed=1, timeout_s=60.0))
    one = sweep(tmp_path)
    assert [one.has(asked()), one.has(asked()), one.has(asked(seed=2))] == [True, True, False]
    assert [one.has(asked(seed=1, timeout_s=60.0)), one.has(asked(seed=1, timeout_s=90.0))] == [True, False]
    one.result(asked())
    assert not one.has(asked())


def test_what_a_clone_brings_is_not_finished_here(tmp_path):
    """Records copied from a machine that looks the same are shown, and every run is still made."""
    there, here = tmp_path / "there", tmp_path / "here"
    sweep(there).result(asked())
    shutil.copytree(there / DEVICE, here / DEVICE)
    one = sweep(here)

    assert one.result(asked())[1]
    assert len(store.read(here)[0]) == 2
    assert not sweep(here).result(asked())[1], "what was made here is kept"


def test_a_damaged_file_is_no_finished_run(tmp_path):
    """A record that cannot be read is measured again, and left where it is."""
    found, _ = sweep(tmp_path).result(asked())
    found.path.write_text("{")
    assert made_again(tmp_path, asked())
    assert found.path.read_text() == "{"


@given(st.lists(st.integers(0, 3), max_size=12), st.lists(st.integers(0, 3), max_size=12))
def test_each_finished_run_is_handed_out_once(tmp_path_factory, before, after):
    """A second session makes exactly the runs that the first did not, however often a seed is asked for."""
    root = tmp_path_factory.mktemp("results")
    first = sweep(root)
    for seed in before:
        first.result(asked(seed=seed))
    runs = Counting()
    second = sweep(root, runs)
    paths = [second.result(asked(seed=seed))[0].path for seed in after]
    assert len(set(paths)) == len(paths)
    assert Counter(config.seed for config in runs.ran) == Counter(after) - Counter(before)


def test_an_unknown_status_is_named_with_the_known_ones():
    """`--retry` explains itself."""
    with pytest.raises(BadValueError, match=r"'oom,bad' names no status; known: ok,oom,"):
        Repeat.parse(rerun=False, retry="oom,bad")


def test_a_record_that_cannot_be_saved_is_put_aside(tmp_path, monkeypatch):
    """When the results folder refuses, the error says where the finished record is, and it is there whole."""
    root = tmp_path / "results"
    one = sweep(root)
    root.write_text("a file where a folder should be")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(StoreError, match="The finished record is in ") as refusal:
        one.result(asked())
    (aside,) = tmp_path.glob("ftbench-record-*.json")
    assert str(aside) in str(refusal.value)
    assert decode(aside.read_bytes()).config == asked()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
    with pytest.raises(StoreError, match="is lost: the temporary folder refuses too"):
        one.result(asked())


HOLD = """
import sys, pathlib
from bench.launch.sweep import Finished, locked
with locked(pathlib.Path(sys.argv[1])):
    print('held', flush=True)
    sys.stdin.read()
"""


def test_two_sessions_cannot_measure_into_one_folder(tmp_path):
    """While another process holds the folder it is busy; when that process is killed it is free."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(BusyError, match="another session is measuring into"), locked(tmp_path):
            pass
        with locked(tmp_path / "another"):
            pass
        holder.kill()
    with locked(tmp_path):
        pass


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path):
    """A results folder that cannot be made, or not locked, is an error with its reason."""
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="cannot write below"), locked(tmp_path / "file" / "results"):
        pass


def test_a_disk_without_locks_is_not_called_busy(tmp_path, monkeypatch):
    """An error of the file system is reported as what it is."""

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("fcntl.flock", refuse)
    with pytest.raises(StoreError, match="cannot lock"), locked(tmp_path):
        pass


def test_a_record_is_noted_before_it_is_there(tmp_path, monkeypatch):
    """A session killed between the two leaves no record that the next one would make once more."""
    record = Counting().run(asked())
    noted = []

    def link(_: str, path: Path) -> None:
        noted.append(path.relative_to(tmp_path).as_posix() in journal.made_here(tmp_path))
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "link", link)
    with pytest.raises(KeyboardInterrupt):
        journal.save(record, tmp_path)

    assert noted == [True]
    assert not list(tmp_path.rglob("*.json"))


def test_a_record_that_was_brought_here_is_not_noted_as_made_here(tmp_path):
    """Where the first free name is sought, names that are taken are others'."""
    record = Counting().run(asked())
    brought = store.save(record, tmp_path)

    made = journal.save(record, tmp_path)

    assert made != brought
    assert journal.made_here(tmp_path) == {made.relative_to(tmp_path).as_posix()}
