"""Batches carry every token once, mask what is padding, and count what is trained."""

from __future__ import annotations

from itertools import cycle, islice

import torch
from hypothesis import given
from hypothesis import strategies as st

from bench.schema.config import Protocol, configure
from bench.worker.batches import batches, cut, padded
from bench.worker.encoding import IGNORED, Encoder, Tokens
from bench.worker.tasks import Example

PAD = 0

sequences = st.lists(
    st.integers(1, 20).flatmap(
        lambda n: st.builds(
            Tokens,
            st.lists(st.integers(0, 99), min_size=n, max_size=n),
            st.lists(st.sampled_from([IGNORED, 5, PAD]), min_size=n, max_size=n),
        )
    ),
    min_size=1,
    max_size=8,
)


def config(**settings):
    return configure(**{"model": "tiny-llama", "method": "full", "task": "addition", **settings})


@given(sequences)
def test_padding_keeps_every_token_and_masks_the_rest(given_sequences):
    """What the mask shows is the sequence itself, and everything else is ignored by the loss."""
    batch = padded(given_sequences, PAD)

    for row, sequence in enumerate(given_sequences):
        shown = batch.attention_mask[row].bool()
        assert batch.input_ids[row][shown].tolist() == sequence.ids
        assert batch.labels[row][shown].tolist() == sequence.labels
        assert (batch.labels[row][~shown] == IGNORED).all()


@given(sequences)
def test_tokens_are_counted_three_ways(given_sequences):
    """All positions, those that are no padding, and those whose prediction enters the loss."""
    batch = padded(given_sequences, PAD)

    assert batch.all == batch.input_ids.numel()
    assert batch.real == sum(len(s.ids) for s in given_sequences)
    assert batch.trained == sum(label != IGNORED for s in given_sequences for label in s.labels[1:])


@given(sequences, st.integers(1, 16), st.integers(0, 3))
def test_packing_loses_and_repeats_no_token(given_sequences, length, seed):
    """The packed tape is the shuffled examples end to end, cut into full pieces without padding."""
    packed = config(packing=True, sequence_length=length, batch_size=1, seed=seed)
    total = sum(len(s.ids) for s in given_sequences)
    pieces = [
        next(stream).input_ids[0].tolist()
        for stream in [batches(given_sequences, packed, PAD)]
        for _ in range(total // length)
    ]

    assert all(len(piece) == length for piece in pieces)
    seen = sorted(token for piece in pieces for token in piece)
    everything = sorted(token for s in given_sequences for token in s.ids)
    assert len(everything) - len(seen) < length
    remaining = everything.copy()
    for token in seen:
        remaining.remove(token)


shapes = st.lists(st.tuples(st.integers(1, 4), st.integers(1, 9)), min_size=1, max_size=4).map(tuple)


@given(sequences, shapes, st.booleans())
def test_a_protocols_batches_have_its_shapes_in_order_again_and_again(given_sequences, wanted, padding):
    """One row of a padded batch is as long as that and the others a token shorter; no batch is the config's."""
    protocol = Protocol(shapes=wanted, padded=padding)
    stream = batches(given_sequences, config(protocol=protocol, packing=True, batch_size=7), PAD)

    for batch, (rows, length) in zip(islice(stream, 2 * len(wanted)), cycle(wanted), strict=False):
        lengths = batch.attention_mask.sum(dim=1).tolist()
        assert tuple(batch.input_ids.shape) == (rows, length)
        assert lengths == [length] + [max(1, length - padding)] * (rows - 1)


@given(sequences, shapes)
def test_a_protocols_batches_lose_and_repeat_no_token(given_sequences, wanted):
    """They are cut from the shuffled sequences end to end."""
    made = config(protocol=Protocol(shapes=wanted))
    rows = (row for batch in batches(given_sequences, made, PAD) for row in batch.input_ids.tolist())
    total = sum(len(sequence.ids) for sequence in given_sequences)
    tape: list[int] = []
    while len(tape) < total:
        tape += next(rows)

    assert sorted(tape[:total]) == sorted(token for sequence in given_sequences for token in sequence.ids)


def test_a_mask_goes_to_the_device_only_if_it_masks_something():
    """Nobody has to read back a mask of ones to find out that it can be left out."""
    long, short = Tokens([1, 2, 3], [1, 2, 3]), Tokens([1, 2], [1, 2])

    assert set(padded([long, long], PAD).on("cpu")) == {"input_ids", "labels"}
    assert set(padded([long, short], PAD).on("cpu")) == {"input_ids", "labels", "attention_mask"}


@given(sequences, st.integers(1, 10))
def test_cutting_counts_what_it_cut(given_sequences, length):
    """No sequence is longer afterwards, and the count is that of the longer ones before."""
    shorter, count = cut(given_sequences, length)

    assert all(len(s.ids) == len(s.labels) <= length for s in shorter)
    assert count == sum(len(s.ids) > length for s in given_sequences)


def test_the_seed_decides_the_order():
    """Equal seeds give equal batches; other seeds other ones; a second pass has another order."""
    examples = [Tokens([n], [n]) for n in range(50)]

    def first_passes(seed: int) -> list[int]:
        stream = batches(examples, config(batch_size=1, seed=seed), PAD)
        return [batch.input_ids.item() for batch in islice(stream, 100)]

    assert first_passes(3) == first_passes(3)
    assert first_passes(3) != first_passes(4)
    assert sorted(first_passes(3)[:50]) == sorted(first_passes(3)[50:]) == list(range(50))
    assert first_passes(3)[:50] != first_passes(3)[50:]


def test_the_end_of_text_is_trained_although_it_is_also_the_padding(tokenizer):
    """A model whose padding token is its end-of-text token still learns to stop."""
    assert tokenizer.pad_token_id == tokenizer.eos_token_id
    short, long = (Encoder(tokenizer, chat=False).whole(Example("1+1=", answer)) for answer in ("2", "22"))

    batch = padded([short, long], tokenizer.pad_token_id)

    ends = (batch.labels == tokenizer.eos_token_id).sum(dim=1)
    assert torch.equal(ends, torch.tensor([1, 1]))
    assert batch.trained == 2 + 3
