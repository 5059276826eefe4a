"""Quantised layers of a simulated GPU are bitsandbytes' own, hold what real ones hold, and leave nothing behind."""

from __future__ import annotations

import copy

import bitsandbytes as bnb
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training
from peft.utils.integrations import get_bnb_param_type
from torch._subclasses.fake_tensor import FakeTensor
from transformers import BitsAndBytesConfig, LlamaConfig, LlamaForCausalLM

from bench.errors import UnsupportedError
from bench.worker import resolved
from bench.worker.fake import quantized
from tests.worker.fake.simulated import described, held, more_at_peak, simulated

pytestmark = pytest.mark.filterwarnings("error:Accessing the data pointer of FakeTensor")

NF4 = BitsAndBytesConfig(
    load_in_4bit=True,
    bnb_4bit_quant_type="nf4",
    bnb_4bit_use_double_quant=True,
    bnb_4bit_compute_dtype=torch.bfloat16,
)
FP4 = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="fp4", bnb_4bit_quant_storage=torch.bfloat16)
INT8 = BitsAndBytesConfig(load_in_8bit=True)

FORMATS = st.fixed_dictionaries(
    {
        "quant_type": st.sampled_from(["nf4", "fp4"]),
        "compress_statistics": st.booleans(),
        "blocksize": st.sampled_from([32, 64, 128, 4096]),
        "quant_storage": st.sampled_from([torch.uint8, torch.bfloat16, torch.float32]),
    }
)
SHAPES = st.tuples(st.integers(1, 70), st.integers(1, 40).map(lambda n: 8 * n))
DTYPES = st.sampled_from([torch.float32, torch.bfloat16, torch.float16])


def quantised(kind, shape, dtype, device, **form):
    """Quantise a weight on its way to a device and describe all that came of it."""
    parameter = kind(torch.zeros(shape, dtype=dtype), requires_grad=False, **form).to(device)
    kept = {name: getattr(parameter, name, None) for name in ("data", "quant_state", "CB", "SCB")}
    return type(parameter).__name__, described(kept)


def linear(device, inputs=4096, outputs=4096, **form):
    """Return a 4-bit layer that computes in 16 bits."""
    return bnb.nn.Linear4bit(inputs, outputs, bias=False, compute_dtype=torch.float16, **form).to(device)


def llama():
    return LlamaConfig(
        hidden_size=256,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=512,
        vocab_size=96,
        tie_word_embeddings=False,
    )


def loaded(quantization, device):
    """Load a small model by transformers' own way, of weights as fake as the mode makes them."""
    with torch.device("meta"):
        shapes = LlamaForCausalLM(llama()).state_dict()
    weights = {name: torch.zeros(weight.shape, dtype=torch.bfloat16) for name, weight in shapes.items()}
    return LlamaForCausalLM.from_pretrained(
        None,
        config=llama(),
        state_dict=weights,
        dtype=torch.bfloat16,
        device_map={"": device},
        quantization_config=copy.deepcopy(quantization),
    )


def facts(model):
    """Describe a model: its parameters with their kinds and states, and what a record says of it."""
    parameters = {}
    for name, p in model.named_parameters():
        kind = type(p).__name__ if get_bnb_param_type(p) else ""
        parameters[name] = (kind, p.requires_grad, described(vars(p)), described(p.data))
    return parameters, resolved.settings(model), resolved.counts(model)


