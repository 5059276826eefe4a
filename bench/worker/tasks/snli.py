"""SNLI (Bowman et al., arXiv 1508.05326): does a caption of a photograph entail a hypothesis?

Pairs on which the annotators did not agree have no label, and are left out.
"""

from __future__ import annotations

from bench.worker.classification import SplitClassification, read_inference
from bench.worker.tasks import DataSet

NAME = "stanfordnlp/snli"
TASK = SplitClassification(DataSet(NAME, "plain_text", "train"), DataSet(NAME, "plain_text", "test"), read_inference)
