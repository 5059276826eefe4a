"""Encoding: what the model is given, and what it is to learn."""

from __future__ import annotations

from bench.worker.encoding import IGNORED, Encoder
from bench.worker.tasks import Example


def test_only_the_answer_is_trained(tokenizer):
    """Labels are ignored over the prompt and equal the ids over the answer and the end of text."""
    tokens = Encoder(tokenizer, chat=False).whole(Example("12+34=", "46"))

    prompt = len("12+34=")
    assert tokens.labels[:prompt] == [IGNORED] * prompt
    assert tokens.labels[prompt:] == tokens.ids[prompt:]
    assert tokenizer.decode(tokens.ids[prompt:-1]) == "46"
    assert tokens.ids[-1] == tokenizer.eos_token_id
