"""A tiny model in every format: errors that arithmetic knows, bits that are there, and nothing made up."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bitsandbytes as bnb
import pytest
import torch

from bench.schema import RunConfig, RunRecord, Status
from bench.schema.metrics import METRICS
from bench.worker import bases
from bench.worker.devices.cpu import Cpu
from bench.worker.logbook import Logbook
from bench.worker.main import recorded
from bench.worker.studies.layers import Form, filled, stored
from bench.worker.studies.quantization_weights import Errors, hold_model, hold_normal, size, uniform

Hold = Callable[..., RunRecord]
MODEL_WEIGHTS = 98_304
"""Weights of tiny-llama's fourteen linear layers."""


@pytest.fixture
def held(tiny_cache: Path, tiny_config: Callable[..., RunConfig], tmp_path: Path) -> Hold:
    """Hold a tiny model in a format; returns the record."""

    def hold(**settings: Any) -> RunRecord:
        study = {"study": "quantization", "batch_size": 8, "sequence_length": 32, "test_items": 6, "train_examples": 1}
        return recorded(Logbook(tiny_config("full", **{**study, **settings}), tmp_path / "phase"))

    return hold


def test_nothing_changes_in_the_dtype_that_was_there(held):
    """In float32 there is no error, 32 bits, and the model says what it said; every number is a declared one."""
    record = held(format="float32")

    assert record.status is Status.OK, record.failure
    found = record.metrics
    assert (found["quantization.rmse"], found["quantization.bits"], found["quantization.model_bits"]) == (0, 32, 32)
    assert (found["quantization.kl"], found["quantization.flips"]) == (0, 0)
    assert found["quantization.perplexity"] == found["quantization.perplexity_before"]
    assert found["quantization.weights"] == MODEL_WEIGHTS
    named = [name for name in found if name.startswith("quantization.")]
    assert named
    assert [name for name in named if name not in METRICS] == []


def test_a_dtype_is_the_whole_models(held):
    """In bfloat16 all of the model has 16 bits, and the error is of its 8 binary digits."""
    found = held(format="bfloat16").metrics

    assert (found["quantization.bits"], found["quantization.model_bits"]) == (16, 16)
    assert 2**-10 < found["quantization.relative_error"] < 2**-8
    assert 0 < found["quantization.kl"] < 1e-4


@pytest.mark.parametrize(("held_in", "error"), [("nf4", 0.0920), ("fp4", 0.1219)], ids=["nf4", "fp4"])
def test_errors_of_normal_numbers_are_the_formats(held, held_in, error):
    """In blocks of 64 NF4 errs by 9.2 % and FP4 by 12.2 % of a normal tensor's norm, uniform 4-bit by 10.8 %."""
    found = held(format=held_in).metrics

    assert found["quantization.normal_relative_error"] == pytest.approx(error, rel=0.01)
    assert found["quantization.normal_uniform_relative_error"] == pytest.approx(0.1077, rel=0.01)
    assert found["quantization.normal_rmse"] ** 2 == pytest.approx(found["quantization.normal_mse"])
    assert found["quantization.rmse"] < 0.05  # the model's own weights are small


def test_double_quantisation_saves_what_arithmetic_says(held):
    """Bits of scales are 32 / 64, and 8 / 64 plus a scale a group of 256 and an offset a layer: counted."""
    once, twice = (held(double_quant=nested).metrics for nested in (False, True))

    layers, blocks = 14, MODEL_WEIGHTS // 64
    groups = 8 * 1 + 6 * 1  # every layer of tiny-llama has at most 192 blocks
    assert once["quantization.scale_bits"] == 0.5
    assert twice["quantization.scale_bits"] == pytest.approx((8 * blocks + 32 * groups + 32 * layers) / MODEL_WEIGHTS)
    assert once["quantization.table_bits"] == pytest.approx(32 * 16 * layers / MODEL_WEIGHTS)
    assert once["quantization.payload_bits"] == twice["quantization.payload_bits"] == 4
    assert once["quantization.bits"] == pytest.approx(4.5 + once["quantization.table_bits"])


def test_larger_blocks_need_fewer_bits_and_err_more(held):
    """Blocks of 32 have twice the scales of blocks of 64, and smaller errors."""
    small, large = (held(blocksize=blocksize, double_quant=False).metrics for blocksize in (32, 64))

    assert small["quantization.scale_bits"] == 2 * large["quantization.scale_bits"]
    assert small["quantization.rmse"] < large["quantization.rmse"]
    assert small["quantization.uniform_rmse"] < large["quantization.uniform_rmse"]


def test_eight_bits_are_one_scale_a_row(held):
    """int8 holds a byte a weight and a float32 a row, errs by less than a hundredth, and hardly changes the words."""
    found = held(format="int8").metrics

    assert found["quantization.payload_bits"] == 8
    assert found["quantization.scale_bits"] == pytest.approx(32 / 76.8)  # 1,280 rows of 98,304 weights
    assert 1e-3 < found["quantization.relative_error"] < 1e-2
    assert found["quantization.kl"] < 1e-4


