"""The story of a predicted run: load, train, look inside, merge, on a GPU that is simulated; then, does it fit?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle, islice

import torch

from bench.errors import DoesNotFitError, UnsupportedError
from bench.schema import RunConfig
from bench.schema.catalogue import METHODS, STUDIES, find, find_task, load
from bench.schema.studies import SHARED, TRAINING
from bench.worker import models, resolved
from bench.worker.batches import batches
from bench.worker.devices.fake import Fake
from bench.worker.encoding import Tokens
from bench.worker.fake.fit import Fit, replay
from bench.worker.fake.heap import Event
from bench.worker.fake.scaling import Twin, largest_batch, same_blocks
from bench.worker.fake.shared import Share, pretended, share_of
from bench.worker.fake.weights import described, shaped_weights
from bench.worker.inspection import followed, note_attribution
from bench.worker.logbook import Logbook
from bench.worker.merge import merge
from bench.worker.methods import Method
from bench.worker.probes.attribution import Attribution
from bench.worker.probes.owners import tensors_in
from bench.worker.training import evaluate_first

STEPS = 2
"""Steps that are simulated: the first has no optimiser state yet, the second has; it is the one looked into."""

MICRO_BATCHES = 2
"""Micro-batches of a step that are simulated: the second finds gradients to add to, like all that would follow."""


def predict(logbook: Logbook) -> None:
    """Simulate what the logbook's config says and write down what it would hold; raises what it cannot simulate.

    Raises `DoesNotFitError` at the end, with every number known, where the card has no room for it.
    """
    config = logbook.config
    _refuse_unpredictable(config)
    twins = _twins(logbook) if config.largest_batch and not config.protocol.shapes else {}
    device = _simulate(logbook)
    _note_unpredicted(logbook)
    fit = _note_fit(logbook, device)
    if twins:
        _note_largest_batch(logbook, device, fit, twins)
    _refuse_what_does_not_fit(logbook, device, fit)


def _simulate(logbook: Logbook) -> Fake:
    config = logbook.config
    method: Method = load(find("method", METHODS, config.method))
    share = share_of(config, method)
    known = described(config.model)
    with Fake(config.device.partition(":")[2]) as device, pretended(share.world):
        logbook.device = device
        with logbook.phase("load"):
            device.heap.moment = "load"
            weights = shaped_weights(known, getattr(torch, config.dtype))
            loaded = models.open_model(
                known.kind, weights, config, method.quantization(config), share.place or device.torch_name,
                mapped=share.place == "cpu",
            )  # fmt: skip
            del weights
            model = method.prepare(loaded, config)
        logbook.resolve({"model.source": "architecture", "model.origin": known.origin, **resolved.settings(model)})
        logbook.metrics.update(resolved.counts(model))
        if share.world > 1:
            with logbook.phase("spread"):
                device.heap.moment = "spread"
                model = share.spread(model, config, device)
        _train(logbook, device, model, share)
        if config.merge:
            device.heap.moment = "merge"
            merge(logbook, model)
    return device


def _train(logbook: Logbook, device: Fake, model: torch.nn.Module, share: Share) -> None:
    config = logbook.config
    feed = (batch.part(0, share.world) for batch in batches(made_up(config), config, pad_id=0))
    with logbook.phase("train"):
        if config.protocol.evaluate_first:
            device.heap.moment = "train, evaluation before it"
            evaluate_first(model, config.protocol.evaluate_first, device.torch_name)
        model.train()
        trainer = share.trainer(model, config, device)
        found: Attribution | str = "no step was followed."
        for number in range(1, simulated_steps(config) + 1):
            micro_batches = list(islice(feed, min(config.gradient_accumulation_steps, MICRO_BATCHES)))

            def on_stage(stage: str, number: int = number) -> None:
                device.heap.moment = f"train, {stage} of step {number}"

            if number == followed_step(config):
                found = followed(device, trainer, micro_batches, on_stage)
            else:
                trainer.step(micro_batches, on_stage)
    window = {name: logbook.metrics[f"train.{name}"] for name in ("peak_requested", "peak_reserved", "peak_process")}
    note_attribution(logbook, found, window)
    logbook.resolve({
        "predict.steps": simulated_steps(config),
        "peak.moment": device.heap.peak_moment,
        "peak.operation": device.heap.peak_operation,
        "optimizer.class": f"{type(trainer.optimizer).__module__}.{type(trainer.optimizer).__name__}",
    })  # fmt: skip
    logbook.metrics["paging.state_bytes"] = sum(tensor.nbytes for tensor in tensors_in(trainer.optimizer.state))


def made_up(config: RunConfig) -> list[Tokens]:
    """Make one batch of sequences without meaning, in the lengths that count.

    Where examples are not packed their lengths are the data's: the longest is taken to be as long as the config
    allows and the others one token shorter, so that every batch needs a padding mask, as such batches do.
    """
    longest = config.sequence_length
    shorter = longest if config.packing or config.batch_size == 1 else max(1, longest - 1)
    lengths = [longest, *[shorter] * (config.batch_size - 1)]
    return [Tokens([0] * length, [0] * length) for length in lengths]


def simulated_steps(config: RunConfig) -> int:
    """Return how many steps are simulated: a protocol's shapes once through, and the first again with a state."""
    return min(config.steps, max(STEPS, len(config.protocol.shapes) + 1))


