"""One training made twice on a CPU, for real and simulated: what each allocates and releases, in order."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any

import torch
import transformers
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import AutoConfig

from bench.schema import RunConfig, gpus
from bench.schema.catalogue import METHODS, load
from bench.worker import models
from bench.worker.batches import Batch, batches
from bench.worker.devices.cpu import Cpu
from bench.worker.fake import abi
from bench.worker.fake.allocator import CachingAllocator
from bench.worker.fake.gpu import FakeCuda
from bench.worker.fake.heap import Heap
from bench.worker.fake.replace import replaced
from bench.worker.fake.seams import seams
from bench.worker.fake.tracker import Tracker
from bench.worker.fake.weights import Described, shaped_weights
from bench.worker.loop import Trainer
from bench.worker.predict import made_up
from bench.worker.probes.marks import Marker, allocate_on, marked
from bench.worker.probes.trace import Change

Log = list[int | str]
"""Bytes allocated, less than 0 where they are released, and the names of stages where they begin."""

STEPS = 2
NUMBER = 16
"""Bytes up to which a tensor is a number: an operand that Python wrote, a loss, a step count."""

GENERATOR = torch.get_rng_state().nbytes
"""Bytes of the host's generator, which checkpointing saves once a layer; a GPU's has 16."""

SHAPES = {
    "model_type": "llama",
    "vocab_size": 1000,
    "hidden_size": 512,
    "intermediate_size": 768,
    "num_hidden_layers": 1,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "max_position_embeddings": 64,
}


class Operations(TorchDispatchMode):
    """Collects the names of what is dispatched within it."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.add(func.overloadpacket.__name__)
        return func(*args, **kwargs or {})


def on_cpu(config: RunConfig, operations: set[str]) -> Log:
    """Train for real; what a kernel of `operations` takes and gives back by itself is left out."""
    model = _model(config, filled=True)
    marker = Marker(allocate_on("cpu"))
    activities = [torch.profiler.ProfilerActivity.CPU]
    with _no_collector(), torch.profiler.profile(activities=activities, profile_memory=True) as profile:
        _train(model, config, marker.mark)
    events = profile.profiler.kineto_results.experimental_event_tree()
    trace = marked(without_scratch(events, operations), marker.names)
    assert trace is not None
    found: Log = []
    live: dict[int, int] = {}
    begins = list(trace.marks)
    for position, change in enumerate(trace.changes):
        while begins and begins[0].position <= position:
            found.append(begins.pop(0).name)
        if change.size > 0:
            live[change.address] = change.size
            found.append(change.size)
        elif change.address in live:  # else it was there before
            found.append(-live.pop(change.address))
    return counted([*found, *(mark.name for mark in begins)])


def simulated(config: RunConfig) -> tuple[Log, set[str]]:
    """Train on fake tensors; return also which operations ran."""
    heap = Heap(CachingAllocator())
    begins: list[tuple[int, str]] = []

    def on_stage(name: str) -> None:
        heap.settle()
        begins.append((len(heap.events), name))

    with fake_cpu(heap), Operations() as operations:
        model = _model(config, filled=False)
        heap.settle()
        start = len(heap.events)
        with _no_collector():
            _train(model, config, on_stage)
        heap.settle()
        return _log(heap, start, begins), operations.names


@contextmanager
def fake_cpu(heap: Heap) -> Iterator[Tracker]:
    """Let `heap` hold fake tensors on the host as it would those on a GPU; attention chooses as on the host."""
    abi.install()
    attention = torch.nn.functional.scaled_dot_product_attention
    tracker = Tracker(heap, device="cpu")
    with (
        seams(FakeCuda(gpus.by_slug("h100-80gb"), 80 * gpus.GIB, heap), tracker),
        replaced(torch.nn.functional, "scaled_dot_product_attention", attention),
        FakeTensorMode(allow_non_fake_inputs=True),
        tracker,
    ):
        yield tracker


def without_scratch(events: Sequence[Any], operations: set[str]) -> list[Change]:
    """Read allocations off the profiler's event tree, but for blocks that live within one operation."""
    found: list[tuple[Change, int]] = []
    waiting: list[tuple[Any, int]] = [(event, 0) for event in reversed(events)]
    kernels = 0
    while waiting:
        event, kernel = waiting.pop()
        kind = event.typed[0].name
        if kind == "Allocation":
            change = Change(event.start_time_ns, event.typed[1].ptr, event.typed[1].alloc_size)
            found.append((change, kernel))
        if kernel == 0 and kind == "TorchOp" and "::" in event.name and event.name.split("::")[1] in operations:
            kernels += 1
            kernel = kernels
        waiting.extend((child, kernel) for child in reversed(event.children))
    found.sort(key=lambda pair: pair[0].time_ns)
    dropped: set[int] = set()
    live: dict[int, int] = {}
    for position, (change, kernel) in enumerate(found):
        if change.size > 0:
            live[change.address] = position
        elif change.address in live:
            begin = live.pop(change.address)
            if kernel and found[begin][1] == kernel:
                dropped |= {begin, position}
    return [change for position, (change, _) in enumerate(found) if position not in dropped]


def counted(log: Log) -> Log:
    """Leave out numbers and the state of the host's generator."""
    return [entry for entry in log if isinstance(entry, str) or (abs(entry) > NUMBER and abs(entry) != GENERATOR)]


def peaks(log: Log) -> list[tuple[str, int]]:
    """Return every stage with its peak, in bytes beyond what was there before the first."""
    level, found = 0, [("", 0)]
    for entry in log:
        if isinstance(entry, str):
            found.append((entry, level))
        else:
            level += entry
            found[-1] = (found[-1][0], max(found[-1][1], level))
    return found[1:]


def _model(config: RunConfig, *, filled: bool) -> Any:
    settings = AutoConfig.for_model(**SHAPES)
    known = Described(transformers.LlamaForCausalLM, settings, "test")
    weights = shaped_weights(known, getattr(torch, config.dtype))
    if filled:
        torch.manual_seed(0)
        for weight in weights["state_dict"].values():
            weight.normal_(0, 0.02)
    method = load(METHODS[config.method])
    model = models.open_model(known.kind, weights, config, method.quantization(config), "cpu")
    del weights
    return method.prepare(model, config)


def _train(model: Any, config: RunConfig, on_stage: Callable[[str], None]) -> None:
    model.train()
    trainer = Trainer(model, config, Cpu())
    feed = batches(made_up(config), config, pad_id=0)
    for _ in range(STEPS):
        _step(trainer, feed, on_stage)


def _step(trainer: Trainer, feed: Iterator[Batch], on_stage: Callable[[str], None]) -> None:
    trainer.step(list(islice(feed, trainer.config.gradient_accumulation_steps)), on_stage)


def _log(heap: Heap, start: int, begins: list[tuple[int, str]]) -> Log:
    found: Log = []
    sizes: dict[int, int] = {}
    waiting = list(begins)
    for position, event in enumerate(heap.events):
        while waiting and waiting[0][0] <= position:
            found.append(waiting.pop(0)[1])
        if position < start:
            continue
        if event.what == "take":
            sizes[event.key] = event.value
            found.append(event.value)
        elif event.what == "rename" and event.key in sizes:
            sizes[event.value] = sizes.pop(event.key)
        elif event.what == "release" and event.key in sizes:  # else it was there before
            found.append(-sizes.pop(event.key))
    return counted([*found, *(name for _, name in waiting)])


@contextmanager
def _no_collector() -> Iterator[None]:
    """What reference counts do not release is released in neither run."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
