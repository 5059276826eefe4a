"""Checks of kernels for people: which cases they are, what they are called, and how they ended."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bench.analysis.cases import Case, newest, ran
from bench.analysis.families import largest
from bench.report.tables import ending
from bench.schema.studies import STUDIES

STUDY = "numerics"
RIGHT, WRONG = "right", "wrong"
OPERATIONS = {
    "quantize": "quantise",
    "dequantize": "dequantise",
    "forward": "forward",
    "backward": "backward",
    "evaluation": "train, evaluate, train",
    "save_load": "save, load",
    "merge": "merge an adapter",
}
FORMATS = ("plain", "nf4", "fp4", "int8")
DTYPES = ("float32", "bfloat16", "float16")


def kernels(cases: Sequence[Case]) -> list[Case]:
    """Return the cases of this study under every software stack: another version is another row, never the same."""
    return sorted((case for case in ran(cases) if case.config.study == STUDY), key=_order)


def latest(cases: Sequence[Case]) -> list[Case]:
    """Return the checks on one device under its newest stack: the device with most of them."""
    return largest(newest(kernels(cases)), lambda case: case.device)


def _order(case: Case) -> tuple[object, ...]:
    options = case.config.study_options
    place = list(OPERATIONS).index(str(options["operation"])), FORMATS.index(str(options["format"]))
    shape = options["rows"] != 128, options["columns"], options["rows"]
    others = not options["double_quant"], options["bias"], not options["repacking"]
    return case.device, case.stack, *place, options["blocksize"], *others, shape, DTYPES.index(case.config.dtype)


def operation(case: Case) -> str:
    """Name the operation."""
    return OPERATIONS[str(case.config.study_options["operation"])]


def held(case: Case) -> str:
    """Name the format of the weight."""
    return str(case.config.study_options["format"])


def library(case: Case) -> str:
    """Name the library whose kernels are checked, with its version: torch's own where nothing is quantised."""
    versions = dict(case.stack)
    named = "torch" if case.config.study_options["format"] == "plain" else "bitsandbytes"
    return f"{named} {versions[named]}"


def shape(case: Case) -> str:
    """Say how large the weight is, outputs first, and how blocks lie in it."""
    options = case.config.study_options
    rows, columns, size = (int(options[name]) for name in ("rows", "columns", "blocksize"))
    text = f"{rows} × {columns}"
    if options["format"] not in ("nf4", "fp4"):
        return text
    if columns % size == 0:
        lies = "whole blocks"
    elif rows * columns % size:
        lies = "last block short"
    else:
        lies = "rows straddle blocks"
    return f"{text}, {lies} of {size}"


def settings(case: Case) -> str:
    """List what is not at its default, but for what other columns tell."""
    known = STUDIES[STUDY].options
    told = {"double_quant": "quantised once", "bias": "with bias", "repacking": "repacking off"}
    options = case.config.study_options
    return ", ".join(text for name, text in told.items() if options[name] != known[name].default)


def verdict(case: Case) -> str:
    """Say right or wrong, or how the runs ended if they gave no numbers; one wrong run makes a case wrong."""
    shares = case.values("numerics.wrong")
    return (WRONG if max(shares) > 0 else RIGHT) if shares else ending(case).partition(" in ")[0]


def wrong_checks(case: Case) -> Iterator[str]:
    """Name the checks that are wrong in a case's newest run."""
    for run in case.ok[-1:]:
        names = str(run.record.resolved.get("numerics.checks", "")).split("; ")
        found, most = (run.record.series.get(f"numerics.check_{name}", ()) for name in ("error", "allowed"))
        for name, error, limit in zip(names, found, most, strict=False):
            if error is None or (limit is not None and error > limit):
                yield name
