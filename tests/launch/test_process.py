"""The launcher: every way a run can end gives one record, and nothing is left running."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from bench.errors import StoreError
from bench.launch.process import Launcher
from bench.launch.workers import DRY, PREDICTED, Worker
from bench.schema import Kind, Status
from bench.schema.codec import decode, encode
from tests.launch.conftest import MACHINE, alive, asked, begun, eventually, launching

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="what still runs is looked up in /proc")

ENDS = {
    "ok": (Status.OK, ""),
    "closes_output": (Status.OK, ""),
    "out_of_memory": (Status.OOM, "no memory left"),
    "sigkill": (Status.CRASHED, "killed by SIGKILL. The kernel does this when memory runs out."),
    "segfault": (Status.CRASHED, "killed by SIGSEGV."),
    "realtime_signal": (Status.CRASHED, "killed by signal 37."),
    "silent": (Status.CRASHED, "exit code 0 and no record."),
    "exit_three": (Status.CRASHED, "exit code 3 and no record."),
    "exception": (Status.CRASHED, "exit code 1 and no record."),
    "garbage_phase": (Status.CRASHED, "exit code 3 and no record."),
    "talkative": (Status.CRASHED, "exit code 3 and no record."),
    "truncated": (Status.CRASHED, "the run left a damaged record: not a record"),
    "garbage": (Status.CRASHED, "the run left a damaged record: not a record"),
    "huge": (Status.CRASHED, "the run left a damaged record: 5000001 bytes"),
    "linked": (Status.CRASHED, "the run left a damaged record"),
    "pipe": (Status.CRASHED, "the run left a damaged record: record.json is no regular file"),
    "directory": (Status.CRASHED, "the run left a damaged record"),
    "another_config": (Status.CRASHED, "the run left the record of another config."),
}


@pytest.mark.parametrize("isolation", ["fork", "spawn"])
@pytest.mark.parametrize("worker", ENDS)
def test_every_end_has_its_record(worker, isolation, no_new_files):
    """However a run ends, its record says so, holds the config that was asked, and can be written and read."""
    status, message = ENDS[worker]
    config = asked(seed=7)
    with launching(worker, isolation) as launcher:
        record = launcher.run(config)
    assert record.status is status
    assert (record.failure.message if record.failure else "").startswith(message)
    assert (record.config, record.device, record.kind) == (config, "example", Kind.MEASURED)
    assert record.environment["run.isolation"] == isolation
    assert decode(encode(record).encode()) == record


def test_the_phase_and_the_signal_of_a_killed_run_are_known():
    """A run that is killed while training is recorded as killed while training."""
    with launching("sigkill") as launcher:
        failure = launcher.run(asked()).failure
    assert failure is not None
    assert (failure.phase, failure.signal) == ("train", "SIGKILL")


def test_an_exception_leaves_its_last_words():
    """The traceback of a worker that raises is in its record, and of 100 MB of words only the end."""
    with launching("exception") as launcher:
        failure = launcher.run(asked()).failure
    assert failure is not None
    assert failure.last_words[-1] == "ValueError: no such thing"
    with launching("talkative") as launcher:
        failure = launcher.run(asked()).failure
    assert failure is not None
    assert failure.last_words[-1] == "the last of it"
    assert len(failure.last_words) == 20


@pytest.mark.parametrize("isolation", ["fork", "spawn"])
def test_a_hanging_run_is_stopped_with_its_grandchild(isolation, tmp_path):
    """A run over its time is a timeout, and its whole process group is gone when the record is there."""
    note = tmp_path / "begun"
    with launching("hangs", isolation, BEGUN=str(note)) as launcher:
        record = launcher.run(asked(timeout_s=3.0))
        _, _, group = begun(note)
        assert record.status is Status.TIMEOUT
        assert "raise timeout_s" in record.failure.message
        assert eventually(lambda: alive(group) == [])


def test_a_grandchild_left_behind_dies_with_its_run(tmp_path):
    """A process that a run leaves in its group does not live on beside the next run's measurement."""
    note = tmp_path / "begun"
    with launching("leaves_grandchild", BEGUN=str(note)) as launcher:
        assert launcher.run(asked()).status is Status.OK
        _, _, group = begun(note)
        assert eventually(lambda: alive(group) == [])


