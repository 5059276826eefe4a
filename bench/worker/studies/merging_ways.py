"""Ways to merge an adapter: as peft does it in place, and by way of weights that are not quantised.

Each is timed as the phase "merge", from the trained model to the one that is used, files on the way included.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, Self

import torch
from peft import PeftModel

from bench.errors import UnsupportedError
from bench.worker import models, quantized
from bench.worker.build import Built, Named
from bench.worker.logbook import Logbook
from bench.worker.studies.merging_weights import Layers, drift


@dataclass(frozen=True, slots=True)
class Trained:
    """A run whose model is trained and not yet merged; a way takes the model out of `built`."""

    logbook: Logbook
    named: Named
    built: Built
    layers: Layers


Way = Callable[[Trained], Any]
"""Takes what was trained and returns the merged model."""


def in_place(trained: Trained) -> Any:
    """Call peft's merge_and_unload; into a quantised base it expands, adds and quantises again."""
    with trained.logbook.phase("merge"):
        return trained.built.model.merge_and_unload()


def dequantized(trained: Trained) -> Any:
    """Expand the quantised base with transformers' dequantize, merge into that, and keep it in the config's dtype."""
    with trained.logbook.phase("merge"):
        return _into_expanded(trained)


def requantized(trained: Trained) -> Any:
    """Expand, merge, save, and load the saved model quantised again."""
    with trained.logbook.phase("merge"):
        return _quantized_again(trained, _into_expanded)


def original(trained: Trained) -> Any:
    """Merge the adapter into the weights that the base was quantised from."""
    with trained.logbook.phase("merge"):
        return _into_original(trained)


def original_requantized(trained: Trained) -> Any:
    """Merge into the weights the base was quantised from, save, and load the saved model quantised."""
    with trained.logbook.phase("merge"):
        return _quantized_again(trained, _into_original)


def repeated(trained: Trained) -> Any:
    """Merge and take out again, round after round, and keep every round's drift; the adapter stays beside the base."""
    logbook, model = trained.logbook, trained.built.model
    drifts: list[float] = []
    for _ in range(int(logbook.config.study_options["merge_rounds"])):
        with logbook.phase("merge"):
            model.merge_adapter()
            model.unmerge_adapter()
        if trained.layers:
            drifts.append(drift(trained.layers, model))
    logbook.keep_series("merging.round_drift", drifts)
    return model


WAYS: Mapping[str, Way] = MappingProxyType({
    "in_place": in_place, "dequantized": dequantized, "requantized": requantized, "original": original,
    "original_requantized": original_requantized, "repeated": repeated,
})  # fmt: skip


def _into_expanded(trained: Trained) -> Any:
    built, dtype = trained.built, getattr(torch, trained.logbook.config.dtype)
    adapter = _Saved.of(trained)
    base, built.model = built.model.unload(), None
    return _joined(base.dequantize(dtype=dtype), adapter, trained)


def _into_original(trained: Trained) -> Any:
    """Load the base once more, not quantised, when the one that was trained on is gone."""
    config, named, built = trained.logbook.config, trained.named, trained.built
    adapter = _Saved.of(trained)
    built.model = None
    gc.collect()
    weights = models.stored_weights(named.manifest)
    plain = models.open_model(named.kind, weights, config, None, built.device.torch_name)
    return _joined(plain, adapter, trained)


def _quantized_again(trained: Trained, merged: Way) -> Any:
    """Merge, save, and load what was saved as the base was; the merged model is gone by then."""
    config, folder = trained.logbook.config, trained.logbook.folder / "merged"
    settings = trained.built.method.quantization(config)
    if settings is None:
        raise UnsupportedError("the base is not quantised, so there is nothing to quantise again.")
    merged(trained).save_pretrained(folder)
    gc.collect()
    weights = {"pretrained_model_name_or_path": str(folder), "local_files_only": True, "use_safetensors": True}
    found = models.open_model(trained.named.kind, weights, config, settings, trained.built.device.torch_name)
    quantized.keep_weights_in_place(found)
    return found


class _Saved(NamedTuple):
    """An adapter in a folder, and its config: of layers of our own peft's file alone does not say which they are."""

    folder: Path
    config: Any

    @classmethod
    def of(cls, trained: Trained) -> Self:
        model, folder = trained.built.model, trained.logbook.folder / "adapter"
        model.save_pretrained(folder)
        return cls(folder, model.peft_config["default"])


def _joined(base: Any, adapter: _Saved, trained: Trained) -> Any:
    device = trained.built.device.torch_name
    model = PeftModel.from_pretrained(base, adapter.folder, config=adapter.config, torch_device=device)
    return model.merge_and_unload().to(getattr(torch, trained.logbook.config.dtype))
