"""The loop's step is the textbook's: accumulation, clipping and schedule change nothing they should not."""

from __future__ import annotations

import copy
import dataclasses
import weakref
from itertools import islice

import pytest
import torch

from bench.errors import UnsupportedError
from bench.schema import Status
from bench.schema.codec import decode, encode
from bench.schema.config import Protocol, configure
from bench.worker.batches import batches, padded
from bench.worker.encoding import Encoder
from bench.worker.logbook import Logbook
from bench.worker.loop import Steps, Trainer, train
from bench.worker.methods import lora
from bench.worker.tasks.addition import TASK


def sequences(tokenizer, count=16):
    encoder = Encoder(tokenizer, chat=False)
    return [encoder.whole(example) for example in TASK.train(0, count)]


def test_accumulation_gives_the_gradient_of_the_whole_batch(prepared, tiny_config, tokenizer, cpu):
    """Four batches of four with unequal token counts step exactly as one batch of sixteen."""
    examples = sequences(tokenizer)
    settings = {"optimizer": "adamw", "max_grad_norm": 0.0, "warmup_ratio": 0.0, "steps": 2}
    whole = prepared(tiny_config(batch_size=16, **settings))
    parts = copy.deepcopy(whole)

    loss, norm = Trainer(whole, tiny_config(batch_size=16, **settings), cpu).step([padded(examples, 0)])
    quarter = [padded(examples[n : n + 4], 0) for n in range(0, 16, 4)]
    parted = tiny_config(batch_size=4, gradient_accumulation_steps=4, **settings)
    loss_of_parts, norm_of_parts = Trainer(parts, parted, cpu).step(quarter)

    torch.testing.assert_close(loss_of_parts, loss, rtol=1e-5, atol=0)
    torch.testing.assert_close(norm_of_parts, norm, rtol=1e-4, atol=0)


