"""From examples to token ids: the prompt is given, the answer is trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bench.worker.tasks import Example

IGNORED = -100  # label of a token that is not trained (torch.nn.CrossEntropyLoss.ignore_index)


@dataclass(frozen=True, slots=True)
class Tokens:
    """One training sequence: token ids and, of the same length, labels."""

    ids: list[int]
    labels: list[int]


class Encoder:
    """Turns examples into tokens: the prompt is given, the answer and an end-of-text token are trained."""

    def __init__(self, tokenizer: Any, *, chat: bool) -> None:
        self._tokenizer = tokenizer
        self._chat = chat and bool(tokenizer.chat_template)

    @property
    def pad_id(self) -> int:
        """The token that fills sequences up."""
        return int(self._tokenizer.pad_token_id)

    @property
    def end_id(self) -> int:
        """The token that ends a text."""
        return int(self._tokenizer.eos_token_id)

    def prompt(self, example: Example) -> list[int]:
        """Encode a prompt as the model is to see it before it answers."""
        if not self._chat:
            return self._ids(example.prompt)
        said = [{"role": "user", "content": example.prompt.strip()}]
        text = self._tokenizer.apply_chat_template(said, tokenize=False, add_generation_prompt=True)
        return self._ids(text, special=False)

    def whole(self, example: Example) -> Tokens:
        """Encode a prompt with its answer; only the answer is trained."""
        prompt = self.prompt(example)
        answer = [*self.answer(example.answer), self.end_id]
        return Tokens(prompt + answer, [IGNORED] * len(prompt) + answer)

    def answer(self, text: str) -> list[int]:
        """Encode what follows a prompt, without an end of text."""
        return self._ids(text, special=False)

    def texts(self, answers: Sequence[Sequence[int]]) -> list[str]:
        """Return what token ids say, special tokens left out."""
        read: list[str] = self._tokenizer.batch_decode(answers, skip_special_tokens=True)
        return read

    def _ids(self, text: str, *, special: bool = True) -> list[int]:
        ids: list[int] = self._tokenizer(text, add_special_tokens=special)["input_ids"]
        return ids
