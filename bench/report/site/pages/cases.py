"""One page a case: its runs with everything they left behind, and how to make them again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

from bench.analysis.cases import RAN, Case
from bench.analysis.families import settings
from bench.analysis.predictions import Check, accuracy
from bench.analysis.results import Results
from bench.analysis.values import is_answer
from bench.report import figures, summary
from bench.report.attribution import attribution
from bench.report.chart import Chart
from bench.report.comparison import hardware
from bench.report.conditions import conditions
from bench.report.cost import cost
from bench.report.forecast import forecast, verdict
from bench.report.headings import APART
from bench.report.memory import memory
from bench.report.memory_charts import timeline
from bench.report.paging import paging
from bench.report.predictions import against
from bench.report.site.assembly import ROOM, in_pieces, whole
from bench.report.site.page import Section
from bench.report.site.pages.environments import momentary, path_of
from bench.report.site.parallel import mapped
from bench.report.site.templating import shortened
from bench.report.tables import Table, case_page
from bench.schema import Kind, RunConfig, RunRecord
from bench.schema.catalogue import NONE, STUDIES
from bench.schema.studies import TRAINING
from bench.store import Stored

MOST_RUNS = 8
"""Runs of a case that its page shows, the newest; the others are files below data/."""
CHART_ROWS = 12
"""Rows of the table behind a chart; the record has every one."""


def files(results: Results) -> Iterator[tuple[str, str]]:
    """Write the page of every case; software stacks of one case share it."""
    ordered = sorted(results.cases, key=case_page)
    checks: dict[str, list[Check]] = {}
    for check in results.checks:
        for side in (check.predicted, check.known):
            checks.setdefault(case_page(side), []).append(check)
    grouped = [(path, tuple(group)) for path, group in groupby(ordered, key=case_page)]

    def page(one: tuple[str, tuple[Case, ...]]) -> tuple[str, str]:
        path, group = one
        same = sorted(group, key=lambda case: case.latest, reverse=True)
        return path, _page(path, same, results, checks.get(path, []))

    yield from mapped(page, grouped)


def _page(path: str, same: Sequence[Case], results: Results, checks: Sequence[Check]) -> str:
    config = same[0].config
    return whole(
        "case.html", path, results, case=same[0],
        groups=[_group(case, place, checks, results.checks, ROOM // len(same)) for place, case in enumerate(same)],
        hardware=hardware(same[0]),
        ran=same[0].kind in RAN, config=shortened(_changed(config)), title=_title(config),
        newest=same[0].runs[-1], of=", ".join(_worked_on(config)),
    )  # fmt: skip


def _title(config: RunConfig) -> str:
    """Name what a case is about: its method, or its study with what was chosen of it."""
    if config.study == TRAINING:
        return summary.method_label(config.method)
    label = STUDIES[config.study].label if config.study in STUDIES else config.study
    known = STUDIES[config.study].options if config.study in STUDIES else {}
    chosen = [f"{value}" for name, value in config.study_options.items()
              if isinstance(value, str) and name in known and known[name].choices]  # fmt: skip
    return f"{label}: {', '.join(chosen)}" if chosen else label


def _worked_on(config: RunConfig) -> Iterator[str]:
    """Name the method, where the title does not, the model and the task, as far as there are any."""
    if config.study != TRAINING and config.model != NONE:
        yield summary.method_label(config.method)
    if config.model != NONE:
        yield summary.model_label(config.model)
    if config.task != NONE:
        yield summary.task_label(config.task)


def _changed(config: RunConfig) -> Mapping[str, object]:
    """Return the settings of a case that are not at their defaults, and those of its method and its study, all."""
    reference = settings(RunConfig(model="", method="", task=""))
    own = {**config.options, **config.study_options}
    found = settings(config)
    return {name: value for name, value in sorted(found.items()) if name in own or value != reference.get(name)}


def _group(case: Case, place: int, checks: Sequence[Check], every: Sequence[Check], room: int) -> dict[str, Any]:
    own = [check for check in checks if check.about(case)]
    kept = case.runs[-MOST_RUNS:]
    return {
        "case": case, "key": f"group-{place}", "kind": case.kind.value,
        "unfinished": [run for run in kept if not is_answer(run.record)],
        "pieces": list(in_pieces(_sections(case, place, own, every), "../../", room)),
        "runs": [_run(run) for run in kept], "left_out": len(case.runs) - len(kept),
    }  # fmt: skip


def _sections(case: Case, place: int, own: Sequence[Check], every: Sequence[Check]) -> Iterator[Section]:
    """Return what is shown of a case, first what was found, then every number.

    `own` are the checks of its predictions, `every` all there are, which say what error to expect.
    """
    if case.kind is Kind.PREDICTED:
        yield Section("forecast", "", tables=(forecast(case, every),), style="forecast")
    if own:
        yield Section("against", "", tables=(against(own, accuracy(every)),), style="dense roomy")
    if case.kind in RAN:
        newest = replace(case, runs=case.runs[-MOST_RUNS:])
        yield Section("charts", "", charts=tuple(_charts(newest, place)), chart_rows=CHART_ROWS)
    yield Section("costs", "", tables=tuple(_costs(case)))
    yield Section("numbers", "", tables=(summary.per_run(case, MOST_RUNS, together=True),), style="numbers")


def _charts(case: Case, place: int) -> Iterator[Chart]:
    name = summary.method_label(case.config.method)
    seconds = "Seconds of each step, untimed first steps included"
    made = (
        figures.series(case, "step.loss", "Loss at each step", "loss", f"loss-{place}"),
        figures.series(case, "step.seconds", seconds, "s", f"seconds-{place}"),
        timeline(case, name, f"timeline-{place}"),
    )
    return (chart for chart in made if chart is not None)


def _costs(case: Case) -> list[Table]:
    """What the runs of a case cost and what their machine was like; tables with nothing to show are not shown.

    Of predictions only what they hold: memory. What is published is no more than its numbers.
    """
    if case.kind is Kind.PUBLISHED or not case.answers:
        return []
    tables = [memory([case]), attribution([case]), *cost([case]), *paging([case]), *conditions([case])]
    return [_bare(table) for table in tables if table.rows]


def _bare(table: Table) -> Table:
    """Leave out the first columns of a table of one case: the page's title says what it is."""
    told = ("method", "kind", "work", *APART)
    columns = tuple(replace(column, detail=True) if column.key in told else column for column in table.columns)
    return replace(table, columns=columns)


def _run(run: Stored) -> dict[str, Any]:
    record = run.record
    return {
        "run": run, "record": record, "path": f"data/{run.address}.json", "ended": _ended(record),
        "environment": path_of(record),
        "lines": {"Read back from the built model": shortened(record.resolved),
                  "Of the moment": shortened(momentary(record)),
                  "Not measured, and why": shortened(record.absent)},
    }  # fmt: skip


def _ended(record: RunRecord) -> str:
    return verdict(record) if record.kind is Kind.PREDICTED else record.status.value
