"""What memory is for, over a step and by phase; how well it is predicted; what fits on which card."""

from __future__ import annotations

from collections.abc import Iterator

from bench.analysis.cases import Case
from bench.analysis.predictions import accuracy
from bench.analysis.results import Results
from bench.report.attribution import attribution
from bench.report.chart import Chart
from bench.report.comparison import device_label
from bench.report.fits import fits
from bench.report.limits import limits
from bench.report.memory import memory
from bench.report.memory_charts import timeline, waterfall
from bench.report.predictions import against, predicted_peaks
from bench.report.site.assembly import laid_out, shown
from bench.report.site.page import Page, Section
from bench.report.summary import method_label, model_label

LEAD = (
    "Peak memory while training: every byte of it in a category, when in a step it is held, by phase; then what is "
    "predicted for cards and models that are not here, with the error to expect."
)


def files(results: Results) -> Iterator[tuple[str, str]]:
    """Write what was measured first, then predictions, each with its kind."""
    empty = "No run or prediction holds memory yet."
    yield from laid_out(Page("memory.html", "Memory", LEAD, shown([*_measured(results), *_predicted(results)]),
                             empty=empty), results)  # fmt: skip


def _measured(results: Results) -> Iterator[Section]:
    compared = [case for found in results.matched for case in found.speed.cases.values() if case.answers]
    kind = compared[0].kind.value if compared else ""
    yield Section("categories", "What the peak is for", charts=tuple(_charts(results)), kind=kind,
                  tables=(attribution(compared),) if compared else ())  # fmt: skip
    if compared:
        yield Section("phases", "Peaks by phase", "Of the runs above; every case's page has its own.",
                      tables=(memory(compared),), kind=kind)  # fmt: skip
    yield Section("limits", "The largest work that fits", tables=(limits(results.cases),))


def _charts(results: Results) -> Iterator[Chart]:
    """Return the bars of every comparison, and the steps of the first."""
    for number, found in enumerate(results.matched):
        named = {method_label(method): case for method, case in found.speed.cases.items()}
        of = f"a step of {model_label(found.model)} on {device_label(found)}"
        chart = waterfall(named, f"waterfall-{number}", of)
        if chart is not None:
            yield chart
    for found in results.matched[:1]:
        for method, case in found.speed.cases.items():
            made = timeline(case, f"{method_label(method)}, {model_label(found.model)}", f"timeline-{method}")
            if made is not None:
                yield made


def _predicted(results: Results) -> Iterator[Section]:
    kind = "predicted"
    about = "Peaks of training, by model, method and card; each cell leads to its prediction."
    yield Section("fits", "What fits on which card", about, tables=(fits(results.predicted),), style="dense roomy",
                  kind=kind)  # fmt: skip
    found = results.checks
    if found:
        yield Section("checks", "How well peaks are predicted", tables=(against(found, accuracy(found)),),
                      style="dense roomy", kind="derived")  # fmt: skip
    named = {_name(case): case for case in _on_one_card(results.predicted)}
    chart = waterfall(named, "waterfall-predicted")
    if results.predicted:
        yield Section("predictions", "Every prediction", charts=(chart,) if chart else (),
                      tables=(predicted_peaks(results.cases),), style="dense roomy", kind=kind)  # fmt: skip


def _on_one_card(predicted: list[Case]) -> list[Case]:
    """Return the predictions on the card that has most, of Full, LoRA and QLoRA with one optimiser."""
    plain = [case for case in predicted if case.config.optimizer == "adamw"]
    devices = [case.device for case in plain]
    best = max(devices, key=devices.count, default="")
    return [case for case in plain if case.device == best]


def _name(case: Case) -> str:
    return f"{method_label(case.config.method)}, {model_label(case.config.model)}"
