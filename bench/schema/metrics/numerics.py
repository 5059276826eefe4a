"""Numerics: how far kernels are from plain arithmetic on the same numbers, and how far rounding may take them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from bench.schema.metrics.metric import Metric

NUMERICS: Mapping[str, Metric] = MappingProxyType({
    "numerics.error": Metric(
        "1", "lower", "near-exact", "error of a kernel",
        "Norm of what was computed minus what float64 gives on the same state, over that norm (Frobenius); of "
        "codes and scales, how much farther they are than the nearest there is. Of several checks the wrong one with "
        "the largest error, or where none is wrong the one that uses most of what is allowed; the series "
        "numerics.check_error holds all."),
    "numerics.allowed": Metric(
        "1", "neither", "near-exact", "error that rounding explains",
        "Four standard deviations of the rounding errors of that check: three roundings to the dtype, sums in float32, "
        "errors independent (Higham and Mary 2019, doi 10.1137/18M1226312); in int8 also the rounding of inputs to "
        "8 bits (arXiv 2208.07339). What is saved and loaded may not differ at all: 0. Not covered: a library that "
        "sums in fewer bits than float32 by design."),
    "numerics.wrong": Metric(
        "1", "lower", "near-exact", "checks that are wrong",
        "Share of a run's checks whose error is larger than rounding explains, or whose numbers are not finite.",
        margin=0.0),
    "numerics.checks": Metric(
        "1", "neither", "exact", "checks", "Comparisons that an operation is checked by."),
})  # fmt: skip
