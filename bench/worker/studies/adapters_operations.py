"""What is done to adapters of a model, one operation at a time, as peft does it; what it refuses is absent."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import torch
from peft.utils.hotswap import hotswap_adapter

from bench.schema.metrics.adapters import COMBINATIONS, series_of
from bench.worker.logbook import Logbook
from bench.worker.refusals import REFUSALS
from bench.worker.studies.inference_tokens import first_logits

EXTRA = "extra"
"""An adapter that comes and goes."""

STUMBLES = (*REFUSALS, KeyError, TypeError)
"""What peft raises where it does not do an operation: 0.21's hot-swap ends in a KeyError over DoRA's magnitudes, and
IA3's add_weighted_adapter has no ways to choose from."""


@dataclass(frozen=True, slots=True)
class Many:
    """A model that holds adapters by these names, the first of them active, and prompts [sequences, tokens]."""

    logbook: Logbook
    model: Any
    names: list[str]
    prompts: torch.Tensor

    def said(self, name: str) -> torch.Tensor:
        """Return the logits that follow the prompts with one adapter, which is the active one afterwards."""
        self.model.set_adapter(name)
        return first_logits(self.model, self.prompts)

    def file(self, name: str) -> Path:
        """Return the folder that an adapter was saved in; peft keeps the default one at the top."""
        top = self.logbook.folder / "adapters"
        return top if name == "default" else top / name

    def seconds(self, call: Callable[[], object]) -> float:
        """Call, and return how long it took, the device waited for at both ends."""
        self.logbook.device.synchronize()
        start = time.perf_counter()
        call()
        self.logbook.device.synchronize()
        return time.perf_counter() - start

    def rotated(self) -> Iterator[str]:
        """Yield names, every one that was not active just before, as often as each operation is timed."""
        return islice(cycle([*self.names[1:], self.names[0]]), int(self.logbook.config.study_options["timings"]))

    @contextmanager
    def absent_where_refused(self, *metrics: str) -> Iterator[None]:
        """Note why metrics are absent where peft does not do what is tried."""
        try:
            yield
        except STUMBLES as refused:
            reason = f"peft does not do it: {type(refused).__name__}: {refused}"
            self.logbook.absent.update({f"adapters.{metric}": reason for metric in metrics})


def save(many: Many) -> None:
    """Write adapters one by one, all of them in the end, and keep the size of a file."""
    top, model = many.logbook.folder / "adapters", many.model
    model.save_pretrained(top)
    taken = [many.seconds(lambda name=name: model.save_pretrained(top, selected_adapters=[name]))  # type: ignore[misc]
             for name in many.rotated()]  # fmt: skip
    many.logbook.keep_series(series_of("save"), taken)
    files = many.file(many.names[0]).glob("*.safetensors")
    many.logbook.metrics["adapters.file_bytes"] = sum(path.stat().st_size for path in files)


def activate(many: Many) -> None:
    """Make one adapter after another the active one."""
    taken = [many.seconds(lambda name=name: many.model.set_adapter(name)) for name in many.rotated()]  # type: ignore[misc]
    many.logbook.keep_series(series_of("set"), taken)


def load_and_delete(many: Many) -> None:
    """Read one adapter more and take it out again; what was read says what was saved."""
    model, name, place = many.model, many.names[0], many.logbook.device.torch_name
    known = many.said(name)
    loads, deletes = list[float](), list[float]()
    for left in reversed(range(int(many.logbook.config.study_options["timings"]))):
        folder = str(many.file(name))
        loads.append(many.seconds(lambda: model.load_adapter(folder, EXTRA, torch_device=place)))  # noqa: B023
        if not left:
            model.eval()
            many.logbook.metrics["adapters.reload_error"] = _apart(many.said(EXTRA), known)
            model.set_adapter(name)
        deletes.append(many.seconds(lambda: model.delete_adapter(EXTRA)))
    many.logbook.keep_series(series_of("load"), loads)
    many.logbook.keep_series(series_of("delete"), deletes)


def swap(many: Many) -> None:
    """Overwrite the first adapter with files of the last and of itself in turn; it is itself in the end."""
    first, last = many.names[0], many.names[-1]
    known = many.said(last)
    many.model.set_adapter(first)
    taken = list[float]()
    with many.absent_where_refused("swap_seconds", "swap_error"):
        for _ in range(int(many.logbook.config.study_options["timings"])):
            for name in (last, first):
                taken.append(many.seconds(lambda: _swap(many, name)))  # noqa: B023
                if name == last and "adapters.swap_error" not in many.logbook.metrics:
                    many.logbook.metrics["adapters.swap_error"] = _apart(many.said(first), known)
        many.logbook.keep_series(series_of("swap"), taken)


def _swap(many: Many, name: str) -> None:
    hotswap_adapter(
        many.model, str(many.file(name)), adapter_name=many.names[0], torch_device=many.logbook.device.torch_name
    )


def combine(many: Many) -> None:
    """Make one adapter of all, each with an equal weight, in every way that is asked for; it is deleted again."""
    asked = [way.strip() for way in str(many.logbook.config.study_options["combinations"]).split(",") if way.strip()]
    for way in COMBINATIONS:
        metric = f"{way}_seconds"
        if way not in asked:
            continue
        if len(many.names) < 2:
            many.logbook.absent[f"adapters.{metric}"] = "one adapter has nothing to be combined with."
        elif not hasattr(many.model, "add_weighted_adapter"):
            many.logbook.absent[f"adapters.{metric}"] = "peft's adapters of this kind have no add_weighted_adapter."
        else:
            with many.absent_where_refused(metric):
                taken = many.seconds(lambda: _combine(many, way))  # noqa: B023
                many.logbook.keep_series(series_of(way), [taken])
                many.model.delete_adapter(EXTRA)


def _combine(many: Many, way: str) -> None:
    weights = [1 / len(many.names)] * len(many.names)
    kept = {"density": 0.5} if way == "ties" else {}
    many.model.add_weighted_adapter(many.names, weights, EXTRA, combination_type=way, **kept)


def _apart(one: torch.Tensor, other: torch.Tensor) -> float:
    return (one - other).abs().max().item()
