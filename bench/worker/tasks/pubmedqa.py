"""PubMedQA (Jin et al., arXiv 1909.06146): does the abstract of a medical paper answer its title yes, no or maybe?

The hub has the 1,000 labelled questions as one split. The 500 that the authors test on (github.com/pubmedqa/pubmedqa,
data/test_ground_truth.json) are known by their PubMed ids, which stand in `pubmedqa_test.txt`; a local copy may have
them as a split of their own.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench.worker.classification import Classification
from bench.worker.rows import local_file, rows
from bench.worker.tasks import DataSet, Example

LABELLED = DataSet("qiaojin/PubMedQA", "pqa_labeled", "train")
SEPARATE = DataSet("qiaojin/PubMedQA", "pqa_labeled", "test")
TEST_IDS = Path(__file__).with_name("pubmedqa_test.txt")
CHOICES = ("yes", "no", "maybe")


class PubMedQa(Classification):
    """500 questions to train on, 500 to be tested on; the conclusion of an abstract is not shown."""

    @property
    def data_sets(self) -> tuple[DataSet, ...]:
        """One split as on the hub, or two of a local copy."""
        return (LABELLED, SEPARATE) if local_file(SEPARATE) else (LABELLED,)

    def training(self) -> list[Example]:
        """Return the questions that are not the authors' test."""
        return self._examples(tested=False)

    def testing(self) -> list[Example]:
        """Return the questions of the authors' test."""
        return self._examples(tested=True)

    def _examples(self, *, tested: bool) -> list[Example]:
        """Return questions in the order of their ids, whichever files they come from."""
        held_out = set(map(int, TEST_IDS.read_text().split()))
        found = {int(row["pubid"]): row for data_set in self.data_sets for row in rows(data_set)}
        return [_example(found[key]) for key in sorted(found) if (key in held_out) is tested]


def _example(row: dict[str, Any]) -> Example:
    abstract = " ".join(row["context"]["contexts"])
    prompt = f"Abstract: {abstract}\nQuestion: {row['question'].strip()}\nAnswer yes, no or maybe.\n"
    return Example(prompt, row["final_decision"], CHOICES)


TASK = PubMedQa()
