"""What two runs do not share, and which numbers can be compared all the same."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from bench.analysis.gate.sides import Twin
from bench.schema import RunRecord
from bench.schema.pairing import PREFIX, Turn, may_differ
from bench.schema.record import MOMENTARY, STACK

HARNESS = "ftbench.code"
PASSING = (*MOMENTARY, "ftbench.version", "ftbench.commit", "ftbench.modified")
"""Facts that may differ between runs which are compared: those of a moment, and names of the code that `HARNESS` is."""
DATA = ("model.", "data.", "task.")
"""Settings read back from a run that say what it worked on."""


@dataclass(frozen=True, slots=True)
class Conditions:
    """Why numbers of a case cannot be compared; an empty reason: they can.

    `all` keeps every metric from being compared, `machine` those that depend on the machine (near-exact and noisy
    ones), `turns` the noisy ones alone.
    """

    all: str = ""
    machine: str = ""
    turns: str = ""

    def against(self, noise: str) -> str:
        """Return the reason against metrics of a noise class; empty where there is none."""
        told = {"exact": "", "stochastic": "", "near-exact": self.machine, "noisy": self.machine or self.turns}
        return self.all or told[noise]


def conditions(twin: Twin, allowed: Collection[str] = ()) -> Conditions:
    """Say what the two sides of a case do not share. Packages named in `allowed` may differ, `all`: any of them."""
    if not twin.olds or not twin.news:
        return Conditions()
    compared = [pair.records for pair in twin.pairs] or [(twin.olds[-1].record, twin.news[-1].record)]
    found = {told for old, new in compared for told in _differences(old, new, allowed)}
    if len({(_stack(old), _stack(new)) for old, new in compared}) > 1:
        found.add(("all", "its pairs are of several software stacks"))
    said = {scope: "; ".join(sorted(words for where, words in found if where == scope)) for scope in ("all", "machine")}
    turns = "" if twin.in_turns else "the sides were not run in turns, so that drift and differences look the same"
    return Conditions(said["all"], said["machine"], turns)


def _stack(record: RunRecord) -> tuple[object, ...]:
    return tuple(record.environment.get(f"package.{name}") for name in STACK)


def _differences(old: RunRecord, new: RunRecord, allowed: Collection[str]) -> Iterator[tuple[str, str]]:
    """Yield what two runs do not share, as (scope, words)."""
    if old.device != new.device:
        yield "machine", f"devices differ: {old.device} and {new.device}"
    for name in sorted(old.resolved.keys() & new.resolved.keys()):
        if name.startswith(DATA) and old.resolved[name] != new.resolved[name]:
            yield "all", f"{name} differs: {old.resolved[name]} and {new.resolved[name]}"
    before, after = old.environment, new.environment
    if before.get(HARNESS) != after.get(HARNESS):
        yield "all", f"the code that measures differs: {before.get(HARNESS)} and {after.get(HARNESS)}"
    tested = _under_test(old, new)
    for name in sorted(before.keys() | after.keys()):
        if before.get(name) == after.get(name) or name in (*PASSING, HARNESS) or name.startswith(PREFIX):
            continue
        words = f"{name} differs: {before.get(name, 'absent')} and {after.get(name, 'absent')}"
        if name == "python" or name.startswith("package."):
            if not may_differ(name.removeprefix("package."), {*tested, *allowed}):
                yield "all", f"{words}, and is not what is tested"
        elif not (name.startswith("torch.") and "torch" in tested):
            yield "machine", words


def _under_test(old: RunRecord, new: RunRecord) -> set[str]:
    """Return what a comparison says it tests; without one the package of the training stack that differs.

    Where several differ none can be told from the others, so none is.
    """
    turn = Turn.of(new.environment)
    if turn is not None:
        return set(filter(None, turn.under_test.split(",")))
    facts = (f"package.{name}" for name in STACK)
    differ = {fact.removeprefix("package.") for fact in facts if old.environment.get(fact) != new.environment.get(fact)}
    return differ if len(differ) == 1 else set()
