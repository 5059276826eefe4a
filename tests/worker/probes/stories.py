"""Steps told in a line: marks by name, changes by address and size."""

from __future__ import annotations

from bench.worker.probes.attribution import Attribution
from bench.worker.probes.trace import Change, Mark, Trace


def traced(*story: str | tuple[int, int]) -> Trace:
    """Make a trace of names (marks) and pairs of address and size (changes), a nanosecond apart."""
    changes: list[Change] = []
    marks: list[Mark] = []
    for event in story:
        if isinstance(event, str):
            marks.append(Mark(len(changes), event))
        else:
            changes.append(Change(len(changes), *event))
    return Trace(changes, marks)


def levels_of(result: Attribution) -> list[dict[str, int]]:
    """Return the bytes of every category after every change."""
    level = dict(result.start)
    seen = [dict(level)]
    for shift in result.shifts:
        level[shift.category] += shift.size
        seen.append(dict(level))
    return seen
