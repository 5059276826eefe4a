"""What few bits cost: errors of the weights beside uniform 4-bit, bits counted, and what the model says."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bench.analysis.cases import Case, estimate
from bench.report.asked import Told, table
from bench.report.chart import Chart
from bench.report.display import DIFFERENCE
from bench.report.formats import BITS, against_bits, block_label, format_label, has_four_bits, quantised, unnested
from bench.report.tables import Cell, Table, case_page, sources

ERRORS = ("rmse", "mae", "mse")
COUNTED = {
    BITS: "bits a weight",
    "quantization.payload_bits": "codes",
    "quantization.scale_bits": "scales",
    "quantization.table_bits": "tables",
    "quantization.model_bits": "bits a parameter, whole model",
    "quantization.model_bytes": "whole model",
    "quantization.seconds": "quantising took",
}
SAID = {
    "quantization.perplexity_before": "perplexity before",
    "quantization.perplexity": "quantised",
    "quantization.kl": "KL",
    "quantization.flips": "other top token",
    "quantization.logit_difference": "largest logit difference",
}
ERROR_NOTE = (
    "Against uniform, of formats of 4 bits: the error over that of uniform codes (-7 to 7, scaled by the block's "
    "largest absolute value) on the same weights in blocks of the same size, minus 1. The guide's 30 % less (C08) does "
    "not say of which error; the mean squared error falls most, being a square."
)
MODEL_NOTE = "Real weights may lie on a grid already, where they come from a quantised file; normal numbers do not."
COUNTED_NOTE = (
    "Counted from the tensors that hold the layers. Saved: the bits of scales of the same format quantised once, minus "
    "these; by arithmetic 0.373 bit with blocks of 64 (arXiv 2305.14314, section 3). The guide's 0.5 (C09) is what the "
    "scales take before. Tables are one a layer, and weigh more in small layers."
)
SAID_NOTE = (
    "KL divergence (nats) and other top token: from the model in the dtype of the rest, on the same tokens. "
    "Perplexity: of the test items' answers; nothing was trained."
)


def tables(cases: Sequence[Case]) -> list[Table]:
    """Return four tables, one row a case each: errors of the model's weights and of normal numbers, bits, words."""
    found = quantised(cases)
    notes = (COUNTED_NOTE,) if any(unnested(case, found) for case in found) else ()
    return [
        _errors("Errors of the model's weights", found, "", (ERROR_NOTE, MODEL_NOTE)),
        _errors("Errors of normal numbers", found, "normal_", (ERROR_NOTE,)),
        table("Bits a weight, counted", found, HEADINGS, COUNTED, more=_saved(found), notes=notes,
              details=("quantization.model_bytes",)),
        table("What the quantised model says", found, HEADINGS, SAID, notes=(SAID_NOTE,)),
    ]  # fmt: skip


def charts(cases: Sequence[Case]) -> list[Chart]:
    """Return errors of normal numbers and of the model's weights, and KL divergence, against bits."""
    found = quantised(cases)
    made = (
        against_bits(found, "quantization.relative_error", "quantization-error", "relative error of the weights", "%"),
        against_bits(found, "quantization.kl", "quantization-kl", "KL divergence", "nats"),
    )
    return [chart for chart in made if chart is not None]


def _errors(title: str, cases: Sequence[Case], data: str, notes: tuple[str, ...]) -> Table:
    figures = {f"quantization.{data}{error}": error.upper() for error in ERRORS}
    figures |= {f"quantization.{data}relative_error": "relative error"}
    against = {f"against_{error}": (f"{error.upper()} against uniform", _against(data, error)) for error in ERRORS}
    return table(title, cases, HEADINGS, figures, more=against, notes=notes)


def _against(data: str, error: str) -> Callable[[Case], Cell]:
    """Return what tells how much larger an error is than that of uniform 4-bit; empty for formats of other bits."""

    def told(case: Case) -> Cell:
        if not has_four_bits(case):
            return Cell("")
        ours, theirs = (estimate(case, f"quantization.{data}{grid}{error}") for grid in ("", "uniform_"))
        if ours is None or theirs is None or not theirs.value:
            return Cell("")
        return Cell(
            ours.value / theirs.value - 1, DIFFERENCE, n=ours.n, how="of the means of the same runs",
            kind="derived", link=case_page(case), runs=sources(case), against=sources(case),
        )  # fmt: skip

    return told


def _saved(cases: Sequence[Case]) -> Told:
    """Return the column of the bits that double quantisation saves: scales and tables of both counted."""

    def saved(parts: tuple[str, ...]) -> Callable[[Case], Cell]:
        def told(case: Case) -> Cell:
            plain = unnested(case, cases)
            found = [estimate(one, f"quantization.{part}") for one in (plain, case) if one for part in parts]
            if plain is None or None in found:
                return Cell("")
            numbers = [number.value for number in found if number]
            return Cell(
                sum(numbers[: len(parts)]) - sum(numbers[len(parts) :]), "bit", n=1, kind="derived",
                link=case_page(case), runs=sources(case), against=sources(plain),
            )  # fmt: skip

        return told

    return {
        "saved_scales": ("saved by double quantisation, scales", saved(("scale_bits",))),
        "saved": ("with tables", saved(("scale_bits", "table_bits"))),
    }


HEADINGS: Told = {
    "format": ("format", lambda case: Cell(format_label(case), link=case_page(case))),
    "block": ("block", lambda case: Cell(block_label(case))),
    "rest": ("the rest", lambda case: Cell(case.config.dtype)),
}
