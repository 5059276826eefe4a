"""Commands that follow one number through time and releases: history, bisect."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from bench.commands import FORMATS, judging, say
from bench.errors import BadValueError, UnknownNameError

if TYPE_CHECKING:
    from bench.commands import Commands
    from bench.schema import RunConfig


def register(commands: Commands) -> None:
    """Describe the commands and their options."""
    one = commands.add_parser("history", help="one metric of a case over time and versions, with change points")
    one.add_argument("case", metavar="CASE", help="the start of a case's name, or a part only it has")
    one.add_argument("--metric", default="train.step_seconds", metavar="NAME", help="(default: train.step_seconds)")
    one.add_argument("--results", type=Path, default=Path("results"), metavar="DIR", help="records (default: results)")
    one.add_argument("--format", choices=FORMATS, default="text")
    one.set_defaults(command=history)

    one = commands.add_parser(
        "bisect",
        help="find the release of a package that changed a metric of a case",
        description="Find the release of a package from which on a metric of a case is another than with the first: "
        "each try is a comparison in turns. Exit codes: 0 found, 2 nothing to find.",
    )
    one.add_argument("package", metavar="PACKAGE", help="for example peft")
    one.add_argument("good", metavar="FIRST", help="the release to hold others against, for example 0.18.0")
    one.add_argument("bad", metavar="LAST", help="a later release that differs, for example 0.21.2")
    one.add_argument("--metric", required=True, metavar="NAME", help="for example train.peak_allocated")
    one.add_argument(
        "--case", default="", metavar="CASE", help="a part of the case's name; needed where there are several"
    )
    judging.add_cases(one)
    one.set_defaults(command=judging.never_one(bisect))


def history(options: argparse.Namespace) -> int:
    """Show one metric of a case over time and versions."""
    from bench.analysis.cases import group, read
    from bench.report import render
    from bench.report import show as shown
    from bench.report.history import history as told
    from bench.schema.catalogue import find
    from bench.schema.metrics import METRICS

    find("metric", METRICS, options.metric)
    found = shown.matching(group(read(options.results)[0]), options.case)
    by_device = dict.fromkeys(case.device for case in found)
    tables = [told([case for case in found if case.device == device], options.metric) for device in by_device]
    print(render.written(tables, options.format), end="")
    return 0


def bisect(options: argparse.Namespace) -> int:
    """Find the release that changed a metric."""
    from bench.launch.bisect import against, releases
    from bench.launch.bisect import bisect as halved
    from bench.launch.versus import Versus

    judging.wanted([options.metric])
    versions = releases(options.package, options.good, options.bad)
    config = _one_case(judging.cases_of(options), options.case)
    versus = Versus(
        "", "", options.folder, [config], options.pairs, options.data_dir, options.allow_diff, lambda _: True
    )
    found = halved(versions, against(versus, options.package, versions[0], options.metric, say), say)
    doubt = f", or one of {', '.join(found.between)}, which could not be judged" if found.between else ""
    print(f"{options.package} {found.first_different}{doubt}: {options.metric} of {config.case} is {found.verdict} "
          f"against {versions[0]}; {found.last_same} is not")  # fmt: skip
    return 0


def _one_case(configs: list[RunConfig], part: str) -> RunConfig:
    chosen = [config for config in configs if part in config.case]
    if not chosen:
        raise UnknownNameError("case", part, [config.case for config in configs])
    if len(chosen) > 1:
        names = ", ".join(config.case for config in chosen[:6])
        raise BadValueError(f"--case {part!r} leaves {len(chosen)} cases, and one is needed: {names}.")
    return chosen[0]
