"""What a machine can measure, as tables: the doctor's findings, the environment, the check of a GPU."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench.report.tables import Cell, Column, Table


def examination(findings: Sequence[Mapping[str, Any]]) -> Table:
    """One row a finding; what works first, device by device."""
    columns = (Column("device", "device"), Column("what", "what"), Column("can", "can"), Column("said", "how, or why not"))
    ordered = sorted(findings, key=lambda found: (found["device"], not found["can"]))
    rows = tuple(
        {
            "device": Cell(found["device"]),
            "what": Cell(found["what"]),
            "can": Cell("yes" if found["can"] else "no"),
            "said": Cell(found["said"]),
        }
        for found in ordered
    )
    return Table("What this machine can measure", columns, rows)


def environment(facts: Mapping[str, Any]) -> Table:
    """One row a fact, as every record of this machine holds it."""
    rows = tuple({"fact": Cell(name), "value": Cell(str(fact))} for name, fact in facts.items())
    return Table("Environment", (Column("fact", "fact"), Column("value", "value")), rows)


def hardware(document: Mapping[str, Any]) -> Table:
    """One row a part of a GPU's check: how it went, and the reason where it did not."""
    rows = []
    for name, part in document["parts"].items():
        problem = next((part[key] for key in ("failed", "died", "absent") if key in part), "")
        said = problem or "; ".join(part.get("reasons", ())) or "done"
        rows.append({"part": Cell(name), "verdict": Cell(part.get("verdict", "no" if problem else "done")), "said": Cell(said)})
    columns = (Column("part", "part"), Column("verdict", "verdict"), Column("said", "what it said"))
    return Table("Check of the GPU", columns, tuple(rows))