def test_a_step_is_the_textbook_step(prepared, tiny_config, tokenizer, cpu):
    """Loss, clipping and AdamW by hand, on the same weights, give the same loss and the same new weights."""
    config = tiny_config(optimizer="adamw", learning_rate=1e-3, warmup_ratio=0.0, steps=1, max_grad_norm=0.1)
    model = prepared(config)
    by_hand = copy.deepcopy(model)
    batch = padded(sequences(tokenizer, 4), 0)

    loss, norm = Trainer(model, config, cpu).step([batch])

    logits = by_hand(input_ids=batch.input_ids, attention_mask=batch.attention_mask).logits[:, :-1]
    expected = torch.nn.functional.cross_entropy(logits.flatten(0, 1), batch.labels[:, 1:].flatten(), ignore_index=-100)
    expected.backward()
    expected_norm = torch.sqrt(sum(p.grad.square().sum() for p in by_hand.parameters()))
    optimizer = torch.optim.AdamW(by_hand.parameters(), lr=1e-3, weight_decay=0.0)
    for parameter in by_hand.parameters():
        parameter.grad *= 0.1 / (expected_norm + 1e-6)
    optimizer.step()
    torch.testing.assert_close(loss, expected.detach(), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(norm, expected_norm, rtol=1e-4, atol=0)
    for ours, theirs in zip(model.parameters(), by_hand.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


def test_every_step_is_noted(prepared, tiny_config, tokenizer, cpu):
    """Each series has one value a step, and the learning rate rises and falls as the schedule says."""
    config = tiny_config(steps=10, warmup_ratio=0.2, learning_rate=1e-3, batch_size=2)
    feed = batches(sequences(tokenizer), config, 0)
    steps = Steps()

    train(Trainer(prepared(config), config, cpu), feed, steps, 10)

    assert {name: len(values) for name, values in (steps.on_host() | steps.on_device()).items()} == dict.fromkeys(
        (steps.on_host() | steps.on_device()), 10
    )
    rates = steps.learning_rates
    assert rates[:3] == pytest.approx([0.0, 5e-4, 1e-3])
    assert rates[2:] == sorted(rates[2:], reverse=True)


@pytest.mark.parametrize("method", ["full", "lora", "qlora"])
def test_training_learns(prepared, tiny_config, tokenizer, cpu, method):
    """Thirty steps on four examples bring the loss down by more than a tenth."""
    torch.manual_seed(0)
    config = tiny_config(method, steps=30, learning_rate=1e-2, batch_size=4)
    feed = batches(sequences(tokenizer, 4), config, 0)
    steps = Steps()

    train(Trainer(prepared(config), config, cpu), feed, steps, 30)

    losses = (steps.on_host() | steps.on_device())["step.loss"]
    assert losses[-1] < 0.9 * losses[0]


def test_checkpointing_changes_no_gradient(prepared, tiny_config, tokenizer, cpu):
    """Recomputing activations gives the same loss and gradient norm, for all weights and for adapters."""
    batch = padded(sequences(tokenizer, 4), 0)
    for method in ("full", "lora", "qlora"):
        found = []
        for checkpointing in (False, True):
            torch.manual_seed(0)
            options = {} if method == "full" else {"dropout": 0.0}
            config = tiny_config(method, gradient_checkpointing=checkpointing, **options)
            model = prepared(config).train()
            found.append(Trainer(model, config, cpu).step([batch]))
        torch.testing.assert_close(found[0], found[1], rtol=1e-5, atol=1e-7)


def test_a_diverged_loss_is_kept_as_null(prepared, tiny_config, tokenizer, cpu, tmp_path):
    """A loss that is not a number stays in the series as null, so that the record is valid JSON and tells."""
    config = tiny_config(steps=3, learning_rate=1e30, max_grad_norm=0.0, warmup_ratio=0.0)
    steps = Steps()
    train(Trainer(prepared(config), config, cpu), batches(sequences(tokenizer), config, 0), steps, 3)
    logbook = Logbook(config, tmp_path / "phase")
    for name, values in (steps.on_host() | steps.on_device()).items():
        logbook.keep_series(name, values)

    kept = decode(encode(logbook.record(Status.OK)).encode())

    assert kept.series["step.loss"][0] is not None
    assert kept.series["step.loss"][2] is None


def test_paged_optimisers_are_refused_where_nothing_pages(prepared, tiny_config, cpu):
    """On a CPU bitsandbytes would fall back without paging; that must not pass for a paged run."""
    config = tiny_config(optimizer="paged_adamw_8bit")

    with pytest.raises(UnsupportedError, match="CUDA"):
        Trainer(prepared(config), config, cpu)


@pytest.mark.parametrize("optimizer", ["adamw", "adamw_fused", "adamw_8bit"])
def test_optimisers_move_the_weights(prepared, optimizer, tokenizer, cpu):
    """Every optimiser of the catalogue that a CPU has makes a step."""
    config = configure(model="tiny-llama", method="full", task="addition", optimizer=optimizer, warmup_ratio=0.0)
    model = prepared(config)
    before = [p.detach().clone() for p in model.parameters()]

    Trainer(model, config, cpu).step([next(iter(islice(batches(sequences(tokenizer), config, 0), 1)))])

    assert all((b != p).any() for b, p in zip(before, model.parameters(), strict=True))


@pytest.mark.parametrize(("first", "left"), [(False, False), (True, True)])
def test_gradients_are_released_where_the_protocol_says(prepared, tiny_config, tokenizer, cpu, first, left):
    """At a step's end, or only as the next one begins."""
    config = tiny_config(protocol=Protocol(zero_grad_first=first))
    trainer = Trainer(prepared(config), config, cpu)
    batch = padded(sequences(tokenizer, 2), 0)
    trainer.step([batch])
    seen = []

    trainer.step([batch], lambda _: seen.append(any(p.grad is not None for p in trainer.parameters)))

    assert seen[0] is False
    assert any(p.grad is not None for p in trainer.parameters) is left


@pytest.mark.parametrize(
    ("outputs", "alive_at"),
    [("loss", set()), ("backward", {"backward"}), ("forward", {"backward", "optimizer", "end", "next forward"})],
)
def test_outputs_live_as_long_as_the_protocol_says(prepared, tiny_config, tokenizer, cpu, outputs, alive_at):
    """Until the loss is taken, until the backward pass is done, or into the next step's forward pass."""
    config = tiny_config(protocol=Protocol(outputs=outputs))
    trainer = Trainer(prepared(config), config, cpu)
    batch = padded(sequences(tokenizer, 2), 0)
    made: list[weakref.ref] = []
    trainer.model.register_forward_hook(lambda *hooked: made.append(weakref.ref(hooked[-1])))
    alive = set()

    def note(stage):
        if made and made[0]() is not None:
            alive.add("next forward" if len(made) == 1 and "end" in seen and stage == "forward" else stage)
        seen.append(stage)

    seen: list[str] = []
    trainer.step([batch], note)
    trainer.step([batch], note)

    assert alive == alive_at


def test_a_forward_pass_fills_a_cache_only_if_the_protocol_says_so(prepared, tiny_config, tokenizer, cpu):
    """As models do that nobody tells not to."""
    for wanted in (False, True):
        config = tiny_config(protocol=Protocol(use_cache=wanted))
        trainer = Trainer(prepared(config), config, cpu)
        filled = []
        trainer.model.register_forward_hook(lambda *seen, to=filled: to.append(seen[-1].past_key_values is not None))

        trainer.step([padded(sequences(tokenizer, 2), 0)])

        assert filled == [wanted]


def test_another_loop_trains_the_same(prepared, tiny_config, tokenizer, cpu):
    """What a protocol changes is memory: loss and weights after three steps are the same to the last digit."""
    found = []
    for protocol in (Protocol(), Protocol(use_cache=True, outputs="forward", zero_grad_first=True)):
        config = tiny_config(protocol=protocol, steps=3)
        model = prepared(config)
        trainer = Trainer(model, config, cpu)
        losses = [trainer.step([padded(sequences(tokenizer, 4), 0)])[0].item() for _ in range(3)]
        found.append((losses, [parameter.detach() for parameter in model.parameters()]))

    assert found[0][0] == found[1][0]
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(found[0][1], found[1][1], strict=True))


def test_a_method_may_bring_its_own_optimizer(prepared, tiny_config, cpu):
    """LoRA+ trains its two factors at rates of their own, whatever the config's optimizer would do."""
    config = tiny_config("loraplus", optimizer="adamw")

    trainer = Trainer(prepared(config), config, cpu)

    assert len({group["initial_lr"] for group in trainer.optimizer.param_groups}) == 2


def test_a_method_is_called_after_every_step_while_gradients_are_there(
    prepared, tiny_config, tokenizer, cpu, monkeypatch
):
    """With the model and the step's number, from 1."""
    called = []

    def after_step(model, number):
        called.append((number, all(p.grad is not None for p in model.parameters() if p.requires_grad)))

    monkeypatch.setattr(lora, "METHOD", dataclasses.replace(lora.METHOD, after_step=after_step))
    config = tiny_config("lora")
    trainer = Trainer(prepared(config), config, cpu)
    for _ in range(2):
        trainer.step([padded(sequences(tokenizer, 2), 0)])

    assert called == [(1, True), (2, True)]