def test_what_a_layer_computes_in_changes_words_and_no_weights(held):
    """In bfloat16 the same weights give other logits."""
    same, coarse = (held(compute_dtype=dtype) for dtype in ("same", "bfloat16"))

    for name in ("rmse", "bits", "normal_rmse"):
        assert same.metrics[f"quantization.{name}"] == coarse.metrics[f"quantization.{name}"]
    assert same.series["quantization.token_kl"] != coarse.series["quantization.token_kl"]


def test_the_layers_are_those_that_qlora_trains_on(prepared, tiny_config):
    """NF4 made here is bit for bit what transformers loads for a base of NF4, layer by layer."""
    theirs = prepared(tiny_config("lora", base="nf4")).get_base_model()
    ours = prepared(tiny_config("full"))
    hold_model(ours, Form("nf4"), Cpu())

    names = [name for name, module in ours.named_modules() if isinstance(module, bnb.nn.Linear4bit)]
    assert len(names) == 14
    for name in names:
        other = theirs.get_submodule(name)
        other = getattr(other, "base_layer", other)
        assert torch.equal(stored(ours.get_submodule(name)), stored(other))
    assert bases.quantization(tiny_config("lora", base="nf4")).bnb_4bit_use_double_quant


def test_where_kernels_are_wrong_errors_stand_and_words_are_absent(held, monkeypatch):
    """A kernel that is off by 5 % leaves errors and bits as they are; the model is not asked, and why is told."""
    sound = bnb.functional.dequantize_4bit
    right = held().metrics
    monkeypatch.setattr(bnb.functional, "dequantize_4bit", lambda *a, **k: sound(*a, **k) * 1.05)
    record = held()

    assert record.status is Status.OK
    assert record.metrics["quantization.rmse"] == right["quantization.rmse"]
    assert record.metrics["quantization.bits"] == right["quantization.bits"]
    assert "quantization.kl" not in record.metrics
    assert "off by 5" in record.absent["quantization.kl"]


def test_what_is_not_installed_is_unsupported_and_says_how(held, monkeypatch):
    """Without hqq a run ends with the package and the command that brings it."""
    monkeypatch.setitem(sys.modules, "hqq", None)
    monkeypatch.setitem(sys.modules, "hqq.core.quantize", None)
    record = held(format="hqq")

    assert record.status is Status.UNSUPPORTED
    assert record.failure is not None
    assert "pip install 'ftbench[hqq]'" in record.failure.message


def test_hqq_holds_as_few_bits_as_it_says(held):
    """Two bits a weight, and a scale and a zero of float32 a block of 64; fewer bits err more."""
    pytest.importorskip("hqq")
    two, four = (held(format="hqq", bits=bits).metrics for bits in (2, 4))

    assert (two["quantization.payload_bits"], two["quantization.scale_bits"]) == (2, 1)
    assert four["quantization.payload_bits"] == 4
    assert two["quantization.relative_error"] > 3 * four["quantization.relative_error"]
    assert two["quantization.kl"] > four["quantization.kl"]


def test_uniform_codes_are_symmetric_and_reach_the_largest():
    """A block's largest value and zero are exact; others go to the nearest seventh; a block of zeros stays."""
    weight = torch.tensor([[0.7, -0.7, 0.24, 0.0], [0.0, 0.0, 0.0, 0.0]])

    torch.testing.assert_close(uniform(weight, 4), torch.tensor([[0.7, -0.7, 0.2, 0.0], [0.0] * 4]))


def test_errors_add_up_over_layers():
    """Two layers of different sizes count by their weights, not by their number."""
    sums = Errors()
    sums.add(torch.tensor([1.0, 2.0]), torch.tensor([1.0, 4.0]))
    sums.add(torch.zeros(1), torch.ones(1))

    found = sums.numbers("quantization.")

    assert found["quantization.mse"] == pytest.approx(5 / 3)
    assert found["quantization.mae"] == pytest.approx(1)
    assert found["quantization.relative_error"] == pytest.approx((5 / 18) ** 0.5)
    assert Errors().numbers("quantization.")["quantization.rmse"] is None


def test_a_storage_counts_once():
    """Tensors that look at the same memory are as large as one of them."""
    tensor = torch.zeros(8)

    assert size([tensor, tensor[:4], torch.zeros(2)]) == 40


def test_normal_numbers_are_the_seeds(cpu):
    """The same seed gives the same error, another one another."""
    first, again, other = (hold_normal(Form("nf4"), torch.float32, cpu, seed).ours.squared for seed in (0, 0, 1))

    assert first == again != other


def test_a_layers_bias_is_kept():
    """A held layer adds the bias it had."""
    weight, bias = torch.randn(64, 64), torch.ones(64)
    layer = filled(weight, bias, Form("nf4"), "cpu")

    torch.testing.assert_close(layer(torch.zeros(1, 64)), torch.ones(1, 64))
