"""The GPU's pager, driven without a GPU: bitsandbytes' own optimiser, its tensors marked paged, a driver that notes."""

from __future__ import annotations

import dataclasses
import warnings
from dataclasses import dataclass, field

import pytest
import torch

from bench.errors import UnsupportedError
from bench.worker.devices.cpu import Cpu
from bench.worker.paging import cuda
from bench.worker.paging.cuda import CudaPager, open_pager, owners
from bench.worker.paging.pressure import GIB
from tests.worker.paging.made import SAFE

MIB = 2**20
VALUES = 3 * MIB


@dataclass
class Noting:
    """A driver that moves nothing and remembers what it was asked."""

    asked: list[tuple[object, ...]] = field(default_factory=list)

    def prefetch(self, address, size, device):
        self.asked.append((address, size, device))

    def synchronize(self):
        self.asked.append(("wait",))


@pytest.fixture
def optimizer():
    """PagedAdamW8bit on two matrices and a vector, after a step; what it would have paged on a GPU is marked so."""
    import bitsandbytes.optim

    parameters = [torch.nn.Parameter(torch.ones(n)) for n in (VALUES, 100, VALUES // 3)]
    made = bitsandbytes.optim.PagedAdamW8bit(parameters, lr=1e-3)
    for parameter in parameters:
        parameter.grad = torch.ones_like(parameter)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # "not supported on CPU"
        made.step()
    for parameter in (parameters[0], parameters[2]):
        for name in ("state1", "state2"):
            made.state[parameter][name].is_paged = True
    return made


def states(optimizer):
    first, _, last = optimizer.param_groups[0]["params"]
    return [optimizer.state[p][name] for p in (first, last) for name in ("state1", "state2")]


def test_only_marked_tensors_count(optimizer):
    """Two states of one byte a value for each large parameter; not the vector's, not the scaling factors."""
    assert CudaPager(optimizer, Noting(), 0).paged_bytes() == 2 * VALUES + 2 * (VALUES // 3)


def test_half_is_sent_to_the_host_in_the_order_of_the_update(optimizer):
    """Four of eight MiB: the first state whole, of the second one chunk; then the driver is waited for."""
    driver = Noting()
    moved = CudaPager(optimizer, driver, 0).move_out(0.5)
    first, second, *_ = states(optimizer)

    assert moved == 3 * MIB + 2 * MIB
    assert driver.asked == [
        (first.data_ptr(), 3 * MIB, None), (second.data_ptr(), 2 * MIB, None), ("wait",),
    ]  # fmt: skip


def test_everything_is_brought_to_this_gpu_and_waited_for(optimizer):
    """Each tensor whole, to the GPU with the given number, and a resident step does not start before it is there."""
    driver = Noting()
    CudaPager(optimizer, driver, 3).make_resident()

    assert driver.asked == [*((t.data_ptr(), t.nbytes, 3) for t in states(optimizer)), ("wait",)]


@pytest.mark.parametrize(("path", "prefetched"), [("prefetch", 3), ("fault", 0)])
def test_only_the_fault_path_keeps_bitsandbytes_from_prefetching(optimizer, monkeypatch, path, prefetched):
    """A step of the real optimiser calls its prefetch for every parameter, or for none; after the block, as before."""
    called = []
    monkeypatch.setattr(type(optimizer), "prefetch_state", lambda self, p: called.append(p))
    with CudaPager(optimizer, Noting(), 0).taking(path) as begin:
        begin()
        optimizer.step()
    inside = len(called)
    optimizer.step()

    assert inside == prefetched
    assert len(called) == prefetched + 3


def test_bitsandbytes_prefetches_through_the_method_that_the_fault_path_replaces(optimizer):
    """The seam is there in the installed version: an instance's attribute takes the place of the method."""
    import bitsandbytes.optim.optimizer as theirs

    assert callable(theirs.Optimizer8bit.prefetch_state)
    with CudaPager(optimizer, Noting(), 0).taking("fault"):
        assert optimizer.prefetch_state is cuda._nothing
    assert optimizer.prefetch_state.__func__ is theirs.Optimizer8bit.prefetch_state


def test_the_fault_path_ends_with_the_block_also_by_an_error(optimizer):
    """A run that dies on the way does not leave the optimiser without its prefetch."""

    def fail():
        with CudaPager(optimizer, Noting(), 0).taking("fault"):
            raise MemoryError

    with pytest.raises(MemoryError):
        fail()
    assert "prefetch_state" not in vars(optimizer)


def test_owners_name_each_state_by_its_parameter(optimizer):
    """Addresses are those of the tensors, so that a fault can be put down to a parameter."""
    first, small, _ = optimizer.param_groups[0]["params"]
    found = owners(optimizer, {first: "layers.0.weight", small: "norm"})

    assert [r.name for r in found] == [
        "layers.0.weight.state1", "layers.0.weight.state2", "unnamed.state1", "unnamed.state2",
    ]  # fmt: skip
    assert [(r.address, r.nbytes) for r in found] == [(t.data_ptr(), t.nbytes) for t in states(optimizer)]


def test_an_optimiser_before_its_first_step_pages_nothing_yet():
    """State is made in the first step; asking before it is no error."""
    import bitsandbytes.optim

    weight = torch.nn.Parameter(torch.ones(10))
    assert CudaPager(bitsandbytes.optim.PagedAdamW8bit([weight]), Noting(), 0).paged_bytes() == 0


def test_without_a_driver_nothing_can_be_moved(optimizer):
    """Where there is no libcuda the refusal says so, in one line."""
    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA driver")
    with pytest.raises(UnsupportedError, match=r"cannot be moved: .*libcuda") as refused:
        open_pager(optimizer, Cpu())
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("optimizer", "values", "fits"),
    [("paged_adamw_32bit", 2 * GIB, True), ("paged_adamw_32bit", 3 * GIB, False), ("paged_adamw_8bit", 3 * GIB, True)],
)
def test_state_that_would_not_fit_is_refused_before_the_first_step(monkeypatch, optimizer, values, fits):
    """20 GiB free hold 16 GiB of state and not 24; 8-bit states take a quarter; small tensors are not paged."""
    monkeypatch.setattr(cuda, "free_bytes", lambda: 20 * GIB)
    monkeypatch.setattr(cuda, "_host", lambda free: dataclasses.replace(SAFE, vram_free=free))
    sizes = [values // 2, values // 2, *[99_999] * 10**4]

    if fits:
        cuda.refuse_before(optimizer, sizes)
    else:
        with pytest.raises(UnsupportedError, match="too much here"):
            cuda.refuse_before(optimizer, sizes)


def test_state_must_fit_beside_what_torch_reserved(monkeypatch):
    """Of 80 GiB torch reserved 60: 19 GiB of state fit with a gibibyte to spare, more are refused with both figures."""
    monkeypatch.setattr(cuda.torch.cuda, "mem_get_info", lambda: (0, 80 * GIB))

    cuda.refuse_beside(19 * GIB, 60 * GIB)
    with pytest.raises(UnsupportedError, match="smaller batch"):
        cuda.refuse_beside(19 * GIB + 1, 60 * GIB)
