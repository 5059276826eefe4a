"""Open a fetched model: the tokenizer, the weights in the wanted precision, nothing that is not on this machine."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import torch
import transformers

from bench.cache import Manifest
from bench.errors import UnsupportedError
from bench.schema import RunConfig


def model_class(manifest: Manifest) -> Any:
    """Return transformers' class for a fetched model; importing it is the slow part.

    Raises `UnsupportedError` for an architecture this transformers does not have: code that
    comes with a model is never run.
    """
    described = json.loads(Path(manifest.folder, "config.json").read_text())
    architecture = (described.get("architectures") or ["unknown"])[0]
    found = getattr(transformers, architecture, None)
    if found is None:
        raise UnsupportedError(
            f"transformers {transformers.__version__} has no architecture {architecture!r}, which {manifest.origin} is."
        )
    return found


def open_tokenizer(manifest: Manifest) -> Any:
    """Load the tokenizer, with a padding token."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(
        manifest.folder, local_files_only=True, trust_remote_code=False
    )
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token_id = tokenizer.eos_token_id
    return tokenizer


def open_model(manifest: Manifest, kind: Any, config: RunConfig, quantization: Any, torch_name: str) -> Any:
    """Load the weights onto the device; `quantization` is transformers' quantization_config or None."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = kind.from_pretrained(
            manifest.folder,
            dtype=getattr(torch, config.dtype),
            attn_implementation=config.attention,
            quantization_config=quantization,
            device_map=None if torch_name == "cpu" else {"": torch_name},
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
        )
    if torch_name == "cpu":
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
