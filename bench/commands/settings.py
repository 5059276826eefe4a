"""Settings of a run as flags: any field of a config and any option of a method."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from typing import Any

from bench.errors import BadValueError
from bench.schema import gpus
from bench.schema.catalogue import METHODS, Option, Scalar, find
from bench.schema.config import Protocol, RunConfig, configure
from bench.schema.methods.options import LORA_OPTIONS
from bench.schema.protocols import PROTOCOLS

DEFAULTS: Mapping[str, Any] = {
    "task": "gsm8k", "dtype": "bfloat16", "optimizer": "adamw", "batch_size": 4, "sequence_length": 1024,
    "packing": True, "protocol": Protocol(outputs="backward"), "largest_batch": True,
}  # fmt: skip
"""Where a prediction starts from, unless told otherwise: full sequences in bfloat16, torch's own AdamW."""

HIDDEN = ("options", "study", "study_options", "device", "protocol", "seed", "timeout_s", "memory_limit", "paging",
          "paging_fraction", "uvm_counters", "inspect")  # fmt: skip
"""Fields of a config that are no flag here: they mean nothing without a device, or have a flag of another kind."""


def add_settings(one: argparse.ArgumentParser) -> None:
    """Describe the flags to a command."""
    one.add_argument("--gpu", required=True, metavar="GPU", help="the card, for example A100-80GB, L40S, RTX-4090")
    one.add_argument("--fsdp", type=int, metavar="CARDS", help="shard weights, gradients and moments over so many such "
                     "cards (FSDP2); the batch is all cards' together (default: 4 a card)")  # fmt: skip
    one.add_argument("--protocol", choices=tuple(PROTOCOLS), help="the training loop of a published benchmark")
    settings = one.add_argument_group("settings of the run")
    for name, default in _fields():
        _add(settings, name, default, required=name in ("model", "method"))
    options = one.add_argument_group("options of the method (each method has some of them)")
    for name, option in _options():
        _add(options, name, option.default, about=option.about)


def _fields() -> Iterator[tuple[str, Any]]:
    reference = RunConfig(model="", method="", task="")
    for name in RunConfig.__struct_fields__:
        if name not in HIDDEN:
            yield name, DEFAULTS.get(name, getattr(reference, name))


def _options() -> Iterator[tuple[str, Option]]:
    seen: set[str] = set()
    for method in METHODS.values():
        for name, option in method.options.items():
            if name not in seen:
                seen.add(name)
                yield name, option


def _add(group: Any, name: str, default: Any, *, about: str = "", required: bool = False) -> None:
    """Add a flag that is absent unless given; its text is turned into a value by whoever knows the type."""
    flag = "--" + name.replace("_", "-")
    about = about.replace("%", "%%")
    if isinstance(default, bool):
        group.add_argument(flag, dest=name, action=argparse.BooleanOptionalAction, default=None, help=about or None)
    else:
        group.add_argument(flag, dest=name, metavar="VALUE", required=required, help=about or None)


def config_of(options: argparse.Namespace, device: str) -> RunConfig:
    """Build the config: our defaults, under the protocol's settings, under what was given."""
    method = find("method", METHODS, options.method)
    loop = PROTOCOLS[options.protocol] if options.protocol else None
    settings = {**DEFAULTS, **(loop.settings if loop else {})}
    settings |= {
        name: value
        for name, value in (loop.options if loop else {}).items()
        if method.options.get(name) is LORA_OPTIONS[name]
    }
    reference = dict(_fields()) | {name: option.default for name, option in method.options.items()}
    settings |= _shared_by(options.fsdp)
    for name, value in vars(options).items():
        if value is not None and name in _flags():
            settings[name] = _typed(name, value, reference.get(name, value))
    quantised = "prepare_kbit" in method.options or settings.get("base", "plain") != "plain"
    if loop is None and quantised:
        settings = _as_the_guide_trains(settings)
    gpu = gpus.by_slug(options.gpu).slug
    return configure(**settings, device=f"fake:{gpu}" if device == "fake" else device)


def _shared_by(cards: int | None) -> dict[str, Any]:
    """Share the work between cards, if there are several."""
    if cards is None:
        return {}
    return {
        "study": "distributed", "strategy": "fsdp2", "world_size": cards, "largest_batch": False,
        "batch_size": DEFAULTS["batch_size"] * cards,
    }  # fmt: skip


def _as_the_guide_trains(settings: dict[str, Any]) -> dict[str, Any]:
    """Train a quantised base as the guide's section 5 does, with transformers' Trainer: autocast, outputs let go."""
    autocast = "none" if settings["dtype"] == "float32" else settings["dtype"]
    return {"autocast": autocast, **settings, "protocol": Protocol()}


def _flags() -> set[str]:
    return {name for name, _ in _fields()} | {name for name, _ in _options()}


def _typed(name: str, value: Any, default: Scalar) -> Scalar:
    """Read a flag's text as the type its default has. Raises `BadValueError`."""
    kind = type(default)
    if isinstance(value, kind):
        return value
    try:
        return kind(value)
    except ValueError:
        raise BadValueError(f"--{name.replace('_', '-')} {value!r} is no {kind.__name__}.") from None
