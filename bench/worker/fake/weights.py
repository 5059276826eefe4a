"""A checkpoint without weights: what transformers loads from, made of an architecture's shapes alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import torch
from transformers import AutoConfig

from bench import cache
from bench.errors import NotFetchedError
from bench.schema.models import architecture
from bench.worker.models import model_class


class Described(NamedTuple):
    """A model by its architecture: transformers' class and config, and where the shapes are from."""

    kind: Any
    settings: Any
    origin: str


def described(name: str) -> Described:
    """Find the architecture of a model: of the fetched one, else of a kept config.json, else of the catalogue.

    Raises `NotFetchedError` for a model that is neither, `UnsupportedError` for a class that transformers lacks.
    """
    try:
        manifest = cache.manifest(name)
        facts = json.loads(Path(manifest.folder, "config.json").read_text())
        origin = f"config.json of {manifest.origin}"
    except NotFetchedError:
        kept = cache.kept_architecture(name)
        facts = kept or architecture(name)
        origin = f"config.json kept as {name}" if kept else f"architecture {name} of the catalogue"
    settings = AutoConfig.for_model(**facts)
    return Described(model_class((facts.get("architectures") or ["unknown"])[0], name), settings, origin)


def shaped_weights(model: Described, dtype: torch.dtype) -> dict[str, Any]:
    """Say to `open_model` that the weights are fake tensors on the host, as a checkpoint would hold them.

    Call it within FakeTensorMode.
    """
    with torch.device("meta"):
        shell = model.kind(model.settings)
    once = {name for name, _ in shell.named_parameters()} | {name for name, _ in shell.named_buffers()}
    state = {
        name: torch.empty(weight.shape, dtype=dtype, device="cpu")
        for name, weight in shell.state_dict().items()
        if name in once  # a checkpoint holds tied weights once
    }
    return {"pretrained_model_name_or_path": None, "config": model.settings, "state_dict": state}
