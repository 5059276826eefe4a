"""What a run may be about: training and all that belongs to it, or one question asked of a model or of a kernel."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from bench.schema.entry import Study

TRAINING = "training"

STUDIES: Mapping[str, Study] = MappingProxyType({
    TRAINING: Study("bench.worker.run:run", "Training",
                    "Load, evaluate, train, evaluate, save, infer, look inside, merge."),
})  # fmt: skip
