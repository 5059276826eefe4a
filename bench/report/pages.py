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
from bench.analysis.cases import Case, newest
from bench.analysis.match import Comparison, comparisons
from bench.errors import StoreError
from bench.report import figures, render, summary
from bench.report.attribution import attribution
from bench.report.comparison import comparison_table, device_label, hardware
from bench.report.conditions import conditions
from bench.report.cost import cost
from bench.report.estimates import estimates
from bench.report.figures import Chart
from bench.report.findings import findings
from bench.report.guide import CITATION
from bench.report.memory import memory
from bench.report.paging import paging
from bench.report.publish import publish
from bench.report.tables import Table, case_page, run_path
from bench.schema import Kind
from bench.schema.catalogue import METHODS
from bench.schema.metrics import METRICS

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
    for _, group in groupby(sorted(cases, key=case_page), key=case_page):
        same = list(group)
        pages[case_page(same[0])] = _case(same, cases)
    files = {path: text.encode() for path, text in pages.items()}
    files["data/records.csv"] = render.to_csv(summary.summary(cases)).encode()
    for run in (run for case in cases for run in case.runs):
        try:
            files[f"data/{run_path(run.record, run.run)}.json"] = run.path.read_bytes()
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
    return _page(
        "index.html", cases, blocks=blocks,
        summary=summary.summary(cases), memory=memory(cases), attribution=attribution(cases),
        failures=summary.failures(cases), metrics=shown_metrics, citation=CITATION, hardware=_hardware(cases),
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


def _case(same: Sequence[Case], cases: Sequence[Case]) -> str:
    groups = [_group(case, place) for place, case in enumerate(sorted(same, key=lambda c: c.latest, reverse=True))]
    config = msgspec.to_builtins(same[0].config)
    config.pop("seed")
    return _page(
        "case.html", cases, root="../../", case=same[0], groups=groups, hardware=hardware(same[0]),
        config=json.dumps(config, indent=2, sort_keys=True), method=summary.method_label(same[0].config.method),
        model=summary.model_label(same[0].config.model), task=summary.task_label(same[0].config.task),
    )  # fmt: skip


def _group(case: Case, place: int) -> dict[str, Any]:
    charts: list[Chart | None] = [
        figures.series(case, "step.loss", "Loss at each step", "loss", f"loss-{place}"),
        figures.series(
            case, "step.seconds", "Seconds of each step, untimed first steps included", "s", f"seconds-{place}"
        ),
    ]
    return {
        "case": case,
        "key": f"group-{place}",
        "costs": _costs(case),
        "estimates": estimates(case),
        "per_run": summary.per_run(case),
        "charts": [chart for chart in charts if chart is not None],
        "paths": {run.run: f"data/{run_path(run.record, run.run)}.json" for run in case.runs},
    }


def _costs(case: Case) -> list[Table]:
    """What the runs of a case cost and what their machine was like; tables with nothing to show are not shown."""
    tables = [memory([case]), attribution([case]), *cost([case]), *paging([case]), *conditions([case])]
    return [table for table in tables if case.ok and table.rows]


def _hardware(cases: Sequence[Case]) -> list[str]:
    return sorted({hardware(case) for case in cases})


def _count(cases: Sequence[Case]) -> dict[str, int]:
    runs = [run for case in cases for run in case.runs]
    return {
        "runs": len(runs),
        "failed": sum(len(case.failed) for case in cases),
        "cases": len(newest(cases)),
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
