"""No number may come from a broken 4-bit kernel, and what is 4-bit must say which 4-bit."""

from __future__ import annotations

from collections import Counter

import bitsandbytes as bnb
import pytest
import torch
from transformers import BitsAndBytesConfig, MixtralConfig, MixtralForCausalLM

from bench.errors import KernelError
from bench.worker import quantized, resolved
from bench.worker.probes.owners import owners


def weights(inputs=128, outputs=64):
    """Normal weights, the same at every call."""
    return torch.randn(outputs, inputs, generator=torch.Generator().manual_seed(0)) * 0.02


def layer(inputs=128, outputs=64, quant_type="nf4", blocksize=64, nested=True, bias=False):
    """Quantise `weights` into a Linear4bit."""
    made = bnb.nn.Linear4bit(inputs, outputs, bias=bias, compute_dtype=torch.float32, quant_type=quant_type)
    made.weight = bnb.nn.Params4bit(
        weights(inputs, outputs),
        requires_grad=False,
        quant_type=quant_type,
        blocksize=blocksize,
        compress_statistics=nested,
    )
    return torch.nn.Sequential(made.to("cpu"))


@pytest.mark.parametrize("nested", [True, False])
@pytest.mark.parametrize("quant_type", ["nf4", "fp4"])
def test_the_reference_agrees_with_a_sound_kernel(quant_type, nested):
    """Where bitsandbytes is right, table look-up and multiplication give its own dequantisation."""
    made = layer(quant_type=quant_type, nested=nested)[0]

    theirs = bnb.functional.dequantize_4bit(made.weight.data, made.weight.quant_state)

    torch.testing.assert_close(quantized.reference_weight(made), theirs.reshape(64, 128), rtol=1e-5, atol=1e-6)


def test_the_reference_is_near_the_weights_that_were_quantised():
    """NF4 with blocks of 64 errs by about 9 % of a normal weight's norm, never by much more."""
    error = (quantized.reference_weight(layer()[0]) - weights()).norm() / weights().norm()

    assert 0.08 < error < 0.11


def test_sound_kernels_pass_and_kinds_are_counted():
    """One check a kind: two layers of one shape and one of another are two kinds."""
    model = torch.nn.ModuleList([layer(), layer(), layer(inputs=192)])
    quantized.keep_weights_in_place(model)

    assert quantized.check_kernels(model) == 2


def test_a_bias_is_part_of_what_a_layer_computes():
    """A layer with a bias, as Qwen2's are, passes the check; one whose bias is not added does not."""
    model = layer(bias=True)
    quantized.keep_weights_in_place(model)
    assert quantized.check_kernels(model) == 1

    made = model[0]
    made.forward = lambda given: type(made).forward(made, given) - made.bias
    with pytest.raises(KernelError, match="forward"):
        quantized.check_kernels(model)


@pytest.mark.parametrize("broken", ["dequantize", "forward"])
def test_a_kernel_that_is_off_is_refused(monkeypatch, broken):
    """A dequantisation or a product that is off by 5 % stops the run with the operation's name."""
    model = layer()
    quantized.keep_weights_in_place(model)
    if broken == "dequantize":
        sound = bnb.functional.dequantize_4bit
        monkeypatch.setattr(bnb.functional, "dequantize_4bit", lambda *a, **k: sound(*a, **k) * 1.05)
    else:
        sound = bnb.matmul_4bit
        monkeypatch.setattr(bnb, "matmul_4bit", lambda *a, **k: sound(*a, **k) * 1.05)

    with pytest.raises(KernelError, match="off by 5"):
        quantized.check_kernels(model)


def test_a_weight_repacked_by_an_evaluation_is_refused():
    """A forward in evaluation that changes the stored weight is found before anything is trained on it."""
    model = layer()

    class Repacking(type(model[0])):
        def forward(self, x):
            if not self.training:
                self.weight.data = self.weight.data.flip(0)
            return super().forward(x)

    model[0].__class__ = Repacking
    quantized.keep_weights_in_place(model)

    with pytest.raises(KernelError, match=r"after an evaluation|in evaluation"):
        quantized.check_kernels(model)


def test_a_width_that_blocks_do_not_divide_is_checked_and_not_trusted():
    """576 columns in blocks of 128: either this bitsandbytes computes them rightly, or the run is refused."""
    model = layer(inputs=576, blocksize=128)
    quantized.keep_weights_in_place(model)
    made = model[0]
    theirs = bnb.functional.dequantize_4bit(made.weight.data, made.weight.quant_state).reshape(64, 576)
    right = torch.allclose(theirs, quantized.reference_weight(made), rtol=1e-3, atol=1e-5)

    if right:
        assert quantized.check_kernels(model) == 1
    else:
        with pytest.raises(KernelError, match="dequantisation"):
            quantized.check_kernels(model)


def test_four_bits_that_are_not_nf4_show(prepared, tiny_config):
    """The data type, nesting and block size in the record are those of the built layers, not of the config."""
    described = resolved.settings(prepared(tiny_config("qlora", quant_type="fp4", double_quant=False)))

    assert described["base.quantization"] == "fp4, 64 to a block"
    assert described["base.quantized_layers"] == 14


def experts():
    """A model with routed experts, each layer's held as one tensor, as transformers does."""
    settings = MixtralConfig(
        hidden_size=64, intermediate_size=128, num_hidden_layers=1, num_attention_heads=4, num_key_value_heads=2,
        vocab_size=100, num_local_experts=4,
    )  # fmt: skip
    torch.manual_seed(0)
    return MixtralForCausalLM(settings)


def quantised_in(dtype=torch.float32, double_quant=True):
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=double_quant,
        bnb_4bit_compute_dtype=dtype,
    )


def test_routed_experts_are_quantised_too():
    """Both tensors of the layer become 4-bit payloads near what they were; without experts there is nothing to do."""
    model = experts()
    module = model.model.layers[0].mlp.experts
    before = {name: weight.detach().clone() for name, weight in module.named_parameters()}

    assert quantized.quantize_experts(model, quantised_in()) == 2

    for name, weight in before.items():
        payload = module.parametrizations[name].original
        expanded = getattr(module, name)
        assert (payload.dtype, payload.numel()) == (torch.uint8, weight.numel() // 2)
        assert (expanded - weight).norm() / weight.norm() < 0.11
    assert quantized.quantize_experts(torch.nn.Sequential(torch.nn.Linear(2, 2)), quantised_in()) == 0


def test_quantised_experts_are_known_for_what_they_are():
    """Their payload is a 4-bit base, and what expands it is quantisation state."""
    model = experts()
    weights = [weight.numel() for weight in model.model.layers[0].mlp.experts.parameters()]
    quantized.quantize_experts(model, quantised_in())

    sizes = Counter()
    for block in owners(model):
        sizes[block.category] += block.size

    assert sizes["base_4bit"] == sum(weights) // 2
    assert sizes["quantization_state"] > sum(weights) // 64


def test_experts_compute_in_the_compute_type_and_return_what_they_were_given():
    """float32 comes back as float32, though the products were made in bfloat16; gradients reach the input."""
    model = experts()
    quantized.quantize_experts(model, quantised_in(torch.bfloat16))
    module = model.model.layers[0].mlp.experts
    seen = []
    module.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].dtype))
    given = torch.randn(6, 64, requires_grad=True)
    chosen = torch.tensor([[0, 1]] * 6)

    out = module(given, chosen, torch.full((6, 2), 0.5))
    out.sum().backward()

    assert (seen, out.dtype, given.grad.dtype) == ([torch.bfloat16], torch.float32, torch.float32)
