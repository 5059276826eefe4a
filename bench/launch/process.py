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
from typing import Literal, Self

from msgspec.structs import replace

from bench.errors import RecordFormatError
from bench.launch.scrub import scrub
from bench.schema import Failure, Kind, RunConfig, RunRecord, Status
from bench.schema.codec import decode, encode_config
from bench.schema.catalogue import Scalar

WORKER = "bench.worker.main:main"
PRELOAD = "bench.worker.preload:preload"
DRY_WORKER = "bench.launch.dry:main"

GRACE_S = 5.0  # between SIGTERM and SIGKILL
KEPT_LINES = 20
LARGEST_WORDS = 64_000  # bytes of a dying run's output that are looked at

Isolation = Literal["fork", "spawn"]


def isolation_for(device: str) -> Isolation:
    """Fork runs from a process with the imports done where that is safe: CPU runs on Linux.

    Importing what a CUDA run needs may touch the driver, and a forked child of such a
    process cannot use the GPU; those runs start a fresh interpreter.
    """
    return "fork" if sys.platform == "linux" and device == "cpu" else "spawn"


class Launcher:
    """Starts runs, one at a time, and turns whatever happens to them into records.

    `variables` are added to the runs' environment. `device` is the slug, and `machine`
    the facts, that every record of this machine carries.
    """

    def __init__(
        self,
        *,
        device: str,
        machine: Mapping[str, Scalar],
        isolation: Isolation = "spawn",
        dry: bool = False,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        self._device = device
        self._machine = dict(machine)
        self._isolation = isolation
        self._dry = dry
        self._variables = {**os.environ, **QUIET, **(variables or {})}
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
            keeper.wait()
            keeper.stdout.close()

    def run(self, config: RunConfig) -> RunRecord:
        """Run `config` and return its record, whatever happens to the process.

        Blocks. A `KeyboardInterrupt` kills the run and is passed on; nothing is recorded then.
        """
        folder = Path(tempfile.mkdtemp(prefix="ftbench-run-"))
        try:
            return self._run_in(folder, config)
        except BaseException:
            self.close()
            raise
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _run_in(self, folder: Path, config: RunConfig) -> RunRecord:
        (folder / "config.json").write_bytes(encode_config(config))
        started = _utc_now()
        exit_code, wall = self._execute(folder, config.timeout_s)
        record = _answer(folder, config, exit_code)
        if record.failure:
            record = replace(record, failure=replace(record.failure, last_words=_last_words(folder)))
        kind = Kind.DRY if self._dry else record.kind
        record = _scrubbed(replace(record, started=started, device=self._device, kind=kind))
        metrics = dict(record.metrics)
        if record.status is Status.OK:
            metrics["harness.seconds"] = max(0.0, wall - sum(v for k, v in metrics.items() if _is_accounted(k)))
        environment = {**self._machine, **record.environment, "run.isolation": self._isolation}
        return replace(record, metrics=metrics, environment=environment)

    def _execute(self, folder: Path, timeout_s: float) -> tuple[int | None, float]:
        """Return the exit code and how long the process lived, in seconds.

        The exit code is negative for a signal, and None when the run was stopped for its time.
        """
        keeper = self._started_keeper()
        assert keeper.stdin is not None
        job = {"words": str(folder / "words"), "arguments": [str(folder)]}
        try:
            keeper.stdin.write(json.dumps(job).encode() + b"\n")
            keeper.stdin.flush()
        except BrokenPipeError:
            return self._keeper_died(), 0.0
        born = self._next_message(keeper, None)
        if not born:
            return self._keeper_died(), 0.0
        clock = time.monotonic()
        ended = self._next_message(keeper, clock + timeout_s)
        if ended is None:
            _stop_group(born["pid"], keeper)
            if not self._next_message(keeper, None):  # read, so that the next answer belongs to the next run
                self._keeper_died()
            return None, time.monotonic() - clock
        return ended["status"] if ended else self._keeper_died(), time.monotonic() - clock

    @staticmethod
    def _next_message(keeper: subprocess.Popen[bytes], deadline: float | None) -> dict[str, int] | None:
        """Block for the keeper's next answer: None when the deadline passes, empty when the keeper is gone."""
        assert keeper.stdout is not None
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        ready, _, _ = select.select([keeper.stdout], [], [], left)
        if not ready:
            return None
        line = keeper.stdout.readline()
        message: dict[str, int] = json.loads(line) if line.endswith(b"\n") else {}
        return message

    def _started_keeper(self) -> subprocess.Popen[bytes]:
        if self._keeper is None:
            entry = DRY_WORKER if self._dry else WORKER
            preload = PRELOAD if self._isolation == "fork" and not self._dry else None
            command = [sys.executable, "-P", "-m", "bench.launch.keeper", entry]
            self._keeper = subprocess.Popen(
                [*command, preload] if preload else command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=self._variables,
                bufsize=0,
                start_new_session=True,
            )
        return self._keeper

    def _keeper_died(self) -> int:
        """Forget a keeper that died, so that the next run starts another; its run died with it."""
        keeper, self._keeper = self._keeper, None
        if keeper is None:
            return 1
        keeper.kill()
        return keeper.wait()


# What runs never do: talk to the hub, send telemetry, draw progress bars, warn about forks.
QUIET: Mapping[str, str] = {
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
    "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "PYTHONUNBUFFERED": "1",
}


def _is_accounted(metric: str) -> bool:
    return metric.endswith(".seconds") or metric == "start.import_seconds"


def _utc_now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def _stop_group(pid: int, keeper: subprocess.Popen[bytes]) -> None:
    """SIGTERM, a grace period that ends early when the run does, SIGKILL."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGTERM)
        select.select([keeper.stdout], [], [], GRACE_S)
        os.killpg(pid, signal.SIGKILL)


def _answer(folder: Path, config: RunConfig, exit_code: int | None) -> RunRecord:
    """Return the record a run wrote, or one that says how it died."""
    path = folder / "record.json"
    if exit_code == 0 and path.exists():
        try:
            return decode(path.read_bytes())
        except RecordFormatError as error:
            return _dead(folder, config, Status.CRASHED, f"the run left a damaged record: {error}")
    if exit_code is None:
        advice = f"stopped after {config.timeout_s:g} s; raise timeout_s or do less."
        return _dead(folder, config, Status.TIMEOUT, advice)
    if exit_code < 0:
        name = signal.Signals(-exit_code).name
        hint = " The kernel does this when memory runs out." if name == "SIGKILL" else ""
        return _dead(folder, config, Status.CRASHED, f"killed by {name}.{hint}", name)
    return _dead(folder, config, Status.CRASHED, f"exit code {exit_code} and no record.")


def _dead(folder: Path, config: RunConfig, status: Status, message: str, signal_name: str | None = None) -> RunRecord:
    phase = "start"
    with contextlib.suppress(OSError):
        phase = (folder / "phase").read_text().strip() or phase
    failure = Failure(phase=phase, message=message, signal=signal_name)
    return RunRecord(
        config=config, kind=Kind.MEASURED, status=status, device="unknown", started=_utc_now(), failure=failure
    )


def _last_words(folder: Path) -> tuple[str, ...]:
    with contextlib.suppress(OSError), (folder / "words").open("rb") as file:
        file.seek(0, os.SEEK_END)
        file.seek(max(0, file.tell() - LARGEST_WORDS))
        lines = file.read().decode(errors="replace").splitlines()
        return tuple(line[:500] for line in lines if line.strip())[-KEPT_LINES:]
    return ()


def _scrubbed(record: RunRecord) -> RunRecord:
    """Take persons and machines out of every free text a run can write."""
    failure = record.failure and replace(
        record.failure,
        message=scrub(record.failure.message),
        last_words=tuple(map(scrub, record.failure.last_words)),
    )
    absent = {name: scrub(reason) for name, reason in record.absent.items()}
    resolved = {name: scrub(v) if isinstance(v, str) else v for name, v in record.resolved.items()}
    return replace(record, failure=failure, absent=absent, resolved=resolved)
