"""T1: the guide's table of LoRA against QLoRA, with a Full column, from runs, one per device and model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from bench.analysis import stats
from bench.analysis.cases import Case
from bench.analysis.match import COMPARED, Comparison, Matched, comparisons
from bench.analysis.predictions import card
from bench.analysis.stats import Estimate
from bench.analysis.values import batch_speeds
from bench.report.guide import says
from bench.report.summary import method_label, model_label, task_label
from bench.report.tables import Cell, Column, Table, case_page, ending, estimated, sources
from bench.schema import Kind

Row = Mapping[str, Cell]


def comparison_tables(cases: Sequence[Case]) -> list[Table]:
    """Lay out T1 for every device, kind and model that has something to compare."""
    return [comparison_table(found) for found in comparisons(cases)]


def comparison_table(found: Comparison) -> Table:
    """Lay out T1: what was measured for each method, and beside it what the guide says."""
    speed, learning = found.speed, found.learning
    either = speed if speed.cases else learning
    rows = [
        _row("Base model precision", "precision", either, _precision),
        _metric_row("Peak tensor memory, training", "memory", speed, "train.peak_allocated"),
        _row("Peak tensor memory against Full", "", speed, _ratio_to_full(speed, "train.peak_allocated")),
        _metric_row("Peak process memory, training", "", speed, "train.peak_resident"),
        _row("Peak process memory against Full", "", speed, _ratio_to_full(speed, "train.peak_resident")),
        _metric_row("Training speed, tokens/s", "", speed, "train.tokens_per_second"),
        _row("Training speed against Full", "speed", speed, _ratio_to_full(speed, "train.tokens_per_second")),
        _metric_row("Accuracy before training", "", learning, "evaluate.accuracy_before"),
        _metric_row("Accuracy after training", "", learning, "evaluate.accuracy"),
        _row("Accuracy against Full", "accuracy", learning, _accuracy_to_full(learning)),
        _metric_row("Inference, generated tokens/s", "", learning, "evaluate.tokens_per_second"),
        _row("Inference against Full", "inference", learning, _inference_to_full(learning)),
        _metric_row("Trainable parameters", "", either, "parameters.trainable"),
        _metric_row("Share of all parameters", "", either, "parameters.trainable_share"),
        _metric_row("Adapter on disk", "", either, "save.adapter_bytes"),
    ]
    title = f"Full, LoRA and QLoRA: {model_label(found.model)} on {device_label(found)}"
    return Table(title, _columns(found), tuple(rows), notes(found))


def device_label(found: Comparison) -> str:
    """Name the hardware as its records do, or by its folder."""
    cases = [*found.speed.cases.values(), *found.learning.cases.values()]
    return hardware(cases[0]) if cases else found.device


def hardware(case: Case) -> str:
    """Name the hardware of a case: the GPU, simulated or not, or the processor and its cores."""
    facts = case.runs[-1].record.environment
    if case.kind in (Kind.PREDICTED, Kind.PUBLISHED):
        name = known.name if (known := card(case)) else case.device
        return f"{name}, simulated" if case.kind is Kind.PREDICTED else name
    if case.config.device.startswith("cuda") and "gpu.name" in facts:
        return str(facts["gpu.name"])
    if case.config.device == "cpu" and "cpu.model" in facts and case.kind is Kind.MEASURED:
        return f"{facts['cpu.model']}, {facts.get('cpu.cores', '?')} cores"
    return case.device


def _columns(found: Comparison) -> tuple[Column, ...]:
    columns = [Column("row", "")]
    for method in COMPARED:
        columns.append(Column(method, f"{method_label(method)}, {found.kind.value}"))
        if method != "full":
            columns.append(Column(f"{method}.guide", f"{method_label(method)}, the guide (published)"))
    return tuple(columns)


def _row(label: str, guide_row: str, matched: Matched, cell: Callable[[Case], Cell]) -> Row:
    row = {"row": Cell(label)}
    for method in COMPARED:
        if method in matched.cases:
            row[method] = cell(matched.cases[method])
        else:
            row[method] = Cell(None, reason="no run of this method on equal work")
        guide = says(guide_row, method)
        if guide:
            row[f"{method}.guide"] = guide
    return row


def _metric_row(label: str, guide_row: str, matched: Matched, metric: str) -> Row:
    return _row(label, guide_row, matched, lambda case: _estimated_or_status(case, metric))


def _estimated_or_status(case: Case, metric: str) -> Cell:
    if metric == "save.adapter_bytes" and case.config.method == "full":
        return Cell(None, "B", reason="Full has no adapter", brief="no adapter", link=case_page(case))
    return estimated(case, metric)


def _precision(case: Case) -> Cell:
    resolved = (case.ok or case.runs)[-1].record.resolved
    dtype, quantization = resolved.get("base.dtype"), resolved.get("base.quantization")
    if dtype is None and quantization is None:
        return Cell(None, reason="no run read it back from its model", link=case_page(case))
    quantized = quantization not in (None, "", "none")
    text = f"{quantization}; the rest {dtype}" if quantized and dtype else str(quantization if quantized else dtype)
    return Cell(text, kind=case.kind.value, how="read back from the built model", link=case_page(case))


def _ratio_to_full(matched: Matched, metric: str) -> Callable[[Case], Cell]:
    return _against_full(matched, metric, lambda case, full: _positive_ratio(case.values(metric), full.values(metric)))


def _positive_ratio(top: list[float], bottom: list[float]) -> Estimate | None:
    return stats.ratio(top, bottom) if top and bottom and min(*top, *bottom) > 0 else None


def _accuracy_to_full(matched: Matched) -> Callable[[Case], Cell]:
    return _against_full(
        matched, "evaluate.accuracy", lambda case, full: stats.accuracy_ratio(case.items("after"), full.items("after")),
        unit="%",
    )  # fmt: skip


def _inference_to_full(matched: Matched) -> Callable[[Case], Cell]:
    """Compare per-run speeds when both sides have repeats, else the batches of the single runs."""
    metric = "evaluate.tokens_per_second"

    def speeds(case: Case, full: Case) -> Estimate | None:
        top, bottom = case.values(metric), full.values(metric)
        if min(len(top), len(bottom)) >= 2:
            return _positive_ratio(top, bottom)
        above, below = _batches(case), _batches(full)
        if not above or not below:
            return _positive_ratio(top, bottom)
        return stats.ratio(above, below, of="batches (of single runs: repeats may differ more)")

    return _against_full(matched, metric, speeds)


def _batches(case: Case) -> list[float]:
    return [speed for run in case.ok for speed in batch_speeds(run.record)]


def _against_full(
    matched: Matched, metric: str, compare: Callable[[Case, Case], Estimate | None], unit: str = "x"
) -> Callable[[Case], Cell]:
    def cell(case: Case) -> Cell:
        full = matched.cases.get("full")
        if case.config.method == "full":
            return Cell("1, by definition" if case.ok else None, reason=case.reason(metric), brief=ending(case))
        if full is None or not full.ok:
            return Cell(
                None, unit, reason="no good run of Full on equal work", brief=ending(case), link=case_page(case)
            )
        found = compare(case, full)
        if found is None:
            why = case.reason(metric) if not case.values(metric) else full.reason(metric)
            if case.values(metric) and full.values(metric):
                why = "Full has 0 here, so no ratio exists"
            return Cell(None, unit, reason=why, brief=ending(case), link=case_page(case))
        return Cell(
            found.value, unit, found.low, found.high, found.n, found.how, kind=case.kind.value,
            link=case_page(case), metric=metric, runs=sources(case), against=sources(full),
        )  # fmt: skip

    return cell


def notes(found: Comparison) -> tuple[str, ...]:
    """State which cases were used, what differs between them, and what cannot be compared with the guide."""
    said = [
        "The guide's memory cells are for a 70B model and its other cells for models it does not name here; they are "
        f"not comparable with {model_label(found.model)} number by number. Ours are evidence for the ratios only, "
        "on this device and model.",
    ]
    for name, matched in (("Speed and memory", found.speed), ("Accuracy and inference", found.learning)):
        if not matched.cases:
            said.append(f"{name}: no case of this device and model was made for it.")
            continue
        config = next(iter(matched.cases.values())).config
        shape = "packed sequences of one fixed shape" if config.packing else "examples padded to the longest of a batch"
        cases = ", ".join(f"{method_label(m)} {c.name} ({_count(c)})" for m, c in matched.cases.items())
        said.append(
            f"{name}: {task_label(config.task)}, batch {config.batch_size}, {config.sequence_length} tokens, "
            f"{config.steps} steps, {config.dtype}, {config.optimizer}, {shape}. Cases: {cases}."
        )
        if rates := matched.differing_rates:
            listed = ", ".join(f"{method_label(m)} {rate:g}" for m, rate in rates.items())
            said.append(f"{name}: the methods train at different learning rates ({listed}).")
        said.extend(f"{name}: {method_label(m)} has no run on equal work." for m in COMPARED if m not in matched.cases)
    return tuple(said)


def _count(case: Case) -> str:
    return f"{len(case.ok)} good, {len(case.failed)} failed"
