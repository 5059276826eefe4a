"""JCommonsenseQA of JGLUE (Kurihara et al., LREC 2022): Japanese questions of common sense with five choices.

The choices stand in the prompt and differ in length, so their log-likelihoods are divided by their characters.
"""

from __future__ import annotations

from typing import Any

from bench.worker.classification import SplitClassification, label_name
from bench.worker.tasks import DataSet, Example

NAME = "shunk031/JGLUE"
LABELS = tuple(f"choice{n}" for n in range(5))


def _example(row: dict[str, Any]) -> Example | None:
    label = label_name(row["label"], LABELS)
    if label is None:
        return None
    choices = tuple(str(row[name]) for name in LABELS)
    prompt = f"質問: {row['question'].strip()}\n選択肢: {'、'.join(choices)}\n答え:\n"
    return Example(prompt, row[label], choices, per_character=True)


TASK = SplitClassification(
    DataSet(NAME, "JCommonsenseQA", "train"), DataSet(NAME, "JCommonsenseQA", "validation"), _example
)
