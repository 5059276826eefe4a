"""Open a fetched model: the tokenizer, the weights in the wanted precision, nothing that is not on this machine."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import transformers

from bench.cache import Manifest
from bench.errors import INSTALL, MissingPackageError, UnsupportedError
from bench.schema import RunConfig

EVERY_CARD = "auto"
"""The place of a model whose layers lie on all GPUs, as accelerate deals them out."""


def model_class(architecture: str, origin: str) -> Any:
    """Return transformers' class called `architecture`; importing it is the slow part. `origin` is for its refusal.

    Raises `UnsupportedError` for an architecture this transformers does not have: code that
    comes with a model is never run.
    """
    found = getattr(transformers, architecture, None)
    if found is None:
        raise UnsupportedError(
            f"transformers {transformers.__version__} has no architecture {architecture!r}, which {origin} is."
        )
    return found


def fetched_class(manifest: Manifest) -> Any:
    """Return transformers' class for a fetched model."""
    described = _described(manifest)
    return model_class((described.get("architectures") or ["unknown"])[0], manifest.origin)


def _described(manifest: Manifest) -> dict[str, Any]:
    """Read what a fetched model says of itself."""
    described: dict[str, Any] = json.loads(Path(manifest.folder, "config.json").read_text())
    return described


def stored_weights(manifest: Manifest) -> dict[str, Any]:
    """Say to `open_model` where a fetched model's weights are."""
    return {"pretrained_model_name_or_path": manifest.folder, "local_files_only": True, "use_safetensors": True}


def open_tokenizer(manifest: Manifest) -> Any:
    """Load the tokenizer, with a padding token."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(
        manifest.folder, local_files_only=True, trust_remote_code=False
    )
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token_id = tokenizer.eos_token_id
    return tokenizer


def open_processor(manifest: Manifest) -> Any:
    """Load transformers' processor of a model that reads images; None for a model of text alone.

    Raises `MissingPackageError` without the packages that read images.
    """
    if "vision_config" not in _described(manifest):
        return None
    try:
        return transformers.AutoProcessor.from_pretrained(
            manifest.folder, local_files_only=True, trust_remote_code=False
        )
    except ImportError as missing:
        raise MissingPackageError("pillow", "a model that reads images", INSTALL) from missing


def open_model(
    kind: Any,
    weights: Mapping[str, Any],
    config: RunConfig,
    quantization: Any,
    torch_name: str,
    *,
    mapped: bool = False,
) -> Any:
    """Load a model of class `kind` onto the device, or onto `EVERY_CARD`.

    `weights` says where they are, in from_pretrained's words; `quantization` is its quantization_config or None.
    `mapped` weights on the host stay in the file's mapping, which processes share: for who takes but a part of them.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = kind.from_pretrained(
            **weights,
            dtype=getattr(torch, config.dtype),
            attn_implementation=config.attention,
            quantization_config=quantization,
            device_map={"cpu": None, EVERY_CARD: EVERY_CARD}.get(torch_name, {"": torch_name}),
            trust_remote_code=False,
        )
    if torch_name == "cpu" and not mapped:
        _own_weights(model)
    model.config.use_cache = False
    return model


def _own_weights(model: torch.nn.Module) -> None:
    """Copy weights out of the mapped file, so that memory is what a method holds and not what a file maps."""
    for parameter in model.parameters():
        parameter.data = parameter.data.clone()


def facts(manifest: Manifest) -> dict[str, str]:
    """Say which weights these are, for the record."""
    return {"model.source": manifest.source, "model.origin": manifest.origin, "model.revision": manifest.revision}
