"""Likelihoods are what reading every choice alone gives, however they are batched, padded and shared."""

from __future__ import annotations

import random

import pytest
import torch

from bench.worker.classification import SplitClassification
from bench.worker.encoding import Encoder
from bench.worker.evaluate import evaluate
from bench.worker.likelihood import Question, log_likelihoods
from bench.worker.tasks import Example
from bench.worker.tasks.jcommonsenseqa import TASK

VIRTUAL = ("prompt_tuning", "prefix_tuning", "p_tuning", "adaption_prompt")


def one_by_one(model, question: Question) -> list[float]:
    """Read every choice whole, alone and unpadded, and sum what the model gives to its tokens."""
    found = []
    for choice in question.choices:
        ids = torch.tensor([question.prompt + choice])
        with torch.no_grad():
            logits = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0].double()
        spoken = logits.log_softmax(-1)[-len(choice) - 1 : -1]
        found.append(sum(float(row[token]) for row, token in zip(spoken, choice, strict=True)))
    return found


def some(count: int) -> list[Question]:
    """Make questions of many lengths: choices of one token, beginning alike, one the beginning of another."""
    rng = random.Random(7)
    made = []
    for _ in range(count):
        prompt = [rng.randrange(256) for _ in range(rng.randrange(1, 40))]
        word = [rng.randrange(256) for _ in range(6)]
        choices = [word[:1], word[:3], [*word[:3], 9], [rng.randrange(256) for _ in range(rng.randrange(1, 7))], [5]]
        made.append(Question(prompt, choices))
    return made


@pytest.mark.parametrize("batch_size", [1, 3, 64])
@pytest.mark.parametrize("method", ["full", "lora", *VIRTUAL])
def test_batching_padding_and_sharing_change_nothing(prepared, tiny_config, cpu, method, batch_size):
    """Every choice has the likelihood it has when it is read whole and alone, and the same one wins."""
    model = prepared(tiny_config(method)).eval()
    questions = some(8)

    scores, seconds = log_likelihoods(model, questions, batch_size, 0, cpu)

    for question, found in zip(questions, scores, strict=True):
        alone = one_by_one(model, question)
        assert found == pytest.approx(alone, abs=1e-3)
        assert max(range(5), key=found.__getitem__) == max(range(5), key=alone.__getitem__)
    assert all(second > 0 for second in seconds)


def test_choices_of_one_token_are_read_in_one_sequence(cpu):
    """A prompt is read once for all its choices of one token, and once more only for what begins otherwise."""

    class Model(torch.nn.Module):
        read = 0

        def forward(self, input_ids, logits_to_keep, **_):
            self.read += len(input_ids)
            return type("Out", (), {"logits": torch.zeros(len(input_ids), len(logits_to_keep), 10)})

    model = Model()
    log_likelihoods(model, [Question([1, 2], [[3], [4], [5]]), Question([1], [[3, 4], [3, 5], [6, 7], [8]])], 8, 0, cpu)

    assert model.read == 1 + 2


def test_the_choice_is_what_is_scored(prepared, tiny_config, tokenizer, cpu, monkeypatch):
    """Verdicts stand in the items' order; length counts only where likelihoods are taken by character."""
    items = [
        Example("a", "yes", ("yes", "no")),
        Example("b", "no", ("yes", "no")),
        Example("c", "long one", ("long one", "no")),
        Example("c", "long one", ("long one", "no"), per_character=True),
    ]
    scores = [[-1.0, -2.0], [-1.0, -2.0], [-4.0, -2.0], [-4.0, -2.0]]
    monkeypatch.setattr("bench.worker.evaluate.log_likelihoods", lambda *_: (scores, [0.5]))
    model = prepared(tiny_config()).train()

    done = evaluate(model, Encoder(tokenizer, chat=False), TASK, items, 2, cpu)

    assert done.verdicts == "1001"
    assert (done.seconds, done.tokens, done.unfinished) == ([0.5], [], None)
    assert model.training


def test_numbers_that_are_not_finite_choose_nothing(prepared, tiny_config, tokenizer, cpu):
    """A model that broke in training is right nowhere, not by the order of the choices."""
    model = prepared(tiny_config())
    with torch.no_grad():
        model.lm_head.weight.fill_(float("nan"))
    items = [Example("a", right, ("yes", "no")) for right in ("yes", "no")]

    assert evaluate(model, Encoder(tokenizer, chat=False), TASK, items, 2, cpu).verdicts == "00"


@pytest.mark.parametrize("choices", [(), ("yes", "no")])
def test_a_prompt_beyond_the_context_loses_its_beginning_and_is_counted(
    prepared, tiny_config, tokenizer, cpu, choices, monkeypatch
):
    """What is asked stands at a prompt's end: that is what the model reads, with room for the answer."""
    model = prepared(tiny_config())
    monkeypatch.setattr(model.config, "max_position_embeddings", 20)
    read = []
    model.register_forward_pre_hook(lambda _, __, kwargs: read.append(kwargs["input_ids"]), with_kwargs=True)

    class Task(SplitClassification):
        longest_answer = 4

    task = Task(*TASK.data_sets, lambda row: None)
    items = [Example("x" * 30 + "asked", "yes", choices), Example("short", "yes", choices)]

    done = evaluate(model, Encoder(tokenizer, chat=False), task, items, 1, cpu)

    longest = max(read, key=lambda ids: ids.shape[1])[0].tolist()
    assert done.truncated == 1
    assert len(longest) <= 20
    assert tokenizer.decode(longest).replace("ye", "").endswith("asked")
