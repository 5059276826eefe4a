"""What is learned: one file a task, each with a `TASK`: examples, prompt, score."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from bench.schema.catalogue import HARNESS, find_task, load


@dataclass(frozen=True, slots=True)
class Example:
    """A prompt and the answer that is to follow it.

    Where there are `choices`, the model generates nothing: the likeliest of them is its answer.
    """

    prompt: str
    answer: str
    choices: tuple[str, ...] = ()
    per_character: bool = False
    """Whether the log-likelihood of a choice is divided by its characters, for choices of different length."""
    image: Any = None
    """What the prompt is about, a PIL image, for models that see; it comes before the prompt."""


@dataclass(frozen=True, slots=True)
class DataSet:
    """A split of a data set as the hub names it; files of a local mirror are named alike."""

    name: str
    config: str
    split: str


class Task(Protocol):
    """A task. Its `version` rises whenever prompts, splits or scoring change."""

    version: int
    chat: bool
    """Whether prompts go through the tokenizer's chat template, where it has one."""
    longest_answer: int
    """Most tokens to generate; 0 where examples have choices."""

    @property
    def data_sets(self) -> tuple[DataSet, ...]:
        """What must be fetched before."""
        ...

    def train(self, seed: int, limit: int) -> list[Example]:
        """Return training examples in an order the seed decides; at most `limit`, or all if 0."""
        ...

    def test(self, limit: int) -> list[Example]:
        """Return the first `limit` test examples, the same in every run, none of them in `train`."""
        ...

    def is_right(self, example: Example, generated: str) -> bool:
        """Score what was generated after the prompt, or the choice the model made."""
        ...

    def facts(self) -> Mapping[str, str]:
        """Say what a score depends on beside data and model. Raises `UnsupportedError` where none can be had."""
        return {}


@runtime_checkable
class ScoresItself(Protocol):
    """A task that asks the model and scores the answers with a program of others."""

    def verdicts(self, model: Any, tokenizer: Any, count: int, batch_size: int) -> str:
        """Score the first `count` test items, "0" or "1" each. Raises `UnsupportedError` for scores between."""
        ...


def open_task(name: str) -> Task:
    """Return a task by its name. Raises `UnknownNameError`; for what a package brings, `MissingPackageError`."""
    found = load(find_task(name))
    task: Task = found(name.removeprefix(HARNESS)) if name.startswith(HARNESS) else found
    return task


def shuffled(examples: Iterable[Example], seed: int, limit: int) -> list[Example]:
    """Return examples in an order the seed decides; the first `limit`, or all if 0."""
    found = list(examples)
    random.Random(seed).shuffle(found)  # noqa: S311 (an order, not a secret)
    return found[: limit or None]
