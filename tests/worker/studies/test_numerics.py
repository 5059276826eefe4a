"""Kernels checked for real: sound ones pass, every kind of broken one is found, and what is refused says so."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import bitsandbytes as bnb
import pytest
import torch
from peft.tuners.lora.layer import Linear

from bench.schema import RunRecord, Status
from bench.schema.catalogue import STUDIES
from bench.schema.config import configure
from bench.schema.metrics import METRICS
from bench.worker import quantized
from bench.worker.logbook import Logbook
from bench.worker.main import recorded
from bench.worker.studies import layers
from bench.worker.studies.numerics_operations import OPERATIONS

Check = Callable[..., RunRecord]


@pytest.fixture
def checked(tmp_path: Path) -> Check:
    """Check one operation; returns the record."""

    def check(operation: str, held: str = "nf4", **settings: Any) -> RunRecord:
        study = {"model": "none", "method": "full", "task": "none", "study": "numerics", "repacking": False}
        config = configure(**{**study, "operation": operation, "format": held, **settings})
        return recorded(Logbook(config, tmp_path / "phase"))

    return check


def off(factor: float, sound: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function whose results are those of `sound`, off by a factor."""
    return lambda *arguments, **named: sound(*arguments, **named) * factor


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("held", ["plain", "nf4", "fp4", "int8"])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_sound_kernels_are_right(checked, operation, held, dtype):
    """On whole blocks every operation in every format and dtype is within what rounding explains, and not by far."""
    record = checked(operation, held, dtype=dtype)

    if (operation, held) == ("quantize", "plain"):
        assert record.status is Status.UNSUPPORTED
        return
    assert record.status is Status.OK, record.failure
    found = record.metrics
    assert found["numerics.wrong"] == 0
    assert found["numerics.error"] <= found["numerics.allowed"] < 0.05
    assert len(record.series["numerics.check_error"]) == found["numerics.checks"]
    assert [name for name in found if name.startswith("numerics.") and name not in METRICS] == []


def test_every_operation_has_code():
    """What the options offer is what is implemented, in the same order."""
    assert STUDIES["numerics"].options["operation"].choices == tuple(OPERATIONS)


@pytest.mark.parametrize("seed", range(10))
def test_rounding_is_not_called_wrong(checked, seed):
    """Ten draws of weights that blocks divide badly: codes and scales are as near as float32 can tell."""
    found = checked("quantize", rows=33, columns=70, seed=seed).metrics

    assert found["numerics.wrong"] == 0


@pytest.mark.parametrize(("operation", "checks"), [("dequantize", 1), ("backward", 1), ("merge", 2)])
def test_an_expansion_that_is_off_is_a_result(checked, monkeypatch, operation, checks):
    """A library that expands weights 5 % too large is wrong in what uses them, and the run itself is well."""
    monkeypatch.setattr(bnb.functional, "dequantize_4bit", off(1.05, bnb.functional.dequantize_4bit))

    record = checked(operation)

    assert (record.status, record.metrics["numerics.checks"]) == (Status.OK, checks)
    assert record.metrics["numerics.wrong"] == 1
    assert record.metrics["numerics.error"] == pytest.approx(0.05, rel=0.3)


@pytest.mark.parametrize("held", ["nf4", "int8"])
def test_a_product_that_is_off_is_found(checked, monkeypatch, held):
    """Outputs 5 % too large are wrong in training and in evaluation."""
    name = {"nf4": "matmul_4bit", "int8": "matmul"}[held]
    monkeypatch.setattr(bnb, name, off(1.05, getattr(bnb, name)))

    for operation in ("forward", "evaluation"):
        assert checked(operation, held).metrics["numerics.error"] == pytest.approx(0.05, rel=0.2)


@pytest.mark.parametrize(("held", "kernel"), [("nf4", "quantize_4bit"), ("int8", "int8_vectorwise_quant")])
def test_one_code_that_is_not_the_nearest_is_found(checked, monkeypatch, held, kernel):
    """A single code of 32,768 that is another than the nearest makes the codes wrong, and not the scales."""
    sound = getattr(bnb.functional, kernel)

    def broken(*arguments: Any, **named: Any) -> Any:
        codes, *state = sound(*arguments, **named)
        codes.view(-1)[7] ^= 0x11
        return codes, *state

    monkeypatch.setattr(bnb.functional, kernel, broken)
    record = checked("quantize", held)

    assert record.metrics["numerics.wrong"] == 0.5
    assert record.resolved["numerics.worst"] == "codes"


