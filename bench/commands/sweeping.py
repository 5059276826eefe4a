"""The command that spreads suites over the machines of a cluster: sweep."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from bench.commands import EXIT_ERROR, judging, say
from bench.errors import BadValueError

if TYPE_CHECKING:
    from bench.commands import Commands

ALL = "suites"
"""The folder that holds all of them."""


def register(commands: Commands) -> None:
    """Describe the command and its options."""
    one = commands.add_parser(
        "sweep",
        help="run suites on the machines of a Ray cluster",
        description="Run what the suites would run on the nodes of a Ray cluster, one run at a time on each GPU, and "
        "each run once for every accelerator named. Records are written here as they come in. What is lost with a node "
        "is made on another; a sweep that was stopped goes on when the command is given again. Exit codes: 0 every run "
        "left a record, 2 an error, or some did not.",
    )
    one.add_argument("suites", nargs="+", metavar="SUITE", help="suites/ for all, or suites/test_rank.py ...")
    one.add_argument("--ray", required=True, metavar="ADDRESS", help="the cluster's address; auto: this machine's")
    one.add_argument("--accelerator", default="", metavar="TYPE,...",
                     help="Ray's accelerator types, for example A100,H100: every run on each of them")  # fmt: skip
    one.add_argument("-k", dest="select", metavar="EXPRESSION", help="the tests that pytest -k selects")
    one.add_argument(
        "--results", type=Path, metavar="DIR", help="folder for records (default: results/, or dry-results/)"
    )
    for name in (*judging.PASSED_ON, "rounds"):
        one.add_argument(f"--{name}", help="as the suites take it")
    one.add_argument("--data-dir", type=Path, help="as the suites take it; the same folder on every node")
    one.add_argument("--rerun", action="store_true", help="make finished runs again")
    one.add_argument("--retry", default="", metavar="STATUS,...", help="make runs again that ended so: oom,timeout")
    one.add_argument("--dry-run", action="store_true", help="run the whole chain with made-up numbers")
    one.set_defaults(command=sweep)


def sweep(options: argparse.Namespace) -> int:
    """Plan the suites on a node of the cluster, and make their runs on all."""
    from bench.launch.cluster.pools import default_device, pools
    from bench.launch.cluster.remote import Order
    from bench.launch.cluster.sweep import ClusterSweep, connected, planned
    from bench.launch.sweep import Repeat

    repeat = Repeat.parse(rerun=options.rerun, retry=options.retry)
    names = [_suite(word) for word in options.suites]
    root = options.results or Path("dry-results" if options.dry_run else "results")
    accelerators = list(dict.fromkeys(word.strip() for word in options.accelerator.split(",") if word.strip()))
    with connected(options.ray) as ray:
        options.device = options.device or default_device(ray)
        order = Order(options.device, str(options.data_dir.resolve()) if options.data_dir else None, options.dry_run)
        found = pools(ray, accelerators, order)
        more = ["--rounds", options.rounds] if options.rounds else []
        configs = planned(ray, found[0], [] if ALL in names else names, [*judging.suite_arguments(options), *more])
        here = ClusterSweep(root, configs, found, order, repeat, say)
        try:
            here.run(ray)
        except KeyboardInterrupt:
            say(f"stopped after {here.made} runs, which are kept below {root}/; the same command goes on.")
            raise
    say(f"{here.made} runs made, {here.kept} kept from before, {len(here.lost)} lost; records are below {root}/")
    return EXIT_ERROR if here.lost else 0


def _suite(word: str) -> str:
    """Read "suites/test_rank.py", "test_rank.py" or "rank" as the suite's name. Raises `BadValueError`."""
    name = Path(word).name.removesuffix(".py").removeprefix("test_")
    if not name:
        raise BadValueError(f"{word!r} names no suite; use suites/ or suites/test_rank.py.")
    return name
