"""What runs on this machine's GPU are predicted to need, before any time is spent on them."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from bench import store
from bench.analysis.values import is_answer
from bench.errors import RunDidNotFinishError
from bench.launch import machine
from bench.launch.launchers import launcher_for
from bench.launch.predict import made_by
from bench.schema import Kind, RunConfig, RunRecord, Status, gpus

MARGIN = 1.15
"""What needs more than this times the card's memory is not tried: half as much again as the largest error that
predictions are held to (10 % for quantised bases), so that a prediction alone hardly keeps a run from being made."""

PATIENCE_S = 600.0
"""A prediction that takes longer, where others take seconds, stops nothing either: there is no forecast then."""

LASTING = (Status.OK, Status.OOM, Status.UNSUPPORTED)
"""Ends that a prediction would come to again."""

GIB = 2**30


class NotTriedError(RunDidNotFinishError):
    """A run was not made, because it is predicted to need far more memory than the card has."""

    def __init__(self, forecast: RunRecord) -> None:
        self._why = forecast.failure.message.removesuffix(".") if forecast.failure else ""
        super().__init__(forecast.case, forecast.status, self._why)

    def __str__(self) -> str:
        """Say what was predicted, and how the run is made all the same."""
        return f"predicted out of memory: {self._why}; --try-anyway runs it"


class Forecasts:
    """Predicts each config once for a card of the catalogue, and keeps its records below `root`.

    What `root` holds already is not predicted again. A config that cannot be predicted, or a card nobody knows, stops
    nothing: there is no forecast then. Close it in the end.
    """

    def __init__(self, root: Path, card: gpus.Sku | None) -> None:
        self._root = root
        self._card = card
        self._launcher = launcher_for(f"fake:{card.slug}") if card else None
        self._told: dict[bytes, store.Stored] = {}
        self._said: set[str | bytes] = set()
        if root.is_dir():
            self._take_from(root)

    @classmethod
    def for_this_gpu(cls, root: Path) -> Self:
        """Predict for the card of this machine."""
        return cls(root, gpus.of(machine.facts()))

    def close(self) -> None:
        """Let go of the process that predicts."""
        if self._launcher:
            self._launcher.close()

    def _take_from(self, root: Path) -> None:
        """Take what was predicted before for this card with the stack installed here."""
        stack = machine.stack()
        for found in store.scan(root):
            if isinstance(found, store.Unreadable) or found.record.kind is not Kind.PREDICTED:
                continue
            same_stack = stack.items() <= found.record.environment.items()
            same_card = self._card and found.record.config.device == f"fake:{self._card.slug}"
            if same_card and same_stack and found.record.status in LASTING:
                self._told[found.record.config.identity] = found

    def told(self, config: RunConfig) -> store.Stored | None:
        """Return the prediction of `config` on the card; None where there is none."""
        if self._card is None or self._launcher is None:
            return None
        if config.identity not in self._told:
            asked = config.but(device=f"fake:{self._card.slug}", seed=0, timeout_s=PATIENCE_S)
            self._told[config.identity] = made_by(self._launcher, asked, self._root)
        found = self._told[config.identity]
        return found if is_answer(found.record) else None

    def sentence(self, config: RunConfig) -> str:
        """Say what `config` is predicted to need, or why nobody knows."""
        if self._card is None:
            return "no forecast: this GPU is not in the catalogue"
        found = self.told(config)
        if found is None:
            failure = self._told[config.identity].record.failure
            return f"no forecast: {failure.message if failure else 'the prediction failed'}"
        return f"predicted {needed(found.record)}"

    def news(self, config: RunConfig) -> str | None:
        """Return the sentence of a config for the first time, a reason for no forecast only once; None after that."""
        said = self.sentence(config)
        once = config.identity if self.told(config) else said
        if once in self._said:
            return None
        self._said.add(once)
        return said


def needed(record: RunRecord) -> str:
    """Say what a predicted run needs at the level of the device, and whether it fits."""
    peaks = [size for name, size in record.metrics.items() if name.endswith(".peak_device")]
    said = gibibytes(max(peaks)) if peaks else "unknown"
    return said if record.status is Status.OK else f"{said}, which does not fit"


def tensors(record: RunRecord) -> int | float | None:
    """Return the bytes that tensors take at the peak of a predicted training; None where it was not predicted.

    Without the workspaces of cuBLAS, which a CPU does not have: they are what was alive before a step and belongs to
    nothing of the model.
    """
    peak = record.metrics.get("train.peak_allocated")
    return None if peak is None else peak - record.metrics.get("at_peak.other", 0)


def gibibytes(size: float) -> str:
    """Write bytes in GiB, less than one in MiB."""
    gib = size / GIB
    if gib < 1:
        return f"{size / 2**20:.3g} MiB"
    return f"{gib:.3g} GiB" if gib < 1000 else f"{gib:,.0f} GiB"


def far_beyond(record: RunRecord) -> bool:
    """Tell whether a predicted run needs so much more than the card has that it is not worth trying."""
    peaks = [size for name, size in record.metrics.items() if name.endswith(".peak_reserved")]
    capacity = record.metrics.get("predict.capacity")
    return record.status is Status.OOM and capacity is not None and max(peaks, default=0) > MARGIN * capacity
