"""Two sides of records in, findings out: every judged metric of every case by the rule of its noise class."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from statistics import median

from bench.analysis.cases import ITEMS
from bench.analysis.disturbance import influences
from bench.analysis.gate import families, rules
from bench.analysis.gate.conditions import Conditions, conditions
from bench.analysis.gate.families import Family, Member
from bench.analysis.gate.rules import Ruling
from bench.analysis.gate.scales import scale_of
from bench.analysis.gate.sides import Pair, Twin, went_well
from bench.analysis.gate.state import state
from bench.analysis.gate.together import together
from bench.analysis.gate.verdicts import ALL_CASES, STATE, Finding, Verdict
from bench.schema.metrics import METRICS
from bench.schema.pairing import Stage

Wanted = Callable[[str], bool]
"""Whether a metric was asked for, by its name."""


def every(_: str) -> bool:
    """Want every metric."""
    return True


@dataclass(slots=True)
class _Judged:
    """What is known of all cases before families are judged: findings, and members of families."""

    findings: dict[int, list[Finding]] = field(default_factory=lambda: defaultdict(list))
    members: dict[str, list[tuple[int, Twin, Member]]] = field(default_factory=lambda: defaultdict(list))


def findings(twins: Sequence[Twin], wanted: Wanted = every, allowed: Collection[str] = ()) -> list[Finding]:
    """Judge all cases: whether each runs, then its metrics in the order of `METRICS`, then all cases together.

    `wanted` leaves metrics out; packages named in `allowed` may differ without being tested.
    """
    told = _each(twins, wanted, allowed)
    of_all = list(_in_families(told))
    order = {name: number for number, name in enumerate((STATE, *METRICS))}
    by_case = [sorted(told.findings[place], key=lambda one: order[one.metric]) for place in range(len(twins))]
    return [one for group in by_case for one in group] + of_all


def to_confirm(twins: Sequence[Twin], wanted: Wanted = every, allowed: Collection[str] = ()) -> list[Twin]:
    """Return the cases of which a noisy or stochastic metric looks changed after the screen."""
    chosen: set[int] = set()
    for name, members in _each(twins, wanted, allowed).members.items():
        looks = Family(name, [member for *_, member in members]).looks_changed
        chosen |= {place for (place, *_), changed in zip(members, looks, strict=True) if changed}
    return [twin for place, twin in enumerate(twins) if place in chosen]


def members(twins: Sequence[Twin], wanted: Wanted, allowed: Collection[str]) -> dict[str, list[tuple[Twin, Member]]]:
    """Return the cases of every metric that varies, with the differences of their pairs."""
    found = _each(twins, wanted, allowed).members
    return {name: [(twin, member) for _, twin, member in held] for name, held in found.items()}


def _each(twins: Sequence[Twin], wanted: Wanted, allowed: Collection[str]) -> _Judged:
    """Judge what can be judged of a case alone."""
    told, names = _Judged(), [name for name in METRICS if wanted(name) and rules.is_judged(METRICS[name])]
    for place, twin in enumerate(twins):
        told.findings[place].append(_finding(twin, STATE, state(twin)))
        apart = conditions(twin, allowed)
        for name in names if twin.olds and twin.news else ():
            made = _metric(twin, name, apart, len(twins))
            if isinstance(made, Member):
                told.members[name].append((place, twin, made))
            elif made:
                told.findings[place].append(_finding(twin, name, made))
    return told


def _metric(twin: Twin, name: str, apart: Conditions, cases: int) -> Ruling | Member | None:
    """Judge a metric of a case, or return what its family needs; None where neither side holds it."""
    metric, holders = METRICS[name], twin.holders(name)
    if not all(holders):
        return _lost(twin, old=holders[0]) if any(holders) else None
    pairs = twin.numbers(name)
    if reason := apart.against(metric.noise) or ("" if pairs else "no seed was run well on both sides"):
        return Ruling(Verdict.INCOMPARABLE, reason)
    if metric.noise == "noisy" or (metric.noise == "stochastic" and metric.margin):
        return _member(twin, name)
    if metric.noise == "stochastic":
        return rules.recurring(metric, pairs)
    return rules.exact(metric, pairs) if rules.is_exact(metric) else _near_exact(twin, name, pairs, cases)


def _lost(twin: Twin, *, old: bool) -> Ruling | None:
    """Say that one side alone holds a metric; of a side that never ran well the case's state says it."""
    if not any(map(went_well, twin.news if old else twin.olds)):
        return None
    verdict, side = (Verdict.MISSING, "old") if old else (Verdict.NEW, "new")
    return Ruling(verdict, f"only the {side} side holds it")


