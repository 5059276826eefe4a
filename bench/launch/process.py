"""Run one config in a process of its own, and always come back with a record."""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from msgspec.structs import replace

from bench.analysis.duration import run_seconds
from bench.errors import StoreError
from bench.launch.aftermath import answer, last_words, utc_now
from bench.launch.datasheet import datasheet
from bench.launch.scrub import scrubbed
from bench.launch.workers import QUIET, REAL, SECRET, Isolation, Worker
from bench.schema import Kind, RunConfig, RunRecord, Status
from bench.schema.catalogue import Scalar
from bench.schema.codec import encode_config

STARTING_S = 900.0  # for the imports before the first run; a cold disk may need minutes
GRACE_S = 5.0  # between SIGTERM and SIGKILL
DYING_S = 60.0  # after SIGKILL; who needs longer hangs in a driver and cannot be ended by anybody
LONGEST_S = 30 * 86400.0  # what the operating system can be asked to wait is not endless


class Launcher:
    """Starts runs, one at a time, and turns whatever happens to them into records.

    `variables` are added to the runs' environment, `python` is their interpreter. `device` is the slug, and `machine`
    the facts, that every record of this machine carries.

    A run's whole process group dies with it. Not covered: a process that left the group
    (`setsid`), and grandchildren when launcher and keeper are both killed with SIGKILL at once.
    """

    def __init__(
        self,
        *,
        device: str,
        machine: Mapping[str, Scalar],
        isolation: Isolation = "spawn",
        worker: Worker = REAL,
        variables: Mapping[str, str] | None = None,
        python: str = sys.executable,
    ) -> None:
        self._python = python
        self._device = device
        self._machine = dict(machine)
        self._isolation = isolation
        self._worker = worker
        kept = {name: value for name, value in os.environ.items() if name not in SECRET}
        self._variables = {**kept, **QUIET, **(variables or {}), **worker.variables}
        self._keeper: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Start nothing yet: the first run does."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the keeper, and with it any run."""
        self.close()

    def close(self) -> None:
        """End the keeper; it kills what is still running. Blocks until it is gone."""
        keeper, self._keeper = self._keeper, None
        if keeper and keeper.stdin and keeper.stdout:
            keeper.stdin.close()
            try:
                keeper.wait(GRACE_S)
            except subprocess.TimeoutExpired:  # it is still importing, and holds no run
                keeper.kill()
                keeper.wait()
            keeper.stdout.close()

    def run(self, config: RunConfig) -> RunRecord:
        """Run `config` and return its record, whatever happens to the process.

        Blocks. A `KeyboardInterrupt` kills the run and is passed on; nothing is recorded then.
        Raises `StoreError` where the temporary folder cannot be written; nothing was run then.
        """
        folder = _prepared_folder(config)
        try:
            return self._run_in(folder, config)
        except BaseException:
            self.close()
            raise
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _run_in(self, folder: Path, config: RunConfig) -> RunRecord:
        started = utc_now()
        exit_code, wall = self._execute(folder, config.timeout_s)
        record = answer(folder, config, exit_code)
        if record.failure:
            record = replace(record, failure=replace(record.failure, last_words=last_words(folder)))
        record = scrubbed(record)
        metrics = dict(record.metrics)
        if self._worker.kind is Kind.PREDICTED:
            metrics["predict.seconds"] = wall
        elif record.status is Status.OK:
            metrics["harness.seconds"] = max(0.0, wall - run_seconds(record))
        environment = {**self._machine, **record.environment, "run.isolation": self._isolation}
        origin = {"started": started, "device": self._device, "kind": self._worker.kind}
        resolved = {**record.resolved, **datasheet(environment, config)}
        return replace(record, **origin, metrics=metrics, environment=environment, resolved=resolved)

    def _execute(self, folder: Path, timeout_s: float) -> tuple[int | None, float]:
        """Return the exit code and how long the process lived, in seconds.

        The exit code is negative for a signal, and None when the run was stopped for its time.
        """
        keeper = self._started_keeper()
        assert keeper.stdin is not None
        job = {"words": str(folder / "words"), "arguments": [str(folder)]}
        with contextlib.suppress(BrokenPipeError):  # then it says nothing either
            keeper.stdin.write(json.dumps(job).encode() + b"\n")
        born = _next_message(keeper, STARTING_S)
        if not born:
            exit_code = self._keeper_died(None)
            return (None if born is None else exit_code), 0.0
        clock = time.monotonic()
        ended = _next_message(keeper, min(timeout_s, LONGEST_S))
        if ended is None:
            if not _stopped(born["pid"], keeper):
                self._keeper_died(born["pid"])
            return None, time.monotonic() - clock
        exit_code = ended["status"] if ended else self._keeper_died(born["pid"])
        return exit_code, time.monotonic() - clock

    def _started_keeper(self) -> subprocess.Popen[bytes]:
        """Return the keeper, a new one if there is none or if it died since the last run."""
        if self._keeper and self._keeper.poll() is not None:
            self._keeper_died(None)
        if self._keeper is None:
            preload = self._worker.preload if self._isolation == "fork" else None
            mode = [self._isolation, preload] if preload else [self._isolation]
            self._keeper = subprocess.Popen(
                [self._python, "-P", "-m", "bench.launch.keeper", self._worker.entry, *mode],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=self._variables,
                bufsize=0,
                start_new_session=True,
            )
        return self._keeper

    def _keeper_died(self, run: int | None) -> int:
        """Forget a keeper that died or hangs, so that the next run starts another. What it ran dies too.

        Return its exit code, which is what its run died of.
        """
        keeper, self._keeper = self._keeper, None
        assert keeper is not None
        keeper.kill()
        if run is not None:
            _signal_group(run, signal.SIGKILL)
        for pipe in (keeper.stdin, keeper.stdout):
            if pipe:
                pipe.close()
        return keeper.wait() or 1


def _prepared_folder(config: RunConfig) -> Path:
    """Make a run's temporary folder with its config in it."""
    try:
        folder = Path(tempfile.mkdtemp(prefix="ftbench-run-"))
    except OSError as error:
        raise StoreError(f"cannot make a temporary folder: {error.strerror}; free space or set TMPDIR.") from error
    try:
        (folder / "config.json").write_bytes(encode_config(config))
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise StoreError(f"cannot write below {folder.parent}: {error.strerror}; free space or set TMPDIR.") from error
    return folder


def _next_message(keeper: subprocess.Popen[bytes], patience_s: float) -> dict[str, int] | None:
    """Block for the keeper's next answer: None when patience ends, empty when the keeper is gone."""
    assert keeper.stdout is not None
    ready, _, _ = select.select([keeper.stdout], [], [], patience_s)
    if not ready:
        return None
    line = keeper.stdout.readline()
    message: dict[str, int] = json.loads(line) if line.endswith(b"\n") else {}
    return message


def _stopped(run: int, keeper: subprocess.Popen[bytes]) -> bool:
    """End a run with SIGTERM, after a grace period with SIGKILL; tell whether the keeper saw it end."""
    _signal_group(run, signal.SIGTERM)
    ended = _next_message(keeper, GRACE_S)
    if ended is None:
        _signal_group(run, signal.SIGKILL)
        ended = _next_message(keeper, DYING_S)
    return bool(ended)


def _signal_group(run: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(run, number)
