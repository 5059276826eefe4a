"""What a run leaves behind, whether it went well or not."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import msgspec

from bench.schema.catalogue import Scalar
from bench.schema.config import RunConfig, Slug

# Format history
# 1  first version
FORMAT = 1

STACK = ("torch", "transformers", "peft", "bitsandbytes")
"""Packages whose version makes a result another result; an environment holds it as `package.<name>`."""

MOMENTARY = (
    "host.load_average", "gpu.sm_clock_hz", "gpu.memory_clock_hz", "gpu.pcie_generation", "gpu.pcie_width_lanes",
)  # fmt: skip
"""Facts of an environment that are of a moment: a GPU at rest slows its clocks and its link."""

FETCH = "fetch"
"""The phase of a failure for want of a model or data: no run, and to be tried again."""

Number = int | float
Started = Annotated[str, msgspec.Meta(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")]
Bits = Annotated[str, msgspec.Meta(pattern=r"^[01]*$")]


class Kind(StrEnum):
    """Where a number comes from. Always shown beside it."""

    MEASURED = "measured"
    PREDICTED = "predicted"
    PUBLISHED = "published"
    DRY = "dry"  # made up, for the chain's own tests; the store keeps it out of results/


class Status(StrEnum):
    """How a run ended. Each of them is a result."""

    OK = "ok"
    OOM = "oom"  # the device, or the host for a CPU run, had no memory left
    TIMEOUT = "timeout"  # stopped by the launcher
    CRASHED = "crashed"  # the process died: a signal, or an exit without a record
    ERROR = "error"  # the run raised
    UNSUPPORTED = "unsupported"  # this device or stack refuses this work


class Failure(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why a run is not `ok`."""

    phase: str
    """The phase it was in: start, load, evaluate, train, save."""
    message: str
    signal: str | None = None
    """Name of the signal that killed the process, for example SIGSEGV."""
    bytes_requested: int | None = None
    """Size of the allocation that failed, when out of memory."""
    last_words: tuple[str, ...] = ()
    """The last lines the process wrote, scrubbed of paths, names and tokens."""


class RunRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One run. `metrics` hold single numbers by the names of `METRICS`, in base units.

    `series` hold raw values in order, for example one per optimiser step; a value that
    was not finite is null. `items` hold per-item correctness of the test set, a 0 or 1
    each, in the test set's order. `absent` gives the reason for each metric that was
    asked for and could not be measured. `resolved` holds settings read back from the
    built model, `environment` what the machine and its software were.
    """

    config: RunConfig
    kind: Kind
    status: Status
    device: Slug
    started: Started
    format: int = FORMAT
    failure: Failure | None = None
    metrics: dict[str, Number] = {}
    absent: dict[str, str] = {}
    series: dict[str, tuple[Number | None, ...]] = {}
    items: dict[str, Bits] = {}
    resolved: dict[str, Scalar] = {}
    environment: dict[str, Scalar] = {}
    citation: str | None = None

    @property
    def case(self) -> str:
        """Name what was measured; see `RunConfig.case`."""
        return self.config.case
