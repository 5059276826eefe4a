"""One comparison of two environments: what is run, in turns, until it can be told apart; it survives being killed."""

from __future__ import annotations

import json
import random
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import bench
from bench import cache
from bench.analysis.gate.judge import Wanted, to_confirm
from bench.analysis.gate.sides import Twin, twins
from bench.errors import BadValueError, StoreError
from bench.launch import environments
from bench.launch.environments import Environment
from bench.launch.fetch import Supplies
from bench.launch.interleave import SIDES, Interleaver, Side, Step, Told, records, steps
from bench.launch.machine import device_slug
from bench.launch.process import Launcher
from bench.launch.sweep import locked
from bench.launch.workers import isolation_for
from bench.schema import RunConfig
from bench.schema.catalogue import find
from bench.schema.codec import decode_configs
from bench.schema.pairing import Stage

CHARTER = "comparison-of.json"
"""What a folder's comparison is: its name, sides, cases and pairs."""
ENVIRONMENTS = ".environments"
EXACT_PAIRS = 2
"""Pairs of a case of which nothing is timed or trained: one to see, one to see it again."""
UNTIMED = ("numerics",)
"""Studies of which nothing noisy is judged."""


@dataclass(frozen=True, slots=True)
class Versus:
    """What to compare: two sides as `environments.prepare` takes them, the cases, and how many pairs of each.

    `allowed` names packages that may differ without being tested; `wanted` says which metrics may ask for fresh pairs.
    """

    old: str
    new: str
    folder: Path
    configs: Sequence[RunConfig]
    pairs: int
    data_dir: Path | None
    allowed: Collection[str]
    wanted: Wanted

    def roots(self) -> dict[Side, Path]:
        """Return the folders of the sides' records."""
        return {side: self.folder / side for side in SIDES}

    def run(self, told: Told) -> None:
        """Make the environments, screen all cases, and confirm what looks changed; go on where a killed one stopped.

        Raises `BadValueError` for environments that differ by more than is tested, or for a folder that holds another
        comparison; `BusyError`, `StoreError`, `FetchError`.
        """
        if self.pairs < EXACT_PAIRS:
            raise BadValueError(f"--pairs {self.pairs} tell no spread; at least {EXACT_PAIRS} do.")
        with locked(self.folder):
            sides = self._environments(told)
            comparison = self._charter(sides)
            for config in self.configs:
                Supplies(self.data_dir).try_to_bring(config.model, config.task)
            with self._interleaver(sides, comparison, told) as turns:
                turns.make(self._screen(comparison))
                looked = {(twin.case, twin.device) for twin in self._looks_changed()}
                again = [config for config in self.configs if (config.case, device_slug(config.device)) in looked]
                if again:
                    told(f"{len(again)} of {len(self.configs)} cases look changed; fresh pairs confirm them or do not")
                fresh = range(self.pairs, 2 * self.pairs)
                turns.make(list(steps(again, fresh, Stage.CONFIRM, random.Random(f"{comparison} again"))))  # noqa: S311

    def _screen(self, comparison: str) -> list[Step]:
        chance = random.Random(comparison)  # noqa: S311
        timed = [config for config in self.configs if config.study not in UNTIMED]
        untimed = [config for config in self.configs if config.study in UNTIMED]
        return [*steps(untimed, range(EXACT_PAIRS), Stage.SCREEN, chance),
                *steps(timed, range(self.pairs), Stage.SCREEN, chance)]  # fmt: skip

    def _looks_changed(self) -> list[Twin]:
        roots = self.roots()
        return to_confirm(twins(records(roots["old"]), records(roots["new"])), self.wanted)

    def _environments(self, told: Told) -> dict[Side, Environment]:
        """Make both environments, and refuse what differs without being tested."""
        sides: dict[Side, Environment] = {}
        for side, words in zip(SIDES, (self.old, self.new), strict=True):
            sides[side] = environments.prepare(words, self.folder / ENVIRONMENTS / side)
        old, new = sides["old"], sides["new"]
        if found := environments.confounders(old, new, self.allowed):
            words = ", ".join(f"{name} {before} and {after}" for name, (before, after) in found.items())
            raise BadValueError(f"the sides differ by more than what is tested, so nothing could be told: {words}. "
                                "Name versions for both sides, or allow it with --allow-diff NAME.")  # fmt: skip
        differ = environments.differences(old, new)
        said = (f"{name} {before} against {after}" for name, (before, after) in differ.items())
        told(", ".join(said) if differ else "the sides are alike: whatever is found is noise")
        return sides

    def _charter(self, sides: Mapping[Side, Environment]) -> str:
        """Return the comparison's name: the one that the folder holds if it is this one, else a new one."""
        wanted = {
            "old": self.old, "new": self.new, "pairs": self.pairs,
            "cases": sorted(config.case for config in self.configs),
            "differences": {name: list(both) for name, both in environments.differences(*sides.values()).items()},
            "code": sides["new"].facts.get("ftbench.code"),
        }  # fmt: skip
        file = self.folder / CHARTER
        try:
            if file.is_file():
                held = json.loads(file.read_text(encoding="utf-8"))
                name = str(held.pop("comparison"))
                if held != wanted:
                    differ = sorted(key for key in held.keys() | wanted.keys() if held.get(key) != wanted.get(key))
                    raise BadValueError(f"{self.folder} holds another comparison (its {', '.join(differ)} differ); "
                                        "give this one another folder with --folder.")  # fmt: skip
                return name
            name = secrets.token_hex(6)
            file.write_text(json.dumps({"comparison": name, **wanted}, indent=2) + "\n", encoding="utf-8")
        except (OSError, ValueError, KeyError) as error:
            raise StoreError(f"cannot use {file}: {error}.") from error
        return name

    @contextmanager
    def _interleaver(self, sides: Mapping[Side, Environment], comparison: str, told: Told) -> Iterator[Interleaver]:
        device = self.configs[0].device
        with ExitStack() as stack:
            launchers: dict[Side, Launcher] = {}
            for side, environment in sides.items():
                variables = {cache.VARIABLE: str(cache.root()), **environment.variables}
                if self.data_dir:
                    variables[cache.DATA_VARIABLE] = str(self.data_dir.resolve())
                launchers[side] = stack.enter_context(Launcher(
                    device=device_slug(device), machine=environment.facts, isolation=isolation_for(device),
                    variables=variables, python=environment.python,
                ))  # fmt: skip
            tested = environments.under_test(sides["old"], sides["new"])
            yield Interleaver(self.roots(), launchers, comparison, tested, told)


