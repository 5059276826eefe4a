"""From examples to token ids: the prompt is given, the answer is trained."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from bench.errors import UnsupportedError
from bench.worker.tasks import Example

IGNORED = -100  # label of a token that is not trained (torch.nn.CrossEntropyLoss.ignore_index)


Look = Callable[[], Mapping[str, Any]]
"""Gives the model's inputs of one sequence's image, by name, each a tensor [1, images, ...]; made anew every time."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """One training sequence: token ids and, of the same length, labels; and how to look at its image, if it has one."""

    ids: list[int]
    labels: list[int]
    look: Look | None = None


class Encoder:
    """Turns examples into tokens: the prompt is given, the answer and an end-of-text token are trained.

    `processor` is transformers' for a model that reads images, and None for one of text alone.
    """

    def __init__(self, tokenizer: Any, *, chat: bool, processor: Any = None) -> None:
        self.tokenizer = tokenizer
        self._processor = processor
        self._template = tokenizer if processor is None else processor
        self._chat = chat and bool(self._template.chat_template)

    @property
    def pad_id(self) -> int:
        """The token that fills sequences up."""
        return int(self.tokenizer.pad_token_id)

    @property
    def end_id(self) -> int:
        """The token that ends a text."""
        return int(self.tokenizer.eos_token_id)

    def prompt(self, example: Example) -> list[int]:
        """Encode a prompt as the model is to see it before it answers; an image takes tokens, too.

        Raises `UnsupportedError` for an image that the model cannot read.
        """
        if example.image is not None:
            ids: list[int] = self._seen(example)["input_ids"][0].tolist()
            return ids
        if not self._chat:
            return self._ids(example.prompt)
        return self._ids(self._said({"type": "text", "text": example.prompt.strip()}), special=False)

    def look(self, example: Example) -> Look | None:
        """Return how to look at an example's image; None where it has none."""
        return None if example.image is None else partial(self._pixels, example)

    def whole(self, example: Example) -> Tokens:
        """Encode a prompt with its answer; only the answer is trained."""
        prompt = self.prompt(example)
        answer = [*self.answer(example.answer), self.end_id]
        return Tokens(prompt + answer, [IGNORED] * len(prompt) + answer, self.look(example))

    def answer(self, text: str) -> list[int]:
        """Encode what follows a prompt, without an end of text."""
        return self._ids(text, special=False)

    def texts(self, answers: Sequence[Sequence[int]]) -> list[str]:
        """Return what token ids say, special tokens left out."""
        read: list[str] = self.tokenizer.batch_decode(answers, skip_special_tokens=True)
        return read

    def _said(self, *parts: Mapping[str, str]) -> str:
        """Put a user's message into the chat template; a template of text alone takes it as a string."""
        content = parts[0]["text"] if self._processor is None else list(parts)
        message = {"role": "user", "content": content}
        text: str = self._template.apply_chat_template([message], tokenize=False, add_generation_prompt=True)
        return text

    def _seen(self, example: Example) -> Mapping[str, Any]:
        """Return what the model reads of a prompt with its image, whole and not in tiles."""
        if self._processor is None:
            raise UnsupportedError("this model reads no images, and the task shows one with every prompt.")
        text = self._said({"type": "image"}, {"type": "text", "text": example.prompt.strip()})
        seen: Mapping[str, Any] = self._processor(
            text=[text], images=[[example.image]], do_image_splitting=False, return_tensors="pt"
        )
        return seen

    def _pixels(self, example: Example) -> Mapping[str, Any]:
        return {name: tensor for name, tensor in self._seen(example).items() if name.startswith("pixel")}

    def _ids(self, text: str, *, special: bool = True) -> list[int]:
        ids: list[int] = self.tokenizer(text, add_special_tokens=special)["input_ids"]
        return ids
