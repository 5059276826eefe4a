"""Trainable tokens: the embeddings of a few tokens are trained, all others stay as they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.errors import BadValueError
from bench.schema import RunConfig
from bench.worker.adapters import Adapter
from bench.worker.targets import listed


def token_indices(model: Any, config: RunConfig) -> Mapping[str, list[int]]:
    """Read the option `tokens`; 'special' are the model's begin and end of text. Raises `BadValueError`."""
    said = str(config.options["tokens"])
    if said == "special":
        ends = model.config.eos_token_id
        known = [model.config.bos_token_id, *(ends if isinstance(ends, list) else [ends])]
        return {"token_indices": sorted({token for token in known if token is not None})}
    try:
        return {"token_indices": [int(token) for token in listed(said)]}
    except ValueError:
        raise BadValueError(f"option tokens={said!r} must be 'special' or token ids such as '0,1'.") from None


METHOD = Adapter("TrainableTokensConfig", {"tokens": None}, computed=token_indices).method()
