"""Tasks whose answer is one of a few choices: the likeliest one is the model's, and nothing is parsed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

from bench.worker.rows import rows
from bench.worker.tasks import DataSet, Example, Task, shuffled

ReadRow = Callable[[dict[str, Any]], Example | None]
"""Makes the example of a row; None of a row without a label."""

RELATIONS = ("entailment", "neutral", "contradiction")
"""What a hypothesis can be to a premise, in the order of the numbers that MultiNLI and SNLI have on the hub."""


class Classification(Task, ABC):
    """A task that is trained on the right choice and tested on all of them."""

    version = 1
    chat = True
    longest_answer = 0

    @property
    @abstractmethod
    def data_sets(self) -> tuple[DataSet, ...]:
        """What must be fetched before."""

    @abstractmethod
    def training(self) -> list[Example]:
        """Return all examples to train on."""

    @abstractmethod
    def testing(self) -> list[Example]:
        """Return all examples to be tested on."""

    def train(self, seed: int, limit: int) -> list[Example]:
        """Return training examples in an order the seed decides; at most `limit`, or all if 0."""
        return shuffled(self.training(), seed, limit)

    def test(self, limit: int) -> list[Example]:
        """Return the first test examples."""
        return self.testing()[:limit]

    def is_right(self, example: Example, generated: str) -> bool:
        """Tell whether the choice made is the right one."""
        return generated == example.answer


class SplitClassification(Classification):
    """A classification with a split to train on and another to be tested on."""

    def __init__(self, training: DataSet, testing: DataSet, read_row: ReadRow) -> None:
        self._training = training
        self._testing = testing
        self._read_row = read_row

    @property
    def data_sets(self) -> tuple[DataSet, ...]:
        """Both splits."""
        return self._training, self._testing

    def training(self) -> list[Example]:
        """Return the labelled rows of the one split."""
        return labelled(self._training, self._read_row)

    def testing(self) -> list[Example]:
        """Return the labelled rows of the other."""
        return labelled(self._testing, self._read_row)


def labelled(data_set: DataSet, read_row: ReadRow) -> list[Example]:
    """Return the examples of a split, rows without a label left out."""
    return [example for example in map(read_row, rows(data_set)) if example is not None]


def label_name(label: str | int, names: Sequence[str]) -> str | None:
    """Return a label by its name: as it stands, or by its number in `names`; None for none, which is -1."""
    if isinstance(label, str):
        return label if label in names else None
    return names[label] if 0 <= label < len(names) else None


def read_inference(row: dict[str, Any]) -> Example | None:
    """Make an English premise and hypothesis a question, as GPT-3 was asked (arXiv 2005.14165, appendix G, CB)."""
    answers = dict(zip(RELATIONS, ("True", "Neither", "False"), strict=True))
    relation = label_name(row["label"], RELATIONS)
    if relation is None:
        return None
    question = f"{row['premise'].strip()}\nQuestion: {row['hypothesis'].strip()} True, False or Neither?\n"
    return Example(question, answers[relation], tuple(answers.values()))
