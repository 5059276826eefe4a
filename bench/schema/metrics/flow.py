"""The guide's standard flow: what peft's line says."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from bench.schema.metrics.metric import Metric

FLOW: Mapping[str, Metric] = MappingProxyType({
    "flow.trainable": Metric(
        "1", "neither", "exact", "trainable, printed",
        "Trainable parameters as peft's print_trainable_parameters says them. Read from "
        "get_nb_trainable_parameters, which that line is made of."),
    "flow.total": Metric(
        "1", "neither", "exact", "all, printed",
        "All parameters in the same line, which takes a 4-bit weight for two a byte of its payload. "
        "parameters.total counts them apart from it, off the model."),
})  # fmt: skip
