"""Two devices on the same work: which of their cases may be held against each other, and what to beware of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median

import msgspec

from bench.analysis.cases import Case, is_headline, ran
from bench.analysis.disturbance import influences
from bench.analysis.families import settings
from bench.analysis.limits import families

SPEED = "train.tokens_per_second"
TUNED = ("batch_size", "gradient_accumulation_steps", "gradient_checkpointing", "attention", "steps", "untimed_steps")
"""Settings that each device may have its own way where its best is asked for; the work stays the same."""
AFTER = ("inspect", "merge", "infer_tokens", "evaluate_items")
"""Settings that a search for what fits goes without."""
ENOUGH = 5
"""Runs of a case from which on an interval is more than a guess."""
SPOKEN = {
    "gpu.power_limit_watts": "power limits", "gpu.ecc": "ECC", "gpu.mig": "MIG", "gpu.driver": "drivers",
    "gpu.pcie_generation_max": "PCIe generations", "gpu.pcie_width_lanes_max": "PCIe lanes",
    "gpu.numa_node": "NUMA nodes", "cpu.model": "processors of the hosts", "host.container": "containers",
    "python": "Pythons",
}  # fmt: skip
"""Facts that may explain a difference between devices without being the device."""


@dataclass(frozen=True, slots=True)
class Match:
    """A case of each device on the same work."""

    left: Case
    right: Case


def same(cases: Sequence[Case], left: str, right: str) -> list[Match]:
    """Match cases of one name and software stack that ran well on both devices; of several stacks the newest common."""
    sides = [{(case.name, case.stack): case for case in _eligible(cases, device)} for device in (left, right)]
    found: dict[str, Match] = {}
    for key, case in sorted(sides[0].items(), key=lambda item: item[1].latest):
        if key in sides[1]:
            found[case.name] = Match(case, sides[1][key])
    order = {case.name: place for place, case in reversed(list(enumerate(cases)))}
    return sorted(found.values(), key=lambda match: order[match.left.name])


def best(cases: Sequence[Case], left: str, right: str) -> list[Match]:
    """Match each device's fastest case of the same work, whatever the batch size and the other settings of `TUNED`.

    Memory is part of a card: what only the larger one has room for is its own best. Only work that each device tried
    in more than one way has a best.
    """
    sides: list[dict[bytes, list[Case]]] = []
    for device in (left, right):
        groups: dict[bytes, list[Case]] = {}
        for case in _eligible(cases, device):
            if case.values(SPEED):
                groups.setdefault(_work(case), []).append(case)
        sides.append({work: group for work, group in groups.items() if len(group) > 1})
    return [Match(*(max(side[work], key=_speed) for side in sides)) for work in sides[0] if work in sides[1]]


def largest_batch(cases: Sequence[Case], case: Case) -> int | None:
    """Return the largest batch that a search found to fit of the work of `case`; None where nobody searched."""
    mine = [one for one in cases if one.device == case.device and _fitting(one) == _fitting(case)]
    found = [family for family in families(mine) if family.setting == "batch_size" and family.fits and family.fails]
    return max((family.size(family.fits) for family in found if family.fits), default=None)


def cautions(matches: Sequence[Match]) -> Iterator[str]:
    """Say what keeps matched numbers from being the devices' alone."""
    for words, chosen in (("left", [m.left for m in matches]), ("right", [m.right for m in matches])):
        device = chosen[0].device if chosen else words
        units = {run.record.environment.get("gpu.unit") for case in chosen for run in case.ok} - {None}
        if len(units) == 1:
            yield (f"{device} is one unit: cards of one name differ by 8 % on average, up to 22 % (arXiv 2208.11035); "
                   "nothing is said of the family.")  # fmt: skip
        if few := sum(len(case.ok) < ENOUGH for case in chosen):
            yield f"{few} of {len(chosen)} cases on {device} have fewer than {ENOUGH} runs."
        if disturbed := sum(bool(influences(run.record)) for case in chosen for run in case.ok):
            yield f"{disturbed} runs on {device} were disturbed; see ftbench table conditions."
    for fact, words in SPOKEN.items():
        held = [{run.record.environment.get(fact) for case in side for run in case.ok} - {None}
                for side in ([m.left for m in matches], [m.right for m in matches])]  # fmt: skip
        if held[0] != held[1] and all(held):
            names = (", ".join(sorted(map(str, values))) for values in held)
            yield f"{words} differ: {' and '.join(names)}."


def _eligible(cases: Sequence[Case], device: str) -> list[Case]:
    return [case for case in ran(cases) if case.device == device and case.ok and is_headline(case)]


def _speed(case: Case) -> float:
    return median(case.values(SPEED))


def _work(case: Case) -> bytes:
    return msgspec.json.encode([settings(case.config, without=TUNED), case.stack], order="sorted")


def _fitting(case: Case) -> bytes:
    """What decides whether a batch fits: the work, but not how long it goes on and what is done after training."""
    return msgspec.json.encode([settings(case.config, without=(*TUNED, *AFTER)), case.stack], order="sorted")
