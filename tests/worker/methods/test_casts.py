"""Adapters on a 16-bit base are in float32 unless told otherwise."""

from __future__ import annotations

import pytest
import torch

from bench.schema.catalogue import METHODS
from tests.worker.methods.small import SMALL, every_method

WITHOUT_A_TYPE = "lora_8bit"
"""A weight in 8 bits has no type an adapter could take over; peft then makes it float32."""

CAST = [
    method
    for method in every_method()
    for name in method.values
    if "autocast_adapter_dtype" in METHODS[name].options and name != WITHOUT_A_TYPE
]


ROUTED = "xlora"
"""Its router reads the base's last hidden state and has its type, whatever the adapters have."""


@pytest.mark.parametrize(("cast", "kind"), [(True, torch.float32), (False, torch.bfloat16)])
@pytest.mark.parametrize("method", CAST)
def test_an_adapter_has_the_type_its_setting_says(prepared, tiny_config, method, cast, kind):
    """Trained weights are float32 with `autocast_adapter_dtype`, and of the base's bfloat16 without."""
    settings = {"dtype": "bfloat16", "autocast_adapter_dtype": cast, "prepare_kbit": False, **SMALL.get(method, {})}
    known = {name: value for name, value in settings.items() if name in METHODS[method].options or name == "dtype"}
    model = prepared(tiny_config(method, **known))

    trained = {name: p.dtype for name, p in model.named_parameters() if p.requires_grad}
    assert {dtype for name, dtype in trained.items() if method != ROUTED or ".lora_" in name} == {kind}


@pytest.mark.parametrize("method", ["qlora", "lora_8bit"])
@pytest.mark.parametrize(("prepare", "kind"), [(True, torch.float32), (False, torch.bfloat16)])
def test_what_is_not_quantised_is_cast_if_the_config_says_so(prepared, tiny_config, method, prepare, kind):
    """Norms and embeddings are float32 with `prepare_kbit`, and stay in 16 bits without."""
    model = prepared(tiny_config(method, dtype="bfloat16", prepare_kbit=prepare))

    assert {p.dtype for name, p in model.named_parameters() if "norm" in name or "embed" in name} == {kind}
