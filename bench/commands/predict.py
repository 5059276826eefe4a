"""Commands that predict, and that make a run again: predict, predict-published, rerun."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from bench.commands import EXIT_ERROR, say, with_settings_when_used

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
    with_settings_when_used(one)
    one.set_defaults(command=predict)

    one = commands.add_parser("predict-published", help="predict every run of which a published number is kept")
    one.add_argument("--results", type=Path, default=Path("results"), metavar="DIR", help="records (default: results)")
    one.set_defaults(command=predict_published)

    one = commands.add_parser("rerun", help="make the run of a record again, here, with the versions installed here")
    one.add_argument("record", type=Path, metavar="FILE", help="a record: a file below results/, or one from a site")
    one.add_argument("--results", type=Path, default=Path("results"), metavar="DIR", help="where to (default: results)")
    one.add_argument("--data-dir", type=Path, metavar="DIR", help="data sets laid out like the hub")
    one.set_defaults(command=rerun)


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


def predict_published(options: argparse.Namespace) -> int:
    """Predict every published run that the versions installed here have not predicted yet."""
    from bench.analysis import cases
    from bench.launch.predict import predict_all, unpredicted

    stored, _ = cases.read(options.results)
    for made in predict_all(unpredicted(stored), options.results):
        say(f"{made.record.status}: {made.record.case} on {made.record.device}")
    return 0


def rerun(options: argparse.Namespace) -> int:
    """Make the run of a record again, and say how it ended."""
    from bench.analysis.values import is_answer
    from bench.errors import RecordFormatError, StoreError
    from bench.launch.rerun import rerun as run_again
    from bench.schema import codec

    try:
        record = codec.decode(options.record.read_bytes())
    except OSError as error:
        raise StoreError(f"cannot read {options.record}: {error.strerror or error}.") from error
    except RecordFormatError as error:
        raise StoreError(f"{options.record}: {error}") from None
    made = run_again(record.config, options.results, options.data_dir)
    failure = made.record.failure
    said = f" in {failure.phase}: {failure.message}" if failure else ""
    say(f"{made.record.status}{said}; wrote {made.path}; ftbench show {made.record.case} has its numbers")
    return 0 if is_answer(made.record) else EXIT_ERROR
