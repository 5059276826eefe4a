"""Score the test items, one verdict an item: by greedy generation, or by the likeliest of given choices."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from bench.worker.batches import seen
from bench.worker.devices import Device
from bench.worker.encoding import Encoder
from bench.worker.likelihood import Question, log_likelihoods
from bench.worker.tasks import Example, ScoresItself, Task


@dataclass(slots=True)
class Evaluation:
    """Verdicts in the test set's order as "0" and "1"; seconds and generated tokens of every batch."""

    verdicts: str = ""
    seconds: list[float] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    """Empty where nothing is generated."""
    truncated: int = 0
    """Prompts that the model's context had no room for; their beginning was cut off."""
    unfinished: int | None = None
    """Answers that reached their most tokens without an end; None where no tokens are counted."""
    uncounted: str = ""
    """Why no tokens are counted."""


def evaluate(
    model: Any, encoder: Encoder, task: Task, examples: Sequence[Example], batch_size: int, device: Device
) -> Evaluation:
    """Let the model answer every example and score the answers. The model is left in training mode."""
    done = Evaluation()
    if isinstance(task, ScoresItself):
        _let_score(model, encoder, task, len(examples), batch_size, device, done)
        return done
    model.eval()
    if any(example.choices for example in examples):
        said = _choose(model, encoder, examples, batch_size, device, done)
    else:
        said = _generate(model, encoder, task, examples, batch_size, device, done)
    model.train()
    done.verdicts = "".join(str(int(task.is_right(e, text))) for e, text in zip(examples, said, strict=True))
    return done


def _let_score(
    model: Any, encoder: Encoder, task: ScoresItself, count: int, batch_size: int, device: Device, done: Evaluation
) -> None:
    done.uncounted = "a program of others asks the model, and counts no tokens."
    device.synchronize()
    start = time.perf_counter()
    model.eval()
    done.verdicts = task.verdicts(model, encoder.tokenizer, count, batch_size)
    model.train()
    device.synchronize()
    done.seconds.append(time.perf_counter() - start)


def _choose(
    model: Any, encoder: Encoder, examples: Sequence[Example], batch_size: int, device: Device, done: Evaluation
) -> list[str]:  # fmt: skip
    """Return the likeliest choice of every example; none of them where a likelihood is no finite number."""
    done.uncounted = "nothing is generated: the likeliest of given choices is the answer."
    choices = [[encoder.answer(choice) for choice in example.choices] for example in examples]
    longest = max(len(choice) for group in choices for choice in group)
    fitting = _fit(model, [encoder.prompt(example) for example in examples], longest, done)
    questions = [Question(prompt, group) for prompt, group in zip(fitting, choices, strict=True)]
    scores, done.seconds = log_likelihoods(model, questions, batch_size, encoder.pad_id, device)
    return [_likeliest(example, found) for example, found in zip(examples, scores, strict=True)]


def _likeliest(example: Example, scores: Sequence[float]) -> str:
    if not all(map(math.isfinite, scores)):
        return ""
    shares = [len(choice) if example.per_character else 1 for choice in example.choices]
    best = max(range(len(scores)), key=lambda n: scores[n] / shares[n])
    return example.choices[best]


def _generate(
    model: Any, encoder: Encoder, task: Task, examples: Sequence[Example], batch_size: int, device: Device,
    done: Evaluation,
) -> list[str]:  # fmt: skip
    """Return what the model says after every prompt, decoded greedily in batches."""
    said: list[str] = []
    done.unfinished = 0
    fitting = _fit(model, [encoder.prompt(example) for example in examples], task.longest_answer, done)
    for first in range(0, len(fitting), batch_size):
        inputs = _left_padded(fitting[first : first + batch_size], encoder.pad_id, device.torch_name)
        looks = [encoder.look(example) for example in examples[first : first + batch_size]]
        inputs |= {name: tensor.to(device.torch_name) for name, tensor in seen(looks).items()}
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
        done.unfinished += sum(encoder.end_id not in answer for answer in answers)
        said += encoder.texts(answers)
    return said


def _fit(model: Any, prompts: list[list[int]], answer: int, done: Evaluation) -> list[list[int]]:
    """Cut the beginning off prompts that leave no room for an answer of so many tokens in the model's context."""
    context = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    if context is None:
        return prompts
    room = max(1, context - answer)
    done.truncated = sum(len(prompt) > room for prompt in prompts)
    return [prompt[-room:] for prompt in prompts]


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
