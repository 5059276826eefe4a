"""Commands that predict, and keep what others published: predict, cite, predict-published."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.commands import EXIT_ERROR, say

if TYPE_CHECKING:
    from bench.commands import Commands


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
    _add_settings_when_used(one)
    one.set_defaults(command=predict)

    one = commands.add_parser(
        "cite",
        help="keep a number that others published, as a record of its own kind",
        description="Keep a published number beside ours: the run it is about, the number, and where it was published.",
    )
    one.add_argument("--metric", required=True, metavar="METRIC", help="see: ftbench metrics")
    one.add_argument("--value", required=True, type=float, help="the number, in the metric's base unit")
    one.add_argument("--citation", required=True, help="who published it, where and when, and how it is defined there")
    one.add_argument("--results", type=Path, default=Path("results"), metavar="DIR", help="where to (default: results)")
    _add_settings_when_used(one)
    one.set_defaults(command=cite)

    one = commands.add_parser("predict-published", help="predict every run of which a published number is kept")
    one.add_argument("--results", type=Path, default=Path("results"), metavar="DIR", help="records (default: results)")
    one.set_defaults(command=predict_published)


def predict(options: argparse.Namespace) -> int:
    """Predict one run and print what it would hold."""
    from bench.analysis.predictions import checks_below, expected_error
    from bench.analysis.values import is_answer
    from bench.commands.settings import config_of
    from bench.launch.fetch import without_fetching
    from bench.launch.predict import predict_one
    from bench.report import prediction

    options.model = without_fetching(options.model)
    config = config_of(options, "fake")
    record = predict_one(config, options.results).record
    if options.json or is_answer(record):
        write = prediction.as_json if options.json else prediction.text
        print(write(record, expected_error(record, checks_below(options.results or Path("results")))))
    if is_answer(record):
        return 0
    say(prediction.refusal(record))
    return EXIT_ERROR


def cite(options: argparse.Namespace) -> int:
    """Keep a published number as a record."""
    from bench import store
    from bench.commands.settings import config_of
    from bench.errors import BadValueError
    from bench.launch.predict import published
    from bench.schema import gpus
    from bench.schema.catalogue import find
    from bench.schema.metrics import METRICS

    find("metric", METRICS, options.metric)
    if not math.isfinite(options.value):
        raise BadValueError(f"--value {options.value} is no number that can be published.")
    if not options.citation.strip():
        raise BadValueError("--citation is empty; a published number needs its source.")
    slug = gpus.by_slug(options.gpu).slug
    value = int(options.value) if options.value.is_integer() else options.value
    config = config_of(options, "cuda").but(largest_batch=False)
    record = published(config, slug, {options.metric: value}, options.citation)
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


def _add_settings_when_used(one: argparse.ArgumentParser) -> None:
    """Add the flags of settings once the command is called: the tables they come from take a while to import."""
    parse = one.parse_known_args

    def parse_known_args(*arguments: Any) -> Any:
        from bench.commands.settings import add_settings

        one.parse_known_args = parse  # type: ignore[method-assign]
        add_settings(one)
        return parse(*arguments)

    one.parse_known_args = parse_known_args  # type: ignore[method-assign,assignment]
