"""The models that generate in turns: an adapter beside its base or in it, and the base without it.

The base of an unmerged adapter is the very model with peft's layers taken out of it, so that both share all weights
and the base pays nothing for peft. `disable_adapter` would leave peft's layers in its way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from peft.tuners.tuners_utils import BaseTunerLayer

from bench.errors import UnsupportedError
from bench.worker.build import Built, Named, open_prepared
from bench.worker.logbook import Logbook
from bench.worker.refusals import refusing
from bench.worker.studies.inference_tokens import first_logits

SPREAD = 0.01
"""Standard deviation of the numbers that stand for training; what they do to the logits is kept with the run."""

Seat = Callable[[], AbstractContextManager[Any]]
"""Gives the model that generates in a turn, as transformers' own class; what is needed for it is not timed."""


@dataclass(frozen=True, slots=True)
class Seats:
    """What is asked about, alone in memory, and how to get what it is compared with."""

    asked: Any
    model: Any
    """The same with peft's part around it, where there is one."""
    base: Callable[[], Seat]


def seats(logbook: Logbook, named: Named, built: Built, prompts: torch.Tensor) -> Seats:
    """Make what the study's option `state` names, and take it out of `built`.

    Raises `UnsupportedError` for a method without layers of its own, and for a merge that is refused.
    """
    model, built.model = built.model.eval(), None
    state = str(logbook.config.study_options["state"])
    if state == "base":
        return _alone(_without_adapter(model))
    if not _layers(model):
        raise UnsupportedError(f"{logbook.config.method} has no adapted layers that could be taken out of the model.")
    move_weights(model, logbook.config.seed)
    unmerged = _note_change(logbook, model, prompts)
    if state == "unmerged":
        return Seats(model.get_base_model(), model, lambda: partial(taken_out, model))
    merged = _merged(logbook, model)
    error = (first_logits(merged, prompts) - unmerged).abs().max()
    logbook.metrics["inference.logit_error"] = error.item()
    return Seats(merged, merged, lambda: partial(nullcontext, _loaded_again(logbook, named)))


def _alone(base: Any) -> Seats:
    return Seats(base, base, lambda: partial(nullcontext, base))


def _without_adapter(model: Any) -> Any:
    if hasattr(model, "unload"):
        return model.unload()
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def _loaded_again(logbook: Logbook, named: Named) -> Any:
    """Load the base as the adapter had it, beside the merged model."""
    return _without_adapter(open_prepared(named, logbook.config, logbook.device)).eval()


def _merged(logbook: Logbook, model: Any) -> Any:
    with logbook.phase("merge"), refusing("merging"):
        return model.merge_and_unload()


def move_weights(model: Any, seed: int) -> None:
    """Move every trained weight by a small random number, in place of training: LoRA's B would be 0, and do nothing."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        if parameter.requires_grad:
            moved = torch.randn(parameter.shape, generator=generator) * SPREAD
            parameter.data += moved.to(parameter.device, parameter.dtype)


def _note_change(logbook: Logbook, model: Any, prompts: torch.Tensor) -> torch.Tensor:
    """Keep what the adapter does to the first token's logits, and return those with it."""
    found = first_logits(model.get_base_model(), prompts)
    with taken_out(model) as base:
        logbook.metrics["inference.logit_change"] = (found - first_logits(base, prompts)).abs().max().item()
    return found


@contextmanager
def taken_out(model: Any) -> Iterator[Any]:
    """Give the base with its own layers where peft's stand, and put peft's back in the end."""
    base, layers = model.get_base_model(), _layers(model)
    for name, layer in layers:
        base.set_submodule(name, layer.get_base_layer())
    try:
        yield base
    finally:
        for name, layer in layers:
            base.set_submodule(name, layer)


def _layers(model: Any) -> list[tuple[str, Any]]:
    """Return peft's layers by their names in the base."""
    if not hasattr(model, "get_base_model"):
        return []
    named = model.get_base_model().named_modules()
    return [(name, module) for name, module in named if isinstance(module, BaseTunerLayer)]