@pytest.mark.parametrize("isolation", ["fork", "spawn"])
def test_nothing_of_the_keeper_reaches_the_run(isolation, monkeypatch):
    """A run holds no end of the pipes between launcher and keeper, and no token to the hub."""
    monkeypatch.setenv("HF_TOKEN", "hf_" + "x" * 24)
    with launching("sees", isolation) as launcher:
        seen = launcher.run(asked()).environment
        keeper = launcher._keeper
        theirs = {str(Path(f"/proc/self/fd/{pipe.fileno()}").readlink()) for pipe in (keeper.stdin, keeper.stdout)}
    assert seen["token"] == ""
    assert theirs.isdisjoint(value for name, value in seen.items() if name.startswith("fd."))
    assert any(str(value).endswith("/words") for value in seen.values())


@pytest.mark.parametrize("isolation", ["fork", "spawn"])
@pytest.mark.parametrize("disaster", [*(name for name in ENDS if name != "ok"), "ignores_sigterm"])
def test_after_a_disaster_the_next_run_works(disaster, isolation, monkeypatch):
    """A failed run never costs another: the keeper that saw it serves the next."""
    monkeypatch.setattr("bench.launch.process.GRACE_S", 0.2)
    with launching("disastrous", isolation, DISASTER=disaster) as launcher:
        first = launcher.run(asked(seed=1, timeout_s=1.0 if disaster == "ignores_sigterm" else 60.0))
        keeper = launcher._keeper.pid
        second = launcher.run(asked(seed=2))
        assert launcher._keeper.pid == keeper
    assert first.status is (Status.TIMEOUT if disaster == "ignores_sigterm" else ENDS[disaster][0])
    assert (second.status, second.config.seed) == (Status.OK, 2)


def test_kill_9_of_the_keeper_is_a_crashed_run_and_no_orphan(tmp_path):
    """When the keeper is killed under a run, run and grandchild die, the record says so, and a new keeper serves."""
    note = tmp_path / "begun"
    with launching("hangs", BEGUN=str(note)) as launcher:
        threading.Thread(target=lambda: os.kill(begun(note)[1], signal.SIGKILL)).start()
        record = launcher.run(asked())
        _, _, group = begun(note)
        assert (record.status, record.failure.signal) == (Status.CRASHED, "SIGKILL")
        assert eventually(lambda: alive(group) == [])
        note.unlink()
        assert launcher.run(asked(timeout_s=3.0)).status is Status.TIMEOUT


def test_a_keeper_that_died_between_runs_costs_nothing():
    """A keeper killed while idle is replaced before the next run, which is not recorded as crashed."""
    with launching("ok") as launcher:
        launcher.run(asked())
        launcher._keeper.kill()
        assert eventually(lambda: launcher._keeper.poll() is not None)
        assert launcher.run(asked()).status is Status.OK


SCRIPT = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run in the background
from bench.launch.process import Launcher
from tests.launch.conftest import asked, launching
with launching("hangs", sys.argv[2], BEGUN=sys.argv[1]) as launcher:
    try:
        launcher.run(asked())
    except KeyboardInterrupt:
        print("interrupted", flush=True)
        raise SystemExit(7)
"""


def _other_launcher(note: Path, isolation: str) -> subprocess.Popen[str]:
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", SCRIPT, str(note), isolation]
    environment = {**os.environ, "PYTHONPATH": str(root), "TMPDIR": str(note.parent)}
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


@pytest.mark.parametrize("isolation", ["fork", "spawn"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_no_worker_outlives_its_launcher(isolation, number, tmp_path):
    """After kill -9 or SIGTERM of the launching process, keeper, run, grandchild and the run's folder are gone."""
    with _other_launcher(tmp_path / "begun", isolation) as launcher:
        _, keeper, group = begun(tmp_path / "begun")
        assert len(alive(group)) == 2
        launcher.send_signal(number)
        launcher.wait()
    assert eventually(lambda: alive(group) == [])
    assert eventually(lambda: alive(keeper) == []), "the keeper leads a group of its own"
    assert eventually(lambda: not list(tmp_path.glob("ftbench-run-*")))