def test_a_scale_that_is_off_is_found(checked, monkeypatch):
    """One scale of 512 that is a thousandth too large is wrong."""
    sound = bnb.functional.quantize_4bit

    def broken(*arguments: Any, **named: Any) -> Any:
        codes, state = sound(*arguments, **named)
        state.absmax[3] *= 1.001
        return codes, state

    monkeypatch.setattr(bnb.functional, "quantize_4bit", broken)
    record = checked("quantize", double_quant=False)

    assert (record.metrics["numerics.wrong"], record.resolved["numerics.worst"]) == (0.5, "scales")


def test_an_evaluation_that_spoils_the_weights_is_found(checked, monkeypatch):
    """Weights that evaluation turns over are wrong afterwards: expanded, multiplied, differentiated and saved."""
    sound = bnb.nn.Linear4bit.forward

    def spoiling(layer: Any, inputs: torch.Tensor) -> torch.Tensor:
        output = sound(layer, inputs)
        if not layer.training and len(inputs) == 1:
            layer.weight.data = layer.weight.data.flip(0)
        return output

    monkeypatch.setattr(bnb.nn.Linear4bit, "forward", spoiling)
    record = checked("evaluation")

    errors = record.series["numerics.check_error"]
    named = dict(zip(str(record.resolved["numerics.checks"]).split("; "), errors, strict=True))
    assert [name for name, error in named.items() if error > 0.5] == [
        "forward afterwards", "gradient afterwards", "weights afterwards", "saved afterwards",
    ]  # fmt: skip


@pytest.mark.parametrize("held", ["plain", "nf4", "int8"])
def test_a_file_that_loses_the_last_digits_is_found(checked, monkeypatch, held):
    """Scales or weights that come back a millionth larger are not what was saved."""
    sound = layers.load_file

    def lossy(file: Path, device: str) -> dict[str, torch.Tensor]:
        return {name: held * (1 + 1e-6) if held.is_floating_point() else held
                for name, held in sound(file, device=device).items()}  # fmt: skip

    assert checked("save_load", held).metrics["numerics.error"] == 0
    monkeypatch.setattr(layers, "load_file", lossy)
    assert 0 < checked("save_load", held).metrics["numerics.error"] < 1e-5


def test_a_merge_that_adds_nothing_is_found(checked, monkeypatch):
    """A merge that leaves the weight as it was is off by the size of the update."""
    monkeypatch.setattr(Linear, "merge", lambda *_, **__: None)

    assert checked("merge", "plain").metrics["numerics.error"] > 0.01


def test_numbers_that_are_not_finite_are_wrong(checked, monkeypatch):
    """Where outputs are no numbers the check is wrong, and the error is absent instead of made up."""
    monkeypatch.setattr(bnb, "matmul_4bit", off(float("nan"), bnb.matmul_4bit))
    record = checked("forward")

    assert record.metrics["numerics.wrong"] == 1
    assert "numerics.error" not in record.metrics
    assert record.absent["numerics.error"] == "not finite: forward."


def test_a_gradient_that_does_not_arrive_is_wrong(checked, monkeypatch):
    """A product that autograd does not see gives no gradient, and that is an error of 100 %."""
    detached = bnb.matmul_4bit
    monkeypatch.setattr(bnb, "matmul_4bit", lambda given, *rest, **named: (
        detached(given.detach(), *rest, **named) + 0 * given.sum().detach().requires_grad_()))  # fmt: skip

    assert checked("backward").metrics["numerics.error"] == pytest.approx(1)


def test_a_refusal_is_told_in_the_librarys_words(checked, monkeypatch):
    """What a layer refuses is unsupported, with the words it used."""

    def refuse(*_: Any) -> None:
        raise AssertionError("N must be divisible by block_n")

    monkeypatch.setattr(bnb.nn.Linear4bit, "forward", refuse)
    record = checked("forward")

    assert record.status is Status.UNSUPPORTED
    assert record.failure is not None
    assert "AssertionError: N must be divisible by block_n" in record.failure.message


def test_repacking_is_left_on_unless_it_is_turned_off(checked):
    """The record says whether the layer repacks its weight; where this processor makes it do so, only if asked."""
    repacks = bool(getattr(bnb.nn.Linear4bit(2, 2), quantized.REPACKING_SWITCH, False))

    assert checked("dequantize", repacking=True).resolved["numerics.repacks"] is repacks
    assert checked("dequantize").resolved["numerics.repacks"] is False
