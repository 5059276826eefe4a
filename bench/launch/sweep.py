"""A sweep: which runs still have to be made, one after the other, each kept before anybody looks at it."""

from __future__ import annotations

import errno
import fcntl
import os
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from bench import store
from bench.errors import BadValueError, BusyError, StoreError
from bench.launch import journal
from bench.launch.machine import STACK_FACTS
from bench.schema import Kind, RunConfig, RunRecord, Status
from bench.schema.catalogue import Scalar
from bench.schema.codec import encode
from bench.schema.record import FETCH


class Runs(Protocol):
    """Whatever can run a config: `launch.process.Launcher`, or a cluster."""

    def run(self, config: RunConfig) -> RunRecord:
        """Run `config` to its record."""
        ...


@dataclass(frozen=True, slots=True)
class Repeat:
    """Which finished runs are made again: none of them, all, or those that ended in some way."""

    everything: bool = False
    statuses: frozenset[Status] = frozenset()

    @classmethod
    def parse(cls, *, rerun: bool, retry: str) -> Repeat:
        """Read `--rerun` and `--retry oom,timeout`. Raises `BadValueError` for a status that does not exist."""
        try:
            statuses = frozenset(Status(word.strip()) for word in retry.split(",") if word.strip())
        except ValueError:
            known = ",".join(Status)
            raise BadValueError(f"--retry {retry!r} names no status; known: {known}.") from None
        return cls(rerun, statuses)

    def wants(self, record: RunRecord) -> bool:
        """Tell whether a finished run is to be made again."""
        return self.everything or record.status in self.statuses


@dataclass(slots=True)
class Finished:
    """The runs below `root` that a former session finished, for this one to take instead of repeating them.

    A finished run counts when it was made here (`launch.journal`) and configuration, seed,
    device, the versions of the training stack (`stack`) and the model's revision (in
    `revisions`, by the model's name) are the same, and it is of one of `kinds`. Create it inside `locked(root)`.
    """

    root: Path
    device: str
    stack: Mapping[str, Scalar]
    repeat: Repeat = field(default_factory=Repeat)
    revisions: Mapping[str, str] = field(default_factory=dict)
    kinds: tuple[Kind, ...] = (Kind.MEASURED, Kind.DRY)
    _runs: dict[bytes, list[store.Stored]] = field(init=False)

    def __post_init__(self) -> None:
        self._runs = defaultdict(list)
        here = journal.made_here(self.root)
        if self.root.is_dir():
            for found in store.scan(self.root):
                if isinstance(found, store.Unreadable) or found.path.relative_to(self.root).as_posix() not in here:
                    continue
                if self._is_mine(found.record):
                    self._runs[_key(found.record.config)].append(found)

    def _is_mine(self, record: RunRecord) -> bool:
        same_device = record.kind in self.kinds and record.device == self.device
        same_stack = all(record.environment.get(name) == self.stack.get(name) for name in STACK_FACTS | set(self.stack))
        revision = record.resolved.get("model.revision")  # absent where the run died before its model was there
        same_model = revision is None or revision == self.revisions.get(record.config.model, revision)
        lacked = record.failure is not None and record.failure.phase == FETCH
        return same_device and same_stack and same_model and not lacked and not self.repeat.wants(record)

    def has(self, config: RunConfig) -> bool:
        """Tell whether `take` would find a run of `config`."""
        return any(not _had_less_time(found.record, config) for found in self._runs.get(_key(config), []))

    def take(self, config: RunConfig) -> store.Stored | None:
        """Return the newest finished run of `config` that was not taken yet; None where there is none."""
        waiting = self._runs.get(_key(config), [])
        while waiting:
            found = waiting.pop()
            if not _had_less_time(found.record, config):
                return found
        return None


@dataclass(frozen=True, slots=True)
class Sweep:
    """Runs configs into `root`, and takes what is finished already instead of repeating it."""

    root: Path
    runs: Runs
    finished: Finished

    def has(self, config: RunConfig) -> bool:
        """Tell whether `result` would take a finished run of `config`."""
        return self.finished.has(config)

    def result(self, config: RunConfig) -> tuple[store.Stored, bool]:
        """Return the run of `config` and whether it was made now (True) or taken from before (False).

        A finished run is taken only once: asking twice for a config makes two runs.
        Raises `StoreError` where the record cannot be written; the message says where it was put instead.
        """
        found = self.finished.take(config)
        return (found, False) if found else (keep(self.runs.run(config), self.root), True)


def keep(record: RunRecord, root: Path) -> store.Stored:
    """Write down a run that was made here. Raises `StoreError`, which says where the record was put instead."""
    try:
        path = journal.save(record, root)
    except StoreError as error:
        raise StoreError(f"{error} {_put_aside(record)}") from error
    return store.Stored(path, record)


def keep_dry_apart(root: Path, *, dry: bool) -> None:
    """Refuse a folder of the other kind before the first run, not when its record is written. Raises `StoreError`."""
    try:
        if dry:
            store.prepare_dry_root(root)
        elif (root / store.DRY_MARK).exists():
            raise StoreError(f"{root} holds made-up records of a dry run; give another one with --results.")
    except OSError as error:
        raise StoreError(f"cannot write below {root}: {error.strerror or error}.") from error


def _had_less_time(record: RunRecord, config: RunConfig) -> bool:
    """Tell whether a run that was stopped for its time would get more of it now."""
    return record.status is Status.TIMEOUT and record.config.timeout_s < config.timeout_s


def _put_aside(record: RunRecord) -> str:
    """Keep a finished record that its folder does not take in the temporary folder, and say where."""
    try:
        handle, path = tempfile.mkstemp(prefix="ftbench-record-", suffix=".json")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(encode(record))
    except OSError as error:
        return f"The finished run of {record.case} is lost: the temporary folder refuses too ({error.strerror})."
    return f"The finished record is in {path}; move it to {record.device}/{record.case}/ in the results folder."


def _key(config: RunConfig) -> bytes:
    return config.identity + b"\0" + str(config.seed).encode()


@contextmanager
def locked(root: Path) -> Iterator[None]:
    """Hold `root` for this session: two sessions on one machine would disturb each other's numbers.

    Raises `BusyError` if another process holds it. The lock ends with the process, however it ends.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
        file = (root / ".lock").open("w")
    except OSError as error:
        raise StoreError(f"cannot write below {root}: {error.strerror or error}.") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                raise StoreError(f"cannot lock {root}: {error.strerror}; use a folder on another disk.") from error
            raise BusyError(f"another session is measuring into {root}; wait for it, or use another folder.") from None
        yield
