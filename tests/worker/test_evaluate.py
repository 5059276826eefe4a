"""Evaluation asks every item once, pads where it does not hurt, and scores what came after the prompt."""

from __future__ import annotations

import torch
from transformers import LlamaConfig

from bench.worker.encoding import Encoder
from bench.worker.evaluate import evaluate
from bench.worker.tasks import Example
from bench.worker.tasks.addition import TASK


class Oracle(torch.nn.Module):
    """A model that answers sums rightly when it sees them whole, and says how it was asked."""

    def __init__(self, tokenizer):
        super().__init__()
        self.tokenizer = tokenizer
        self.config = LlamaConfig()
        self.modes = []

    def generate(self, input_ids, attention_mask, **_):
        self.modes.append(self.training)
        rows = []
        for ids, mask in zip(input_ids, attention_mask, strict=True):
            prompt = self.tokenizer.decode(ids[mask.bool()].tolist())
            left, _, right = prompt.rstrip("=").partition("+")
            answer = str(int(left) + int(right)) if left != "13" else "?"
            rows.append([*self.tokenizer(answer)["input_ids"], self.tokenizer.eos_token_id, 65, 66][:6])
        width = max(map(len, rows))
        padded = [row + [self.tokenizer.pad_token_id] * (width - len(row)) for row in rows]
        return torch.cat([input_ids, torch.tensor(padded)], dim=1)


def test_verdicts_come_in_the_items_order(tokenizer, cpu):
    """The item the model cannot answer is the one marked wrong, over several unequal batches."""
    items = [Example(f"{a}+{b}=", str(a + b)) for a, b in [(10, 11), (12, 90), (13, 14), (15, 16), (17, 18)]]
    oracle = Oracle(tokenizer)

    done = evaluate(oracle, Encoder(tokenizer, chat=TASK.chat), TASK, items, 2, cpu)

    assert done.verdicts == "11011"
    assert len(done.seconds) == len(done.tokens) == 3
    assert oracle.modes == [False, False, False]
    assert oracle.training


def test_what_follows_the_end_of_text_is_neither_read_nor_counted(tokenizer, cpu):
    """Tokens after the end of text, padding included, are not part of the answer or of the count."""
    items = [Example("20+30=", "50")]

    done = evaluate(Oracle(tokenizer), Encoder(tokenizer, chat=TASK.chat), TASK, items, 1, cpu)

    assert done.verdicts == "1"
    assert done.tokens == [len("50") + 1]
    assert done.unfinished == 0


def test_answers_that_never_end_are_counted(tokenizer, cpu):
    """An answer that reached the task's most tokens without an end of text is one that was cut."""
    items = [Example("20+30=", "50"), Example("500000+500000=", "1000000"), Example("10+11=", "21")]

    done = evaluate(Oracle(tokenizer), Encoder(tokenizer, chat=TASK.chat), TASK, items, 2, cpu)

    assert (done.verdicts, done.unfinished) == ("101", 1)


def test_padding_does_not_change_an_answer(prepared, tiny_config, tokenizer, cpu):
    """A short prompt in a batch with a long one gets the answer it gets alone."""

    class Recorder(type(TASK)):
        def __init__(self):
            self.said = []

        def is_right(self, example, generated):
            self.said.append(generated)
            return True

    model = prepared(tiny_config("full"))
    items = [Example("1+2=", "3"), Example("123456+234567=", "?")]
    together, alone = Recorder(), Recorder()

    evaluate(model, Encoder(tokenizer, chat=False), together, items, 2, cpu)
    evaluate(model, Encoder(tokenizer, chat=False), alone, items, 1, cpu)

    assert together.said == alone.said
