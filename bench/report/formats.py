"""Formats that weights are held in, for people: which cases they are, what they are called, and their charts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bench.analysis.cases import Case, newest, ran
from bench.analysis.families import largest, setting
from bench.report.chart import Chart, drawn, label
from bench.report.tables import Cell, Column, Table, estimated
from bench.schema.metrics import METRICS

STUDY = "quantization"
FORMATS = ("float32", "bfloat16", "float16", "int8", "fp4", "nf4", "hqq")
FOUR_BITS = ("fp4", "nf4")
LOOKS = {"nf4": ("#0072B2", "circle"), "fp4": ("#009E73", "diamond"), "hqq": ("#D55E00", "square")}
OTHER = ("#CC79A7", "x")
BITS = "quantization.bits"


def quantised(cases: Sequence[Case]) -> list[Case]:
    """Return the cases of this study, newest software stack only: by model, format, bits, block size."""
    return sorted((case for case in newest(ran(cases)) if case.config.study == STUDY), key=_order)


def _order(case: Case) -> tuple[object, ...]:
    options = case.config.study_options
    place = FORMATS.index(str(options["format"]))
    bits = -int(options["bits"]) if options["format"] == "hqq" else 0
    finer = bits, options["blocksize"], options["double_quant"], options["compute_dtype"]
    return case.device, case.config.model, case.config.task, case.config.dtype, place, *finer, case.name


def format_label(case: Case) -> str:
    """Name a format with its bits, nesting and compute dtype, as far as it has them."""
    options = case.config.study_options
    held = str(options["format"])
    if held == "hqq":
        return f"HQQ, {options['bits']} bits"
    nested = ", quantised once" if held in FOUR_BITS and not options["double_quant"] else ""
    computes = str(options["compute_dtype"])
    said = "" if held not in FOUR_BITS or computes == "same" else f", computing in {computes}"
    return f"{held}{nested}{said}"


def block_label(case: Case) -> str:
    """Say how many weights share a scale; empty for formats without blocks."""
    options = case.config.study_options
    return str(options["blocksize"]) if options["format"] in (*FOUR_BITS, "hqq") else ""


def has_four_bits(case: Case) -> bool:
    """Tell whether a format's codes have 4 bits."""
    options = case.config.study_options
    return options["format"] in FOUR_BITS or (options["format"] == "hqq" and options["bits"] == 4)


def name(case: Case) -> str:
    """Name a format and its block size."""
    block = block_label(case)
    return format_label(case) + (f", blocks of {block}" if block else "")


def unnested(case: Case, cases: Sequence[Case]) -> Case | None:
    """Return the same case without double quantisation, if it is among `cases`."""
    if not case.config.study_options["double_quant"] or case.config.study_options["format"] not in FOUR_BITS:
        return None
    wanted = case.config.but(double_quant=False).case
    return next((other for other in cases if other.name == wanted and other.device == case.device), None)


def against_bits(cases: Sequence[Case], metric: str, key: str, what: str, unit: str) -> Chart | None:
    """Points of a metric against bits a weight, one a case, of the model of which there are most."""
    chosen = _of_one_model(cases)
    found = [(case, estimated(case, BITS), estimated(case, metric)) for case in chosen]
    known = [row for row in found if row[1].is_number and row[2].is_number and row[2].number > 0]
    if len(known) < 2:
        return None
    factor = 100 if unit == "%" else 1
    groups = list(dict.fromkeys(str(case.config.study_options["format"]) for case, _, _ in known))
    traces = [_points(group, [row for row in known if row[0].config.study_options["format"] == group], factor)
              for group in groups]  # fmt: skip
    layout = {
        "xaxis": {"title": {"text": "bits a weight, all that holds it"}, "type": "log"},
        "yaxis": {"title": {"text": f"{what}{', %' if unit == '%' else f', {unit}'}"}, "type": "log"},
    }
    rows = tuple({"format": Cell(name(case)), "bits": bits, "value": value} for case, bits, value in known)
    columns = Column("format", "format"), Column("bits", "bits a weight"), Column("value", what, METRICS[metric].about)
    least, most = (choose(known, key=lambda row: row[2].number) for choose in (min, max))
    finding = (
        f"{what[0].upper()}{what[1:]}: least with {name(least[0])} ({least[2].text} at {least[1].text}), most with "
        f"{name(most[0])} ({most[2].text} at {most[1].text})."
    )
    return Chart(key, finding, drawn(traces, layout), Table(f"{what} against bits", columns, rows))


def _of_one_model(cases: Sequence[Case]) -> list[Case]:
    def alike(case: Case) -> tuple[object, ...]:
        return case.device, case.stack, *(setting(case.config, asked) for asked in ("model", "task", "dtype"))

    return largest(cases, alike)


def _points(group: str, rows: Sequence[tuple[Case, Cell, Cell]], factor: int) -> dict[str, Any]:
    colour, symbol = LOOKS.get(group, OTHER)
    return {
        "type": "scatter", "mode": "markers", "name": group,
        "x": [bits.number for _, bits, _ in rows], "y": [factor * value.number for _, _, value in rows],
        "text": [label(name(case)) for case, _, _ in rows],
        "marker": {"color": colour, "symbol": symbol, "size": 11},
        "hovertemplate": "%{text}: %{x:.3g} bits, %{y:.3g}<extra></extra>",
    }  # fmt: skip
