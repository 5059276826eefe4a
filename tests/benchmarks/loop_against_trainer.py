"""Is our loop's step as fast as transformers.Trainer's on the same work?

Both train the same model on the same packed batches with the same optimiser, schedule and
clipping, in alternating blocks (ABBA), so that the machine's drift falls on both. A step is
the time from the end of one to the end of the next, feeding included. Prints the ratio of
the medians, Trainer over ours, with a bootstrap interval: 1.00 is as fast, above is faster.

    python tests/benchmarks/loop_against_trainer.py --model smollm2-135m --method lora
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from itertools import cycle, islice, pairwise

import torch
import transformers

from bench import cache
from bench.schema.catalogue import METHODS, TASKS, load
from bench.schema.config import configure
from bench.worker import models
from bench.worker.batches import batches
from bench.worker.devices.cpu import Cpu
from bench.worker.encoding import Encoder
from bench.worker.loop import Steps, Trainer, train


class Feed(torch.utils.data.IterableDataset):
    """The same batches over and over, as tensors."""

    def __init__(self, prepared: list) -> None:
        self.prepared = prepared

    def __iter__(self):
        return cycle(self.prepared)


class StepEnds(transformers.TrainerCallback):
    """Notes when each of Trainer's steps ends."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def on_step_end(self, *_, **__) -> None:
        self.times.append(time.perf_counter())


def ours(model, config, prepared, device) -> list[float]:
    """One block of our loop: seconds between the ends of its steps."""
    trainer = Trainer(model, config, device)
    feed = iter(Feed(prepared))
    ends = []
    for _ in range(config.steps):
        train(trainer, feed, Steps(), 1)
        ends.append(time.perf_counter())
    return [later - earlier for earlier, later in pairwise(ends)]


def theirs(model, config, prepared, _device) -> list[float]:
    """One block of transformers.Trainer: seconds between the ends of its steps."""
    ends = StepEnds()
    with tempfile.TemporaryDirectory() as folder:
        settings = transformers.TrainingArguments(
            output_dir=folder,
            max_steps=config.steps,
            per_device_train_batch_size=config.batch_size,
            learning_rate=config.learning_rate,
            weight_decay=config.weight_decay,
            lr_scheduler_type=config.lr_scheduler_type,
            warmup_steps=round(config.warmup_ratio * config.steps),
            max_grad_norm=config.max_grad_norm,
            optim="adamw_torch_fused",
            logging_strategy="no",
            save_strategy="no",
            report_to="none",
            use_cpu=True,
            disable_tqdm=True,
        )
        trainer = transformers.Trainer(
            model=model,
            args=settings,
            train_dataset=Feed(
                [{k: v[row] for k, v in b.items()} for b in map(tensors, prepared) for row in range(config.batch_size)]
            ),
            callbacks=[ends],
        )
        trainer.train()
    return [later - earlier for earlier, later in pairwise(ends.times)]


def tensors(batch) -> dict[str, torch.Tensor]:
    """A batch's tensors without its counts."""
    return batch.on("cpu")


def interval(top: list[float], bottom: list[float], draws: int = 4000) -> tuple[float, float]:
    """Percentile bootstrap, 95 %, of the ratio of medians; seeded."""
    rng = random.Random(0)
    ratios = sorted(
        statistics.median(rng.choices(top, k=len(top))) / statistics.median(rng.choices(bottom, k=len(bottom)))
        for _ in range(draws)
    )
    return ratios[int(0.025 * draws)], ratios[int(0.975 * draws)]


def main() -> None:
    """Run the blocks and print one line a side and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--method", default="lora")
    parser.add_argument("--steps", type=int, default=8, help="steps in a block; the first is not counted")
    parser.add_argument("--pairs", type=int, default=4, help="pairs of blocks")
    asked = parser.parse_args()
    config = configure(
        model=asked.model, method=asked.method, task="addition", packing=True, steps=asked.steps, batch_size=4
    )
    method, task, manifest = load(METHODS[config.method]), load(TASKS[config.task]), cache.manifest(config.model)
    tokenizer = models.open_tokenizer(manifest)
    loaded = models.open_model(
        models.fetched_class(manifest), models.stored_weights(manifest), config, method.quantization(config), "cpu"
    )
    model = method.prepare(loaded, config)
    encoder = Encoder(tokenizer, chat=False)
    sequences = [encoder.whole(example) for example in task.train(0, 400)]
    prepared = list(islice(batches(sequences, config, tokenizer.pad_token_id), 4))

    seconds: dict[str, list[float]] = {"ours": [], "Trainer": []}
    sides = {"ours": ours, "Trainer": theirs}
    for pair in range(asked.pairs):
        for name in ("ours", "Trainer") if pair % 2 == 0 else ("Trainer", "ours"):
            seconds[name] += sides[name](model, config, prepared, Cpu())
    for name, found in seconds.items():
        print(f"{name:8} median {statistics.median(found):.4f} s a step, {len(found)} steps")
    low, high = interval(seconds["Trainer"], seconds["ours"])
    ratio = statistics.median(seconds["Trainer"]) / statistics.median(seconds["ours"])
    print(f"Trainer / ours = {ratio:.3f} (95 % {low:.3f} to {high:.3f}); {config.model}, {config.method}")


if __name__ == "__main__":
    main()
