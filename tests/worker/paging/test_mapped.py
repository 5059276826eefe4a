"""Mapped AdamW is torch's AdamW to the bit; its file is real, reserved in full, and never outlives the process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from bench.errors import UnsupportedError
from bench.worker.paging import mapped
from bench.worker.paging.mapped import SMALLEST, MappedAdamW, mapped_adamw, mapped_bytes

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="mapped_adamw is Linux's")

MAPPING_CHILD = """
import sys, torch
from pathlib import Path
from bench.worker.paging.mapped import MappedAdamW
p = torch.nn.Parameter(torch.ones(1_000_000))
optimizer = MappedAdamW([p], folder=Path(sys.argv[1]))
p.grad = torch.ones_like(p)
optimizer.step()
print("mapped", flush=True)
sys.stdin.read()
"""


def both(shapes, dtype=torch.float32, **settings):
    """The same parameters under torch's optimiser and ours."""
    generator = torch.Generator().manual_seed(0)
    made = [torch.randn(*shape, generator=generator).to(dtype) for shape in shapes]
    theirs = [torch.nn.Parameter(tensor.clone()) for tensor in made]
    ours = [torch.nn.Parameter(tensor.clone()) for tensor in made]
    return theirs, torch.optim.AdamW(theirs, fused=True, **settings), ours, MappedAdamW(ours, **settings)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_weights_and_states_are_torchs_to_the_bit(dtype, decay):
    """Seven steps with new gradients, large and small parameters, on disk in between: not one bit differs."""
    shapes = [(500, 401), (7,), (1000, 300), (99, 1000)]
    theirs, reference, ours, optimizer = both(shapes, dtype, lr=1e-2, weight_decay=decay)
    pager = mapped_pager(optimizer)
    generator = torch.Generator().manual_seed(1)
    for _ in range(7):
        for a, b in zip(theirs, ours, strict=True):
            a.grad = torch.randn(a.shape, generator=generator).to(dtype)
            b.grad = a.grad.clone()
        reference.step()
        optimizer.step()
        pager.move_out(1.0)

    for a, b in zip(theirs, ours, strict=True):
        assert torch.equal(a, b)
        for name in ("step", "exp_avg", "exp_avg_sq"):
            assert torch.equal(reference.state[a][name], optimizer.state[b][name])
            assert reference.state[a][name].dtype == optimizer.state[b][name].dtype
            assert reference.state[a][name].stride() == optimizer.state[b][name].stride()


def mapped_pager(optimizer):
    from bench.worker.paging.host import HostPager

    return HostPager(optimizer.paged_ranges())


def test_a_transposed_parameter_keeps_its_layout():
    """AdamW's kernel walks weight, gradient and states side by side, so they must lie in memory alike."""
    weight = torch.randn(400, 300).T
    reference = torch.optim.AdamW([theirs := torch.nn.Parameter(weight.clone())], fused=True)
    optimizer = MappedAdamW([ours := torch.nn.Parameter(weight.clone())])
    theirs.grad = torch.randn(400, 300).T
    ours.grad = theirs.grad.clone()
    reference.step()
    optimizer.step()

    assert torch.equal(theirs, ours)
    assert optimizer.state[ours]["exp_avg"].stride() == reference.state[theirs]["exp_avg"].stride()


def test_only_large_parameters_are_paged_from_bitsandbytes_size_on():
    """99,999 values stay in memory, 100,000 are paged; both states, in the order of the parameters."""
    small, large, larger = (torch.nn.Parameter(torch.zeros(n)) for n in (SMALLEST - 1, SMALLEST, SMALLEST + 1))
    ranges = MappedAdamW([small, large, larger]).paged_ranges()

    assert SMALLEST == 100_000
    assert [(r.name, r.nbytes) for r in ranges] == [
        ("0.exp_avg", 400_000), ("0.exp_avg_sq", 400_000), ("1.exp_avg", 400_004), ("1.exp_avg_sq", 400_004),
    ]  # fmt: skip
    assert all(r.address % os.sysconf("SC_PAGE_SIZE") == 0 for r in ranges)


