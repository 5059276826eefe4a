"""No setting is without effect: each reaches peft, the optimiser or the quantisation."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from bench.schema.catalogue import METHODS, load
from bench.schema.config import configure
from bench.schema.entry import Option
from tests.worker.methods.small import every_method

NOT_PEFTS = {
    "autocast_adapter_dtype", "prepare_kbit",  # how the base and the adapter are cast; see test_casts.py
    "quant_type", "double_quant", "compute_dtype", "quant_storage", "threshold",  # of the quantisation
    "lr_ratio", "regularization",  # of the optimiser
    "consistency",  # of the training pass; see test_adamix.py
}  # fmt: skip

OTHER = {
    "targets": "q_proj,o_proj", "feedforward": "none", "diagonal_a": "o_proj", "diagonal_b": "q_proj",
    "activation": "gelu", "wavelet_family": "db2", "tokens": "5,7", "decompose_factor": 4, "sparsity": 0.9,
    "dropout": 0.1, "as_many_as": "q_proj", "tau": 0.9,
}  # fmt: skip
"""Values other than the default, where twice as much is none."""

TOGETHER = {
    ("ia3", "targets"): {"feedforward": "none"},
    ("supertuning", "alpha"): {"rank": 8},
    ("p_tuning", "encoder_layers"): {"encoder": "LSTM"},
}
"""Settings that have an effect or are accepted only with others."""

TESTED_ELSEWHERE = {("loftq", "iterations")}
"""Of our own code; test_loftq.py has them. X-LoRA's adapters and its router are two configs: test_xlora.py."""

PAIRS = [
    pytest.param(name, option, marks=method.marks)
    for method in every_method()
    for name in method.values
    for option in METHODS[name].options
    if option not in NOT_PEFTS and (name, option) not in TESTED_ELSEWHERE and name != "xlora"
]


def another(name: str, option: Option):
    """Return a value that is not the option's default."""
    if isinstance(option.default, bool):
        return not option.default
    if option.choices:
        return next(choice for choice in option.choices if choice != option.default)
    return OTHER[name] if name in OTHER else type(option.default)(option.default * 2 or 1)


@pytest.mark.parametrize(("method", "option"), PAIRS)
def test_every_setting_of_an_adapter_reaches_peft(handed_to_peft, method, option):
    """With another value peft is given something else."""
    if method in {"qlora", "lora_8bit", "loftq"}:
        method = "lora"  # the same adapter; a base without weights cannot be examined for its kernels, or quantised
    beside = TOGETHER.get((method, option), {})
    value = another(option, METHODS[method].options[option])

    assert asdict(handed_to_peft(method, **beside, **{option: value})) != asdict(handed_to_peft(method, **beside))


@pytest.mark.parametrize(
    "method", [m for m in every_method() if m.values[0] not in {"full", "qlora", "lora_8bit", "loftq"}]
)
def test_defaults_are_lora_s_or_pefts_own(handed_to_peft, method):
    """A method on its own starts from peft's defaults; one that is LoRA and something more from LoRA's settings."""
    found = handed_to_peft(method)
    ours = {"rank", "alpha", "dropout", "targets", "bias"}
    if ours <= set(METHODS[method].options):
        assert {name: METHODS[method].options[name] for name in ours} == {
            name: METHODS["lora"].options[name] for name in ours
        }
        return
    given = {name: value for name, value in asdict(found).items() if name in OWN_CHOICE.get(method, ())}
    without = type(found)(task_type="CAUSAL_LM", **given)
    assert asdict(found) == asdict(without)


OWN_CHOICE = {
    "adalora": ("total_step",),  # the run's steps
    "adaption_prompt": ("adapter_len", "adapter_layers"),  # peft has no default
    "cartridge": ("num_virtual_tokens",),
    "frod": ("progressbar",),
    "p_tuning": ("num_virtual_tokens",),
    "prefix_tuning": ("num_virtual_tokens",),
    "prompt_tuning": ("num_virtual_tokens",),
    "trainable_tokens": ("token_indices",),
}
"""Fields that cannot be, or are not, peft's default."""


@pytest.mark.parametrize(
    ("method", "changes"),
    [
        ("qlora", {"quant_type": "fp4", "double_quant": False, "quant_storage": "float16"}),
        ("qlora", {"compute_dtype": "bfloat16"}),
        ("lora_8bit", {"threshold": 0.0}),
    ],
)
def test_every_setting_of_a_quantised_base_reaches_its_config(method, changes):
    """With another value transformers is given something else."""
    quantization = load(METHODS[method]).quantization
    common = {"model": "tiny-llama", "method": method, "task": "addition"}
    for option, value in changes.items():
        changed, plain = quantization(configure(**common, **{option: value})), quantization(configure(**common))
        assert changed.to_dict() != plain.to_dict(), option
