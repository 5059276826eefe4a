"""What a process holds on a card beside its tensors: outside torch's allocator, and inside it for cuBLAS.

**Outside.** The CUDA context, the kernels loaded so far, the handles of cuBLAS and cuDNN. No document gives it by
architecture, so the table rests on what processes showed in public. An out-of-memory message of torch tells, from
NVML, what its process has in use and, from the allocator, what is allocated and what is reserved beside that: the
rest is outside. The three are rounded to 0.01 GiB. Messages of processes that had begun to talk through NCCL were
left out, as far as the logs tell: its buffers are outside too. The size follows the architecture and, within one, the
number of multiprocessors, as the table shows. `bytes` is the middle of the figures seen; `low` is a tenth below the
least and `high` a quarter above the most, for libraries that those processes had not loaded.

Kernels load when first used from CUDA 11.7 on (CUDA programming guide, lazy loading; torch asks for it since 1.13,
github.com/pytorch/pytorch/pull/86509, which saw 287,047,680 B with it and 666,632,192 B without). Before, all load.

**Inside.** torch takes cuBLAS's workspace from its own allocator; see `cublas_workspace_bytes`. cuDNN's attention
asks the allocator for what the chosen plan wants (`get_workspace_size` in ATen/native/cudnn/MHA.cpp); no figure of
it is documented, so there is none here.
"""

from __future__ import annotations

import re
from statistics import median
from typing import NamedTuple

from bench.errors import BadValueError
from bench.schema.gpus import GIB, Sku

LAZY_SINCE = (11, 7)
"""The CUDA version from which kernels load when first used."""

ALIKE = 0.25
"""Share by which two cards of one architecture may differ in multiprocessors for a figure to be taken over as it is."""


