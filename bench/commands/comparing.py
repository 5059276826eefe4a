"""Commands that say what a change did: compare, ab."""

from __future__ import annotations

import argparse
import re
from collections.abc import Collection
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from bench.commands import judging, say
from bench.errors import BadValueError, ConfoundedError, UnknownNameError

if TYPE_CHECKING:
    from bench.commands import Commands
    from bench.report.devices import Price

SIDES = ("old", "new")
"""Folders of a comparison that `ftbench ab` made."""
NOT_BY_DEVICE = ("metric", "acknowledged", "strict", "all", "allow_diff")
"""Options that mean nothing where devices are put side by side."""


def register(commands: Commands) -> None:
    """Describe the commands and their options."""
    one = commands.add_parser(
        "compare",
        help="compare two sides of stored records: one verdict a case and metric",
        description="Compare two sides of stored records. A side is a folder, or of the records below --results those "
        "of a device, of a package's version (peft==0.21.2) or of a commit. Exit codes: 0 nothing is worse, 1 "
        "something is, 3 files could not be read, 4 something could not be compared, 5 nothing was compared, 6 "
        "nothing became known, or with --strict not everything.",
    )
    one.add_argument("old", nargs="?", metavar="OLD", help="a side; or alone, a folder that `ftbench ab` made")
    one.add_argument("new", nargs="?", metavar="NEW", help="the other side")
    one.add_argument("--results", type=Path, default=Path("results"), metavar="DIR", help="records (default: results)")
    one.add_argument("--by", choices=("device",), help="put devices side by side on the cases that both have run")
    one.add_argument("--price", action="append", default=[], metavar="DEVICE=USD@DATE",
                     help="with --by device: what an hour of a device cost, and on which day")  # fmt: skip
    judging.add_allowed(one)
    judging.add_reading(one)
    one.set_defaults(command=judging.never_one(compare))

    one = commands.add_parser(
        "ab",
        help="run two environments in turns and compare them: what did an upgrade change?",
        description="Run the suites' cases in two environments in turns (old, new, new, old), with the same seeds and "
        "data, and compare: all cases are screened, and what looks changed is confirmed by fresh pairs. A side is "
        "packages as pip takes them, with spaces between, an interpreter, a virtual environment, or `installed`. A "
        "comparison that was stopped goes on when the command is given again, also with more --pairs. Exit codes: "
        "those of compare.",
    )
    one.add_argument("--old", required=True, metavar="SIDE", help='for example "peft==0.20.0"')
    one.add_argument("--new", default="installed", metavar="SIDE", help="(default: what is installed here)")
    judging.add_cases(one)
    judging.add_reading(one)
    one.set_defaults(command=judging.never_one(ab))


def compare(options: argparse.Namespace) -> int:
    """Compare two sides of stored records, or put devices side by side."""
    from bench.analysis.gate.choose import is_device, side

    if options.by:
        return _by_device(options)
    old, new = _two_sides(options)
    sides = [side(words, options.results) for words in (old, new)]
    across = all(is_device(words, one) for words, one in zip((old, new), sides, strict=True))
    return judging.tell(options, *sides, across_devices=across)


def _two_sides(options: argparse.Namespace) -> tuple[str, str]:
    if not options.old or options.new == "":
        raise BadValueError("name two sides to compare, or --by device.")
    if options.new is not None:
        return options.old, options.new
    both = [Path(options.old) / name for name in SIDES]
    if not all(folder.is_dir() for folder in both):
        raise BadValueError(f"{options.old!r} alone is no comparison: it holds no folders old and new. Name two sides.")
    return str(both[0]), str(both[1])


def _by_device(options: argparse.Namespace) -> int:
    """Put devices side by side: the two that are named, or the first that ran anything beside all others."""
    from bench.analysis.cases import group, ran, read
    from bench.analysis.gate.verdicts import CODES, Exit
    from bench.report import devices, render

    if options.format not in render.FORMATS:
        raise BadValueError(f"--format {options.format} cannot hold devices; use {', '.join(render.FORMATS)}.")
    for name in NOT_BY_DEVICE:
        if getattr(options, name):
            raise BadValueError(f"--{name.replace('_', '-')} means nothing with --by device; leave it out.")
    stored, unreadable = read(options.results)
    for file in unreadable:
        say(f"cannot read {file.path}: {file.reason}")
    cases = group(stored)
    known = list(dict.fromkeys(case.device for case in ran(cases)))
    named = [_device(words, known) for words in (options.old, options.new) if words] or known
    prices = {_device(words, known): price for words, price in map(_price, options.price)}
    tables = [table for other in named[1:] for table in devices.tables(cases, named[0], other, prices)]
    if not tables:
        say(f"no case was run by two of the devices {', '.join(named) or 'below ' + str(options.results)}")
        return CODES[Exit.NOTHING]
    judging.write(render.written(tables, options.format), options.output)
    return CODES[Exit.INVALID if unreadable else Exit.GOOD]


def _device(words: str, known: Collection[str]) -> str:
    """Return the device that is called so, or the only one whose name holds it. Raises `UnknownNameError`."""
    found = [device for device in known if device == words] or [device for device in known if words in device]
    if len(found) != 1:
        raise UnknownNameError("device", words, known)
    return found[0]


def _price(words: str) -> tuple[str, Price]:
    """Read DEVICE=USD@DATE. Raises `BadValueError`: a price without its day says nothing a year later."""
    from bench.report.devices import Price

    found = re.fullmatch(r"([^=]+)=([0-9]+(?:\.[0-9]+)?)@(\d{4}-\d\d-\d\d)", words)
    try:
        if not found or not float(found.group(2)):
            raise ValueError
        date.fromisoformat(found.group(3))
    except ValueError:
        raise BadValueError(
            f"--price {words!r} is no price; write DEVICE=USD@DATE, for example h100=2.49@2026-11-01."
        ) from None
    return found.group(1), Price(float(found.group(2)), found.group(3))


def ab(options: argparse.Namespace) -> int:
    """Run two environments in turns, then compare them."""
    from bench.analysis.gate.choose import side
    from bench.analysis.gate.verdicts import CODES, Exit
    from bench.launch.versus import Versus

    versus = Versus(
        options.old, options.new, options.folder, judging.cases_of(options), options.pairs, options.data_dir,
        options.allow_diff, judging.wanted(options.metric),
    )  # fmt: skip
    try:
        names = versus.run(say)
    except ConfoundedError as error:
        say(str(error))
        return CODES[Exit.LOST]
    old, new = (replace(side(str(root), options.folder), name=name)
                for root, name in zip(versus.roots().values(), names, strict=True))  # fmt: skip
    return judging.tell(options, old, new, reports=options.folder)
