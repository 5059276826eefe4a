"""Commands that say what a change did: compare, ab."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from bench.commands import say
from bench.errors import BadValueError, StoreError

if TYPE_CHECKING:
    from bench.analysis.gate.comparison import Comparison, Side
    from bench.commands import Commands
    from bench.report.devices import Price
    from bench.schema import RunConfig

FORMATS = ("text", "markdown", "csv", "json", "junit", "github")
EXITS: Mapping[str, int] = MappingProxyType(
    {"good": 0, "worse": 1, "invalid": 3, "lost": 4, "nothing": 5, "unknown": 6}
)
"""Exit codes by how a comparison ends; 2 is for a command that cannot be understood."""
PASSED_ON = ("scale", "device", "model", "task")
"""Options of the suites that say which cases there are."""
REPORTS = {"comparison.json": "json", "comparison.md": "markdown", "comparison.xml": "junit"}
"""Files that a comparison leaves in its folder, and their formats."""
SIDES = ("old", "new")
"""Folders of a comparison that `ftbench ab` made."""


def register(commands: Commands) -> None:
    """Describe the commands and their options."""
    one = commands.add_parser(
        "compare",
        help="compare two sides of stored records: one verdict a case and metric",
        description="Compare two sides of stored records. A side is a folder, or of the records below --results those "
        "of a device, of a package's version (peft==0.21.2) or of a commit. Exit codes: 0 nothing is worse, 1 "
        "something is, 3 files could not be read, 4 something could not be compared, 5 nothing was compared, 6 "
        "inconclusive and --strict.",
    )
    one.add_argument("old", nargs="?", metavar="OLD", help="a side; or alone, a folder that `ftbench ab` made")
    one.add_argument("new", nargs="?", metavar="NEW", help="the other side")
    one.add_argument("--results", type=Path, default=Path("results"), metavar="DIR", help="records (default: results)")
    one.add_argument("--by", choices=("device",), help="put devices side by side on the cases that both have run")
    one.add_argument("--price", action="append", default=[], metavar="DEVICE=USD@DATE",
                     help="with --by device: what an hour of a device cost, and on which day")  # fmt: skip
    one.add_argument("--allow-diff", action="append", default=[], metavar="PACKAGE",
                     help="a package whose version may differ without being tested; all: any of them")  # fmt: skip
    add_reading(one)
    one.set_defaults(command=compare)

    one = commands.add_parser(
        "ab",
        help="run two environments in turns and compare them: what did an upgrade change?",
        description="Run the suites' cases in two environments in turns (old, new, new, old), with the same seeds and "
        "data, and compare: all cases are screened, and what looks changed is confirmed by fresh pairs. A side is "
        "packages as pip takes them, with spaces between, an interpreter, a virtual environment, or `installed`. A "
        "comparison that was stopped goes on when the command is given again. Exit codes: those of compare.",
    )
    one.add_argument("--old", required=True, metavar="SIDE", help='for example "peft==0.20.0"')
    one.add_argument("--new", default="installed", metavar="SIDE", help="(default: what is installed here)")
    add_cases(one)
    add_reading(one)
    one.set_defaults(command=ab)


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
    one.add_argument("--format", choices=FORMATS, default="text")
    one.add_argument("--output", type=Path, metavar="FILE", help="write to FILE instead of standard output")


def compare(options: argparse.Namespace) -> int:
    """Compare two sides of stored records, or put devices side by side."""
    from bench.analysis.gate.choose import is_device, side

    if options.by:
        return _by_device(options)
    old, new = _two_sides(options)
    sides = [side(words, options.results) for words in (old, new)]
    across = all(is_device(words, one) for words, one in zip((old, new), sides, strict=True))
    return tell(options, *sides, across_devices=across)


def _by_device(options: argparse.Namespace) -> int:
    """Put devices side by side: the two that are named, or the first that ran anything beside all others."""
    from bench.analysis.cases import group, ran, read
    from bench.report import devices, render
    from bench.schema.catalogue import find

    if options.format not in render.FORMATS:
        raise BadValueError(f"--format {options.format} cannot hold devices; use {', '.join(render.FORMATS)}.")
    cases = group(read(options.results)[0])
    known = list(dict.fromkeys(case.device for case in ran(cases)))
    named = [device for device in (options.old, options.new) if device] or known
    for device in named:
        find("device", dict.fromkeys(known), device)
    prices = dict(map(_price, options.price))
    tables = [table for other in named[1:] for table in devices.tables(cases, named[0], other, prices)]
    if not tables:
        say(f"no case was run by two of the devices {', '.join(named) or 'below ' + str(options.results)}")
        return EXITS["nothing"]
    _write(render.written(tables, options.format), options.output)
    return 0


def _price(words: str) -> tuple[str, Price]:
    """Read DEVICE=USD@DATE. Raises `BadValueError`: a price without its day says nothing a year later."""
    from bench.report.devices import Price

    found = re.fullmatch(r"([^=]+)=([0-9]+(?:\.[0-9]+)?)@(\d{4}-\d\d-\d\d)", words)
    if not found or not float(found.group(2)):
        raise BadValueError(f"--price {words!r} is no price; write DEVICE=USD@DATE, for example h100=2.49@2026-11-01.")
    return found.group(1), Price(float(found.group(2)), found.group(3))


def ab(options: argparse.Namespace) -> int:
    """Run two environments in turns, then compare them."""
    from bench.analysis.gate.choose import side
    from bench.launch.versus import Versus

    versus = Versus(
        options.old, options.new, options.folder, cases_of(options), options.pairs, options.data_dir,
        options.allow_diff, wanted(options.metric),
    )  # fmt: skip
    versus.run(say)
    old, new = (side(str(root), options.folder) for root in versus.roots().values())
    return tell(options, old, new, reports=options.folder)


def cases_of(options: argparse.Namespace) -> list[RunConfig]:
    """Return the cases that the options of `add_cases` name."""
    from bench.launch.versus import planned

    names = [] if options.suites == "all" else [name.strip() for name in options.suites.split(",") if name.strip()]
    arguments = [word for name in PASSED_ON if (given := getattr(options, name)) for word in (f"--{name}", given)]
    if options.select:
        arguments += ["-k", options.select]
    if options.data_dir:
        arguments += ["--data-dir", str(options.data_dir.resolve())]
    return planned(names, arguments)


def tell(
    options: argparse.Namespace, old: Side, new: Side, *, across_devices: bool = False, reports: Path | None = None
) -> int:
    """Compare two sides as the options of `add_reading` say, write what was found, and return the exit code.

    `reports` is a folder that gets the report in all forms that programs read.
    """
    from bench.analysis.gate.comparison import compare as compared
    from bench.report.gate import verdict_table

    found = compared(
        old, new, wanted=wanted(options.metric), allowed=options.allow_diff,
        acknowledged=_acknowledged(options.acknowledged), strict=options.strict, across_devices=across_devices,
    )  # fmt: skip
    for name, form in REPORTS.items() if reports else ():
        _write(_written(found, form, everything=options.all), reports and reports / name)
    _write(_written(found, options.format, everything=options.all), options.output)
    for line in verdict_table.lines(found):
        say(line)
    return EXITS[found.ending]


def _two_sides(options: argparse.Namespace) -> tuple[str, str]:
    if options.old is None:
        raise BadValueError("name two sides to compare, or --by device.")
    if options.new is not None:
        return options.old, options.new
    both = [Path(options.old) / name for name in SIDES]
    if not all(folder.is_dir() for folder in both):
        raise BadValueError(f"{options.old!r} alone is no comparison: it holds no folders old and new. Name two sides.")
    return str(both[0]), str(both[1])


def wanted(patterns: list[str]) -> Callable[[str], bool]:
    """Return what tells whether a metric was asked for. Raises `UnknownNameError` for a pattern that matches none."""
    from bench.schema.catalogue import find
    from bench.schema.metrics import METRICS

    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in METRICS):
            find("metric", METRICS, pattern)
    return lambda name: not patterns or any(fnmatchcase(name, pattern) for pattern in patterns)


def _acknowledged(file: Path | None) -> set[str]:
    """Read known changes: a line each, what follows a # left out."""
    if file is None:
        return set()
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise StoreError(f"cannot read {file}: {error}.") from error
    return {" ".join(said) for line in lines if (said := line.partition("#")[0].split())}


def _written(found: Comparison, form: str, *, everything: bool) -> str:
    from bench.report import render
    from bench.report.gate import document, github, junit, verdict_table

    if form == "markdown":
        return github.comment(found, unchanged=everything)
    if form in ("json", "junit", "github"):
        makers = {"json": document.as_json, "junit": junit.as_junit, "github": github.commands}
        return makers[form](found)
    return render.written([verdict_table.table(found, unchanged=everything)], form)


def _write(text: str, output: Path | None) -> None:
    if output is None:
        sys.stdout.write(text)
        return
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise StoreError(f"cannot write {output}: {error.strerror or error}.") from error
