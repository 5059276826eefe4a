"""A comparison as JSON: what every other form is made from, and what programs read."""

from __future__ import annotations

import json
from typing import Any

from bench.analysis.gate.comparison import Comparison, Side
from bench.analysis.gate.verdicts import Finding

# Format history
# 1  first version
FORMAT = 1


def as_json(comparison: Comparison) -> str:
    """Write a comparison whole. Numbers are in base units; what is not known is absent, never 0."""
    document = {
        "format": FORMAT,
        "ending": comparison.ending.value,
        "old": _side(comparison.old),
        "new": _side(comparison.new),
        "counts": {verdict.value: count for verdict, count in comparison.counts().items()},
        "findings": [_finding(found) for found in comparison.findings],
    }
    return json.dumps(document, indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def _side(side: Side) -> dict[str, Any]:
    unreadable = [{"file": file.path.name, "reason": file.reason} for file in side.unreadable]
    facts = {name: list(values) for name, values in side.facts().items()}
    return {"name": side.name, "runs": len(side.runs), "facts": facts, "unreadable": unreadable}


def _finding(found: Finding) -> dict[str, Any]:
    change = found.change
    estimate = change and {
        "value": change.value, "low": change.low, "high": change.high, "n": change.n, "how": change.how,
        "of": "share of the old value" if found.relative else "difference",
    }  # fmt: skip
    said = {
        "case": found.case, "device": found.device, "metric": found.metric, "verdict": found.verdict.value,
        "why": found.why, "old": found.old, "new": found.new, "change": estimate, "pairs": found.pairs or None,
        "pairs_needed": found.needed, "acknowledged": found.acknowledged or None, "old_runs": list(found.old_runs),
        "new_runs": list(found.new_runs),
    }  # fmt: skip
    return {name: fact for name, fact in said.items() if fact not in (None, [])}
