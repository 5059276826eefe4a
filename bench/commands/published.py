"""Commands that keep what others published: cite one number, import a table of them."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from bench.commands import say, with_settings_when_used

if TYPE_CHECKING:
    from bench.commands import Commands
    from bench.schema import RunConfig


def register(commands: Commands) -> None:
    """Describe the commands and their options."""
    one = commands.add_parser(
        "cite",
        help="keep a number that others published, as a record of its own kind",
        description="Keep a published number beside ours: the run it is about, the number, and where it was published.",
    )
    one.add_argument("--metric", required=True, metavar="METRIC", help="see: ftbench metrics")
    one.add_argument("--value", required=True, type=float, help="the number, in the metric's base unit")
    one.add_argument("--citation", required=True, help="who published it, where and when, and how it is defined there")
    one.add_argument("--results", type=Path, default=Path("results"), metavar="DIR", help="where to (default: results)")
    with_settings_when_used(one)
    one.set_defaults(command=cite)

    one = commands.add_parser(
        "import",
        help="keep a table of numbers that others published",
        description="Keep published numbers from a CSV file: columns metric, value (in its base unit), citation and "
        "gpu, and one for every setting of the runs, named as the flags of ftbench cite. Nothing is kept of a file "
        "with a wrong row, and what is kept already is not kept again.",
    )
    one.add_argument("file", type=Path, metavar="FILE", help="a CSV file with a heading")
    one.add_argument("--results", type=Path, default=Path("results"), metavar="DIR", help="where to (default: results)")
    one.set_defaults(command=import_table)


def cite(options: argparse.Namespace) -> int:
    """Keep a published number as a record."""
    from bench import store
    from bench.launch import imported
    from bench.launch.predict import published
    from bench.schema.catalogue import find
    from bench.schema.metrics import METRICS

    find("metric", METRICS, options.metric)
    numbers = {options.metric: imported.published_value(options.value, "--value")}
    citation = imported.cited(options.citation, "--citation")
    config, slug = _of(options)
    say(f"wrote {store.save(published(config, slug, numbers, citation), options.results)}")
    return 0


def import_table(options: argparse.Namespace) -> int:
    """Keep the numbers of a table as records."""
    from bench import store
    from bench.launch import imported

    made = imported.records(options.file, _configured)
    kept = store.read(options.results)[0] if options.results.is_dir() else []
    new = imported.fresh(made, kept)
    for record in new:
        say(f"wrote {store.save(record, options.results)}")
    if len(new) < len(made):
        say(f"{len(made) - len(new)} of {len(made)} records were kept before")
    return 0


def _configured(settings: Mapping[str, str]) -> tuple[RunConfig, str]:
    """Make a row's config and card as the flags of the same names would."""
    from bench.commands.settings import add_settings
    from bench.errors import BadValueError

    parser = argparse.ArgumentParser(exit_on_error=False, add_help=False, allow_abbrev=False)
    add_settings(parser)
    words: list[str] = []
    for name, text in settings.items():
        flag = f"--{name.replace('_', '-')}"
        words += [flag] if text == "yes" else [f"--no-{flag[2:]}"] if text == "no" else [f"{flag}={text}"]
    try:
        options, unknown = parser.parse_known_args(words)
    except (argparse.ArgumentError, SystemExit) as error:
        raise BadValueError(f"{error}.") from None
    if unknown:
        raise BadValueError(f"{unknown[0]} is no setting; ftbench cite --help names them.")
    return _of(options)


def _of(options: argparse.Namespace) -> tuple[RunConfig, str]:
    """Return the config that flags describe, and the card's slug."""
    from bench.commands.settings import config_of
    from bench.schema import gpus

    return config_of(options, "cuda").but(largest_batch=False), gpus.by_slug(options.gpu).slug
