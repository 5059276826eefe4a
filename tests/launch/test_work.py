"""The work a session chooses: every choice can be run, and fits what is there."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import BadValueError, UnknownNameError
from bench.launch import machine
from bench.launch.lessons import LESSONS
from bench.launch.machine import Gpu
from bench.launch.work import SCALES, Work, choose
from bench.schema.catalogue import METHODS, TASKS
from bench.schema.models import MODELS
from suites.test_guide import parameters


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch):
    """Put a card of so many bytes into this machine, or none."""

    def put(memory: int | None) -> None:
        found = None if memory is None else Gpu("Example GPU", memory, "00000000", "1")
        monkeypatch.setattr(machine, "gpu", lambda: found)

    return put


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("method", METHODS)
def test_every_choice_gives_valid_configs(method, task, device, scale):
    """Every method, task, device and scale has a speed run with timed steps and a lesson with a test."""
    work = Work("tiny-llama", task, device, scale, 1)
    speed, learning = work.speed(method), work.learning(method)
    assert speed.packing is not TASKS[task].images
    assert 2 <= speed.untimed_steps < speed.steps
    assert learning.evaluate_items > 0
    assert {speed.dtype, learning.dtype} == {"float32" if device == "cpu" else "bfloat16"}
    assert speed.identity != learning.identity


def test_every_task_has_a_lesson_of_every_scale():
    """A task of the catalogue can be chosen, and a larger scale is never less work."""
    assert set(LESSONS) == set(TASKS)
    for lesson in LESSONS.values():
        for amounts in (lesson.steps, lesson.evaluate_items):
            assert sorted(amounts.values()) == [amounts[scale] for scale in SCALES]


def test_every_method_does_the_same_work():
    """Methods are compared on equal shapes, steps and items, so that only the method differs."""
    work = Work("smollm2-135m", "addition", "cpu", "small", 3)
    for kind in (work.speed, work.learning):
        configs = [kind(method) for method in METHODS]
        names = ("batch_size", "sequence_length", "steps", "untimed_steps", "evaluate_items", "packing", "dtype")
        assert len({tuple(getattr(c, name) for name in names) for c in configs}) == 1


def test_without_a_gpu_the_processor_is_chosen(card):
    """A machine without a GPU gets the small model and the generated task, in float32."""
    card(None)
    work = choose(model=None, task=None, device=None, scale="small")
    assert (work.device, work.model, work.task, work.dtype) == ("cpu", "smollm2-135m", "addition", "float32")
    assert choose(model=None, task=None, device=None, scale="smoke").model == "tiny-llama"


@pytest.mark.parametrize("card_gb", [1, 8, 12, 24, 40, 80, 180, 400])
def test_a_card_gets_the_largest_open_model_that_fits(card, card_gb):
    """On a card: GSM8K in bfloat16, and the largest model of the ladder with 12 bytes a parameter and 4 GB beside."""
    card(card_gb * 10**9)
    work = choose(model=None, task=None, device=None, scale="small")
    assert (work.device, work.task, work.dtype) == ("cuda", "gsm8k", "bfloat16")
    fits = {n for n, m in MODELS.items() if m.ladder and 12 * m.parameters + 4e9 <= card_gb * 1e9}
    if not fits:
        assert work.model == "smollm2-135m"
        return
    assert work.model in fits
    assert MODELS[work.model].parameters == max(MODELS[n].parameters for n in fits)


@pytest.mark.parametrize(
    ("choice", "error", "said"),
    [
        ({"scale": "smal"}, UnknownNameError, "Did you mean 'small'"),
        ({"task": "gsm9k"}, UnknownNameError, "Did you mean 'gsm8k'"),
        ({"device": "gpu"}, UnknownNameError, "unknown device 'gpu'"),
        ({"device": "cuda"}, BadValueError, "NVML finds no GPU; use --device cpu"),
        ({"rounds": 0}, BadValueError, "--rounds 0"),
        ({"device": "fake:l40q"}, UnknownNameError, "unknown GPU 'l40q'. Did you mean 'l40'"),
        ({"device": "fake:"}, UnknownNameError, "unknown GPU ''"),
        ({"device": "fake"}, UnknownNameError, "unknown GPU ''"),
        ({"device": "fake:l40s", "memory_limit": "4GiB"}, BadValueError, "which fake:l40s does not have"),
    ],
)
def test_a_choice_that_cannot_be_is_refused(card, choice, error, said):
    """What does not exist or is not there is an error with a remedy."""
    card(None)
    with pytest.raises(error, match=said):
        choose(**{"model": None, "task": None, "device": None, "scale": "small", **choice})


@given(st.sampled_from(sorted(MODELS)), st.sampled_from(sorted(METHODS)))
def test_learning_rates_are_larger_for_adapters(model, method):
    """Adapters learn at ten or twenty times the rate of full fine-tuning, whatever the model."""
    work = Work(model, "addition", "cpu", "small", 3)
    ratio = work.learning_rate(method) / work.learning_rate("full")
    assert ratio == pytest.approx(1) if method == "full" else 10 <= round(ratio) <= 20


@pytest.mark.parametrize("name", ["a100-80gb", "A100", "a100 80gb", "NVIDIA A100-SXM4-80GB", "a100_80gb"])
def test_a_simulated_gpu_has_one_name(card, name):
    """However it is spelled, a device is called by its slug, so that its records are found again."""
    card(None)
    work = choose(model=None, task=None, device=f"fake:{name}", scale="small")
    assert work.device == "fake:a100-80gb"
    assert work.predicted


def test_a_simulated_gpu_gets_the_model_that_fits_it(card):
    """Model, task and precision follow the card that is simulated, not the machine that simulates it."""
    card(24 * 10**9)
    work = choose(model=None, task=None, device="fake:h100", scale="small")
    assert (work.task, work.dtype) == ("gsm8k", "bfloat16")
    smaller = choose(model=None, task=None, device=None, scale="small").model
    assert MODELS[work.model].parameters > MODELS[smaller].parameters


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("method", METHODS)
def test_a_prediction_is_of_the_case_that_the_gpu_would_run(method, scale):
    """Every kind of work has the same case, and so can be compared, on a GPU and on a simulated one."""
    for kind in ("speed", "trial", "learning"):
        real, predicted = (
            getattr(Work("tiny-llama", "gsm8k", device, scale, 3), kind)(method) for device in ("cuda", "fake:l40s")
        )
        assert (predicted.case, predicted.identity) == (real.case, real.identity)
        assert (real.device, predicted.device) == ("cuda", "fake:l40s")


@pytest.mark.parametrize("device", ["cuda", "fake:l40s", "cpu"])
def test_a_quantised_base_trains_under_autocast_on_a_gpu(device):
    """What is not quantised is float32 after peft's preparation: a GPU computes in bfloat16, a CPU as it is."""
    work = Work("tiny-llama", "addition", device, "smoke", 1)
    autocast = {method: work.speed(method).autocast for method in METHODS}
    quantised = {method for method in METHODS if "prepare_kbit" in METHODS[method].options}
    assert {"qlora", "lora_8bit"} <= quantised
    for method in METHODS:
        assert autocast[method] == ("bfloat16" if method in quantised and device != "cpu" else "none")


