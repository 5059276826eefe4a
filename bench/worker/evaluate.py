"""Score the test items: batched greedy generation, one verdict an item."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from bench.worker.devices import Device
from bench.worker.encoding import Encoder
from bench.worker.tasks import Example, Task


@dataclass(slots=True)
class Evaluation:
    """Verdicts in the test set's order as "0" and "1"; seconds and generated tokens of every batch."""

    verdicts: str = ""
    seconds: list[float] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)


def evaluate(
    model: Any, encoder: Encoder, task: Task, examples: Sequence[Example], batch_size: int, device: Device
) -> Evaluation:
    """Let the model answer every example and score the answers. The model is left in training mode."""
    done = Evaluation()
    model.eval()
    for first in range(0, len(examples), batch_size):
        group = examples[first : first + batch_size]
        inputs = _left_padded([encoder.prompt(e) for e in group], encoder.pad_id, device.torch_name)
        device.synchronize()
        start = time.perf_counter()
        with torch.no_grad():
            output = model.generate(
                **inputs,
                max_new_tokens=task.longest_answer,
                do_sample=False,
                use_cache=True,
                pad_token_id=encoder.pad_id,
                eos_token_id=encoder.end_id,
            )
        device.synchronize()
        done.seconds.append(time.perf_counter() - start)
        answers = [_answer(row, encoder.end_id) for row in output[:, inputs["input_ids"].shape[1] :].tolist()]
        done.tokens.append(sum(map(len, answers)))
        texts = encoder.texts(answers)
        done.verdicts += "".join(str(int(task.is_right(e, t))) for e, t in zip(group, texts, strict=True))
    model.train()
    return done


def _left_padded(prompts: list[list[int]], pad_id: int, device: str) -> dict[str, torch.Tensor]:
    """Pad on the left, so that every answer starts in the same column."""
    longest = max(map(len, prompts))
    ids = [[pad_id] * (longest - len(p)) + p for p in prompts]
    mask = [[0] * (longest - len(p)) + [1] * len(p) for p in prompts]
    return {
        "input_ids": torch.tensor(ids, device=device),
        "attention_mask": torch.tensor(mask, device=device),
    }


def _answer(generated: list[int], eos_id: int) -> list[int]:
    """Return the tokens up to and including the first end of text; what follows is padding."""
    return generated[: generated.index(eos_id) + 1] if eos_id in generated else generated
