"""`ftbench show`: cases and runs in the terminal, fast; medians and ranges only, nothing heavy imported."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from bench.analysis import stats
from bench.analysis.cases import Case
from bench.analysis.disturbance import disturbances
from bench.analysis.values import value
from bench.errors import BadValueError, UnknownNameError
from bench.report.display import unit_of
from bench.report.disturbed import mark
from bench.report.forecast import fit, told, verdict
from bench.report.render import plain, to_text
from bench.report.summary import per_run
from bench.report.tables import Cell, Column, Table
from bench.schema import Kind
from bench.schema.metrics import METRICS
from bench.store import Stored

LISTED = (
    ("train.step_seconds", "step"),
    ("train.tokens_per_second", "tokens/s"),
    ("train.peak_allocated", "peak tensors"),
    ("train.peak_resident", "peak process"),
    ("evaluate.accuracy", "accuracy"),
)
WORDS = {Kind.PREDICTED: "Prediction", Kind.PUBLISHED: "Published number"}
"""What a record is called that no run left."""


def listing(cases: Sequence[Case]) -> Table:
    """One row a case and software stack: medians with the range of the good runs."""
    columns = (
        Column("case", "case"), Column("device", "device"), Column("kind", "kind"), Column("runs", "ok/failed"),
        *(Column(name, label) for name, label in LISTED), Column("latest", "latest run"),
    )  # fmt: skip
    rows = []
    for case in cases:
        cells = {name: _median(case, name) for name, _ in LISTED}
        rows.append({
            "case": Cell(case.name), "device": Cell(case.device), "kind": Cell(case.kind.value),
            "runs": Cell(_ended(case, "{}/{}")), **cells, "latest": Cell(case.latest),
        })  # fmt: skip
    notes = ["median (range) of the runs that went well"]
    if any(case.kind is Kind.PREDICTED for case in cases):
        notes.append("predicted: what a run would hold, by simulation, and whether it fits; nothing was run")
    return Table("Cases", columns, tuple(rows), tuple(notes))


def _ended(case: Case, counts: str) -> str:
    """Count a case's good and failed runs; of a prediction say whether the run would fit."""
    if case.kind is Kind.PREDICTED:
        return verdict(told(case))
    if case.kind is Kind.PUBLISHED:
        return "1 citation" if len(case.runs) == 1 else f"{len(case.runs)} citations"
    return counts.format(len(case.ok), len(case.failed)) + mark(case)


def _median(case: Case, name: str) -> Cell:
    found = stats.median(case.values(name))
    if found is None:
        return Cell("-")
    unit = unit_of(name, METRICS[name].unit)
    return Cell(found.value, unit, found.low, found.high, found.n, found.how, kind=case.kind.value, metric=name)


MOST_NAMES = 20
"""Cases that are listed where one is to be named."""


def matching(cases: Sequence[Case], wanted: str) -> list[Case]:
    """Return the cases whose name is, starts with, or alone contains `wanted` (also as device/case).

    Raises `UnknownNameError` when no name matches, `BadValueError` where several do.
    """
    names = {case.name for case in cases}
    for match in (str.__eq__, str.startswith, str.__contains__):
        found = {case.name for case in cases if match(case.name, wanted) or match(f"{case.device}/{case.name}", wanted)}
        if len(found) == 1:
            return [
                c
                for c in cases
                if c.name in found and (c.device.startswith(wanted.partition("/")[0]) or "/" not in wanted)
            ]
        if len(found) > 1:
            raise BadValueError(f"{wanted!r} is in the names of {len(found)} cases; say more of one: "
                                f"{', '.join(sorted(found)[:MOST_NAMES])}.")  # fmt: skip
    raise UnknownNameError("case", wanted, sorted(names)[:MOST_NAMES] or ["none"])


def detail(cases: Sequence[Case]) -> str:
    """Write everything a case's runs hold but their raw series: numbers, settings, environment, failures."""
    return "\n".join(line for case in cases for line in _case_lines(case))


def _case_lines(case: Case) -> Iterator[str]:
    yield f"{case.name}\n{case.device}, {case.kind.value}, {_ended(case, '{} ok, {} failed')}\n"
    yield to_text(per_run(case))
    yield "Settings\n" + _pairs(msgspec.to_builtins(case.config))
    for run in case.runs:
        yield from _run_lines(run)


def _run_lines(run: Stored) -> Iterator[str]:
    record = run.record
    what = f"{WORDS.get(record.kind, 'Run')} {run.run}"
    yield f"{what}: {record.status.value}, seed {record.config.seed}\n  {plain(str(run.path))}"
    yield from (f"  disturbed: {plain(reason)}" for reason in disturbances(record))
    if record.citation:
        yield f"  source: {plain(record.citation)}"
    if record.kind is Kind.PREDICTED:
        yield f"  fits: {plain(fit(record))}"
    if record.failure:
        yield f"  {plain(f'in {record.failure.phase}: {record.failure.message}')}"
        yield from (f"  | {plain(line)}" for line in record.failure.last_words)
    yield "  read back from the model\n" + _pairs(record.resolved, "    ")
    yield "  environment\n" + _pairs(record.environment, "    ")
    if record.absent:
        yield "  not measured\n" + _pairs(record.absent, "    ")


def _pairs(pairs: Mapping[str, object], indent: str = "  ") -> str:
    return "\n".join(f"{indent}{plain(str(name))}: {plain(str(entry))}" for name, entry in pairs.items()) + "\n"


def as_json(cases: Sequence[Case]) -> str:
    """Write the runs of cases as JSON: every metric read off each, in base units, null where absent, and the record."""
    runs = [
        {
            "path": str(run.path),
            "values": {name: value(run.record, name) for name in METRICS},
            "record": msgspec.to_builtins(run.record),
        }
        for case in cases
        for run in case.runs
    ]
    return json.dumps(runs, indent=2, allow_nan=False, ensure_ascii=False) + "\n"
