"""GSM8K (Cobbe et al., arXiv 2110.14168): grade-school word problems, scored by the final number."""

from __future__ import annotations

import re

from bench.worker.rows import rows
from bench.worker.tasks import DataSet, Example, Task, shuffled

NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")
TRAIN = DataSet("openai/gsm8k", "main", "train")
TEST = DataSet("openai/gsm8k", "main", "test")


class Gsm8k(Task):
    """7,473 problems to train on, 1,319 to be tested on."""

    version = 1
    chat = True
    longest_answer = 256
    data_sets = (TRAIN, TEST)

    def train(self, seed: int, limit: int) -> list[Example]:
        """Return the train split, shuffled by the seed."""
        return shuffled(map(_example, rows(TRAIN)), seed, limit)

    def test(self, limit: int) -> list[Example]:
        """Return the first problems of the test split."""
        return [_example(row) for row in rows(TEST)[:limit]]

    def is_right(self, example: Example, generated: str) -> bool:
        """Compare the final numbers: behind ####, else the last number said."""
        said, meant = final_number(generated), final_number(example.answer)
        return said is not None and said == meant


def final_number(text: str) -> float | None:
    """Return the number behind "####", or else the last number of `text`, or None if it has none."""
    marked = text.rpartition("####")[2] if "####" in text else text
    found = NUMBER.findall(marked)
    if not found:
        return None
    chosen = found[0] if "####" in text else found[-1]
    return float(chosen.replace(",", ""))


def _example(row: dict[str, str]) -> Example:
    answer = re.sub(r"<<.*?>>", "", row["answer"])  # calculator annotations are not part of the text
    return Example(row["question"].strip() + "\n", answer.strip())


TASK = Gsm8k()
