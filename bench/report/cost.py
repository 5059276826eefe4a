"""What a run costs in time, operations and energy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bench.analysis.cases import Case, is_headline, newest, ran
from bench.report.headings import heading, headings
from bench.report.tables import Column, Table
from bench.report.tidy import possible, tidy
from bench.schema.metrics import METRICS

Shown = Mapping[str, str]

SPEED: Shown = {
    "train.tokens_per_second": "tokens/s",
    "train.all_tokens_per_second": "with padding",
    "train.trained_tokens_per_second": "trained",
    "train.step_seconds": "step",
    "train.step_seconds_p95": "step, p95",
    "infer.tokens_per_second": "generated, one sequence",
}
STAGES: Shown = {
    "forward.seconds": "forward",
    "backward.seconds": "backward",
    "optimizer.seconds": "optimizer",
}
OPERATIONS: Shown = {
    "train.flops_per_second": "model FLOP/s",
    "train.mfu": "MFU, datasheet",
    "train.mfu_at_clock": "MFU, at its clock",
    "train.mfu_against_gemm": "against a GEMM",
}
ENERGY: Shown = {
    "train.energy": "energy",
    "train.energy_error": "error of it",
    "train.energy_per_token": "a token",
    "train.power": "mean power",
}
SPEED_NOTES = (
    "Tokens/s count no padding; with padding: every position; trained: tokens whose prediction enters the loss. All "
    "over the wall time of the timed steps.",
)
STAGE_NOTES = (
    "One step after everything timed, the device waited for at the end of every stage, so their sum may exceed a timed "
    "step.",
)
OPERATION_NOTES = (
    "Model FLOP/s count what forward and backward need; recomputation and dequantisation do not count. A measured "
    "GEMM: the faster canary of the same run, in the run's own precision.",
)
SOURCES = {
    "cuda": "Energy on the GPU: NVML's counter of the whole board; processor and host memory are not in it.",
    "cpu": "Energy on the CPU: RAPL's counters of whole sockets, other programs included; memory modules, disks and "
    "the power supply's loss are not in it.",
}


def cost(cases: Sequence[Case]) -> list[Table]:
    """Four tables, one row a case each: speed; stages of a step; operations; energy."""
    kept = [case for case in newest(ran(cases)) if is_headline(case)]
    devices = {case.config.device.partition(":")[0] for case in kept if case.values("train.energy")}
    sources = tuple(note for device, note in SOURCES.items() if device in devices)
    return [
        _table("Speed of training", kept, SPEED, SPEED_NOTES),
        _table("Stages of a step", kept, STAGES, STAGE_NOTES),
        _table("Operations of the timed steps", kept, OPERATIONS, OPERATION_NOTES),
        _table("Energy of the timed steps", kept, ENERGY, sources),
    ]


def _table(title: str, cases: Sequence[Case], shown: Shown, notes: tuple[str, ...]) -> Table:
    columns = (
        *headings(cases),
        *(Column(name, label, METRICS[name].about) for name, label in shown.items()),
    )  # fmt: skip
    rows = tuple({**heading(case), **{name: possible(case, name) for name in shown}} for case in cases)
    return tidy(Table(title, columns, rows, notes), list(shown))
