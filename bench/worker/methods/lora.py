"""LoRA (Hu et al., arXiv 2106.09685): the base is frozen, low-rank adapters are trained."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from bench.schema import RunConfig
from bench.worker.adapters import Adapter, Fields, nothing_more
from bench.worker.targets import parameters_a_rank

NAMES: Mapping[str, str | None] = MappingProxyType({
    "rank": "r", "alpha": "lora_alpha", "dropout": "lora_dropout", "as_many_as": None,
})  # fmt: skip


def variant(
    own: Mapping[str, str | None] | None = None,
    computed: Fields = nothing_more,
    *,
    config_class: str | Callable[..., Any] = "LoraConfig",
    **fixed: Any,
) -> Adapter:
    """Describe LoRA with fields of peft's LoraConfig set, which is what many methods are; `own` names their options.

    `config_class` is another one with LoRA's fields and more.
    """

    def with_rank(model: Any, config: RunConfig) -> Mapping[str, Any]:
        return {**matched_rank(model, config), **computed(model, config)}

    return Adapter(config_class, {**NAMES, **(own or {})}, fixed=fixed, computed=with_rank)


def matched_rank(model: Any, config: RunConfig) -> Mapping[str, Any]:
    """Return the rank at which the adapter has as many parameters as `rank` gives it on the targets `as_many_as`.

    It is rounded to the nearest, at least 1; alpha changes with it, so that the scale stays. Nothing if not asked for.
    """
    options = config.options
    if not (alike := str(options.get("as_many_as", ""))):
        return {}
    own, theirs = (parameters_a_rank(said, model) for said in (str(options["targets"]), alike))
    rank = max(1, round(int(options["rank"]) * theirs / own))
    return {"r": rank, "lora_alpha": float(options["alpha"]) * rank / int(options["rank"])}


LORA = variant()
METHOD = LORA.method()
