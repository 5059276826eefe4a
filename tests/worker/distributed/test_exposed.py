"""Time in which a GPU exchanges and computes nothing, from what a profile says ran on it."""

from __future__ import annotations

from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st
from torch.autograd import DeviceType

from bench.worker.distributed.exposed import exposed, kernels

NCCL = "ncclDevKernel_AllGather_RING_LL(ncclDevKernelArgsStorage<4096ul>)"
GEMM = "sm90_xmma_gemm_bf16bf16_bf16f32"


def test_only_what_no_kernel_covers_is_waiting():
    """An exchange beside a product is hidden; its rest, and one that is alone, are not."""
    ran = [(NCCL, (0, 10)), (GEMM, (4, 20)), (NCCL, (15, 18)), (NCCL, (30, 35))]

    assert exposed(ran) == 4 + 5


SPANS = st.tuples(st.integers(0, 200), st.integers(0, 50)).map(lambda span: (span[0], span[0] + span[1]))


@given(st.lists(st.tuples(st.sampled_from([NCCL, GEMM]), SPANS), max_size=20))
def test_it_is_what_counting_instants_gives(ran):
    """Instant by instant: some exchange runs, and nothing else."""

    def running(name: str) -> set[int]:
        return {instant for what, (start, end) in ran if what == name for instant in range(start, end)}

    assert exposed(ran) == len(running(NCCL) - running(GEMM))


def test_the_profilers_microseconds_become_nanoseconds_and_the_hosts_events_are_left_out():
    """Events as torch.profiler gives them: those of the host are no work of the GPU."""
    span = SimpleNamespace(start=1.5, end=3.25)
    events = [
        SimpleNamespace(name=NCCL, device_type=DeviceType.CUDA, time_range=span),
        SimpleNamespace(name="aten::mm", device_type=DeviceType.CPU, time_range=span),
    ]

    assert kernels(events) == [(NCCL, (1500, 3250))]