def test_mapped_bytes_are_those_of_living_optimisers():
    """What is counted as managed memory grows with an optimiser and goes with it."""
    before = mapped_bytes()
    optimizer = MappedAdamW([torch.nn.Parameter(torch.zeros(SMALLEST))])
    assert mapped_bytes() == before + 800_000
    del optimizer
    assert mapped_bytes() == before


def test_nothing_large_needs_no_file(tmp_path):
    """An adapter of small matrices trains as usual, in a folder that does not even exist."""
    weight = torch.nn.Parameter(torch.ones(10))
    optimizer = MappedAdamW([weight], lr=0.1, folder=tmp_path / "absent")
    weight.grad = torch.ones(10)
    optimizer.step()

    assert optimizer.paged_ranges() == []
    assert (weight < 1).all()


def test_the_catalogue_builds_it_with_the_configs_rate_and_decay(tiny_config):
    """The run's learning rate and weight decay reach the optimiser."""
    config = tiny_config(optimizer="mapped_adamw", learning_rate=3e-4, weight_decay=0.03)
    optimizer = mapped_adamw([torch.nn.Parameter(torch.zeros(3))], config)

    assert isinstance(optimizer, MappedAdamW)
    assert (optimizer.defaults["lr"], optimizer.defaults["weight_decay"]) == (3e-4, 0.03)


def test_a_file_in_memory_is_refused():
    """A tmpfs would page nothing and look like a fast disk."""
    if not Path("/dev/shm").is_dir() or mapped._kind_of_filesystem(Path("/dev/shm")) != 0x01021994:
        pytest.skip("no tmpfs on this machine")
    with pytest.raises(UnsupportedError, match=r"tmpfs.*TMPDIR"):
        MappedAdamW([torch.nn.Parameter(torch.zeros(SMALLEST))], folder=Path("/dev/shm"))


def test_a_disk_without_room_is_found_out_before_training(tmp_path):
    """The system refuses the reservation; one line says how much was needed, and no file is left."""
    size = 10 * os.statvfs(tmp_path).f_blocks * os.statvfs(tmp_path).f_frsize

    with pytest.raises(UnsupportedError, match=r"cannot hold [\d.]+ GiB of optimiser state: .*TMPDIR") as refused:
        mapped._reserved(size, tmp_path)

    assert "\n" not in str(refused.value)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_one_line(tmp_path):
    """TMPDIR pointing nowhere is the user's error, not a traceback."""
    with pytest.raises(UnsupportedError, match=r"No such file or directory\. Set TMPDIR"):
        mapped._reserved(4096, tmp_path / "absent")


@pytest.mark.parametrize("death", [signal.SIGKILL, signal.SIGTERM, None])
def test_no_death_leaves_a_file(tmp_path, death):
    """While the process maps four million values their file takes room but has no name; after it, neither."""
    child = subprocess.Popen(
        [sys.executable, "-c", MAPPING_CHILD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout.readline() == "mapped\n"
    maps = Path(f"/proc/{child.pid}/maps").read_text()
    during = list(tmp_path.iterdir())
    if death is None:
        child.stdin.close()
    else:
        child.send_signal(death)
    child.wait(timeout=60)

    assert f"{tmp_path}/" in maps
    assert "(deleted)" in maps
    assert during == []
    assert list(tmp_path.iterdir()) == []


def test_other_systems_are_named(monkeypatch, tmp_path):
    """Elsewhere than on Linux the optimiser refuses and names the one to take."""
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(UnsupportedError, match=r"darwin.*adamw_fused"):
        MappedAdamW([torch.nn.Parameter(torch.zeros(SMALLEST))], folder=tmp_path)


def test_parameters_elsewhere_are_refused():
    """State in a host's file is no use to a GPU's kernel; `meta` stands for any other device."""
    with pytest.raises((UnsupportedError, RuntimeError), match="paged_adamw_32bit"):
        MappedAdamW([torch.nn.Parameter(torch.zeros(SMALLEST, device="meta"))])
