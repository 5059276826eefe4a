"""Bases under an adapter: a named base is that of the method that is known by it, and nothing else is quantised."""

from __future__ import annotations

import pytest
import torch

from bench.errors import UnsupportedError
from bench.worker import resolved
from bench.worker.build import seed_everything


def outputs(model) -> torch.Tensor:
    """What a model says to the same eight tokens."""
    model.eval()
    with torch.no_grad():
        logits: torch.Tensor = model(input_ids=torch.arange(8)[None]).logits
    return logits


@pytest.mark.parametrize(("base", "method", "settings"), [
    ("nf4", "qlora", {}), ("fp4", "qlora", {"quant_type": "fp4"}), ("int8", "lora_8bit", {}),
])  # fmt: skip
def test_lora_on_a_base_is_the_method_of_that_name(prepared, tiny_config, base, method, settings):
    """The same quantisation, types, parameters and outputs as QLoRA or LoRA on 8 bits with their defaults."""
    ours, known = tiny_config("lora", base=base), tiny_config(method, **settings)
    seed_everything(0)
    one = prepared(ours)
    seed_everything(0)
    other = prepared(known)

    assert resolved.settings(one) == resolved.settings(other)
    assert resolved.counts(one) == resolved.counts(other)
    assert torch.equal(outputs(one), outputs(other))


@pytest.mark.parametrize("method", ["full", "qlora", "lora_8bit"])
def test_a_method_with_a_base_of_its_own_takes_no_other(prepared, tiny_config, method):
    """Full trains its base, and the others say themselves how theirs is held."""
    with pytest.raises(UnsupportedError, match=f"{method} decides how its base is held"):
        prepared(tiny_config(method, base="nf4"))


def test_a_plain_base_stays_plain(prepared, tiny_config):
    """Nothing is quantised that nobody asked for."""
    assert resolved.settings(prepared(tiny_config("dora")))["base.quantization"] == "none"


def test_a_base_is_part_of_a_case(tiny_config):
    """Runs on other bases are other cases; the default one keeps the name that LoRA had before bases existed."""
    plain = tiny_config("lora")

    assert plain.but(base="plain").case == plain.case
    assert len({plain.but(base=base).case for base in ("plain", "nf4", "fp4", "int8")}) == 4
