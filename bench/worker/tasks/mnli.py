"""MultiNLI (Williams et al., arXiv 1704.05426): does a premise entail a hypothesis, in ten genres of English?"""

from __future__ import annotations

from bench.worker.classification import SplitClassification, read_inference
from bench.worker.tasks import DataSet

NAME = "nyu-mll/multi_nli"
TASK = SplitClassification(
    DataSet(NAME, "default", "train"), DataSet(NAME, "default", "validation_matched"), read_inference
)
