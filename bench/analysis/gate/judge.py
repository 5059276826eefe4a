"""Two sides of records in, findings out: every judged metric of every case by the rule of its noise class."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from statistics import median

from bench.analysis.cases import ITEMS
from bench.analysis.disturbance import influences
from bench.analysis.gate import families, rules
from bench.analysis.gate.conditions import Conditions, conditions
from bench.analysis.gate.families import Family, Member
from bench.analysis.gate.rules import Ruling
from bench.analysis.gate.scales import scale_of
from bench.analysis.gate.sides import Pair, Twin
from bench.analysis.gate.together import together
from bench.analysis.gate.verdicts import ALL_CASES, STATE, Finding, Verdict
from bench.analysis.values import value
from bench.schema import Status
from bench.schema.metrics import METRICS
from bench.schema.pairing import Stage
from bench.store import Stored

Wanted = Callable[[str], bool]
"""Whether a metric was asked for, by its name."""


def findings(twins: Sequence[Twin], wanted: Wanted = lambda _: True, allowed: Collection[str] = ()) -> list[Finding]:
    """Judge all cases: whether each runs, then its metrics in the order of `METRICS`, then all cases together.

    `wanted` leaves metrics out; packages named in `allowed` may differ without being tested.
    """
    found: dict[int, list[Finding]] = defaultdict(list)
    varying: dict[str, list[tuple[int, Twin, Member]]] = defaultdict(list)
    for place, twin in enumerate(twins):
        found[place].append(_state(twin))
        if not twin.olds or not twin.news:
            continue
        apart = conditions(twin, allowed)
        for name in filter(wanted, METRICS):
            if rules.is_judged(METRICS[name]):
                made = _metric(twin, name, apart)
                if isinstance(made, Member):
                    varying[name].append((place, twin, made))
                elif made:
                    found[place].append(made)
    of_all = list(_varying(varying, found))
    order = {name: number for number, name in enumerate((STATE, *METRICS))}
    sorted_by_case = [sorted(found[place], key=lambda one: order[one.metric]) for place in range(len(twins))]
    return [one for group in sorted_by_case for one in group] + of_all


def to_confirm(twins: Sequence[Twin], wanted: Wanted = lambda _: True) -> list[Twin]:
    """Return the cases of which a noisy or stochastic metric looks changed after the screen."""
    members: dict[str, list[tuple[Twin, Member]]] = defaultdict(list)
    for twin in twins:
        for name in filter(wanted, METRICS):
            if rules.is_judged(METRICS[name]) and not conditions(twin).against(METRICS[name].noise):
                made = _metric(twin, name, Conditions())
                if isinstance(made, Member):
                    members[name].append((twin, made))
    chosen = {
        id(twin)
        for name, found in members.items()
        for (twin, _), looks in zip(found, Family(name, [one for _, one in found]).looks_changed, strict=True)
        if looks
    }
    return [twin for twin in twins if id(twin) in chosen]


def _state(twin: Twin) -> Finding:
    """Say whether a case runs on both sides."""

    def said(verdict: Verdict, why: str) -> Finding:
        return _finding(twin, STATE, Ruling(verdict, why))

    if not twin.news:
        return said(Verdict.MISSING, "only the old side has runs of it")
    if not twin.olds:
        return said(Verdict.NEW, "only the new side has runs of it")
    ends = [tuple(record.status for record in pair.records()) for pair in twin.pairs]
    ends = ends or [(twin.olds[-1].record.status, twin.news[-1].record.status)]
    broken = next((pair for pair in ends if pair[0] is Status.OK is not pair[1]), None)
    fixed = next((pair for pair in ends if pair[1] is Status.OK is not pair[0]), None)
    if broken:
        return said(Verdict.BROKEN, _failure(twin.news, f"ok became {broken[1]}"))
    if fixed:
        return said(Verdict.FIXED, f"{fixed[0]} became ok")
    if all(pair[0] is pair[1] for pair in ends):
        return said(Verdict.UNCHANGED, f"{ends[0][0]} on both sides")
    return said(Verdict.CHANGED, _failure(twin.news, f"{ends[0][0]} became {ends[0][1]}"))


def _failure(runs: Sequence[Stored], words: str) -> str:
    failure = next((run.record.failure for run in reversed(runs) if run.record.failure), None)
    return f"{words}: {failure.message}" if failure else words


def _metric(twin: Twin, name: str, apart: Conditions) -> Finding | Member | None:
    """Judge a metric of a case, or return what its family needs; None where neither side holds it."""
    metric, holders = METRICS[name], [_holds(side, name) for side in (twin.olds, twin.news)]
    if not all(holders):
        return _lost(twin, name, old=holders[0]) if any(holders) else None
    pairs = _numbers(twin.pairs, name)
    reason = apart.against(metric.noise) or ("" if pairs else "no seed was run well on both sides")
    if reason:
        return _finding(twin, name, Ruling(Verdict.INCOMPARABLE, reason))
    if rules.is_exact(metric):
        return _finding(twin, name, rules.exact(metric, pairs))
    if metric.noise == "near-exact":
        return _finding(twin, name, _near_exact(twin, name, pairs))
    return _member(twin, name)


def _holds(side: Sequence[Stored], name: str) -> bool:
    return any(value(run.record, name) is not None for run in side if _went_well(run))


def _lost(twin: Twin, name: str, *, old: bool) -> Finding | None:
    """Say that one side alone holds a metric; of a side that never ran well the case's state says it."""
    if not any(map(_went_well, twin.news if old else twin.olds)):
        return None
    verdict, side = (Verdict.MISSING, "old") if old else (Verdict.NEW, "new")
    return _finding(twin, name, Ruling(verdict, f"only the {side} side holds it"))