def followed_step(config: RunConfig) -> int:
    """Return the number of the step whose bytes are told apart: of those with most positions the last."""
    shapes = config.protocol.shapes
    if not shapes:
        return simulated_steps(config)
    sizes = [rows * length for rows, length in islice(cycle(shapes), simulated_steps(config))]
    return max(range(len(sizes)), key=lambda place: (sizes[place], place)) + 1


def _refuse_unpredictable(config: RunConfig) -> None:
    if config.study not in (TRAINING, SHARED):
        label = find("study", STUDIES, config.study).label
        raise UnsupportedError(f"{label} is not predicted: it is about numbers and seconds, and a simulation has none.")
    if config.paging != "none" or config.uvm_counters:
        raise UnsupportedError("page faults and what they cost are not predicted: a simulation moves no pages.")
    if find_task(config.task).images:
        raise UnsupportedError(f"{config.task} shows images, and what those need is not predicted.")
    if config.memory_limit:
        raise UnsupportedError("a limit on host memory has no meaning for a simulated GPU.")
    method: Method = load(find("method", METHODS, config.method))
    if method.begin:
        raise UnsupportedError(f"{config.method} starts from data, and a prediction has none.")


def _note_fit(logbook: Logbook, device: Fake) -> Fit:
    """Do the run's allocations again with the card's memory, where they need more than that without a limit."""
    held = max(logbook.metrics[name] for name in logbook.metrics if name.endswith(".peak_reserved"))
    fit = Fit(None, 0) if held <= device.capacity else replay(device.heap.events, device.capacity)
    logbook.metrics["predict.capacity"] = device.capacity
    if fit.refused is None:
        logbook.metrics["predict.retries"] = fit.retries
    else:
        logbook.absent["predict.retries"] = "the run does not fit."
    return fit


def _refuse_what_does_not_fit(logbook: Logbook, device: Fake, fit: Fit) -> None:
    if fit.refused is None:
        return
    need = max((logbook.metrics[name], name) for name in logbook.metrics if name.endswith(".peak_reserved"))
    raise DoesNotFitError(
        f"{device.sku.name} has {device.capacity} bytes for torch, and {fit.refused.value} more find no room in "
        f"{fit.refused.moment} ({fit.refused.during}); without a limit {need[1]} would be {need[0]} bytes.",
        fit.refused.moment.partition(",")[0],
        fit.refused.value,
    )


def _twins(logbook: Logbook) -> dict[int, Twin]:
    """Simulate the same run with twice the batch beside this one; a run of single sequences with 2 and 4 of them."""
    batch = logbook.config.batch_size
    return {size: _twin(logbook, size) for size in ((2 * batch,) if batch > 1 else (2, 4))}


def _twin(logbook: Logbook, batch: int) -> Twin:
    config, folder = logbook.config.but(batch_size=batch), logbook.folder

    def work() -> Sequence[Event]:
        return _simulate(Logbook(config, folder / f"twin-phase-{batch}")).heap.events

    return Twin(work, folder / f"twin-{batch}")


def _note_largest_batch(logbook: Logbook, device: Fake, fit: Fit, twins: Mapping[int, Twin]) -> None:
    runs: dict[int, Sequence[Event]] = {logbook.config.batch_size: device.heap.events}
    runs.update({size: twin.events() for size, twin in twins.items()})
    batch, other = sorted(runs)[-2:]
    sizes = same_blocks(runs[batch], runs[other])
    if sizes is None:
        logbook.absent["predict.largest_batch"] = "runs with other batch sizes do other things, so none is worked out."
        return
    found, at_the_end = largest_batch(runs[batch], sizes, batch, other, device.capacity)
    fits = logbook.config.batch_size if fit.refused is None else 0
    logbook.metrics["predict.largest_batch"] = max(found, fits)
    if at_the_end:
        logbook.resolve({"predict.largest_batch": "the largest that was looked for"})


def _note_unpredicted(logbook: Logbook) -> None:
    """Say why the numbers are missing that only a real run has."""
    config = logbook.config
    logbook.absent["step.seconds"] = "nothing is computed in a prediction, so nothing is timed."
    if config.evaluate_items:
        logbook.absent["evaluate.accuracy"] = "nothing is computed in a prediction, so no answer is scored."
    if config.infer_tokens:
        logbook.absent["infer.seconds"] = "nothing is computed in a prediction, so nothing is timed."
