"""peft's adapters from a run's options: one builder for every method that freezes a base and trains an adapter."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import peft

from bench.errors import UnsupportedError
from bench.schema import RunConfig
from bench.worker import bases
from bench.worker.methods import Begin, Method
from bench.worker.targets import targets, ties

Fields = Callable[[Any, RunConfig], Mapping[str, Any]]
"""Takes the model that is to be wrapped and the run's config; returns fields of peft's config."""

NOT_FIELDS = frozenset({"targets", "autocast_adapter_dtype"})


def nothing_more(*_: Any) -> Mapping[str, Any]:
    """Compute no fields."""
    return {}


def wrapped(model: Any, config: RunConfig, describe: Callable[[], Any]) -> Any:
    """Freeze `model` and add the adapter that peft's config from `describe` says.

    Raises `UnsupportedError` in the words of peft's refusal, and where nothing would be trained.
    """
    cast = bool(config.options.get("autocast_adapter_dtype", True))
    try:
        found = peft.get_peft_model(model, describe(), autocast_adapter_dtype=cast)
    except (ValueError, TypeError, NotImplementedError, ImportError) as refusal:
        raise UnsupportedError(f"peft refuses these adapters of {config.method}: {refusal}") from refusal
    _refuse_untrained(found, config)
    return found


def _refuse_untrained(model: Any, config: RunConfig) -> None:
    """Raise `UnsupportedError` where no weight gets a gradient: a run would end well and have trained nothing."""
    if not any(parameter.requires_grad for parameter in model.parameters()):
        said = config.options.get("targets", "its own")
        raise UnsupportedError(f"{config.method} on targets={said!r} leaves {type(model).__name__} without a single "
                               "trained weight.")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Adapter:
    """How a method's options become one of peft's config classes, and its adapter a part of a model.

    `config_class` is one of peft's by its name, or one of our own. `names` maps options to fields that are called
    otherwise in peft, or to None if peft has no such field. `unset` are options that leave the choice to peft where
    they are 0 or empty. `fixed` are fields that make the method what it is; `computed` gives those that depend on the
    model or on several options.
    """

    config_class: str | Callable[..., Any]
    names: Mapping[str, str | None] = field(default_factory=lambda: MappingProxyType({}))
    unset: tuple[str, ...] = ()
    fixed: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    computed: Fields = nothing_more

    def fields(self, model: Any, config: RunConfig) -> dict[str, Any]:
        """Return the fields of peft's config."""
        found: dict[str, Any] = {"task_type": "CAUSAL_LM", **self.fixed}
        for option, value in config.options.items():
            name = None if option in NOT_FIELDS else self.names.get(option, option)
            if name is not None:
                found[name] = None if option in self.unset and not value else value
        if "targets" in config.options:
            said = str(config.options["targets"])
            found["target_modules"] = targets(said, model)
            if ties(said, model):
                found["ensure_weight_tying"] = True
        return {**found, **self.computed(model, config)}

    def wrap(self, model: Any, config: RunConfig) -> Any:
        """Freeze `model` and add the adapter; see `wrapped`."""
        described = getattr(peft, self.config_class, None) if isinstance(self.config_class, str) else self.config_class
        if described is None:
            raise UnsupportedError(f"peft {peft.__version__} has no {self.config_class}, which {config.method} needs.")
        return wrapped(model, config, lambda: described(**self.fields(model, config)))

    def prepare(self, model: Any, config: RunConfig) -> Any:
        """Make a base, plain or quantised as the config says, ready to train with this adapter; see `wrap`."""
        return self.wrap(bases.ready(model, config, bases.quantization(config)), config)

    def method(
        self,
        *,
        optimizer: Callable[[Any, RunConfig], Any] | None = None,
        begin: Begin | None = None,
        after_step: Callable[[Any, int], None] | None = None,
    ) -> Method:
        """Return the method that trains this adapter, on the base that the config names."""
        return Method(
            bases.quantization,
            self.prepare,
            saves_adapter=True,
            optimizer=optimizer,
            begin=begin,
            after_step=after_step,
        )
