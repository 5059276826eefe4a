"""The training loop: plain, over the model's own loss, every step's raw numbers kept."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field
from itertools import islice, pairwise
from typing import Any

import torch
from transformers import get_scheduler

from bench.schema import RunConfig
from bench.schema.catalogue import METHODS, OPTIMIZERS, find, load
from bench.worker.batches import Batch
from bench.worker.devices import Device
from bench.worker.methods import Method
from bench.worker.probes.owners import owners
from bench.worker.probes.trace import Block

MakeOptimizer = Callable[[Iterable[torch.nn.Parameter], RunConfig], torch.optim.Optimizer]
OnStage = Callable[[str], None]
"""Called as a step enters "forward" and "backward" (once a micro-batch) and "optimizer", and at its "end"."""


def unobserved(_: str) -> None:
    """Let a step's stages pass."""


def keeping_the_first_error() -> AbstractContextManager[Any]:
    """In a `finally`: let no error of a broken device hide the one that broke it."""
    return suppress(RuntimeError) if sys.exc_info()[0] else nullcontext()


@dataclass(slots=True)
class Steps:
    """Raw values of every optimiser step, in order. Losses and norms stay on the device until read.

    `shapes` are the [sequences, length] of each step's micro-batches; `largest` the micro-batches of the
    step with the most positions.
    """

    seconds: list[float] = field(default_factory=list)
    cpu_seconds: list[float] = field(default_factory=list)
    learning_rates: list[float] = field(default_factory=list)
    tokens_all: list[int] = field(default_factory=list)
    tokens_real: list[int] = field(default_factory=list)
    tokens_trained: list[int] = field(default_factory=list)
    losses: list[torch.Tensor] = field(default_factory=list)
    norms: list[torch.Tensor] = field(default_factory=list)
    shapes: list[tuple[tuple[int, int], ...]] = field(default_factory=list)
    largest: list[Batch] = field(default_factory=list)

    def note(self, micro_batches: list[Batch], rate: float, loss: torch.Tensor, norm: torch.Tensor) -> None:
        """Keep what a finished step was; its seconds follow when the block of steps ends."""
        positions = sum(batch.all for batch in micro_batches)
        if positions > max(self.tokens_all, default=0):
            self.largest = micro_batches
        self.learning_rates.append(rate)
        self.losses.append(loss)
        self.norms.append(norm)
        self.tokens_all.append(positions)
        self.tokens_real.append(sum(batch.real for batch in micro_batches))
        self.tokens_trained.append(sum(batch.trained for batch in micro_batches))
        rows = (batch.input_ids.shape for batch in micro_batches)
        self.shapes.append(tuple((int(shape[0]), int(shape[1])) for shape in rows))

    def on_host(self) -> dict[str, list[Any]]:
        """Return what no device has to be asked for, by the names records give it."""
        return {
            "step.seconds": self.seconds,
            "step.cpu_seconds": self.cpu_seconds,
            "step.learning_rate": self.learning_rates,
            "step.tokens_all": self.tokens_all,
            "step.tokens_real": self.tokens_real,
            "step.tokens_trained": self.tokens_trained,
        }

    def on_device(self) -> dict[str, list[Any]]:
        """Return what lies on the device, by the names records give it; fails where the device has."""
        return {
            "step.loss": [loss.item() for loss in self.losses],
            "step.gradient_norm": [norm.item() for norm in self.norms],
        }


