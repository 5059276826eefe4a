"""What does measuring cost the steps that are timed? It must stay below 0.5 % of a step.

Two answers. The direct one times everything we add around a block of steps that do nothing
(meters, clock marks, notes) and sets it against a real step. The other trains the same
batches in alternating blocks (ABBA), bare and instrumented, and prints the ratio of a
step's seconds with a bootstrap interval over pairs of blocks; it holds whatever we did not
think of, and the machine's noise.

    python tests/benchmarks/cost_of_instrumentation.py --model smollm2-135m --method lora
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from itertools import cycle, islice
from pathlib import Path

import torch

from bench import cache
from bench.schema.catalogue import METHODS, TASKS, load
from bench.schema.config import configure
from bench.worker import models
from bench.worker.batches import batches
from bench.worker.devices.cpu import Cpu
from bench.worker.encoding import Encoder
from bench.worker.logbook import Logbook
from bench.worker.loop import Steps, Trainer, train

LIMIT = 0.005


def bare(trainer: Trainer, prepared: list, count: int) -> float:
    """Steps with nothing around them; seconds of the block."""
    feed = cycle(prepared)
    trainer.model.train()
    start = time.perf_counter()
    for _ in range(count):
        trainer.step([next(feed)])
    return time.perf_counter() - start


def instrumented(trainer: Trainer, prepared: list, count: int) -> float:
    """The same steps as a run makes them; seconds of the block, meters included."""
    with tempfile.TemporaryDirectory() as folder:
        logbook = Logbook(trainer.config, Path(folder) / "phase")
        logbook.device = trainer.device
        start = time.perf_counter()
        with logbook.timed():
            train(trainer, cycle(prepared), Steps(), count)
        return time.perf_counter() - start


def idle(side: Callable[..., float], trainer: Trainer, prepared: list, count: int, repeats: int = 50) -> float:
    """Median seconds of a block whose steps do nothing."""
    nothing = torch.zeros(()), torch.zeros(())
    real, trainer.step = trainer.step, lambda *_: nothing  # type: ignore[method-assign]
    try:
        return statistics.median(side(trainer, prepared, count) for _ in range(repeats))
    finally:
        trainer.step = real  # type: ignore[method-assign]


def interval(pairs: list[tuple[float, float]], draws: int = 4000) -> tuple[float, float]:
    """Percentile bootstrap over pairs, 95 %, of the ratio of medians; seeded."""
    rng = random.Random(0)
    drawn = (rng.choices(pairs, k=len(pairs)) for _ in range(draws))
    ratios = sorted(ratio(some) for some in drawn)
    return ratios[int(0.025 * draws)], ratios[int(0.975 * draws)]


def ratio(pairs: list[tuple[float, float]]) -> float:
    """Median instrumented block over median bare block."""
    return statistics.median(top for top, _ in pairs) / statistics.median(bottom for _, bottom in pairs)


def main() -> None:
    """Measure both ways and print; exit code 1 where the direct cost is above the limit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--method", default="lora")
    parser.add_argument("--steps", type=int, default=6, help="steps in a block")
    parser.add_argument("--pairs", type=int, default=8, help="pairs of blocks")
    asked = parser.parse_args()
    config = configure(model=asked.model, method=asked.method, task="addition", packing=True, steps=asked.steps)
    method, task, manifest = load(METHODS[config.method]), load(TASKS[config.task]), cache.manifest(config.model)
    tokenizer = models.open_tokenizer(manifest)
    loaded = models.open_model(
        models.fetched_class(manifest), models.stored_weights(manifest), config, method.quantization(config), "cpu"
    )
    encoder = Encoder(tokenizer, chat=False)
    sequences = [encoder.whole(example) for example in task.train(0, 400)]
    prepared = list(islice(batches(sequences, config, tokenizer.pad_token_id), 4))
    trainer = Trainer(method.prepare(loaded, config), config, Cpu())

    bare(trainer, prepared, 2)
    pairs = []
    for pair in range(asked.pairs):
        sides = (bare, instrumented) if pair % 2 == 0 else (instrumented, bare)
        found = {side: side(trainer, prepared, asked.steps) for side in sides}
        pairs.append((found[instrumented], found[bare]))
    step = statistics.median(bottom for _, bottom in pairs) / asked.steps
    added = idle(instrumented, trainer, prepared, asked.steps) - idle(bare, trainer, prepared, asked.steps)
    share = added / asked.steps / step
    print(f"{config.model}, {config.method}: {step:.4f} s a step, bare")
    print(f"added: {added * 1e6:.0f} us a block of {asked.steps} steps = {share:.4%} of a step (limit {LIMIT:.1%})")
    low, high = interval(pairs)
    print(f"instrumented / bare = {ratio(pairs):.4f} (95 % {low:.4f} to {high:.4f}), {asked.pairs} pairs of blocks")
    raise SystemExit(share > LIMIT)


if __name__ == "__main__":
    main()
