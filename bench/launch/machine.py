"""What this machine is: processor, memory, GPU, and the packages that measure. Facts only, no names of people."""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import re
import subprocess
from collections.abc import Callable, Iterator
from functools import cache
from importlib import metadata
from pathlib import Path

import bench
from bench.errors import BadValueError
from bench.launch.gpu import Gpu, absence, gpu
from bench.launch.gpu import facts as gpu_facts
from bench.launch.host import facts as host_facts
from bench.launch.scrub import scrub
from bench.schema import gpus
from bench.schema.catalogue import Scalar, is_predicted
from bench.schema.record import STACK

PACKAGES = (
    "torch", "transformers", "peft", "bitsandbytes", "accelerate", "datasets", "safetensors",
    "tokenizers", "numpy", "gguf", "hqq", "deepspeed", "pytest", "pytest-benchmark", "nvidia-ml-py", "triton",
    "nvidia-cublas", "nvidia-cuda-cupti", "nvidia-cuda-runtime", "nvidia-cudnn-cu13", "nvidia-nccl-cu13",
    "nvidia-cublas-cu12", "nvidia-cuda-cupti-cu12", "nvidia-cuda-runtime-cu12", "nvidia-cudnn-cu12", "nvidia-nccl-cu12",
)  # fmt: skip
STACK_FACTS = frozenset(f"package.{name}" for name in STACK)
"""Facts about packages whose version makes a result another result."""

VARIABLES = (
    "CUDA_VISIBLE_DEVICES", "CUBLAS_WORKSPACE_CONFIG", "KMP_AFFINITY", "MKL_NUM_THREADS", "OMP_NUM_THREADS",
    "OMP_WAIT_POLICY", "PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF",
)  # fmt: skip


def device_slug(device: str) -> str:
    """Name the hardware behind `device` for a folder: the GPU's product name, the processor's, or what is simulated.

    Raises `BadValueError` where the machine has no such device, `UnknownNameError` for a GPU nobody knows.
    """
    if is_predicted(device):
        return f"fake-{gpus.by_slug(device.partition(':')[2]).slug}"
    if device == "cuda":
        found = gpu()
        if found is None:
            raise BadValueError(f"device 'cuda' was asked for and NVML finds no GPU; use --device cpu. {absence()}")
        return _slug(found.name)
    return _slug(f"{_cpu_model()}-{_cores()}-cores")


def _slug(text: str) -> str:
    text = re.sub(r"\((R|TM|C)\)|\bCPU\b|@.*GHz", " ", text, flags=re.IGNORECASE)
    return re.sub(r"[^a-z0-9.]+", "-", text.lower()).strip("-.")


def facts() -> dict[str, Scalar]:
    """Describe this machine: only what was found; an absent fact has no key. Units are in the names."""
    return dict(_facts())


def software() -> dict[str, Scalar]:
    """Return the part of `facts` that a prediction depends on: packages and code, nothing of the host."""
    kept = ("package.", "ftbench.", "python", "code.")
    return {name: fact for name, fact in facts().items() if name.startswith(kept)}


def _facts() -> Iterator[tuple[str, Scalar]]:
    yield "cpu.model", _cpu_model()
    yield "cpu.cores", _cores()
    yield "cpu.architecture", platform.machine()
    with contextlib.suppress(OSError, ValueError):
        yield "memory.bytes", os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    yield "system", f"{platform.system()} {platform.release()}"
    yield "python", platform.python_version()
    yield from host_facts()
    yield from gpu_facts().items()
    for package, version in versions().items():
        yield f"package.{package}", version
    for variable in VARIABLES:
        if variable in os.environ:
            yield f"variable.{variable}", scrub(os.environ[variable])
    yield "ftbench.version", bench.__version__
    yield "ftbench.code", code_hash()
    yield from _commit()


@cache
def versions() -> dict[str, str]:
    """Return the installed versions of `PACKAGES`, read without importing them."""
    found = {}
    for package in PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    return found


def stack() -> dict[str, Scalar]:
    """Return the part of `facts` that makes a result another result: `package.<name>` of `STACK`."""
    return {f"package.{name}": version for name, version in versions().items() if name in STACK}


@cache
def _cpu_model() -> str:
    with contextlib.suppress(OSError):
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
        if found:
            return found.group(1).strip()
    return platform.processor() or platform.machine()


def _cores() -> int:
    """Count the cores this process may use."""
    affinity: Callable[[int], set[int]] | None = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


@cache
def code_hash() -> str:
    """Hash the code that measures, so that two records tell whether one harness made both."""
    digest = hashlib.sha256()
    home = Path(bench.__file__).parent
    for path in sorted(p for part in ("worker", "schema", "launch") for p in (home / part).rglob("*.py")):
        digest.update(path.relative_to(home).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]


def _commit() -> Iterator[tuple[str, Scalar]]:
    """The commit of the checkout this package runs from, and whether files differ from it."""
    here = Path(bench.__file__).resolve().parent

    def git(*arguments: str) -> str | None:
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            command = ["git", "-C", str(here), *arguments]
            done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
            return done.stdout.strip()
        return None

    if git("ls-files", "--error-unmatch", "__init__.py") is None:
        return
    if commit := git("rev-parse", "HEAD"):
        yield "ftbench.commit", commit
        changed = git("status", "--porcelain", "--untracked-files=no", "--", ".")
        if changed is not None:
            yield "ftbench.modified", bool(changed)


__all__ = ["PACKAGES", "STACK_FACTS", "VARIABLES", "Gpu", "device_slug", "facts", "gpu", "stack", "versions"]