def _near_exact(twin: Twin, name: str, pairs: Sequence[tuple[float, float]]) -> Ruling:
    metric = METRICS[name]
    if name in ITEMS:
        records = next(pair.records() for pair in twin.pairs if all(r.items.get(ITEMS[name]) for r in pair.records()))
        return rules.same_weights(metric, *(record.items[ITEMS[name]] for record in records))
    if metric.unit == "B":
        return rules.bytes_held(metric, *zip(*pairs, strict=True))
    return rules.repeated(metric, pairs)


def _member(twin: Twin, name: str) -> Finding | Member:
    """Return the differences of a case's pairs, or say that there are too few."""
    noisy = METRICS[name].noise == "noisy"
    kept = [pair for pair in twin.pairs if not noisy or not any(map(influences, pair.records()))]

    def of(stage: Stage | None) -> tuple[float, ...]:
        numbers = _numbers([pair for pair in kept if pair.stage is stage], name)
        taken = (scale_of(name).difference(old, new) for old, new in numbers)
        return tuple(one for one in taken if one is not None)

    member = Member(of(Stage.SCREEN), of(Stage.CONFIRM)) if twin.in_turns else Member(of(None), staged=False)
    if len(member.screen) >= families.FEWEST_PAIRS:
        return member
    left = len(twin.pairs) - len(kept)
    disturbed = f"; {left} left out, in which something else disturbed a run" if left else ""
    why = f"{len(member.screen)} pairs tell no spread{disturbed}"
    return _finding(twin, name, Ruling(Verdict.INCONCLUSIVE, why, needed=families.FEWEST_PAIRS))


def _varying(varying: dict[str, list[tuple[int, Twin, Member]]], found: dict[int, list[Finding]]) -> Iterator[Finding]:
    """Judge what varies, family by family: into `found` case by case; yield what is said of all cases together."""
    made = [Family(name, [member for *_, member in members]) for name, members in varying.items()]
    for family, rulings in zip(made, families.judged(made), strict=True):
        for (place, twin, _), ruling in zip(varying[family.name], rulings, strict=True):
            found[place].append(_finding(twin, family.name, ruling))
    for family, common in zip(made, together(made), strict=True):
        if common:
            devices = dict.fromkeys(twin.device for _, twin, _ in varying[family.name])
            yield Finding(
                ALL_CASES, " and ".join(devices), family.name, common.verdict, common.why, change=common.change,
                relative=common.relative, pairs=len(family.members),
            )  # fmt: skip


def _numbers(pairs: Sequence[Pair], name: str) -> list[tuple[float, float]]:
    """Return a metric of both runs of every pair that went well and holds it on both sides."""
    found = [tuple(value(record, name) for record in pair.records()) for pair in pairs if _both_well(pair)]
    return [(old, new) for old, new in found if old is not None and new is not None]


def _both_well(pair: Pair) -> bool:
    return _went_well(pair.old) and _went_well(pair.new)


def _went_well(run: Stored) -> bool:
    return run.record.status is Status.OK


def _finding(twin: Twin, name: str, ruling: Ruling) -> Finding:
    """Put a ruling beside the numbers and runs it is about."""
    pairs = twin.pairs if name == STATE else tuple(pair for pair in twin.pairs if _both_well(pair))
    numbers = [] if name == STATE else _numbers(pairs, name)
    olds, news = ([pair.old for pair in pairs], [pair.new for pair in pairs]) if pairs else (twin.olds, twin.news)
    return Finding(
        twin.case, twin.device, name, ruling.verdict, ruling.why,
        old=median(old for old, _ in numbers) if numbers else None,
        new=median(new for _, new in numbers) if numbers else None,
        change=ruling.change, relative=ruling.relative, pairs=len(pairs), needed=ruling.needed,
        old_runs=tuple(map(_path, olds)), new_runs=tuple(map(_path, news)),
    )  # fmt: skip


def _path(run: Stored) -> str:
    return f"{run.record.device}/{run.record.case}/{run.run}"
