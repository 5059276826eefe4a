"""One comparison of two environments: what is run, in turns, until it can be told apart; it survives being killed."""

from __future__ import annotations

import json
import random
import secrets
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import cache, store
from bench.analysis.gate.judge import Wanted, to_confirm
from bench.analysis.gate.sides import Twin, twins
from bench.errors import BadValueError, StoreError
from bench.launch import environments
from bench.launch.environments import Environment
from bench.launch.fetch import Supplies
from bench.launch.interleave import SIDES, Interleaver, Side, Step, Told, is_noisy, records, steps
from bench.launch.machine import device_slug
from bench.launch.process import Launcher
from bench.launch.sweep import locked
from bench.launch.workers import isolation_for
from bench.schema import RunConfig
from bench.schema.catalogue import is_predicted
from bench.schema.pairing import Stage

CHARTER = "comparison-of.json"
"""What a folder's comparison is: its name, sides, cases and pairs."""
ENVIRONMENTS = ".environments"
EXACT_PAIRS = 2
"""Pairs of a case of which nothing is timed or trained: one to see, one to see it again."""
FRESH = 10_000
"""Number of the first pair that confirms: far from those that screen, however many there are."""


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

    def run(self, told: Told) -> tuple[str, str]:
        """Make the environments, screen all cases, and confirm what looks changed; go on where a killed one stopped.

        Returns the sides' names. Raises `ConfoundedError` for environments that differ by more than is tested,
        `BadValueError` for what cannot be measured or a folder that holds another comparison; `BusyError`,
        `StoreError`.
        """
        device = self._device()
        if self.pairs < EXACT_PAIRS:
            raise BadValueError(f"--pairs {self.pairs} tell no spread; at least {EXACT_PAIRS} do.")
        with locked(self.folder):
            sides = self._environments(told)
            comparison = self._charter(sides)
            supplies = Supplies(self.data_dir)
            for config in self.configs:
                supplies.try_to_bring(config.model, config.task)
            with self._interleaver(device, sides, comparison, told) as turns:
                turns.make(self._screen(comparison))
                looked = {twin.case for twin in self._looks_changed()}
                again = [config for config in self.configs if config.case in looked]
                if again:
                    told(f"{len(again)} of {len(self.configs)} cases look changed; fresh pairs confirm them or do not")
                fresh = range(FRESH, FRESH + self.pairs)
                turns.make(list(steps(again, fresh, Stage.CONFIRM, random.Random(f"{comparison} again"))))  # noqa: S311
        return sides["old"].name, sides["new"].name

    def _device(self) -> str:
        """Return the device that all cases are for."""
        devices = {config.device for config in self.configs}
        if len(devices) != 1 or any(map(is_predicted, devices)):
            raise BadValueError(f"a comparison measures on one device, not on {', '.join(sorted(devices))}; "
                                "ftbench predict says what a GPU that is not here would hold.")  # fmt: skip
        return devices.pop()

    def _screen(self, comparison: str) -> list[Step]:
        chance = random.Random(comparison)  # noqa: S311
        timed = [config for config in self.configs if is_noisy(config)]
        untimed = [config for config in self.configs if not is_noisy(config)]
        return [*steps(untimed, range(EXACT_PAIRS), Stage.SCREEN, chance),
                *steps(timed, range(self.pairs), Stage.SCREEN, chance)]  # fmt: skip

    def _looks_changed(self) -> list[Twin]:
        roots = self.roots()
        return to_confirm(twins(records(roots["old"]), records(roots["new"])), self.wanted, self.allowed)

    def _environments(self, told: Told) -> dict[Side, Environment]:
        """Make both environments, and refuse what differs without being tested."""
        words: dict[Side, str] = {"old": self.old, "new": self.new}
        sides = {side: environments.prepare(words[side], self.folder / ENVIRONMENTS / side) for side in SIDES}
        environments.refuse_confounders(sides["old"], sides["new"], self.allowed)
        differ = environments.differences(sides["old"], sides["new"])
        said = (f"{name} {before} against {after}" for name, (before, after) in differ.items())
        told(", ".join(said) if differ else "the sides are alike: whatever is found is noise")
        return sides

    def _charter(self, sides: Mapping[Side, Environment]) -> str:
        """Return the comparison's name: the one that the folder holds if it is this one, else a new one."""
        wanted = {
            "old": self.old, "new": self.new, "cases": sorted(config.case for config in self.configs),
            "differences": {name: list(both) for name, both in environments.differences(*sides.values()).items()},
            "code": sides["new"].facts.get("ftbench.code"),
        }  # fmt: skip
        file = self.folder / CHARTER
        try:
            held = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None
        except (OSError, ValueError) as error:
            raise StoreError(f"cannot read {file}: {error}.") from error
        if held is None:
            held = {"comparison": secrets.token_hex(6), **wanted}
            store.write_whole(file, json.dumps(held, indent=2) + "\n")
        differ = sorted(key for key, fact in wanted.items() if not isinstance(held, dict) or held.get(key) != fact)
        if differ:
            raise BadValueError(f"{self.folder} holds another comparison (its {', '.join(differ)} differ); "
                                "give this one another folder with --folder.")  # fmt: skip
        return str(held["comparison"])

    @contextmanager
    def _interleaver(
        self, device: str, sides: Mapping[Side, Environment], comparison: str, told: Told
    ) -> Iterator[Interleaver]:
        names = environments.under_test(sides["old"], sides["new"])
        tested = {side: ", ".join(f"{name} {environment.versions.get(name, 'absent')}" for name in names)
                  for side, environment in sides.items()}  # fmt: skip
        with ExitStack() as stack:
            launchers: dict[Side, Launcher] = {}
            for side, environment in sides.items():
                launchers[side] = stack.enter_context(Launcher(
                    device=device_slug(device), machine=environment.facts, isolation=isolation_for(device),
                    variables={**cache.variables(self.data_dir), **environment.variables}, python=environment.python,
                ))  # fmt: skip
            yield Interleaver(self.roots(), launchers, comparison, names, told, tested)
