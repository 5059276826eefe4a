"""What a session would run, how long that should take, and the most memory it should need: for --collect-only."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from bench import cache, store
from bench.analysis.duration import Durations, Expected
from bench.launch import dry
from bench.launch.forecast import Forecasts, gibibytes, tensors
from bench.launch.limit import Limit
from bench.schema import Kind, RunConfig, RunRecord, gpus
from bench.schema.models import MODELS
from bench.schema.studies import TRAINING

TRIED = 3
"""Cases that are simulated on a CPU to find the plan's peak: those that should need most."""

LARGEST_CARD = "h200"
"""The simulated GPU that has room for whatever a host can hold."""

BYTES_A_PARAMETER = {"full": 16}
"""Weights, gradients and two moments in float32; under an adapter the weights alone are large."""


class Planned(NamedTuple):
    """A case of a plan: the test's name, the config, and how often it is run."""

    name: str
    config: RunConfig
    rounds: int


class Plan:
    """Collects what the suites would measure. `device` is the folder of the device's records below `root`."""

    def __init__(self, root: Path, device: str, rounds: Callable[[int], int]) -> None:
        self._root = root
        self._device = device
        self._rounds = rounds
        self._cases: list[Planned] = []

    def planner(self, name: str) -> Callable[[RunConfig, int], list[RunRecord]]:
        """Return a stand-in for `measure` that notes what would be measured, under the test's name."""

        def plan(config: RunConfig, rounds: int) -> list[RunRecord]:
            self._cases.append(Planned(name, config, self._rounds(rounds)))
            return [dry.record(config.but(seed=seed)) for seed in range(rounds)]

        return plan

    def search_planner(self, name: str) -> Callable[..., Limit]:
        """Return a stand-in for `find_limit` that notes what would be searched."""

        def plan(config: RunConfig, setting: str, **_: int) -> Limit:
            self._cases.append(Planned(f"{name}, by {setting}", config, 1))
            return Limit(None, None)

        return plan

    def configs(self) -> list[RunConfig]:
        """Return the configs that would be run, each once."""
        return list({planned.config.identity: planned.config for planned in self._cases}.values())

    def runs(self) -> list[RunConfig]:
        """Return the runs that would be made, each once: configs with the seeds they are run with."""
        wanted = (planned.config.but(seed=seed) for planned in self._cases for seed in range(planned.rounds))
        return list({(config.identity, config.seed): config for config in wanted}.values())

    def lines(self, *, on_gpu: bool, simulates: bool) -> Iterator[str]:
        """Say what would be run; `on_gpu` with what each is predicted to need, unless it `simulates` itself."""
        if on_gpu:
            with closing(Forecasts.for_this_gpu(self._root)) as forecasts:
                for planned in self._cases:
                    yield f"{self._line(planned)}, {forecasts.sentence(planned.config)}"
        else:
            yield from map(self._line, self._cases)
        runs = sum(planned.rounds for planned in self._cases)
        yield f"{len(self._cases)} cases, {runs} runs on {self._device}, records below {self._root}/"
        if not simulates and self._cases:
            yield self._time()
            if not on_gpu:
                yield self._peak()

    @staticmethod
    def _line(planned: Planned) -> str:
        config = planned.config
        work = f"{config.steps} steps" if config.study == TRAINING else config.study
        return f"{planned.name}: {planned.rounds} x {config.case}, {work}"

    def _time(self) -> str:
        """Say how long the plan should take, from runs of this device that are on disk."""
        found = store.scan(self._root) if self._root.is_dir() else ()
        mine = (run for run in found if isinstance(run, store.Stored))
        known = Durations(run for run in mine if run.record.kind is Kind.MEASURED and run.record.device == self._device)
        told = [(planned.rounds, known.of(planned.config)) for planned in self._cases]
        return _time_line(told, self._device)

    def _peak(self) -> str:
        """Say the most memory that tensors of the plan should take, simulated for the cases that should need most."""
        trained = {planned.config.case: planned.config for planned in self._cases if planned.config.study == TRAINING}
        largest = sorted(trained.values(), key=_size, reverse=True)[:TRIED]
        with closing(Forecasts(cache.root() / "predictions", gpus.by_slug(LARGEST_CARD))) as forecasts:
            peaks = [(tensors(told.record), config) for config in largest if (told := forecasts.told(config))]
        known = [(peak, config) for peak, config in peaks if peak is not None]
        if not known:
            return "predicted peak: unknown; none of the cases could be simulated."
        peak, config = max(known, key=lambda pair: pair[0])
        tried = f"of the {len(known)} cases that should need most" if len(trained) > 1 else "of the one case"
        return f"predicted peak: {gibibytes(peak)} of tensors in training, {tried}: {config.case}"


def _time_line(told: Sequence[tuple[int, Expected | None]], device: str) -> str:
    known = [(rounds, expected) for rounds, expected in told if expected]
    if not known:
        return f"estimated time: unknown; no run of these models on {device} is on disk yet."
    seconds = sum(rounds * expected.seconds for rounds, expected in known)
    same = sum(expected.basis == "same" for _, expected in known)
    before = "1 case as it took before" if same == 1 else f"{same} cases as they took before"
    parts = [before] * bool(same)
    parts += [f"{len(known) - same} from runs like them"] * bool(len(known) - same)
    parts += [f"{len(told) - len(known)} unknown and not counted"] * bool(len(told) - len(known))
    return f"estimated time: {duration(seconds)} ({', '.join(parts)})"


def duration(seconds: float) -> str:
    """Write a duration in the two units that matter: 45 s, 12 min, 2 h 5 min."""
    minutes = round(seconds / 60)
    if minutes < 2:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _size(config: RunConfig) -> float:
    """Order cases by roughly how much their tensors take; nothing but the order is used."""
    parameters = MODELS[config.model].parameters if config.model in MODELS else 10**9
    held = parameters * BYTES_A_PARAMETER.get(config.method, 4 if config.base == "plain" else 1)
    return held + config.batch_size * config.sequence_length * math.sqrt(parameters) * 100