@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_leaves_nothing_running(times, tmp_path):
    """Ctrl-C, once or twice, ends the run and is passed on."""
    with _other_launcher(tmp_path / "begun", "fork") as launcher:
        _, _, group = begun(tmp_path / "begun")
        for _ in range(times):
            launcher.send_signal(signal.SIGINT)
        said = launcher.stdout.read()
        assert launcher.wait() != 0
    assert times == 2 or (said, launcher.returncode) == ("interrupted\n", 7)
    assert eventually(lambda: alive(group) == [])
    assert eventually(lambda: not list(tmp_path.glob("ftbench-run-*")))


def test_the_launcher_blocks_and_does_not_spin():
    """While a run takes two seconds its launcher uses next to no processor time, which is the run's."""
    with launching("sleeps") as launcher:
        before = time.process_time()
        assert launcher.run(asked()).status is Status.OK
        assert time.process_time() - before < 0.2


def test_a_full_temporary_disk_is_one_line(monkeypatch, tmp_path):
    """Where the config cannot be written nothing is run, and the error says what to do."""
    missing = tmp_path / "gone"
    monkeypatch.setattr("tempfile.tempdir", str(missing))
    with (
        launching("ok") as launcher,
        pytest.raises(StoreError, match=r"temporary folder: .*; free space or set TMPDIR"),
    ):
        launcher.run(asked())


def test_a_broken_preload_does_not_stop_runs():
    """Imports that fail ahead of the runs are left to the runs, which can say why."""
    worker = Worker("misbehaving:ok", preload="misbehaving:no_such_function")
    variables = {"PYTHONPATH": str(Path(__file__).parent)}
    with Launcher(device="x", machine=MACHINE, isolation="fork", worker=worker, variables=variables) as launcher:
        assert launcher.run(asked()).status is Status.OK


def test_a_timeout_beyond_what_the_system_can_wait_is_no_error():
    """An endless timeout is not an overflow."""
    with launching("ok") as launcher:
        assert launcher.run(asked(timeout_s=1e18)).status is Status.OK


@pytest.mark.parametrize("isolation", ["fork", "spawn"])
def test_dry_records_are_marked_whatever_happens(isolation):
    """Made-up numbers are of kind dry, also when the made-up run is out of memory."""
    with Launcher(device="dry", machine={}, isolation=isolation, worker=DRY) as launcher:
        good, bad = launcher.run(asked()), launcher.run(asked(batch_size=65))
    assert (good.kind, good.status) == (Kind.DRY, Status.OK)
    assert (bad.kind, bad.status, bad.failure.bytes_requested) == (Kind.DRY, Status.OOM, 2**31)


@pytest.mark.parametrize("worker", ["ok", "out_of_memory", "sigkill"])
def test_a_prediction_is_one_however_it_ends(worker):
    """Its kind is predicted and its one time is its own, also where it dies; no time of the harness is made of it."""
    made = Worker(f"misbehaving:{worker}", kind=Kind.PREDICTED)
    variables = {"PYTHONPATH": str(Path(__file__).parent)}
    with Launcher(device="fake-l40s", machine=MACHINE, isolation="fork", worker=made, variables=variables) as launcher:
        record = launcher.run(asked(device="fake:l40s"))
    assert (record.kind, record.status) == (Kind.PREDICTED, ENDS[worker][0])
    assert record.metrics["predict.seconds"] > 0
    assert "harness.seconds" not in record.metrics


@pytest.mark.parametrize(("variables", "seen"), [(PREDICTED.variables, ""), ({}, "0")])
def test_a_prediction_sees_no_gpu_of_this_machine(variables, seen, monkeypatch):
    """What a worker needs in its environment is there, whatever the launcher's environment says; else that stays."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    worker = Worker("misbehaving:sees", variables=variables)
    where = {"PYTHONPATH": str(Path(__file__).parent)}
    with Launcher(device="x", machine=MACHINE, isolation="fork", worker=worker, variables=where) as launcher:
        assert launcher.run(asked()).environment["gpus"] == seen