class Trainer:
    """A model with its optimiser, schedule and precision, ready to step.

    The learning rate follows `config.lr_scheduler_type` with `config.warmup_ratio`. Losses of
    accumulated batches are summed over their trained tokens, so that accumulation does not
    change the gradient. A method may bring its own optimiser, and ask to be called after every step.
    """

    def __init__(self, model: Any, config: RunConfig, device: Device) -> None:
        self.model = model
        self.config = config
        self.device = device
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        self._method: Method = load(find("method", METHODS, config.method))
        self.optimizer = self._own_optimizer()
        self.scheduler = get_scheduler(
            config.lr_scheduler_type,
            self.optimizer,
            num_warmup_steps=round(config.warmup_ratio * config.steps),
            num_training_steps=config.steps,
        )
        kind = device.torch_name.partition(":")[0]
        self.scaler = torch.amp.GradScaler(kind, enabled=config.autocast == "float16")
        self._device_kind = kind
        self._made = 0
        self._kept: Any = None

    @property
    def bare(self) -> Any:
        """The model without what spreads it over processes."""
        return self.model

    def held(self) -> list[Block]:
        """Return every storage that training holds now, with its category."""
        return owners(self.model, self.optimizer)

    def _own_optimizer(self) -> torch.optim.Optimizer:
        if self._method.optimizer:
            own: torch.optim.Optimizer = self._method.optimizer(self.model, self.config)
            return own
        make: MakeOptimizer = load(find("optimizer", OPTIMIZERS, self.config.optimizer))
        return make(self.parameters, self.config)

    def step(self, micro_batches: list[Batch], on_stage: OnStage = unobserved) -> tuple[torch.Tensor, torch.Tensor]:
        """Make one optimiser step; return the mean loss over trained tokens and the gradient's norm before clipping."""
        if self.config.protocol.zero_grad_first:
            self.optimizer.zero_grad(set_to_none=True)
        trained = sum(batch.divisor for batch in micro_batches)
        total = torch.zeros((), device=self.device.torch_name)
        for batch in micro_batches:
            on_stage("forward")
            inputs = batch.on(self.device.torch_name)
            with self.precision():
                outputs = self.model(**inputs, num_items_in_batch=trained, use_cache=self.config.protocol.use_cache)
            loss = outputs.loss
            self._kept = None if self.config.protocol.outputs == "loss" else outputs
            del outputs
            on_stage("backward")
            self.backward(loss)
            if self.config.protocol.outputs == "backward":
                self._kept = None
            total += loss.detach().float()
        on_stage("optimizer")
        norm = self.update()
        on_stage("end")
        self.scheduler.step()
        self._made += 1
        if self._method.after_step:
            self._method.after_step(self.model, self._made)
        if not self.config.protocol.zero_grad_first:
            self.optimizer.zero_grad(set_to_none=True)
        if self._empties_cache():
            torch.cuda.empty_cache()
        return total, norm

    def backward(self, loss: torch.Tensor) -> None:
        """Add the loss's gradients to those that are there."""
        self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]

    def update(self) -> torch.Tensor:
        """Clip the gradients and let the optimiser step; return their norm before clipping."""
        self.scaler.unscale_(self.optimizer)
        limit = self.config.max_grad_norm or float("inf")
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, limit)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return norm

    def _empties_cache(self) -> bool:
        every = self.config.protocol.empty_cache_steps
        return bool(every) and self._device_kind == "cuda" and self._made % every == 0

    def precision(self) -> AbstractContextManager[Any]:
        """Return the context that forward and loss run in."""
        if self.config.autocast == "none":
            return nullcontext()
        return torch.autocast(self._device_kind, dtype=getattr(torch, self.config.autocast))


def train(trainer: Trainer, batches: Iterator[Batch], steps: Steps, count: int) -> float:
    """Make `count` optimiser steps as one block, note each in `steps`, and return the block's wall seconds.

    The device is waited for at the block's ends only. A step's time runs from the end of the
    one before to its own: making the batch, moving it, forward, backward, clipping, update.
    """
    trainer.model.train()
    device, clock = trainer.device, trainer.device.clock()
    cpu = [time.process_time()]
    device.synchronize()
    start = time.perf_counter()
    clock.mark()
    try:
        for _ in range(count):
            micro_batches = list(islice(batches, trainer.config.gradient_accumulation_steps))
            rate = trainer.scheduler.get_last_lr()[0]
            loss, norm = trainer.step(micro_batches)
            clock.mark()
            cpu.append(time.process_time())
            steps.note(micro_batches, rate, loss, norm)
    finally:
        steps.cpu_seconds += [later - earlier for earlier, later in pairwise(cpu)]
        with keeping_the_first_error():
            steps.seconds += clock.seconds()
    return time.perf_counter() - start