def _near_exact(twin: Twin, name: str, pairs: Sequence[tuple[float, float]], cases: int) -> Ruling:
    metric = METRICS[name]
    if name in ITEMS:
        answered = ([record.items.get(ITEMS[name]) for record in pair.records] for pair in twin.pairs if pair.went_well)
        both = next((answers for answers in answered if all(answers)), None)
        if both is None:
            return Ruling(Verdict.INCOMPARABLE, "no pair says which items were answered right")
        return rules.same_weights(metric, str(both[0]), str(both[1]), cases)
    return rules.bytes_held(metric, pairs) if metric.unit == "B" else rules.repeated(metric, pairs)


def _member(twin: Twin, name: str) -> Ruling | Member:
    """Return the differences of a case's pairs, or say why there are none to speak of."""
    noisy = METRICS[name].noise == "noisy"
    kept = [pair for pair in twin.pairs if not (noisy and any(map(influences, pair.records)))]
    left_out = len(twin.pairs) - len(kept)
    taken = {stage: _differences([pair for pair in kept if pair.stage is stage], name) for stage in (*Stage, None)}
    if any(one is None for differences in taken.values() for one in differences):
        return Ruling(Verdict.INCONCLUSIVE, "a value is not above 0 and finite, so that pairs have no ratio")
    known = {stage: tuple(one for one in differences if one is not None) for stage, differences in taken.items()}
    screen = known[Stage.SCREEN] if twin.in_turns else known[None]
    if len(screen) >= families.FEWEST_PAIRS:
        return Member(screen, known[Stage.CONFIRM], staged=twin.in_turns, left_out=left_out)
    disturbed = f"; {left_out} left out, disturbed from outside" if left_out else ""
    verdict = Verdict.INCONCLUSIVE if screen else Verdict.INCOMPARABLE
    return Ruling(verdict, f"{len(screen)} pairs tell no spread{disturbed}")


def _differences(pairs: Sequence[Pair], name: str) -> list[float | None]:
    numbers = [found for pair in pairs if (found := pair.numbers(name)) is not None]
    return [scale_of(name).difference(old, new) for old, new in numbers]


def _in_families(told: _Judged) -> Iterator[Finding]:
    """Judge what varies, family by family: into `told` case by case; yield what is said of all cases together."""
    made = [Family(name, [member for *_, member in members]) for name, members in told.members.items()]
    for family, rulings in zip(made, families.judged(made), strict=True):
        for (place, twin, _), ruling in zip(told.members[family.name], rulings, strict=True):
            told.findings[place].append(_finding(twin, family.name, ruling))
    for family, common in zip(made, together(made), strict=True):
        if common:
            devices = dict.fromkeys(twin.device for _, twin, _ in told.members[family.name])
            yield Finding(
                ALL_CASES, " and ".join(devices), family.name, common.verdict, common.why, change=common.change,
                relative=common.relative,
            )  # fmt: skip


def _finding(twin: Twin, name: str, ruling: Ruling) -> Finding:
    """Put a ruling beside the numbers and runs it is about."""
    pairs = twin.pairs if name == STATE else tuple(pair for pair in twin.pairs if pair.went_well)
    numbers = [] if name == STATE else twin.numbers(name)
    olds, news = ([pair.old for pair in pairs], [pair.new for pair in pairs]) if pairs else (twin.olds, twin.news)
    return Finding(
        twin.case, twin.device, name, ruling.verdict, ruling.why,
        old=median(old for old, _ in numbers) if numbers else None,
        new=median(new for _, new in numbers) if numbers else None,
        change=ruling.change, relative=ruling.relative, pairs=len(pairs), needed=ruling.needed,
        old_runs=tuple(run.address for run in olds), new_runs=tuple(run.address for run in news), asked=twin.asked,
    )  # fmt: skip
