"""What commands that compare share: which cases are run, what is judged, how it is told, and what it exits with."""

from __future__ import annotations

import argparse
import sys
import traceback
from collections.abc import Callable
from fnmatch import fnmatchcase
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING

from bench.commands import say
from bench.errors import BadValueError, FtbenchError, StoreError

if TYPE_CHECKING:
    from bench.analysis.gate.comparison import Comparison, Side
    from bench.schema import RunConfig

Command = Callable[[argparse.Namespace], int]

FORMATS = ("text", "markdown", "csv", "json", "junit", "github")
PASSED_ON = ("scale", "device", "model", "task", "memory-limit")
"""Options of the suites that say which cases there are."""
REPORTS = {"comparison.json": "json", "comparison.md": "markdown", "comparison.xml": "junit"}
"""Files that a comparison leaves in its folder, and their formats."""
EXIT_BROKEN = 3
"""What a comparison ends with that broke down: not 1, which Python ends with and which here means that something is
worse."""


def add_cases(one: argparse.ArgumentParser) -> None:
    """Describe the options that say what is run in two environments, and where its records go."""
    one.add_argument("--suites", default="methods", metavar="NAME,...", help="(default: methods; all: every suite)")
    one.add_argument("-k", dest="select", metavar="EXPRESSION", help="of these the tests that pytest -k selects")
    one.add_argument("--pairs", type=int, default=5, help="runs of each side, of every case (default: 5)")
    one.add_argument("--folder", type=Path, default=Path("comparison"), metavar="DIR",
                     help="for records of both sides and the report (default: comparison)")  # fmt: skip
    for name in PASSED_ON:
        one.add_argument(f"--{name}", help="as the suites take it")
    one.add_argument("--data-dir", type=Path, help="as the suites take it")
    add_allowed(one)


def add_allowed(one: argparse.ArgumentParser) -> None:
    """Describe the option that lets packages differ."""
    one.add_argument("--allow-diff", action="append", default=[], metavar="PACKAGE",
                     help="a package whose version may differ without being tested; all: any of them")  # fmt: skip


def add_reading(one: argparse.ArgumentParser) -> None:
    """Describe the options that say what is judged, and how it is told."""
    one.add_argument("--metric", action="append", default=[], metavar="NAME",
                     help="judge these only; * and ? stand for any letters")  # fmt: skip
    one.add_argument("--acknowledged", type=Path, metavar="FILE",
                     help="known changes that do not fail: a metric, or a case and a metric, a line")  # fmt: skip
    one.add_argument("--strict", action="store_true", help="end with 6 where anything stays inconclusive")
    one.add_argument("--all", action="store_true", help="show what is unchanged too")
    one.add_argument("--noise", action="store_true", help="show how much runs vary instead of what changed")
    one.add_argument("--format", choices=FORMATS, default="text")
    one.add_argument("--output", type=Path, metavar="FILE", help="write to FILE instead of standard output")


def never_one(command: Command) -> Command:
    """Let a command that breaks down end with 3, its traceback told, instead of with 1."""

    @wraps(command)
    def guarded(options: argparse.Namespace) -> int:
        try:
            return command(options)
        except (FtbenchError, BrokenPipeError):
            raise
        except Exception:
            traceback.print_exc()
            return EXIT_BROKEN

    return guarded


def cases_of(options: argparse.Namespace) -> list[RunConfig]:
    """Return the cases that the options of `add_cases` name."""
    from bench.launch.planned import cases, planned

    names = [] if options.suites == "all" else [name.strip() for name in options.suites.split(",") if name.strip()]
    return cases(planned(names, suite_arguments(options)))


def suite_arguments(options: argparse.Namespace) -> list[str]:
    """Return the options that go on to the suites, as pytest takes them."""
    given = {name: getattr(options, name.replace("-", "_")) for name in PASSED_ON}
    arguments = [word for name, value in given.items() if value for word in (f"--{name}", value)]
    if options.select:
        arguments += ["-k", options.select]
    if options.data_dir:
        arguments += ["--data-dir", str(options.data_dir.resolve())]
    return arguments


def tell(
    options: argparse.Namespace, old: Side, new: Side, *, across_devices: bool = False, reports: Path | None = None
) -> int:
    """Compare two sides as the options of `add_reading` say, write what was found, and return the exit code.

    `reports` is a folder that gets the report in all forms that programs read.
    """
    from bench.analysis.gate.comparison import compare as compared
    from bench.analysis.gate.verdicts import CODES
    from bench.report.gate import verdict_table

    found = compared(
        old, new, wanted=wanted(options.metric), allowed=options.allow_diff,
        acknowledged=_acknowledged(options.acknowledged), strict=options.strict, across_devices=across_devices,
    )  # fmt: skip
    for name, form in REPORTS.items() if reports else ():
        write(_written(found, form, everything=options.all), reports and reports / name)
    write(_noise(found, options) if options.noise else _written(found, options.format, everything=options.all),
          options.output)  # fmt: skip
    for line in verdict_table.lines(found):
        say(line)
    return CODES[found.ending]


def wanted(patterns: list[str]) -> Callable[[str], bool]:
    """Return what tells whether a metric was asked for.

    Raises `UnknownNameError` for a pattern that matches none, `BadValueError` for one that matches none that is judged.
    """
    from bench.analysis.gate.rules import is_judged
    from bench.schema.catalogue import find
    from bench.schema.metrics import METRICS

    for pattern in patterns:
        matched = [name for name in METRICS if fnmatchcase(name, pattern)]
        if not matched:
            find("metric", METRICS, pattern)
        if not any(is_judged(METRICS[name]) for name in matched):
            raise BadValueError(f"--metric {pattern!r} is shown and not judged; `ftbench metrics` says which are, and "
                                "from which change on (tokens/s and seconds a step are one measurement: "
                                "train.step_seconds).")  # fmt: skip
    return lambda name: not patterns or any(fnmatchcase(name, pattern) for pattern in patterns)


def _acknowledged(file: Path | None) -> list[str]:
    """Read known changes: a line each, what follows a # left out."""
    if file is None:
        return []
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise StoreError(f"cannot read {file}: {error}.") from error
    return list(dict.fromkeys(" ".join(said) for line in lines if (said := line.partition("#")[0].split())))


def _noise(found: Comparison, options: argparse.Namespace) -> str:
    from bench.analysis.gate.noise import noise
    from bench.analysis.gate.sides import twins
    from bench.report import render
    from bench.report.gate import noise_table

    if options.format not in render.FORMATS:
        raise BadValueError(f"--format {options.format} cannot hold noise; use {', '.join(render.FORMATS)}.")
    told = noise(twins(found.old.runs, found.new.runs), wanted(options.metric), options.allow_diff)
    return render.written([noise_table.table(told, f"{found.old.name} and {found.new.name}")], options.format)


def _written(found: Comparison, form: str, *, everything: bool) -> str:
    from bench.report import render
    from bench.report.gate import document, github, junit, verdict_table

    if form == "markdown":
        return github.comment(found, unchanged=everything)
    if form in ("json", "junit", "github"):
        makers = {"json": document.as_json, "junit": junit.as_junit, "github": github.commands}
        return makers[form](found)
    return render.written([verdict_table.table(found, unchanged=everything)], form)


def write(text: str, output: Path | None) -> None:
    """Write to a file, whole or not at all, or to standard output. Raises `StoreError` when the disk refuses."""
    from bench import store

    if output is None:
        sys.stdout.write(text)
    else:
        store.write_whole(output, text)
