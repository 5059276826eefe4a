"""Devices tell running out of memory from other mistakes, and their clocks time work, not waiting."""

from __future__ import annotations

import pytest
import torch

from bench.errors import UnknownNameError, UnsupportedError
from bench.schema import Kind, overheads
from bench.worker.devices.cuda import Cuda, EventClock
from bench.worker.devices.fake import Fake
from bench.worker.probes import metered
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
    from bench.worker.batches import batches
    from bench.worker.encoding import Encoder
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


def test_a_simulated_gpu_is_the_catalogues():
    """Its facts are the product's, and say where the figure for memory outside torch is from."""
    facts = Fake("l40s").facts()

    assert facts["torch.device"] == "L40S"
    assert facts["torch.compute_capability"] == "8.9"
    assert facts["torch.multiprocessors"] == 142
    assert facts["outside_torch.bytes"] == overheads.outside_torch(Fake("l40s").sku).bytes
    assert facts["outside_torch.source"]
    assert Fake("l40s").kind is Kind.PREDICTED


def test_a_gpu_that_nobody_knows_is_refused_with_the_nearest_name():
    """A typing mistake is told from a product that is missing."""
    with pytest.raises(UnknownNameError, match="l40s"):
        Fake("l40ss")


def test_a_gpu_whose_memory_is_not_known_is_not_simulated():
    """What it could hold cannot be said, and why not is."""
    with pytest.raises(UnsupportedError, match="memory of A30 is not known"):
        Fake("a30")


def test_phases_on_a_simulated_gpu_have_their_own_peaks():
    """Each begins with an empty cache; what the process holds is torch's reserve and the documented rest."""
    device = Fake("l40s")
    with device:
        with metered(device.meters().phase) as first:
            torch.empty(30 * 2**20, dtype=torch.uint8, device="cuda")
        with metered(device.meters().phase) as second:
            torch.empty(1000, dtype=torch.uint8, device="cuda")

    assert first.values["peak_reserved"] == 30 * 2**20
    assert second.values["peak_reserved"] == 2 * 2**20
    assert (second.values["peak_requested"], second.values["peak_allocated"]) == (1000, 1024)
    for window in (first, second):
        held = window.values["peak_reserved"] + device.outside.bytes
        assert window.values["peak_process"] == window.values["peak_device"] == held


def test_nothing_is_timed_on_a_simulated_gpu():
    """There is no work whose end could be waited for; a run that dies there is no shortage."""
    device = Fake("l40s")
    clock = device.clock()
    clock.mark()
    device.synchronize()
    clock.mark()

    assert clock.seconds() == []
    assert device.meters().timed == ()
    assert device.shortage(torch.OutOfMemoryError("Tried to allocate 1.00 GiB")) is None


def test_what_is_recorded_on_a_simulated_gpu_is_what_happened_there():
    """The real recorder follows the simulated allocator, marks included."""
    device = Fake("l40s")
    with device:
        kept = torch.empty(5000, dtype=torch.uint8, device="cuda")
        place = kept.untyped_storage().data_ptr()
        with device.recorder() as recorder:
            torch.empty(300, dtype=torch.uint8, device="cuda")
            recorder.mark("backward")
            del kept

    assert recorder.trace is not None
    assert [change.size for change in recorder.trace.changes] == [300, -300, -5000]
    assert recorder.trace.changes[-1].address == place
    assert [mark.name for mark in recorder.trace.marks] == ["backward"]
