"""Batches carry every token once, mask what is padding, and count what is trained."""

from __future__ import annotations

from itertools import islice

import torch
from hypothesis import given
from hypothesis import strategies as st

from bench.schema.config import configure
from bench.worker.batches import IGNORED, Encoder, Tokens, batches, cut, padded
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


def test_only_the_answer_is_trained(tokenizer):
    """Labels are ignored over the prompt and equal the ids over the answer and the end of text."""
    tokens = Encoder(tokenizer, chat=False).whole(Example("12+34=", "46"))

    prompt = len("12+34=")
    assert tokens.labels[:prompt] == [IGNORED] * prompt
    assert tokens.labels[prompt:] == tokens.ids[prompt:]
    assert tokenizer.decode(tokens.ids[prompt:-1]) == "46"
    assert tokens.ids[-1] == tokenizer.eos_token_id