def planned(suites: Collection[str], arguments: Sequence[str]) -> list[RunConfig]:
    """Return the configs that suites would run, asked of pytest with `arguments`; no suite named means all of them.

    Raises `UnknownNameError` for a suite that does not exist, `BadValueError` where pytest refuses the arguments or
    nothing is left to run.
    """
    home = _suites_folder()
    known = {path.stem.removeprefix("test_"): path for path in sorted(home.glob("test_*.py"))}
    files = [str(find("suite", known, name)) for name in suites] or [str(home)]
    with tempfile.TemporaryDirectory(prefix="ftbench-plan-") as folder:
        plan = Path(folder) / "plan.json"
        command = [sys.executable, "-m", "pytest", *files, "--collect-only", "--benchmark-only", "-q", "-p",
                   "no:cacheprovider", "--plan", str(plan), *arguments]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=home.parent)
        if not plan.is_file():
            said = [line for line in f"{done.stdout}\n{done.stderr}".splitlines() if "ERROR" in line.upper()]
            raise BadValueError(f"the suites cannot be planned: {(said or ['pytest said nothing'])[-1].strip()}")
        configs = decode_configs(plan.read_bytes())
    if not configs:
        raise BadValueError("no case is left to compare; choose other suites or another -k.")
    return configs


def _suites_folder() -> Path:
    """Find the suites beside the package, or in the folder a command is called in."""
    for folder in (Path(bench.__file__).resolve().parent.parent / "suites", Path.cwd() / "suites"):
        if (folder / "conftest.py").is_file():
            return folder
    raise BadValueError("there is no folder suites/ here; run this in a checkout of ftbench.")
