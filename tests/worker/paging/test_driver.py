"""The driver's calls at the ABI, both signatures of the prefetch, against a libcuda compiled for the test."""

from __future__ import annotations

import pytest

from bench.worker.paging.driver import DriverRefusalError, open_driver
from tests.worker.paging.conftest import run_scene


def test_a_new_driver_is_given_places(play, stub_cuda):
    """CUDA 12.2 and later: type 2 is the host, type 1 a device; the default stream; not the old call."""
    assert play("prefetch", stub_cuda)["said"] == [
        "cuMemAllocManaged()",
        "cuMemPrefetchAsync_v2(+4096, {2, 0}, 0, (nil))",
        "cuMemPrefetchAsync_v2(+8192, {1, 1}, 0, (nil))",
        "cuCtxSynchronize()",
        "cuMemFree_v2()",
    ]


def test_an_old_driver_is_given_handles(play, old_stub_cuda):
    """Before CUDA 12.2: -1 is the host, else the device's handle, which need not be its number."""
    assert play("prefetch", old_stub_cuda)["said"] == [
        "cuMemAllocManaged()",
        "cuMemPrefetchAsync(+4096, -1, (nil))",
        "cuMemPrefetchAsync(+8192, 71, (nil))",
        "cuCtxSynchronize()",
        "cuMemFree_v2()",
    ]


def test_what_a_gpu_can_do_is_asked_of_that_gpu(play, stub_cuda):
    """The first pages on demand, the second walks the host's page tables, the third does not exist."""
    found = play("prefetch", stub_cuda)

    assert found["abilities"] == [[True, False], [False, True]]
    assert found["refused"] == "DriverRefusalError: cuDeviceGet answered 101 (CUDA_ERROR_INVALID_DEVICE)."


@pytest.mark.parametrize(
    ("call", "code", "name"),
    [
        ("cuMemAllocManaged", 801, "unknown"),
        ("cuMemPrefetchAsync", 101, "CUDA_ERROR_INVALID_DEVICE"),
        ("cuCtxSynchronize", 700, "unknown"),
    ],
)
def test_a_refused_call_is_named(stub_cuda, call, code, name):
    """The call, its code, and the driver's own name for it."""
    done = run_scene("prefetch", stub_cuda, STUB_CUDA_FAIL=f"{call}={code}")

    assert f"DriverRefusalError: {call} answered {code} ({name})." in done.stderr


def test_no_driver_is_a_reason(tmp_path, stub_cupti):
    """No library, or one without the calls."""
    for path in (tmp_path / "libcuda.so.1", stub_cupti):
        with pytest.raises(DriverRefusalError, match=r"no usable libcuda\.so\.1"):
            open_driver(str(path))
