"""Are the kernels right? One operation on one layer, held against plain float64 arithmetic on the same state.

A kernel that computes something else is a result; so is one that refuses, and one that kills its process.
"""

from __future__ import annotations

import math

import torch

from bench.worker.build import take_device
from bench.worker.logbook import Logbook
from bench.worker.quantized import REPACKING_SWITCH
from bench.worker.studies.numerics_operations import OPERATIONS, subject
from bench.worker.studies.numerics_reference import Check


def run(logbook: Logbook) -> None:
    """Check the study's `operation` and keep every check's error beside what rounding allows.

    Raises `UnsupportedError` for what a library refuses.
    """
    take_device(logbook)
    config = logbook.config
    options, device = config.study_options, logbook.device.torch_name
    logbook.enter("check")  # nothing here is timed
    asked = subject(options, getattr(torch, config.dtype), device, logbook.folder, config.seed)
    logbook.resolve({"numerics.repacks": bool(getattr(asked.layer, REPACKING_SWITCH, False))})
    checks = list(OPERATIONS[str(options["operation"])](asked))
    _note(logbook, checks)


def _note(logbook: Logbook, checks: list[Check]) -> None:
    logbook.keep_series("numerics.check_error", [check.error for check in checks])
    logbook.keep_series("numerics.check_allowed", [check.allowed for check in checks])
    worst = max(checks, key=_beyond)
    logbook.resolve({"numerics.checks": "; ".join(check.name for check in checks), "numerics.worst": worst.name})
    logbook.metrics["numerics.checks"] = len(checks)
    logbook.metrics["numerics.wrong"] = sum(not check.right for check in checks) / len(checks)
    logbook.metrics["numerics.allowed"] = worst.allowed
    logbook.note({"numerics.error": worst.error}, f"not finite: {worst.name}.")


def _beyond(check: Check) -> tuple[bool, float]:
    """Order right checks by the share that they use of what is allowed, then wrong ones by their error."""
    error = check.error if math.isfinite(check.error) else math.inf
    return not check.right, error / check.allowed if check.right and check.allowed else error
