"""What can be measured here, found out by measuring: every meter runs once, every refusal is kept in its own words."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import torch

from bench.errors import UnsupportedError
from bench.schema.catalogue import DEVICES, Scalar, is_predicted, load
from bench.schema.metrics import METRICS
from bench.worker.devices import Device
from bench.worker.doctor import kernels, paging, predictions
from bench.worker.probes import Meter, metered
from bench.worker.probes.attribution import replay
from bench.worker.probes.canary import canary

WINDOW_S = 2.2
"""Seconds the meters of timed steps look at work: a GPU's energy counter needs two."""

KNOWN_BYTES = 3 * 2**20


@dataclass(frozen=True, slots=True)
class Finding:
    """Something a run would measure on `device`: whether it can be, and how or why not."""

    device: str
    what: str
    can: bool
    said: str


def findings() -> Iterator[Finding]:
    """Examine every device of the catalogue, the simulated one first: it has to precede any gradient."""
    yield from _checked("fake", "predictions", predictions.checked)
    for name, entry in DEVICES.items():
        if is_predicted(name):
            continue
        try:
            device: Device = load(entry)()
        except UnsupportedError as refusal:
            yield Finding(name, "training", can=False, said=str(refusal))
            continue
        yield Finding(name, "training", can=True, said=f"torch {torch.__version__}")
        yield from _metered(name, device)
        yield from _checked(name, "memory by category", partial(_recorded, device))
        yield from _checked(name, "canary", partial(_heard, device))
        yield from _checked(name, "4-bit kernels", partial(kernels.checked, device.torch_name))
        for what, check in paging.checks(name):
            yield from _checked(name, what, check)


def device_facts() -> dict[str, Scalar]:
    """Describe the GPU as torch sees it, or the host where torch sees none."""
    for name in ("cuda", "cpu"):
        with suppress(UnsupportedError):
            device: Device = load(DEVICES[name])()
            return device.facts()
    return {}


def _metered(name: str, device: Device) -> Iterator[Finding]:
    """Run the meters around real work; a value proves more than a promise."""
    meters = device.meters()
    yield from _window(name, "train", meters.timed, device, WINDOW_S)
    yield from _window(name, "train", meters.phase, device, 0.0)


def _window(name: str, phase: str, meters: Sequence[Meter], device: Device, seconds: float) -> Iterator[Finding]:
    with metered(meters) as window:
        end = time.perf_counter() + seconds
        block = torch.rand(512, 512, device=device.torch_name)
        block = block @ block
        while time.perf_counter() < end:
            block = (block @ block).clamp(0, 1)
            device.synchronize()
    for metric in window.values:
        yield Finding(name, _label(f"{phase}.{metric}"), can=True, said="")
    for metric, reason in window.absent.items():
        yield Finding(name, _label(f"{phase}.{metric}"), can=False, said=reason)


def _label(metric: str) -> str:
    return METRICS[metric].label.removesuffix(", training") if metric in METRICS else metric


def _checked(name: str, what: str, check: Callable[[], str]) -> Iterator[Finding]:
    try:
        yield Finding(name, what, can=True, said=check())
    except Exception as refusal:
        yield Finding(name, what, can=False, said=str(refusal) or type(refusal).__name__)


def _recorded(device: Device) -> str:
    """Let the recorder see a block of known size."""
    with device.recorder() as recorder:
        recorder.mark("forward")
        torch.empty(KNOWN_BYTES, dtype=torch.uint8, device=device.torch_name)
        recorder.mark("end")
    if recorder.trace is None:
        raise UnsupportedError(recorder.absent)
    seen = replay([], recorder.trace, {}).total
    if seen != KNOWN_BYTES:
        raise UnsupportedError(f"a block of {KNOWN_BYTES} B was seen as {seen} B.")
    return "every allocation of a step"


def _heard(device: Device) -> str:
    heard = canary(device.torch_name, torch.float32)
    return f"float32 GEMM {heard.gemm / 1e9:.0f} GFLOP/s, copy {heard.copy / 1e9:.1f} GB/s"
