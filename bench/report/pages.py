"""The static site: every page from the records, the same bytes for the same records."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from bench import __version__
from bench.analysis.cases import RAN, Case, newest, ran
from bench.analysis.match import Comparison, comparisons
from bench.analysis.predictions import Check, accuracy, checks
from bench.analysis.values import is_answer
from bench.errors import StoreError
from bench.report import figures, render, summary
from bench.report.attribution import attribution
from bench.report.comparison import comparison_table, device_label, hardware
from bench.report.conditions import conditions
from bench.report.cost import cost
from bench.report.estimates import estimates
from bench.report.figures import Chart
from bench.report.findings import findings
from bench.report.forecast import forecast, verdict
from bench.report.guide import CITATION
from bench.report.memory import memory
from bench.report.paging import paging
from bench.report.predictions import against, predictions
from bench.report.publish import publish
from bench.report.published import published
from bench.report.tables import Table, case_page
from bench.schema import Kind
from bench.schema.catalogue import METHODS
from bench.schema.metrics import METRICS
from bench.store import Stored

if TYPE_CHECKING:
    from jinja2 import Environment

HEAVY = {"assets/plotly.min.js"}


def build(cases: Sequence[Case], output: Path) -> Path:
    """Write the site of `cases` to `output` and return its first page.

    Raises `StoreError` when the disk refuses or a file of somebody else is in the way.
    """
    publish({**render_site(cases), **_heavy()}, output)
    return output / "index.html"


def render_site(cases: Sequence[Case]) -> dict[str, bytes]:
    """Return every file of the site but plotly.js: path below its root -> content."""
    pages = {"index.html": _index(cases), "method.html": _method(cases)}
    found = checks(cases)
    for _, group in groupby(sorted(cases, key=case_page), key=case_page):
        same = list(group)
        pages[case_page(same[0])] = _case(same, cases, found)
    files = {path: text.encode() for path, text in pages.items()}
    files["data/records.csv"] = render.to_csv(summary.summary(cases)).encode()
    if any(case.kind is Kind.PREDICTED for case in cases):
        files["data/predictions.csv"] = render.written(predictions(cases), "csv").encode()
    for run in (run for case in cases for run in case.runs):
        try:
            files[f"data/{run.address}.json"] = run.path.read_bytes()
        except OSError as error:
            raise StoreError(f"cannot read {run.path}: {error.strerror or error}.") from error
    for name in ("style.css", "site.js"):
        files[f"static/{name}"] = resources.files("bench.report").joinpath("static", name).read_bytes()
    return files


def _heavy() -> dict[str, bytes]:
    from plotly.offline import get_plotlyjs

    return {"assets/plotly.min.js": get_plotlyjs().encode()}


def _index(cases: Sequence[Case]) -> str:
    blocks = [_comparison(found, place) for place, found in enumerate(comparisons(cases))]
    shown_metrics = {name: METRICS[name] for name, _ in summary.SHOWN}
    runs = ran(cases)
    memories = memory(cases) if runs else None, attribution(runs)
    return _page(
        "index.html", cases, blocks=blocks, predictions=predictions(cases), published=published(cases),
        summary=summary.summary(cases), memory=memories[0], attribution=memories[1],
        failures=summary.failures(cases), metrics=shown_metrics, citation=CITATION, hardware=_hardware(runs),
        count=_count(cases),
    )  # fmt: skip


def _comparison(found: Comparison, place: int) -> dict[str, Any]:
    charts = [figures.tradeoff(found, f"tradeoff-{place}"), figures.phases(found, f"phases-{place}")]
    return {
        "key": f"t1-{place}",
        "device": device_label(found),
        "table": comparison_table(found),
        "findings": findings(found),
        "charts": [chart for chart in charts if chart is not None],
        "kind": found.kind.value,
    }


def _method(cases: Sequence[Case]) -> str:
    return _page("method.html", cases, metrics=METRICS, methods=METHODS, citation=CITATION)


def _case(same: Sequence[Case], cases: Sequence[Case], found: Sequence[Check]) -> str:
    ordered = sorted(same, key=lambda case: case.latest, reverse=True)
    groups = [_group(case, place, found) for place, case in enumerate(ordered)]
    config = msgspec.to_builtins(same[0].config)
    config.pop("seed")
    return _page(
        "case.html", cases, root="../../", case=same[0], groups=groups, hardware=hardware(same[0]), ran=bool(ran(same)),
        config=json.dumps(config, indent=2, sort_keys=True), method=summary.method_label(same[0].config.method),
        model=summary.model_label(same[0].config.model), task=summary.task_label(same[0].config.task),
    )  # fmt: skip


def _group(case: Case, place: int, found: Sequence[Check]) -> dict[str, Any]:
    own = [check for check in found if check.about(case)]
    return {
        "case": case,
        "key": f"group-{place}",
        "kind": case.kind.value,
        "unfinished": [run for run in case.runs if not is_answer(run.record)],
        "forecast": forecast(case, found) if case.kind is Kind.PREDICTED else None,
        "against": against(own, accuracy(found)) if own else None,
        "costs": _costs(case),
        "estimates": estimates(case) if case.kind in RAN else None,
        "per_run": summary.per_run(case),
        "charts": _charts(case, place) if case.kind in RAN else [],
        "ended": {run.run: _ended(run) for run in case.runs},
        "paths": {run.run: f"data/{run.address}.json" for run in case.runs},
    }


def _ended(run: Stored) -> str:
    return verdict(run.record) if run.record.kind is Kind.PREDICTED else run.record.status.value


def _charts(case: Case, place: int) -> list[Chart]:
    charts: list[Chart | None] = [
        figures.series(case, "step.loss", "Loss at each step", "loss", f"loss-{place}"),
        figures.series(
            case, "step.seconds", "Seconds of each step, untimed first steps included", "s", f"seconds-{place}"
        ),
    ]
    return [chart for chart in charts if chart is not None]


def _costs(case: Case) -> list[Table]:
    """What the runs of a case cost and what their machine was like; tables with nothing to show are not shown.

    Of predictions only what they hold: memory. What is published is no more than its numbers.
    """
    if case.kind is Kind.PUBLISHED:
        return []
    tables = [memory([case]), attribution([case]), *cost([case]), *paging([case]), *conditions([case])]
    return [table for table in tables if case.answers and table.rows]


def _hardware(cases: Sequence[Case]) -> list[str]:
    return sorted({hardware(case) for case in cases})


def _count(cases: Sequence[Case]) -> dict[str, int]:
    kept = ran(cases)
    return {
        "runs": sum(len(case.runs) for case in kept),
        "failed": sum(len(case.failed) for case in kept),
        "cases": len(newest(kept)),
        **{kind.value: sum(case.kind is kind for case in newest(cases)) for kind in (Kind.PREDICTED, Kind.PUBLISHED)},
    }


def _page(template: str, cases: Sequence[Case], root: str = "", **known: object) -> str:
    dry = any(case.kind is Kind.DRY for case in cases)
    latest = max((case.latest for case in cases), default="")
    return _templates().get_template(template).render(root=root, dry=dry, latest=latest, version=__version__, **known)


@cache
def _templates() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    made = Environment(
        loader=PackageLoader("bench.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["script_json"] = _script_json
    return made


def _script_json(figure: Mapping[str, Any]) -> str:
    """Write JSON that cannot end its script element; jinja2's own escaping would break it."""
    from markupsafe import Markup

    text = json.dumps(figure, sort_keys=True, allow_nan=False, separators=(",", ":"))
    for mark in "<>&\u2028\u2029":
        text = text.replace(mark, f"\\u{ord(mark):04x}")
    return Markup(text)  # noqa: S704 (every character that could end the element is escaped above)
