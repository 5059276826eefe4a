"""Two models' words side by side: known divergences, and only real tokens."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.schema.catalogue import TASKS, load
from bench.worker.build import Built
from bench.worker.encoding import Encoder
from bench.worker.studies.answers import ROWS, Seen, apart, look, perplexity


def test_the_divergence_is_the_formulas():
    """Of 3/4 to 1/4 against 1/2 to 1/2 it is 3/4 ln 3/2 + 1/4 ln 1/2; and one of two top tokens flips."""
    first = torch.log(torch.tensor([[0.75, 0.25], [0.4, 0.6]]))
    second = torch.log(torch.tensor([[0.5, 0.5], [0.6, 0.4]]))

    found = apart(first, second)

    assert found.divergences == pytest.approx([
        0.75 * math.log(1.5) + 0.25 * math.log(0.5), 0.4 * math.log(2 / 3) + 0.6 * math.log(1.5)
    ], rel=1e-6)  # fmt: skip
    assert found.divergence == pytest.approx(sum(found.divergences) / 2)
    assert found.flips == 0.5
    assert found.largest == pytest.approx(math.log(2), rel=1e-6)


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 2 * ROWS + 1))
def test_a_divergence_is_never_negative_and_none_from_itself(seed, tokens):
    """Whatever the logits and however many, KL >= 0; a model is not apart from itself."""
    generator = torch.Generator().manual_seed(seed)
    first, second = (5 * torch.randn(tokens, 7, generator=generator) for _ in range(2))

    assert min(apart(first, second).divergences) >= -1e-12
    assert len(apart(first, second).divergences) == tokens
    assert apart(first, first)[1:] == (pytest.approx(0, abs=1e-12), 0, 0)


def test_what_is_not_finite_is_none():
    """A model that says nan has no divergence, and an answer beyond all likelihood no perplexity."""
    broken = torch.tensor([[math.nan, 1.0]])

    assert apart(broken, broken).divergence is None
    assert apart(broken, broken).largest is None
    assert perplexity(Seen(broken, [math.nan], [1])) is None
    assert perplexity(Seen(broken, [1e6], [1])) is None
    assert perplexity(Seen(broken, [], [])) is None


def test_a_model_that_knows_nothing_has_a_perplexity_of_its_vocabulary():
    """Where each of 50 tokens is as likely as another, exp of the mean negative log-likelihood is 50."""
    seen = Seen(torch.zeros(1, 50), [3 * math.log(50), math.log(50)], [3, 1])

    assert perplexity(seen) == pytest.approx(50)


def test_batches_and_padding_change_nothing(prepared, tiny_config, tokenizer, cpu):
    """Logits and likelihoods of examples of unequal length are the same one by one and together; a limit holds."""
    task = load(TASKS["dates"])
    config = tiny_config(task="dates", sequence_length=64)
    built = Built(None, task, cpu, Encoder(tokenizer, chat=False), prepared(config), [], [], 1)
    examples = task.test(5)
    assert len({len(example.prompt) for example in examples}) > 1

    alone = look(built, examples, config.but(batch_size=1), 10_000)
    together = look(built, examples, config.but(batch_size=5), 10_000)

    torch.testing.assert_close(alone.logits, together.logits, atol=1e-5, rtol=1e-4)
    assert alone.nll == pytest.approx(together.nll, rel=1e-5)
    assert alone.tokens == together.tokens
    assert len(look(built, examples, config, 33).logits) == 33
