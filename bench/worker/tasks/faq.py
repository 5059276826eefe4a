"""Questions about the products of an invented shop: facts that no model can know beforehand. Nothing to download.

Every fact is asked in four wordings. Training sees three of them with their answers, the test asks in the fourth: what
is scored is a learned fact, found again behind words that were not trained.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass

from bench.worker.tasks import Example, Task, shuffled

SEED = 2024
"""Decides the facts and their order, the same in every run."""

PRODUCTS = (
    "Arvelo kettle", "Brisk lantern", "Calder speaker", "Dunmore heater", "Elvan scale", "Fennick blender",
    "Galdor radio", "Hestia toaster", "Ingram drill", "Jorvik fan", "Kestrel watch", "Lumen torch", "Marlow iron",
    "Norden mixer", "Orrin camera", "Pallas printer", "Quill keyboard", "Rowan grill", "Selkie pump", "Tamar vacuum",
)  # fmt: skip
NUMBER = re.compile(r"\d+")


@dataclass(frozen=True, slots=True)
class _Fact:
    """What is asked of every product: four wordings, the last one for the test; the answer; values it can have."""

    wordings: tuple[str, str, str, str]
    answer: str
    values: range


FACTS = (
    _Fact(("How long is the warranty of the {}?", "For how many months is the {} under warranty?",
           "What warranty comes with the {}?", "How many months of warranty does the {} have?"),
          "The {} has a warranty of {} months.", range(6, 66, 6)),
    _Fact(("What does the {} cost?", "How much is the {}?", "What is the price of the {}?",
           "How much do I pay for the {}?"),
          "The {} costs {} euros.", range(19, 299, 10)),
    _Fact(("How heavy is the {}?", "What does the {} weigh?", "What is the weight of the {}?",
           "How many grams does the {} weigh?"),
          "The {} weighs {} grams.", range(150, 2950, 100)),
    _Fact(("How long does delivery of the {} take?", "When does the {} arrive after I order it?",
           "What is the delivery time of the {}?", "How many days does it take to deliver the {}?"),
          "The {} is delivered within {} days.", range(2, 15)),
    _Fact(("How many people work on repairs of the {}?", "How large is the repair team of the {}?",
           "What is the size of the team that repairs the {}?", "By how many people is the {} repaired?"),
          "The {} has a repair team of {} people.", range(3, 30)),
)  # fmt: skip


class Faq(Task):
    """A hundred facts: three hundred questions to train on, a hundred to be tested on."""

    version = 1
    chat = True
    longest_answer = 32
    data_sets = ()

    def train(self, seed: int, limit: int) -> list[Example]:
        """Return every fact in three wordings, shuffled by the seed."""
        return shuffled((example for fact in _facts() for example in fact[:-1]), seed, limit)

    def test(self, limit: int) -> list[Example]:
        """Return every fact in the fourth wording, in one order for all runs."""
        return shuffled((fact[-1] for fact in _facts()), SEED, 0)[:limit]

    def is_right(self, example: Example, generated: str) -> bool:
        """Compare the key fact, a number: the answer must name the right one, and no other."""
        return set(NUMBER.findall(generated)) == set(NUMBER.findall(example.answer))


def _facts() -> Iterator[list[Example]]:
    """Yield the wordings of every fact."""
    rng = random.Random(SEED)  # noqa: S311 (made-up facts, no secrets)
    for product in PRODUCTS:
        for fact in FACTS:
            answer = fact.answer.format(product, rng.choice(fact.values))
            yield [Example(wording.format(product) + "\n", answer) for wording in fact.wordings]


TASK = Faq()
