"""Comparisons whose answer is known, for real: equal sides, a slower step, more memory, a wrong kernel.

Run by `tox -e gate-controls`; on two cores it takes an hour and a half, most of it for the equal and the slower sides.
Sides are releases of a package that changes what it is told to in whatever environment it is installed. Exits with 1
where an answer is wrong, and prints how much runs vary.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parent.parent.parent))

from bench.launch.versus import CHARTER
from tests.wheels import meddling

SLOWER = """
import time
_update = AdamW.step
def step(self, *arguments, **named):
    begun = getattr(self, "_ended", None)
    if begun is not None:
        time.sleep(0.05 * (time.perf_counter() - begun))
    found = _update(self, *arguments, **named)
    self._ended = time.perf_counter()
    return found
AdamW.step = step
"""
LARGER = """
import torch
_update = AdamW.step
def step(self, *arguments, **named):
    found = _update(self, *arguments, **named)
    state = next(iter(self.state.values()))
    state.setdefault("ballast", torch.zeros(20 * 2**20, dtype=torch.uint8))
    return found
AdamW.step = step
"""
WRONG = """
_right = dequantize_4bit
def dequantize_4bit(*arguments, **named):
    return _right(*arguments, **named) * 1.05
"""
COSTS = ("--suites", "rank", "-k", "cost")
MANY = ("--suites", "rank,targets,variants", "-k", "cost", "--scale", "small", "--model", "tiny-llama",
        "--pairs", "3", "--metric", "train.step_seconds")  # fmt: skip
"""Many cases of few short runs: what a busy machine adds to a run is much the same for a short and for a long one."""


class Control(NamedTuple):
    """A comparison and its answer: the module that is changed and how, which cases, what has to be found of what."""

    name: str
    module: str
    change: str
    cases: tuple[str, ...]
    metric: str
    verdict: str
    code: int


CONTROLS = (
    Control("equal", "torch.optim.adamw", "pass", ("--suites", "methods", "--model", "smollm2-135m"),
            "train.step_seconds", "", 0),
    Control("slower", "torch.optim.adamw", SLOWER, MANY, "train.step_seconds", "regressed", 1),
    Control("larger", "torch.optim.adamw", LARGER,
            (*COSTS, "--model", "smollm2-135m", "--pairs", "2", "--metric", "*.peak_allocated"),
            "train.peak_allocated", "regressed", 1),
    Control("wrong", "bitsandbytes.functional", WRONG, ("--suites", "numerics", "-k", "dequantize and nf4"),
            "numerics.wrong", "regressed", 1),
)  # fmt: skip


def run(control: Control, folder: Path, more: Sequence[str]) -> bool:
    """Make both releases, compare them, and tell whether the answer is right."""
    old = meddling(folder / "wheels", "1.0", control.module, "pass")
    new = meddling(folder / "wheels", f"2.0+{control.name}", control.module, control.change)
    place = folder / control.name
    command = [sys.executable, "-m", "bench", "ab", "--old", str(old), "--new", str(new), "--folder", str(place),
               "--scale", "smoke", *control.cases, *more]  # fmt: skip
    code = subprocess.run(command, check=False).returncode
    if not (place / "comparison.json").exists():
        return False
    findings = json.loads((place / "comparison.json").read_text())["findings"]
    said = [found["verdict"] for found in findings if found["metric"] == control.metric]
    print(f"\n{control.name}: exit code {code}, {control.metric} {', '.join(said)}\n")
    subprocess.run([sys.executable, "-m", "bench", "compare", str(place), "--noise"], check=False)
    return code == control.code and (not control.verdict or control.verdict in said)


def main() -> int:
    """Run the controls that are asked for; return 1 where an answer is wrong."""
    names = [control.name for control in CONTROLS]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("gate-controls"), help="for everything that is made")
    parser.add_argument("--only", choices=names, action="append", help="some of the controls")
    options, more = parser.parse_known_args()
    wrong = [control.name for control in CONTROLS
             if control.name in (options.only or names) and not run(control, options.folder, more)]  # fmt: skip
    print(f"wrong answers: {', '.join(wrong) or 'none'}; what was compared: {options.folder}/*/{CHARTER}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
