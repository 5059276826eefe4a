"""How long a site of many runs takes, and how large its pages become: `tox -e site-scale`.

Ten thousand made-up runs of some 3,400 cases by default. Fails above a minute, or where a page is above its budget.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent.parent))

from bench import store
from bench.analysis import results
from bench.report.site.assembly import BUDGET
from bench.report.site.build import build
from bench.schema import RunRecord
from tests.records import failed, fixed_shape, learning, predicted, record

SECONDS = 60
SEEDS = 3


def runs(count: int) -> Iterator[RunRecord]:
    """Make so many records: methods, ranks and learning rates, three seeds each; every tenth case failed."""
    rates = (rate * 1e-6 for rate in itertools.count(1))
    made = 0
    for number, rate in enumerate(rates):
        make = (fixed_shape, learning)[number % 2]
        method = ("full", "lora", "qlora")[number % 3]
        config = make(method, learning_rate=rate)
        for seed in range(SEEDS):
            if made == count:
                return
            made += 1
            one = config.but(seed=seed)
            if number % 10 == 9:
                yield failed(one)
            elif number % 10 == 8 and make is fixed_shape:
                yield predicted(one)
            else:
                yield record(one)


def main() -> int:
    """Build, measure, say it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for made in runs(options.runs):
            store.save(made, root / "results")
        started = time.monotonic()
        found, _ = results.read(root / "results")
        build(found, root / "site")
        seconds = time.monotonic() - started
        pages = {path: path.stat().st_size for path in (root / "site").rglob("*.html")}
        whole = sum(path.stat().st_size for path in (root / "site").rglob("*") if path.is_file())
        largest = max(pages, key=lambda path: pages[path])
        name = largest.relative_to(root / "site")
        print(f"{options.runs} runs, {len(found.cases)} cases: {seconds:.1f} s, {len(pages)} pages, "
              f"{whole / 1e6:.1f} MB, largest page {name} with {pages[largest]} bytes")  # fmt: skip
    return int(seconds > SECONDS or pages[largest] > BUDGET)


if __name__ == "__main__":
    sys.exit(main())
