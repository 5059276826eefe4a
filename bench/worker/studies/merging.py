"""What does merging keep? Train, merge in one of several ways, and set the result against the model before it.

Three models meet on the same data: the base without the adapter, the model with the adapter beside it, and the
merged one. A merge into few bits can round a small update away, and then the merged model is the base again: so it
is compared with both. Claims C25 to C27 of the guide.
"""

from __future__ import annotations

import gc
from typing import Any

import torch

from bench.errors import UnsupportedError
from bench.worker import resolved
from bench.worker.build import Built, begin, build
from bench.worker.logbook import Logbook
from bench.worker.merge import weight_bytes
from bench.worker.paging.counted import counting
from bench.worker.refusals import refusing
from bench.worker.run import note_evaluation
from bench.worker.studies.answers import Seen, apart, look, perplexity
from bench.worker.studies.merging_ways import WAYS, Trained
from bench.worker.studies.merging_weights import Change, changes, remember, totals
from bench.worker.training import train_all

NOT_FINITE = "the model's numbers were not finite, or there was nothing to divide by."

EXAMPLES = 32
"""Test items whose text is compared where none are scored."""


def run(logbook: Logbook) -> None:
    """Train the config's method, merge it as the study's option `way` says, and write down what is left of it.

    Raises `UnsupportedError` for a method without an adapter, and for a merge that is refused.
    """
    named = begin(logbook)
    built = build(logbook, named)
    if not hasattr(built.model, "merge_and_unload"):
        raise UnsupportedError(f"{logbook.config.method} has no adapter to merge.")
    with counting(logbook) as counters, logbook.phase("train"):
        train_all(logbook, built.model, built.encoder, built.training, counters)
    with built.model.disable_adapter():
        base = _examine(logbook, built, "base", "before")
    unmerged = _examine(logbook, built, "unmerged", "after")
    _note_apart(logbook, unmerged, base, "_of_base")
    layers = remember(built.model)
    _merge(Trained(logbook, named, built, layers))
    merged = _examine(logbook, built, "merged", "merged")
    _note_apart(logbook, unmerged, merged, "")
    _note_apart(logbook, merged, base, "_from_base")
    _note_weights(logbook, changes(layers, built.model))
    if rounds := logbook.series.get("merging.round_drift"):
        logbook.note({"merging.drift": rounds[-1]}, NOT_FINITE)


def _examine(logbook: Logbook, built: Built, name: str, items: str) -> Seen:
    """Let the model read the test items, note its perplexity, and where items are scored its verdicts."""
    examples = built.test or built.task.test(EXAMPLES)
    with logbook.phase("evaluate"):
        seen = look(built, examples, logbook.config, int(logbook.config.study_options["compared_tokens"]))
    logbook.keep_series(f"merging.{name}.answer_nll", seen.nll)
    logbook.keep_series(f"merging.{name}.answer_tokens", seen.tokens)
    logbook.metrics["merging.tokens"] = len(seen.logits)
    logbook.note({f"merging.perplexity_{name}": perplexity(seen)}, NOT_FINITE)
    if built.test:
        note_evaluation(logbook, built, items, "evaluate." if items == "after" else f"evaluate.{items}.")
    return seen


def _note_apart(logbook: Logbook, first: Seen, second: Seen, ending: str) -> None:
    found = apart(first.logits, second.logits)
    logbook.keep_series(f"merging.token_kl{ending}", found.divergences)
    logbook.note({
        f"merging.kl{ending}": found.divergence,
        f"merging.logit_difference{ending}": found.largest,
        f"merging.flips{ending}": found.flips,
    }, NOT_FINITE)  # fmt: skip


def _merge(trained: Trained) -> None:
    """Merge; what was built holds the result afterwards, and what was before is released."""
    logbook, built = trained.logbook, trained.built
    before = resolved.settings(built.model)
    _note_held(logbook, built.model, "before")
    way = str(logbook.config.study_options["way"])
    with refusing(f"merging {way!r}"):
        built.model = WAYS[way](trained)
    _note_held(logbook, built.model, "after")
    after = resolved.settings(built.model)
    for name in ("quantization", "dtype"):
        logbook.resolve({f"merge.{name}": after[f"base.{name}"], f"merge.{name}_before": before[f"base.{name}"]})


def _note_held(logbook: Logbook, model: Any, when: str) -> None:
    logbook.metrics[f"merge.weights_{when}"] = weight_bytes(model)
    if logbook.device.torch_name.startswith("cuda"):
        gc.collect()
        logbook.metrics[f"merging.allocated_{when}"] = torch.cuda.memory_allocated()


def _note_weights(logbook: Logbook, found: list[Change]) -> None:
    if not found:
        for name in ("update_size", "update_kept", "update_error", "weight_error", "weight_error_largest"):
            logbook.absent[f"merging.{name}"] = "only of LoRA's layers is it known what they ask for, weight by weight."
        return
    for name in Change._fields:
        logbook.keep_series(f"merging.layer_{name}", [getattr(change, name) for change in found])
    logbook.note(totals(found), NOT_FINITE)
