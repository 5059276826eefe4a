"""Commands about this machine: what it is, what it can measure, and what is fetched to it."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from bench.commands import say

if TYPE_CHECKING:
    from bench.commands import Commands


def register(commands: Commands) -> None:
    """Describe the commands and their options."""
    one = commands.add_parser("env", help="print what every record of this machine says of it")
    one.add_argument("--json", action="store_true", help="write JSON")
    one.set_defaults(command=env)

    one = commands.add_parser("doctor", help="say what this machine can measure, and why not the rest")
    one.add_argument("--json", action="store_true", help="write JSON")
    one.add_argument("--gpu", type=Path, metavar="FILE", help="check the GPU's counters for real; all of it into FILE")
    one.set_defaults(command=doctor)

    one = commands.add_parser("fetch", help="bring models and data to this machine ahead of the runs")
    one.add_argument("models", nargs="*", metavar="MODEL", help="a known name, a hub id, a folder or a GGUF file")
    one.add_argument("--task", action="append", default=[], metavar="NAME", help="fetch the data of a task")
    one.add_argument("--data-dir", type=Path, metavar="DIR", help="take data from this folder instead of the network")
    one.set_defaults(command=fetch)


def env(options: argparse.Namespace) -> int:
    """Print what every record of this machine says of it."""
    from bench.launch.doctor import environment
    from bench.report import examination

    facts = environment()
    _say(facts, examination.environment(facts), as_json=options.json)
    return 0


def doctor(options: argparse.Namespace) -> int:
    """Say what this machine can measure; with --gpu check the GPU's counters and keep everything."""
    from bench.launch import doctor as asked
    from bench.report import examination

    if options.gpu:
        document = asked.hardware_check(options.gpu)
        _say(document, examination.hardware(document), as_json=options.json)
        say(f"wrote {options.gpu}")
        return 0
    found = asked.examination()
    _say(found, examination.examination(found), as_json=options.json)
    return 0


def _say(document: object, lines: Iterable[str], *, as_json: bool) -> None:
    print(json.dumps(document, indent=2) if as_json else "\n".join(lines))


def fetch(options: argparse.Namespace) -> int:
    """Bring models and data to this machine."""
    from bench.launch.fetch import fetch as bring

    for name in bring(options.models, options.task, options.data_dir) or ():
        print(name)
    return 0
