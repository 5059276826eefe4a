"""A sweep: which runs still have to be made, one after the other, each kept before anybody looks at it."""

from __future__ import annotations

import fcntl
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from bench import store
from bench.errors import BadValueError, BusyError, StoreError
from bench.schema import RunConfig, RunRecord, Status
from bench.schema.catalogue import Scalar


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
class Sweep:
    """Runs configs into `root`, and takes what a former session finished instead of repeating it.

    A finished run counts when configuration, seed, device and the versions of the
    training stack are the same. Create it inside `locked(root)`.
    """

    root: Path
    runs: Runs
    device: str
    stack: Mapping[str, Scalar]
    repeat: Repeat = field(default_factory=Repeat)
    _finished: dict[bytes, list[store.Stored]] = field(init=False)

    def __post_init__(self) -> None:
        self._finished = defaultdict(list)
        if self.root.is_dir():
            for found in store.scan(self.root):
                if isinstance(found, store.Stored) and self._is_mine(found.record):
                    self._finished[_key(found.record.config)].append(found)

    def _is_mine(self, record: RunRecord) -> bool:
        same_stack = all(record.environment.get(name) == version for name, version in self.stack.items())
        return record.device == self.device and same_stack and not self.repeat.wants(record)

    def result(self, config: RunConfig) -> tuple[store.Stored, bool]:
        """Return the run of `config` and whether it was made now (True) or taken from before (False).

        The newest finished run is taken, and each only once: asking twice for a config makes two runs.
        """
        waiting = self._finished.get(_key(config))
        if waiting:
            return waiting.pop(), False
        record = self.runs.run(config)
        return store.Stored(store.save(record, self.root), record), True


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
        except OSError:
            raise BusyError(f"another session is measuring into {root}; wait for it, or use --results.") from None
        yield
