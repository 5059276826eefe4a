"""Devices tell running out of memory from other mistakes, and their clocks time work, not waiting."""

from __future__ import annotations

import pytest
import torch

from bench.errors import UnsupportedError
from bench.worker.devices.cuda import Cuda, EventClock
from tests.worker.standin import StandInCuda


def test_running_out_of_memory_is_recognised_with_its_size(cpu):
    """An allocation torch really cannot make is a shortage that says how many bytes were asked for."""
    with pytest.raises(RuntimeError) as failed:
        torch.empty(2**50, dtype=torch.uint8)

    shortage = cpu.shortage(failed.value)

    assert shortage is not None
    assert shortage.bytes_requested == 2**50
    assert cpu.shortage(RuntimeError("shape mismatch")) is None
    assert cpu.shortage(MemoryError()) is not None


def test_a_gpu_that_ran_out_says_how_much_it_wanted():
    """Torch's sentence about the allocation that failed is read into bytes; the host's own shortage still counts."""
    device = Cuda(StandInCuda())
    words = "CUDA out of memory. Tried to allocate 1.50 GiB. GPU 0 has 2.00 GiB. If reserved but unallocated is large"

    shortage = device.shortage(torch.OutOfMemoryError(words))

    assert shortage is not None
    assert shortage.bytes_requested == 3 * 2**29
    assert shortage.message == "CUDA out of memory. Tried to allocate 1.50 GiB. GPU 0 has 2.00 GiB."
    assert device.shortage(MemoryError()) is not None
    assert device.shortage(RuntimeError("device-side assert")) is None


@pytest.mark.parametrize(
    "words",
    [
        "CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`",
        "CUDA driver error: out of memory",
    ],
)
def test_memory_also_runs_out_where_torch_is_not_asked(words):
    """Handles and kernels that found no room are a shortage of unknown size, said in the first line of the refusal."""
    shortage = Cuda(StandInCuda()).shortage(RuntimeError(words))

    assert shortage is not None
    assert shortage.bytes_requested is None
    assert shortage.message == words.partition("\n")[0]


def test_a_phase_does_not_inherit_the_cache_of_the_one_before():
    """What torch kept is given back before peaks start again; else the reserve of loading would be training's."""
    cuda = StandInCuda()
    (peaks, *_), before = Cuda(cuda).meters().phase, cuda.emptied

    peaks.start()

    assert (cuda.emptied, cuda.resets) == (before + 1, 1)


def test_a_broken_device_does_not_hide_what_broke_it(prepared, tiny_config):
    """When waiting for the device fails too, the first error is the one that is raised."""
    from bench.worker.loop import Steps, Trainer, train

    cuda = StandInCuda()
    device = Cuda(cuda)
    device.torch_name = "cpu"
    config = tiny_config(steps=1)
    trainer = Trainer(prepared(config), config, device)
    cuda.broken_after = 1

    with pytest.raises(ValueError, match="the first"):
        train(trainer, iter(_failing()), Steps(), 1)


def _failing():
    raise ValueError("the first")
    yield


def test_without_a_gpu_the_cuda_device_is_refused_with_advice():
    """A CPU build of torch has no CUDA device, and the refusal says what to do."""
    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    with pytest.raises(UnsupportedError, match="--device cpu"):
        Cuda()


def test_the_event_clock_times_the_device_and_waits_once():
    """Queued work of 0.5 and 0.25 s reads so, though the host never waited before the end."""
    cuda = StandInCuda()
    clock = EventClock(cuda)

    clock.mark()
    cuda.queue(0.5)
    clock.mark()
    cuda.queue(0.25)
    clock.mark()
    waits_before = cuda.waits
    seconds = clock.seconds()

    assert seconds == pytest.approx([0.5, 0.25])
    assert (waits_before, cuda.waits) == (0, 1)


def test_a_block_of_steps_waits_for_the_device_at_its_ends_only(prepared, tiny_config, tokenizer):
    """Steps run into one another: a block of three waits twice, and its seconds are the device's."""
    from bench.worker.batches import Encoder, batches
    from bench.worker.loop import Steps, Trainer, train
    from bench.worker.tasks.addition import TASK

    cuda = StandInCuda()
    device = Cuda(cuda)
    device.torch_name = "cpu"
    config = tiny_config(steps=3)
    encoder = Encoder(tokenizer, chat=False)
    feed = batches([encoder.whole(example) for example in TASK.train(0, 8)], config, 0)
    trainer = Trainer(prepared(config), config, device)
    trainer.model.register_forward_hook(lambda *_: cuda.queue(2.0))
    steps = Steps()

    train(trainer, feed, steps, 3)

    assert steps.seconds == pytest.approx([2.0, 2.0, 2.0])
    assert cuda.waits == 2
