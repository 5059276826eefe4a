"""Generate one sequence at a time, as a person waiting for an answer sees it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import torch

from bench.worker.batches import seen
from bench.worker.encoding import Encoder
from bench.worker.logbook import Logbook
from bench.worker.tasks import Example

PROMPTS = 3


def infer(logbook: Logbook, model: Any, encoder: Encoder, examples: Sequence[Example]) -> None:
    """Generate `config.infer_tokens` tokens for each of three prompts; keep seconds and tokens of each.

    The first of them warms up and is kept too. Greedy, with a cache, the end of text ignored,
    so that every method generates the same number of tokens.
    """
    device, count = logbook.device, logbook.config.infer_tokens
    seconds: list[float] = []
    model.eval()
    for example in examples[:PROMPTS]:
        ids = torch.tensor([encoder.prompt(example)], device=device.torch_name)
        pixels = {name: tensor.to(device.torch_name) for name, tensor in seen([encoder.look(example)]).items()}
        device.synchronize()
        start = time.perf_counter()
        with torch.no_grad():
            model.generate(
                **pixels,
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                min_new_tokens=count,
                max_new_tokens=count,
                do_sample=False,
                use_cache=True,
                pad_token_id=encoder.pad_id,
            )
        device.synchronize()
        seconds.append(time.perf_counter() - start)
    model.train()
    logbook.keep_series("infer.seconds", seconds)
    logbook.keep_series("infer.tokens", [count] * len(seconds))
