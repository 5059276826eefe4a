"""JNLI of JGLUE (Kurihara et al., LREC 2022): does one Japanese caption of a photograph entail another?

The labelled pairs are those of the validation split. A photograph gives several pairs, the same two captions in both
orders among them, so whole photographs are held out for testing. The numbers are not those of JGLUE's own splits.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from bench.worker.classification import Classification, label_name
from bench.worker.rows import rows
from bench.worker.tasks import DataSet, Example

PAIRS = DataSet("shunk031/JGLUE", "JNLI", "validation")
LABELS = ("entailment", "contradiction", "neutral")
"""In the order of the numbers that the data set has on the hub."""
ANSWERS = {"entailment": "含意", "neutral": "中立", "contradiction": "矛盾"}
HELD_OUT = 5
"""Every so many-th photograph, in the order in which they first appear, is tested and not trained, beginning with the
first; that is one pair in five."""


class Jnli(Classification):
    """Pairs of captions, divided by photograph."""

    data_sets = (PAIRS,)

    def training(self) -> list[Example]:
        """Return the pairs of the photographs that are not held out."""
        return _divided()[1]

    def testing(self) -> list[Example]:
        """Return the pairs of the photographs that are held out."""
        return _divided()[0]


@lru_cache
def _divided() -> tuple[list[Example], list[Example]]:
    """Return the pairs that are held out, and the others."""
    photographs: dict[str, int] = {}
    parts: tuple[list[Example], list[Example]] = ([], [])
    for row in rows(PAIRS):
        number = photographs.setdefault(row["yjcaptions_id"].partition("-")[0], len(photographs))
        if example := _example(row):
            parts[number % HELD_OUT != 0].append(example)
    return parts


def _example(row: dict[str, Any]) -> Example | None:
    relation = label_name(row["label"], LABELS)
    if relation is None:
        return None
    prompt = f"前提: {row['sentence1'].strip()}\n仮説: {row['sentence2'].strip()}\n含意、中立、矛盾のどれですか。\n"
    return Example(prompt, ANSWERS[relation], tuple(ANSWERS.values()))


TASK = Jnli()