def with_adapters(model):
    """Prepare a quantised model and its adapters as a QLoRA run does."""
    model = prepare_model_for_kbit_training(
        model, use_gradient_checkpointing=True, gradient_checkpointing_kwargs={"use_reentrant": False}
    )
    model.config.use_cache = False
    return get_peft_model(model, LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM")).train()


@pytest.mark.parametrize("device", ["cuda", "cpu"])
@settings(deadline=None, max_examples=40)
@given(SHAPES, DTYPES, FORMATS)
def test_a_four_bit_weight_holds_what_a_real_one_does(device, shape, dtype, form):
    """Payload, scales, codes and offset have the shapes, types and bytes that a CPU really makes, as CUDA does."""
    real = quantised(bnb.nn.Params4bit, shape, dtype, "cpu", **form)

    with simulated():
        assert quantised(bnb.nn.Params4bit, shape, dtype, device, **form) == real


@pytest.mark.parametrize("device", ["cuda", "cpu"])
@settings(deadline=None, max_examples=20)
@given(SHAPES, DTYPES)
def test_an_eight_bit_weight_holds_what_a_real_one_does(device, shape, dtype):
    """Codes and scales have the shapes, types and bytes that a CPU really makes, as CUDA does."""
    real = quantised(bnb.nn.Int8Params, shape, dtype, "cpu")

    with simulated():
        assert quantised(bnb.nn.Int8Params, shape, dtype, device) == real


def test_a_weight_is_held_until_its_four_bits_are_there():
    """Quantising on the GPU takes scales and payload beside the weight and only then gives the weight back."""
    with simulated() as heap:
        parameter = bnb.nn.Params4bit(torch.zeros(1024, 1024, dtype=torch.bfloat16, device="cuda"), quant_type="nf4")
        before, past = held(heap), len(heap.events)
        parameter.to("cuda")
        held(heap)
        sizes = {event.key: event.value for event in heap.events if event.what == "take"}
        large = [(e.what, sizes[e.key]) for e in heap.events[past:] if sizes.get(e.key, 0) >= 2**16]

        assert before == 2 * 2**20
        assert large[:2] == [("take", 4 * 2**20 // 64), ("take", 2**20 // 2)]
        assert ("release", 2 * 2**20) in large[2:]
        assert held(heap) == 2**19 + sum(size for *_, size in described(vars(parameter)).values()) + 4 * 256


def test_an_eight_bit_weight_passes_through_sixteen():
    """A weight comes from the host in 16 bits and is given back once its 8 bits and a scale a row are there."""
    with simulated() as heap:
        kept = bnb.nn.Int8Params(torch.zeros(512, 1024), requires_grad=False).to("cuda")

        assert held(heap) == kept.nbytes + 4 * 512
        assert more_at_peak(heap, 0) == 2 * kept.nbytes + held(heap)


def test_types_are_those_of_bitsandbytes():
    """Who asks what a quantised parameter is gets the answers of a real one."""
    with simulated():
        four = linear("cuda").weight
        eight = bnb.nn.Linear8bitLt(64, 64, has_fp16_weights=False).to("cuda").weight

        assert [type(four).__name__, type(eight).__name__] == ["Params4bit", "Int8Params"]
        assert isinstance(four, bnb.nn.Params4bit)
        assert isinstance(eight, bnb.nn.Int8Params)
        assert all(isinstance(weight, torch.nn.Parameter) for weight in (four, eight))
        assert [get_bnb_param_type(weight) for weight in (four, eight)] == ["4bit", "8bit"]
        assert four.absmax is four.quant_state.absmax


def test_a_quantised_layer_moves_and_is_copied():
    """A layer goes to the host and back with its scales, and a copy of it is one too."""
    with simulated() as heap:
        layer = linear("cuda", 256, 128)
        there = held(heap)
        state = described(vars(layer.weight))

        layer.cpu()
        assert {layer.weight.device.type, layer.weight.quant_state.absmax.device.type} == {"cpu"}
        layer.cuda()
        assert {layer.weight.device.type, layer.weight.quant_state.absmax.device.type} == {"cuda"}
        assert held(heap) == there
        assert type(copy.deepcopy(layer).weight) is type(layer.weight)
        assert described(vars(layer.weight)) == state


@pytest.mark.parametrize("quantization", [NF4, FP4, INT8], ids=["nf4", "fp4", "int8"])
def test_a_model_loads_as_it_really_does(quantization):
    """Transformers' own loading gives the parameters, states and facts that it gives of real weights on the CPU."""
    real = facts(loaded(quantization, "cpu"))

    with simulated():
        model = loaded(quantization, "cuda:0")

        assert facts(model) == real
        assert {parameter.device.type for parameter in model.parameters()} == {"cuda"}


@pytest.mark.parametrize("quantization", [NF4, FP4, INT8], ids=["nf4", "fp4", "int8"])
def test_adapters_train_on_a_quantised_base(quantization):
    """Forward, backward and an optimiser's step run; every adapter gets a gradient and a second step takes no more."""
    with simulated() as heap:
        model = with_adapters(loaded(quantization, "cuda:0"))
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        optimizer = bnb.optim.AdamW8bit(trained)
        ids = torch.zeros((2, 16), dtype=torch.long, device="cuda")
        after = []
        for _ in range(2):
            model(input_ids=ids, labels=ids).loss.backward()
            assert all(parameter.grad is not None for parameter in trained)
            optimizer.step()
            optimizer.zero_grad()
            after.append(held(heap))

        assert after[0] == after[1]
        assert len(trained) == 2 * 7 * 2


@pytest.mark.parametrize("quantization", [NF4, INT8], ids=["nf4", "int8"])
def test_adapters_merge_into_a_quantised_base(quantization):
    """Merged layers are quantised again, of the same kind and size."""
    with simulated():
        before = facts(loaded(quantization, "cuda:0"))[0]
        model = with_adapters(loaded(quantization, "cuda:0"))
        with pytest.warns(UserWarning, match="may get different generations due to rounding errors"):
            merged = model.merge_and_unload()

        quantised_before = {name: (kind, data) for name, (kind, _, _, data) in before.items() if kind}
        assert len(quantised_before) == 2 * 7
        for name, expected in quantised_before.items():
            weight = merged.get_parameter(name)
            assert (type(weight).__name__, described(weight.data)) == expected
        with torch.no_grad():
            assert merged.eval()(input_ids=torch.zeros((1, 4), dtype=torch.long, device="cuda")).logits.shape[-1] == 96


def product(gpu, rows, layer=linear):
    """Return bytes that one product takes at its peak beyond what it returns."""
    with simulated(gpu) as heap, torch.no_grad():
        made = layer("cuda")
        given = torch.zeros((rows, 4096), dtype=torch.float16, device="cuda")
        heap.reset_peaks()
        before = held(heap)
        result = made(given)
        return more_at_peak(heap, before) - result.nbytes


def test_a_product_of_many_rows_dequantises_a_whole_weight():
    """bitsandbytes does so above 1536 rows on any GPU and never for up to four; scales that are nested come on top."""
    weight, scales = 2 * 4096 * 4096, 4 * 4096 * 4096 // 64

    assert product("h100-80gb", rows=4) == 0
    assert product("h100-80gb", rows=2048) == weight + 2 * scales
    assert product("h100-80gb", 2048, lambda device: linear(device, compress_statistics=False)) == weight


def test_the_gpu_decides_between_ways_to_multiply():
    """A T4 multiplies 48 rows by the 4-bit weight itself; an H100 is faster dequantising it (bitsandbytes 0.50)."""
    if not hasattr(torch.ops.bitsandbytes, "gemm_4bit"):
        pytest.skip("this bitsandbytes has one way for all GPUs")

    assert product("t4", rows=48) == 0
    assert product("h100-80gb", rows=48) >= 2 * 4096 * 4096


@pytest.mark.parametrize(("inputs", "outliers"), [(64, 1), (4096, 4)])
def test_a_thousandth_of_the_columns_has_outliers(inputs, outliers):
    """LLM.int8 multiplies one column in a thousand in 16 bits, and at least one."""
    with simulated():
        layer = bnb.nn.Linear8bitLt(inputs, 8, bias=False, has_fp16_weights=False, threshold=6.0).to("cuda")
        layer(torch.zeros((4, inputs), dtype=torch.float16, device="cuda"))

        assert layer.state.idx.numel() == outliers


def test_an_eight_bit_product_sums_in_thirty_two_bits():
    """Beside its result in 16 bits a product holds the sums it is scaled from, and the 8-bit copy of its input."""

    def eight_bit(device):
        return bnb.nn.Linear8bitLt(4096, 4096, bias=False, has_fp16_weights=False, threshold=0.0).to(device)

    assert product("h100-80gb", 1024, eight_bit) == 1024 * 4096 * (4 + 1) + 4 * 1024


def places():
    """Return what stands in every place where a simulation puts a substitute."""
    functional = bnb.functional
    named = ("name2qmap", "create_dynamic_map", "get_paged", "fill", "prefetch_tensor", "CUBLAS_Context")
    return {
        **{name: getattr(functional, name) for name in named},
        **{name: operation for name, operation in vars(torch.ops.bitsandbytes).items() if not name.startswith("_")},
        "library": bnb.cextension.lib,
        "register": bnb._ops.register_kernel,
        "classes": (bnb.nn.Params4bit, vars(bnb.nn.Params4bit)["__new__"], vars(bnb.nn.Int8Params)["__new__"]),
        "torch": (vars(torch.Tensor).get("_make_subclass"), vars(FakeTensor).get("data_ptr"), torch.argwhere),
        "stream": getattr(torch._C, "_cuda_getCurrentRawStream", None),
    }


@pytest.mark.parametrize("error", [None, ZeroDivisionError])
def test_nothing_is_left_behind(error):
    """After a simulation, one that failed too, every place holds what it held, and real weights quantise as ever."""
    weight = torch.randn((64, 64), generator=torch.Generator().manual_seed(0))
    payload = bnb.nn.Params4bit(weight, quant_type="nf4").to("cpu").data.clone()
    before, maps = places(), dict(bnb.functional.name2qmap)

    try:
        with simulated():
            linear("cuda")
            if error:
                raise error
    except ZeroDivisionError:
        pass

    assert all(before[name] is found or before[name] == found for name, found in places().items())
    assert bnb.functional.name2qmap == maps
    assert not any(isinstance(found, FakeTensor) for found in maps.values())
    assert torch.equal(bnb.nn.Params4bit(weight, quant_type="nf4").to("cpu").data, payload)
    assert type(bnb.nn.Params4bit(weight)) is bnb.nn.Params4bit


def test_real_tensors_are_left_alone():
    """Beside a simulation a real weight is quantised for real."""
    weight = torch.randn((64, 64), generator=torch.Generator().manual_seed(0))
    expected = bnb.functional.quantize_4bit(weight, quant_type="nf4")[0]

    with quantized.patches():
        assert torch.equal(bnb.nn.Params4bit(weight, quant_type="nf4", compress_statistics=False).to("cpu"), expected)


def test_another_backend_is_refused_by_name(monkeypatch):
    """A bitsandbytes that keeps its kernels in another way is named, not guessed about."""
    monkeypatch.delattr(bnb.functional, "CUBLAS_Context")

    with pytest.raises(UnsupportedError, match=bnb.__version__), quantized.patches():
        pass
