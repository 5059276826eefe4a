"""A sweep over a cluster: hands out runs, keeps their records as they come in, and knows what is still to be made."""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from bench.errors import BadValueError, MissingPackageError
from bench.launch.cluster.pools import Pool, answered
from bench.launch.cluster.remote import Order, plan, run
from bench.launch.progress import progress_line
from bench.launch.sweep import Finished, Repeat, keep, keep_dry_apart, locked
from bench.schema import Kind, RunConfig
from bench.schema.catalogue import is_predicted
from bench.schema.codec import decode, decode_configs, encode_config

WAITING = 256
"""Runs that Ray is told of at a time: enough for a large cluster, few enough that asking who is done stays cheap."""

KNOCK_S = 10.0

RETRIES = 3
"""How often a run is made elsewhere whose node or process was lost."""

Told = Callable[[str], None]


def planned(ray: Any, pool: Pool, suites: Sequence[str], arguments: Sequence[str]) -> list[RunConfig]:
    """Return what the suites would run on a node of `pool`. Raises `BadValueError` for what they refuse."""
    answer = ray.remote(plan).options(**pool.asked).remote(suites, arguments)
    return decode_configs(answered(ray.get(answer)))


@contextmanager
def connected(address: str) -> Iterator[Any]:
    """Connect to the Ray cluster at `address`; "auto" is the one of this machine. Leave it in the end.

    Raises `MissingPackageError` without ray, `BadValueError` where nobody answers.
    """
    try:
        import ray
    except ModuleNotFoundError:
        raise MissingPackageError("ray", "a sweep over a cluster", "pip install 'ftbench[cluster]'") from None
    _knock(address)
    try:
        ray.init(address=address, log_to_driver=False, logging_level="error", include_dashboard=None)
    except (ConnectionError, ValueError, RuntimeError) as refusal:
        said = str(refusal).strip().splitlines()
        raise BadValueError(
            f"no Ray cluster answers at {address!r}: {said[0] if said else 'nothing is said'}"
        ) from None
    try:
        yield ray
    finally:
        ray.shutdown()


def _knock(address: str) -> None:
    """Find out at once whether anybody listens at "host:port"; Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    if host and port.isdecimal() and "//" not in host:
        try:
            socket.create_connection((host.strip("[]"), int(port)), KNOCK_S).close()
        except (OSError, OverflowError) as refusal:
            raise BadValueError(f"no Ray cluster answers at {address!r}: {refusal}.") from None


@dataclass(slots=True)
class ClusterSweep:
    """Makes runs on the nodes of a cluster, each in every pool, and writes each record once.

    Finished runs are taken from `root` as `launch.sweep.Sweep` does. `lost` are the runs that no node finished.
    """

    root: Path
    configs: Sequence[RunConfig]
    pools: Sequence[Pool]
    order: Order
    repeat: Repeat
    told: Told
    kept: int = field(init=False, default=0)
    made: int = field(init=False, default=0)
    lost: list[str] = field(init=False, default_factory=list)

    def run(self, ray: Any) -> None:
        """Make what is missing. A `KeyboardInterrupt` ends the runs that are under way, and is passed on.

        Raises `BusyError`, `StoreError`.
        """
        keep_dry_apart(self.root, dry=self.order.dry)
        with locked(self.root):
            todo = [(pool, self._missing(pool)) for pool in self.pools]
            for pool, configs in todo:
                self.told(f"{pool.device}: {len(configs)} of {len(self.configs)} runs to make, {pool.slots} at a time")
            self._make(ray, todo)

    def _missing(self, pool: Pool) -> list[RunConfig]:
        kind = Kind.DRY if self.order.dry else Kind.PREDICTED if is_predicted(self.order.device) else Kind.MEASURED
        known = Finished(self.root, pool.device, pool.node.stack, self.repeat, kinds=(kind,))
        missing = [config for config in self.configs if not known.has(config)]
        self.kept += len(self.configs) - len(missing)
        return missing

    def _make(self, ray: Any, todo: Sequence[tuple[Pool, Sequence[RunConfig]]]) -> None:
        total = sum(len(configs) for _, configs in todo)
        queues = [deque((pool, config) for config in configs) for pool, configs in todo]
        asking = ray.remote(run)
        pending: dict[Any, tuple[Pool, RunConfig]] = {}
        try:
            while pending or any(queues):
                for pool, config in _next(queues, WAITING - len(pending)):
                    asked = asking.options(**pool.asked_by(config), max_retries=RETRIES)
                    pending[asked.remote(self.order, encode_config(config))] = pool, config
                for answer in ray.wait(list(pending), num_returns=1)[0]:
                    pool, config = pending.pop(answer)
                    self._take(ray, answer, pool, config, total)
        except BaseException:
            for answer in pending:
                ray.cancel(answer)  # as Ctrl-C would; the run's process is ended by its launcher
            raise

    def _take(self, ray: Any, answer: Any, pool: Pool, config: RunConfig, total: int) -> None:
        """Keep what came back of a run, and say so."""
        try:
            record = decode(ray.get(answer).encode())
        except ray.exceptions.RayError as loss:
            said = str(loss).strip().splitlines()
            self.lost.append(f"{config.case} seed {config.seed} on {pool.device}: {said[-1] if said else 'no reason'}")
            self.told(f"lost: {self.lost[-1]}")
            return
        keep(replace(record, device=pool.device), self.root)
        self.made += 1
        done = self.made + len(self.lost)
        self.told(progress_line(f"{done}/{total} {pool.device} {config.case}", 0, 0, record, fresh=True).strip())


def _next(queues: Sequence[deque[tuple[Pool, RunConfig]]], room: int) -> Iterator[tuple[Pool, RunConfig]]:
    """Yield at most `room` runs, from the queues in turn, so that no accelerator waits for another's."""
    while room > 0 and any(queues):
        for queue in queues:
            if queue and room > 0:
                room -= 1
                yield queue.popleft()
