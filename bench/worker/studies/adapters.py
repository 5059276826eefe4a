"""Many adapters in one model: what changing, combining and mixing them costs, and whether the base stays what it was.

None is trained, since operations cost the same on any numbers; all are moved, each by its own. Claims C06, C29 and C34.
"""

from __future__ import annotations

import copy
import time
from typing import Any

import torch

from bench.analysis.blocks import ORDER, is_first
from bench.errors import UnsupportedError
from bench.schema.metrics.adapters import TURNS
from bench.worker import canaries
from bench.worker.build import begin, build
from bench.worker.logbook import Logbook
from bench.worker.merge import weight_bytes
from bench.worker.probes.owners import owners
from bench.worker.refusals import refusing
from bench.worker.studies.adapters_base import digests, unchanged
from bench.worker.studies.adapters_operations import Many, activate, combine, load_and_delete, save, swap
from bench.worker.studies.inference_models import move_weights
from bench.worker.studies.inference_tokens import first_logits, prompts_of


def run(logbook: Logbook) -> None:
    """Put the config's adapters into one model and do everything to them; what peft refuses is absent in its words.

    Raises `UnsupportedError` for a method whose adapters cannot stand beside each other in a model.
    """
    named = begin(logbook)
    canaries.note(logbook, "before")
    built = build(logbook, named)
    if not hasattr(built.model, "add_adapter") or not hasattr(built.model, "unload"):
        raise UnsupportedError(f"{logbook.config.method} has no adapters that stand beside each other in a model.")
    prompts = prompts_of(built, logbook.config).to(logbook.device.torch_name)
    model, built.model = built.model.eval(), None
    before = digests(model)
    logbook.enter("adapters")
    start = time.perf_counter()
    many = Many(logbook, model, _add(logbook, model), prompts)
    _note_weights(many)
    for operation in (save, activate, load_and_delete, swap, combine, _mix):
        operation(many)
    logbook.metrics["adapters.base_unchanged"] = _unchanged(many, before)
    logbook.metrics["adapters.seconds"] = time.perf_counter() - start
    canaries.note(logbook, "after")


def _add(logbook: Logbook, model: Any) -> list[str]:
    """Add adapters like the first until there are as many as asked for, move each by its own numbers; return names."""
    config = logbook.config
    names = ["default", *(f"adapter{n}" for n in range(1, int(config.study_options["count"])))]
    cast = bool(config.options.get("autocast_adapter_dtype", True))
    with refusing("another adapter"):
        for name in names[1:]:
            model.add_adapter(name, copy.deepcopy(model.peft_config["default"]), autocast_adapter_dtype=cast)
    for number, name in enumerate(names):
        model.set_adapter(name)
        move_weights(model, len(names) * config.seed + number)
    model.set_adapter(names[0])
    model.eval()
    return names


def _note_weights(many: Many) -> None:
    held = sum(block.size for block in owners(many.model) if block.category == "adapters")
    many.logbook.metrics |= {
        "adapters.weights": held,
        "adapters.weights_each": held // len(many.names),
        "adapters.base_weights": weight_bytes(many.model) - held,
    }


def _mix(many: Many) -> None:
    """Give the rows of the batch the adapters in turn, in turns with one adapter for all; check every row."""
    rows = [many.names[row % len(many.names)] for row in range(len(many.prompts))]
    with many.absent_where_refused("mixed_seconds", "mixed_slowdown", "mixed_error", "mixed_change"):
        mixed = _logits(many, rows)
        alone = {name: many.said(name) for name in dict.fromkeys(rows)}
        many.model.set_adapter(many.names[0])
        own = torch.stack([alone[name][row] for row, name in enumerate(rows)])
        many.logbook.metrics["adapters.mixed_error"] = (mixed - own).abs().max().item()
        many.logbook.metrics["adapters.mixed_change"] = (alone[rows[0]] - own).abs().max().item()
        blocks = len(ORDER) * int(many.logbook.config.study_options["repeats"])
        taken = [many.seconds(lambda turn=turn: _logits(many, rows if is_first(turn) else None))  # type: ignore[misc]
                 for turn in range(blocks)]  # fmt: skip
        many.logbook.keep_series(TURNS, taken)


def _logits(many: Many, rows: list[str] | None) -> torch.Tensor:
    """Return the logits that follow the prompts, with the active adapter or with the one named for every row."""
    named = {} if rows is None else {"adapter_names": rows}
    return first_logits(many.model, many.prompts, **named)


def _unchanged(many: Many, before: Any) -> float:
    """Compare the base with what it was, under its adapters and when they are unloaded; the lesser share counts."""
    beside = unchanged(before, digests(many.model))
    return min(beside, unchanged(before, digests(many.model.unload())))
