"""How long each task is trained, and on how many items it is judged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from bench.schema.catalogue import HARNESS


@dataclass(frozen=True, slots=True)
class Lesson:
    """How long a task is trained and on how many items it is judged, by scale."""

    batch_size: int
    gradient_accumulation_steps: int
    sequence_length: int
    steps: Mapping[str, int]
    evaluate_items: Mapping[str, int]


OF_HARNESS = Lesson(4, 4, 512, {"smoke": 2, "small": 200, "full": 1000}, {"smoke": 8, "small": 400, "full": 1000})
"""The lesson of any task of lm-evaluation-harness: a middling one, since they are of all kinds."""


class _Lessons(dict[str, Lesson]):
    """Lessons by task."""

    def __missing__(self, task: str) -> Lesson:
        if task.startswith(HARNESS):
            return OF_HARNESS
        raise KeyError(task)


LESSONS: Mapping[str, Lesson] = MappingProxyType(_Lessons({
    "addition": Lesson(16, 1, 32, {"smoke": 4, "small": 100, "full": 300}, {"smoke": 20, "small": 400, "full": 1000}),
    "dates": Lesson(8, 1, 64, {"smoke": 4, "small": 100, "full": 100}, {"smoke": 20, "small": 200, "full": 400}),
    # one epoch of GSM8K's 7,473 training examples is 467 steps of 16
    "gsm8k": Lesson(4, 4, 512, {"smoke": 2, "small": 467, "full": 1401}, {"smoke": 8, "small": 1319, "full": 1319}),
    # 300 training examples: six and twenty epochs, since a fact is learned by heart
    "faq": Lesson(8, 1, 128, {"smoke": 4, "small": 225, "full": 750}, {"smoke": 20, "small": 100, "full": 100}),
    # two and six epochs of 374 functions
    "humaneval": Lesson(4, 2, 512, {"smoke": 2, "small": 94, "full": 280}, {"smoke": 4, "small": 164, "full": 164}),
    # one and three epochs of 500 examples; two at a time, for their logits
    "pubmedqa": Lesson(2, 4, 1024, {"smoke": 2, "small": 63, "full": 188}, {"smoke": 8, "small": 500, "full": 500}),
    # 32,000 and 128,000 pairs of 393,000 and 549,000
    "mnli": Lesson(16, 1, 256, {"smoke": 2, "small": 2000, "full": 8000}, {"smoke": 8, "small": 1000, "full": 9815}),
    "snli": Lesson(16, 1, 128, {"smoke": 2, "small": 2000, "full": 8000}, {"smoke": 8, "small": 1000, "full": 9824}),
    # three and ten epochs of 1,970 pairs
    "jnli": Lesson(16, 1, 256, {"smoke": 2, "small": 369, "full": 1231}, {"smoke": 8, "small": 464, "full": 464}),
    # one and three epochs of 8,939 questions
    "jcommonsenseqa": Lesson(
        16, 1, 256, {"smoke": 2, "small": 559, "full": 1676}, {"smoke": 8, "small": 1119, "full": 1119}),
    # one and three epochs of 480 pictures
    "shapes": Lesson(8, 1, 160, {"smoke": 4, "small": 60, "full": 180}, {"smoke": 12, "small": 120, "full": 120}),
}))  # fmt: skip
