"""From token ids to tensors: cut, pack or pad, and count every token three ways."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, cycle, islice, repeat

import torch

from bench.errors import UnsupportedError
from bench.schema import RunConfig
from bench.schema.config import Protocol
from bench.worker.encoding import IGNORED, Look, Tokens


@dataclass(frozen=True, slots=True)
class Batch:
    """Tensors [sequences, tokens] on the CPU, and their counts.

    `all` counts every position, `real` those that are no padding, `trained` the positions
    whose prediction enters the loss: a label that is not ignored, and not in first place,
    which nothing predicts.
    """

    input_ids: torch.Tensor
    attention_mask: torch.Tensor
    labels: torch.Tensor
    all: int
    real: int
    trained: int
    pixels: Mapping[str, torch.Tensor] = field(default_factory=dict)
    """What the model is given of the sequences' images, by its inputs' names; each [sequences, images, ...]."""
    parts: int = 1
    """Of how many parts of a larger batch this is one."""
    trained_of_all: int = 0
    """Trained positions of all its parts, of a part."""

    @property
    def divisor(self) -> float:
        """What the sum of the losses of its positions is divided by for a mean.

        Of a part it is what the parts have on average, since the gradients of the parts are averaged.
        """
        return self.trained if self.parts == 1 else self.trained_of_all / self.parts

    def part(self, number: int, parts: int) -> Batch:
        """Return the rows that the `number`-th of `parts` processes has, from 0; all have equally many.

        Padding stays as it is: every part is as long as the longest sequence of the batch.
        """
        if parts == 1:
            return self
        count = len(self.input_ids) // parts
        mine = slice(number * count, (number + 1) * count)
        mask, labels = self.attention_mask[mine], self.labels[mine]
        return Batch(
            input_ids=self.input_ids[mine],
            attention_mask=mask,
            labels=labels,
            all=mask.numel(),
            real=int(mask.sum()),
            trained=int((labels[:, 1:] != IGNORED).sum()),
            parts=parts,
            trained_of_all=self.trained,
        )

    def on(self, device: str) -> dict[str, torch.Tensor]:
        """Return the model's inputs on a device. A mask that masks nothing is left out: nobody reads it back then."""
        tensors = {"input_ids": self.input_ids, "labels": self.labels, **self.pixels}
        if self.real < self.all:
            tensors["attention_mask"] = self.attention_mask
        return {name: tensor.to(device) for name, tensor in tensors.items()}


def cut(sequences: Sequence[Tokens], length: int) -> tuple[list[Tokens], int]:
    """Cut every sequence to `length` and count those that were longer."""
    longer = sum(len(s.ids) > length for s in sequences)
    return [replace(s, ids=s.ids[:length], labels=s.labels[:length]) for s in sequences], longer


def batches(sequences: Sequence[Tokens], config: RunConfig, pad_id: int) -> Iterator[Batch]:
    """Yield batches without end; each pass over the sequences has an order of its own, decided by the seed.

    A protocol's shapes are cut from the sequences laid end to end. Raises `UnsupportedError` where images would be.
    """
    if (config.packing or config.protocol.shapes) and any(s.look for s in sequences):
        raise UnsupportedError("sequences with images cannot be laid end to end; train without packing.")
    stream = _endless(sequences, config.seed)
    if config.protocol.shapes:
        rows = _cut_to(chain.from_iterable(map(_lengths, repeat(config.protocol))), stream)
        for count, _ in cycle(config.protocol.shapes):
            yield padded(list(islice(rows, count)), pad_id)
    if config.packing:
        stream = _cut_to(repeat(config.sequence_length), stream)
    while True:
        yield padded(list(islice(stream, config.batch_size)), pad_id)


def _lengths(protocol: Protocol) -> Iterator[int]:
    """Yield the length of every row of a protocol's batches, once through; padded ones have one full row."""
    for count, length in protocol.shapes:
        yield length
        yield from repeat(max(1, length - protocol.padded), count - 1)


def _endless(sequences: Sequence[Tokens], seed: int) -> Iterator[Tokens]:
    rng = random.Random(seed)  # noqa: S311 (an order, not a secret)
    order = list(range(len(sequences)))
    while True:
        rng.shuffle(order)
        for index in order:
            yield sequences[index]


def _cut_to(lengths: Iterator[int], sequences: Iterator[Tokens]) -> Iterator[Tokens]:
    """Lay sequences end to end and cut the tape into pieces of `lengths`; attention sees across examples."""
    ids: list[int] = []
    labels: list[int] = []
    for length in lengths:
        while len(ids) < length:
            following = next(sequences)
            ids += following.ids
            labels += following.labels
        yield Tokens(ids[:length], labels[:length])
        ids, labels = ids[length:], labels[length:]


def padded(sequences: Sequence[Tokens], pad_id: int) -> Batch:
    """Pad on the right to the longest sequence. Padding is masked by position, never by its token's id."""
    longest = max(len(s.ids) for s in sequences)
    missing = [longest - len(s.ids) for s in sequences]
    labels = [s.labels + [IGNORED] * gap for s, gap in zip(sequences, missing, strict=True)]
    return Batch(
        input_ids=torch.tensor([s.ids + [pad_id] * gap for s, gap in zip(sequences, missing, strict=True)]),
        attention_mask=torch.tensor([[1] * len(s.ids) + [0] * gap for s, gap in zip(sequences, missing, strict=True)]),
        labels=torch.tensor(labels),
        all=longest * len(sequences),
        real=sum(len(s.ids) for s in sequences),
        trained=sum(label != IGNORED for row in labels for label in row[1:]),
        pixels=seen([s.look for s in sequences]),
    )


def seen(looks: Sequence[Look | None]) -> dict[str, torch.Tensor]:
    """Look at the images of a batch's sequences; nothing where none has one."""
    found = [look() for look in looks if look]
    return {name: torch.cat([one[name] for one in found]) for name in found[0]} if found else {}
