"""What a machine is and can measure, in lines: the environment, the doctor's findings, the check of a GPU."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bench.report.render import plain


def environment(facts: Mapping[str, Any]) -> Iterator[str]:
    """One line a fact, as every record of this machine holds it."""
    width = max(map(len, facts), default=0)
    for name, fact in facts.items():
        yield f"{name:{width}}  {plain(str(fact))}"


def examination(findings: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """One line a finding, device by device, what can be measured first; reasons in full."""
    width = max((len(found["what"]) for found in findings), default=0)
    for found in sorted(findings, key=lambda found: (found["device"], not found["can"])):
        can = "yes" if found["can"] else "no "
        yield f"{found['device']:5} {can}  {found['what']:{width}}  {plain(found['said'])}".rstrip()


def hardware(document: Mapping[str, Any]) -> Iterator[str]:
    """One line a part of a GPU's check: its verdict and every reason."""
    for name, part in document["parts"].items():
        problem = next((part[key] for key in ("failed", "died", "absent") if key in part), "")
        said = problem or " ".join(part.get("reasons", ()))
        yield f"{name:15} {part.get('verdict', 'failed' if problem else 'done')}  {plain(said)}".rstrip()