class Overhead(NamedTuple):
    """Bytes outside torch's allocator, the interval they are likely in, and what shows it."""

    bytes: int
    low: int
    high: int
    source: str

    def elsewhere(self, sku: Sku, seen: str) -> Overhead:
        """Return this for a card it was not seen on, with half and double the interval's ends."""
        source = f"taken from {seen}, for none is known of the {sku.name}: {self.source}"
        return Overhead(self.bytes, self.low // 2, self.high * 2, source)


class Seen(NamedTuple):
    """What processes held outside torch's allocator on one chip: the card it stands for, and GiB by process."""

    card: str
    capability: tuple[int, int]
    multiprocessors: int
    gib: tuple[float, ...]
    source: str

    def overhead(self) -> Overhead:
        """Return the middle of the figures with the interval around all of them."""
        least, middle, most = min(self.gib), median(self.gib), max(self.gib)
        return Overhead(round(middle * GIB), round(0.9 * least * GIB), round(1.25 * most * GIB), self.source)


LAZY: tuple[Seen, ...] = (
    Seen("V100", (7, 0), 80, (0.37, 0.38),
         "out-of-memory messages, GiB in use - allocated - reserved: 31.54 - 28.49 - 2.68, 31.72 - 29.66 - 1.68"),
    Seen("T4", (7, 5), 40, (0.12, 0.13, 0.14),
         "out-of-memory messages, GiB in use - allocated - reserved: 14.22 - 12.84 - 1.26, 12.28 - 12.06 - 0.09, "
         "14.55 - 14.29 - 0.12"),
    Seen("A100", (8, 0), 108, (0.50,),
         "out-of-memory message, GiB in use - allocated - reserved: 66.91 - 39.50 - 26.91; about 0.4 for the context "
         "alone, github.com/pytorch/pytorch/issues/109888"),
    Seen("RTX 3090, A10G and RTX A6000", (8, 6), 82, (0.30, 0.31, 0.32),
         "out-of-memory messages, GiB in use - allocated - reserved: 21.96 - 21.59 - 0.07, 22.60 - 19.46 - 2.83, "
         "35.50 - 33.99 - 1.19"),
    Seen("L4", (8, 9), 58, (0.21, 0.32),
         "out-of-memory messages, GiB in use - allocated - reserved: 21.96 - 21.69 - 0.06 while loading a model, "
         "19.50 - 19.12 - 0.06 in training"),
    Seen("L40S, L40, RTX 6000 Ada and RTX 4090", (8, 9), 142, (0.41, 0.42, 0.50, 0.50, 0.51),
         "out-of-memory messages, github.com: eosphoros-ai/DB-GPT-Hub/issues/248, DINGYANB/MTVCrafter/issues/21, "
         "QwenLM/Qwen3-VL/issues/2097, huggingface/sentence-transformers/issues/3214, huggingface/lora-fast/issues/1; "
         "426 MiB for the context alone, unslothai/unsloth-zoo/pull/1053"),
    Seen("H200 and H100", (9, 0), 132, (0.51, 0.65),
         "out-of-memory messages, GiB in use - allocated - reserved: 12.62 - 12.10 - 0.01 while loading a model, "
         "72.18 - 36.69 - 34.84; 520 MiB for the context of an idle process"),
    Seen("B200", (10, 0), 148, (0.70,),
         "out-of-memory message, GiB in use - allocated - reserved: 168.34 - 167.64 - 0.00, debug/pytorch.md of "
         "github.com/stas00/ml-engineering"),
    Seen("RTX 5090", (12, 0), 170, (0.49, 0.60),
         "out-of-memory messages, GiB in use - allocated - reserved: 31.29 - 30.80 - 0.00; 26.89 - 25.95 - 0.34, "
         "github.com/TrajectoryCrafter/TrajectoryCrafter/issues/20"),
    Seen("RTX PRO 6000 Blackwell", (12, 0), 188, (0.68, 0.68),
         "out-of-memory messages, GiB in use - allocated - reserved: 11.93 - 11.24 - 0.01, 94.50 - 85.16 - 8.66"),
)  # fmt: skip
"""CUDA 11.7 and later, torch 2. Messages without an address are logs in public repositories."""

EAGER: tuple[Seen, ...] = (
    Seen("V100", (7, 0), 80, (1341 / 1024,),
         "1343 MiB in use with one float on the card, 2 MiB of them its segment, driver for CUDA 11.2: Transformers' "
         "documentation, Model training anatomy"),
)  # fmt: skip
"""CUDA before 11.7."""

WORKSPACE = 2 * 4096 * 1024 + 8 * 16 * 1024
LARGE_WORKSPACE = 32 * 1024**2


def outside_torch(sku: Sku, cuda: str = "13.0") -> Overhead:
    """Return what a process of torch built for this CUDA version, "12.8" for one, holds outside torch's allocator.

    Raises `BadValueError` for what is no version.
    """
    if not (version := re.fullmatch(r"(\d+)\.(\d+)(?:\.\d+)*", cuda)):
        raise BadValueError(f"{cuda!r} is not a version of CUDA; give one as torch.version.cuda does, like '12.8'")
    rows = LAZY if (int(version[1]), int(version[2])) >= LAZY_SINCE else EAGER
    seen = min(rows, key=lambda row: _distance(row, sku))
    alike = abs(seen.multiprocessors - sku.multiprocessors) <= ALIKE * seen.multiprocessors
    if seen.capability == sku.capability and alike:
        return seen.overhead()
    return seen.overhead().elsewhere(sku, seen.card)


def _distance(seen: Seen, sku: Sku) -> tuple[int, int]:
    """Order rows by how near their architecture is, then by how near their count of multiprocessors is."""
    (major, minor), (its_major, its_minor) = seen.capability, sku.capability
    architecture = abs(10 * major + minor - 10 * its_major - its_minor)
    return architecture, abs(seen.multiprocessors - sku.multiprocessors)


def cublas_workspace_bytes(capability: tuple[int, int]) -> int:
    """Return the bytes torch 2.13 takes from its allocator for a handle of cuBLAS on a stream, kept until the end.

    `parseChosenWorkspaceSize` (ATen/cuda/CublasHandlePool.cpp) gives 32 MiB to capabilities 9, 10 and 12, else
    :4096:2:16:8, two of 4096 KiB and eight of 16 KiB; CUBLAS_WORKSPACE_CONFIG, not followed here, overrides it.
    `setWorkspaceForHandle` allocates on the first use of a pair of handle and stream, and handles belong to threads:
    a training process has two workspaces, the main thread's and the one of autograd's thread for the device.
    cuBLASLt has none of its own: `getCUDABlasLtWorkspace` uses the same, TORCH_CUBLASLT_UNIFIED_WORKSPACE being on.

    Other releases: the unified workspace is the default since github.com/pytorch/pytorch/pull/168175 (before, 1 MiB
    for cuBLASLt beside it), 32 MiB for 10 and 12 since pull/175344 (before, for 9 only). Later ones keep no
    workspace unless TORCH_CUBLAS_WORKSPACE_CACHE is set, and count 11 as large (pull/189312).
    """
    return LARGE_WORKSPACE if capability[0] in {9, 10, 12} else WORKSPACE
