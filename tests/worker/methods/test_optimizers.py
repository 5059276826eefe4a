"""Methods that bring an optimiser, or work of their own after a step."""

from __future__ import annotations

import pytest
import torch

from bench.schema.catalogue import METHODS, load
from bench.worker.batches import padded
from bench.worker.encoding import Tokens
from bench.worker.loop import Trainer

BATCH = [padded([Tokens(list(range(1, 17)), list(range(1, 17)))], pad_id=0)]


@pytest.fixture
def trainer(prepared, tiny_config, cpu):
    """Make a trainer of a method."""

    def make(method, **settings):
        config = tiny_config(method, warmup_ratio=0.0, **settings)
        return Trainer(prepared(config).train(), config, cpu)

    return make


@pytest.mark.parametrize("optimizer", ["adamw", "adamw_fused", "adamw_8bit", "mapped_adamw"])
def test_the_second_matrix_of_loraplus_learns_faster(trainer, optimizer):
    """The config's optimiser has A at its learning rate and B at `lr_ratio` times that, both with its decay."""
    made = trainer("loraplus", optimizer=optimizer, learning_rate=1e-3, lr_ratio=8.0, weight_decay=0.1)
    part_of = {id(p): name.split(".")[-3] for name, p in made.model.named_parameters() if "lora" in name}

    groups = made.optimizer.param_groups
    assert {(part_of[id(p)], group["initial_lr"]) for group in groups for p in group["params"]} == {
        ("lora_A", 1e-3),
        ("lora_B", 8e-3),
    }
    assert {group["weight_decay"] for group in groups} == {0.1}
    assert type(made.optimizer) is type(trainer("lora", optimizer=optimizer).optimizer)
    made.step(BATCH)


def test_lorafa_keeps_states_of_the_second_matrix_alone(trainer):
    """Half of LoRA's optimiser state: two moments of every B, none of A."""
    made = trainer("lorafa")
    made.step(BATCH)

    held = sum(v.numel() for state in made.optimizer.state.values() for v in state.values() if torch.is_tensor(v))
    assert held == 2 * sum(p.numel() for name, p in made.model.named_parameters() if "lora_B" in name)


def test_a_damped_gradient_is_another_one(trainer):
    """`regularization` reaches the preconditioner: the same step from the same weights ends elsewhere."""
    ends = []
    for regularization in (1e-2, 10.0):
        torch.manual_seed(0)
        made = trainer("lora_riemannian", regularization=regularization, learning_rate=1e-2)
        for _ in range(2):
            torch.manual_seed(1)
            made.step(BATCH)
        ends.append(torch.cat([p.detach().flatten() for n, p in made.model.named_parameters() if "lora_B" in n]))

    assert not torch.allclose(*ends)


def test_adalora_cuts_to_the_mean_rank_asked_for(trainer):
    """After the last step before `tfinal` as many singular values are left as `rank` allows."""
    made = trainer("adalora", rank=4, init_rank=8, tinit=1, tfinal=1, steps=6)
    for _ in range(6):
        made.step(BATCH)

    values = [p for name, p in made.model.named_parameters() if "lora_E" in name]
    assert {p.numel() for p in values} == {8}
    assert sum(int(torch.count_nonzero(p)) for p in values) == 4 * len(values)


@pytest.mark.parametrize(("settings", "at_first"), [({"rank": 32}, 48), ({}, 12), ({"rank": 32, "init_rank": 64}, 64)])
def test_adalora_starts_from_half_as_much_again(handed_to_peft, settings, at_first):
    """`rank` is what is left at the end; at the start it is one and a half times that, unless told."""
    found = handed_to_peft("adalora", **settings)

    assert (found.init_r, found.target_r) == (at_first, settings.get("rank", 8))


def test_most_methods_leave_both_to_the_config():
    """Only these four bring something."""
    methods = {name: load(entry) for name, entry in METHODS.items()}

    assert {name for name, m in methods.items() if m.optimizer} == {"loraplus", "lorafa", "lora_riemannian"}
    assert {name for name, m in methods.items() if m.after_step} == {"adalora"}
