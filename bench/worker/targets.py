"""Which layers an adapter sits on: words that are resolved from the model's structure, not from a list of its names.

A layer of attention is a linear layer within a module whose class says Attention; the feed-forward layers are the
other linear layers of the repeated blocks. The output head belongs to neither.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from transformers.pytorch_utils import Conv1D

from bench.errors import UnsupportedError

PEFTS = "all-linear"
EMBEDDINGS = "all-linear+embeddings"
WORDS = ("query-value", "attention", "mlp", EMBEDDINGS)
"""Values of the option `targets` that are resolved here; `PEFTS` is peft's own word."""

QUERY = re.compile(r"w?q(uery)?(_(proj|lin|a_proj|b_proj))?")
VALUE = re.compile(r"w?v(alue)?(_(proj|lin))?")
"""What projections of their own are called in transformers' models, as a whole name; a fused layer is neither."""


def targets(said: str, model: Any) -> str | list[str] | None:
    """Read the option `targets` for a model: names of modules, peft's own word, or None for peft's choice.

    Raises `UnsupportedError` where the model has no layers of that kind, or none of one of the names: peft would
    adapt the others and say nothing.
    """
    if said == "default":
        return None
    if said == PEFTS:
        return said
    if said in WORDS:
        return sorted(_resolved(said, model))
    names = listed(said)
    known = [f".{name}" for name, _ in model.named_modules()]
    if missing := [name for name in names if not any(place.endswith(f".{name}") for place in known)]:
        raise UnsupportedError(f"targets={said!r}: {type(model).__name__} has no module called {', '.join(missing)}.")
    return names


def listed(said: str) -> list[str]:
    """Split names that are separated by commas."""
    return [name.strip() for name in said.split(",") if name.strip()]


def ties(said: str, model: Any) -> bool:
    """Tell whether these targets include an embedding that the output head shares."""
    return said == EMBEDDINGS and bool(getattr(model.config, "tie_word_embeddings", False))


def parameters_a_rank(said: str, model: Any) -> int:
    """Return how many parameters LoRA has on these targets per unit of rank: inputs plus outputs of every layer.

    An embedding [tokens, width] counts both, too (arXiv 2106.09685, section 4.1: B is [d, r], A is [r, k]).
    """
    layers = _layers(model)
    if said == PEFTS:
        names: Iterable[str] = layers
    elif said in WORDS:
        names = _resolved(said, model)
    else:
        names = [name for name in layers if any(f".{name}".endswith(f".{ending}") for ending in listed(said))]
    found = dict(model.named_modules())
    return sum(_width(found[name]) for name in names)


def _resolved(word: str, model: Any) -> list[str]:
    layers = _layers(model)
    attention = {name for name, owner in layers.items() if owner}
    if word == EMBEDDINGS:
        return [*layers, *_embeddings(model)]
    if word == "mlp":
        _refuse_fused_experts(model)
    found = {
        "attention": lambda: attention,
        "mlp": lambda: layers.keys() - attention,
        "query-value": lambda: _query_and_value(attention),
    }[word]()
    if not found:
        raise UnsupportedError(f"targets={word!r}: {type(model).__name__} has no such linear layers.")
    return list(found)


def _layers(model: Any) -> Mapping[str, str]:
    """Return the linear layers but the output head, each with the attention module it is in, or an empty name."""
    head = model.get_output_embeddings()
    attention = [name for name, module in model.named_modules() if "Attention" in type(module).__name__]
    return {
        name: next((owner for owner in attention if name.startswith(f"{owner}.")), "")
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear | Conv1D) and module is not head
    }


def _query_and_value(attention: Iterable[str]) -> set[str]:
    ends = {name: name.rpartition(".")[2] for name in attention}
    query, value = ({name for name, end in ends.items() if kind.fullmatch(end)} for kind in (QUERY, VALUE))
    if not query or not value:
        known = ", ".join(sorted(set(ends.values()))) or "none"
        raise UnsupportedError(f"targets='query-value': query and value have no layers of their own here; the linear "
                               f"layers of attention are: {known}.")  # fmt: skip
    return query | value


def _embeddings(model: Any) -> Iterator[str]:
    """Yield the names of the input embedding and of the output head.

    Where they share a weight, peft's adapters share their numbers too, but are parameters of their own (0.21.2).
    """
    wanted = [model.get_input_embeddings(), model.get_output_embeddings()]
    yield from (name for name, module in model.named_modules() if any(module is one for one in wanted))


def _refuse_fused_experts(model: Any) -> None:
    """Routed experts held as one tensor are no linear layers: what is left would not be the feed-forward layers."""
    for name, parameter in model.named_parameters():
        if "expert" in name and parameter.dim() == 3:
            raise UnsupportedError(f"targets='mlp': {name} holds all experts in one tensor, which no linear layer is.")


def _width(module: Any) -> int:
    if isinstance(module, torch.nn.Embedding):
        return module.num_embeddings + module.embedding_dim
    if isinstance(module, Conv1D):
        return int(module.nx + module.nf)
    return int(module.in_features + module.out_features)
