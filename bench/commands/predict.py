"""The command that predicts: any setting of a run and any option of a method is a flag."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.commands import EXIT_ERROR, say
from bench.errors import BadValueError
from bench.schema import gpus
from bench.schema.catalogue import METHODS, Option, Scalar, find
from bench.schema.config import Protocol, RunConfig, configure
from bench.schema.methods.options import LORA_OPTIONS
from bench.schema.metrics import METRICS
from bench.schema.protocols import PROTOCOLS

if TYPE_CHECKING:
    from bench.commands import Commands

DEFAULTS: Mapping[str, Any] = {
    "task": "gsm8k", "dtype": "bfloat16", "optimizer": "adamw", "batch_size": 4, "sequence_length": 1024,
    "packing": True, "protocol": Protocol(outputs="backward"), "largest_batch": True,
}  # fmt: skip
"""Where a prediction starts from, unless told otherwise: full sequences in bfloat16, torch's own AdamW."""

HIDDEN = ("options", "device", "protocol", "seed", "timeout_s", "memory_limit", "paging", "paging_fraction",
          "uvm_counters", "inspect")  # fmt: skip
"""Fields of a config that are no flag here: they mean nothing without a device, or have a flag of another kind."""


def register(commands: Commands) -> None:
    """Describe the commands and their options."""
    one = commands.add_parser(
        "predict",
        help="predict a run's peak GPU memory, without a GPU and without weights",
        description="Predict a run's peak GPU memory: the run's own code on a simulated GPU. Needs the packages of the "
        "runs, no GPU, no weights and no network. The loop is a plain one, which holds a step's outputs while it goes "
        "backward; bases in 4 or 8 bits train as in the guide's section 5, under transformers' Trainer and autocast.",
    )
    one.add_argument("--json", action="store_true", help="write the record as JSON")
    one.add_argument("--results", type=Path, metavar="DIR", help="keep the record there, as the suites do")
    _add_settings(one)
    one.set_defaults(command=predict)

    one = commands.add_parser(
        "cite",
        help="keep a number that others published, as a record of its own kind",
        description="Keep a published number beside ours: the run it is about, the number, and where it was published.",
    )
    one.add_argument("--metric", required=True, choices=tuple(METRICS), metavar="METRIC", help="see: ftbench metrics")
    one.add_argument("--value", required=True, type=float, help="the number, in the metric's base unit")
    one.add_argument("--citation", required=True, help="who published it, where and when, and how it is defined there")
    one.add_argument("--results", type=Path, default=Path("results"), metavar="DIR", help="where to (default: results)")
    _add_settings(one)
    one.set_defaults(command=cite)

    one = commands.add_parser("predict-published", help="predict every run of which a published number is kept")
    one.add_argument("--results", type=Path, default=Path("results"), metavar="DIR", help="records (default: results)")
    one.set_defaults(command=predict_published)


def predict(options: argparse.Namespace) -> int:
    """Predict one run and print what it would hold."""
    from bench.analysis.predictions import checks_below, expected_error
    from bench.analysis.values import is_answer
    from bench.launch.predict import predict_one
    from bench.report import prediction

    config = _config(options, "fake")
    record = predict_one(config, options.results).record
    write = prediction.as_json if options.json else prediction.text
    print(write(record, expected_error(record, checks_below(options.results or Path("results")))))
    if is_answer(record):
        return 0
    say(prediction.refusal(record))
    return EXIT_ERROR


def cite(options: argparse.Namespace) -> int:
    """Keep a published number as a record."""
    from bench import store
    from bench.launch.predict import published
    from bench.schema import gpus

    slug = gpus.by_slug(options.gpu).slug
    value = int(options.value) if options.value.is_integer() else options.value
    record = published(
        _config(options, "cuda").but(largest_batch=False), slug, {options.metric: value}, options.citation
    )
    say(f"wrote {store.save(record, options.results)}")
    return 0


def predict_published(options: argparse.Namespace) -> int:
    """Predict every published run that the versions installed here have not predicted yet."""
    from bench.analysis import cases
    from bench.launch.predict import predict_all, unpredicted

    stored, _ = cases.read(options.results)
    for made in predict_all(unpredicted(stored), options.results):
        say(f"{made.record.status}: {made.record.case} on {made.record.device}")
    return 0


def _add_settings(one: argparse.ArgumentParser) -> None:
    one.add_argument("--gpu", required=True, metavar="GPU", help="the card, for example A100-80GB, L40S, RTX-4090")
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


def _config(options: argparse.Namespace, device: str) -> RunConfig:
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
    for name, value in vars(options).items():
        if value is not None and name in _flags():
            settings[name] = _typed(name, value, reference.get(name, value))
    if loop is None and "prepare_kbit" in method.options:
        settings = _as_the_guide_trains(settings)
    gpu = gpus.by_slug(options.gpu).slug
    return configure(**settings, device=f"fake:{gpu}" if device == "fake" else device)


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