@pytest.mark.parametrize(
    ("kind", "method", "name"),
    [
        ("speed", "full", "full-f32-b4-s128-addition-ab8744c0"),
        ("speed", "lora", "lora-r16-f32-b4-s128-addition-a4a7b013"),
        ("speed", "qlora", "qlora-r16-f32-b4-s128-addition-fca191ce"),
        ("learning", "full", "full-f32-b16-s32-addition-912d824b"),
        ("learning", "lora", "lora-r16-f32-b16-s32-addition-75e7d384"),
        ("learning", "qlora", "qlora-r16-f32-b16-s32-addition-2bb3c521"),
    ],
)
def test_cases_on_a_cpu_keep_their_names(kind, method, name):
    """The names under which this repository's records of the processor lie do not change."""
    work = Work("smollm2-135m", "addition", "cpu", "small", 3)
    assert getattr(work, kind)(method).case == f"smollm2-135m-{name}"


def test_the_guides_large_models_are_only_simulated():
    """Models of 8B and 70B are predicted on any card; elsewhere the suite says how to ask for that."""
    large = {
        device: parameters(Work("tiny-llama", "gsm8k", device, "smoke", 1))["guide_model"]
        for device in ("cpu", "cuda", "fake:t4")
    }
    assert set(large["fake:t4"]) <= set(MODELS)
    assert "--device fake:<gpu>" in large["cpu"]
    assert large["cuda"] == large["cpu"]
