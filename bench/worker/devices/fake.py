"""A GPU that is not there: real code on fake tensors, a simulated allocator behind torch.cuda's names."""

from __future__ import annotations

from contextlib import AbstractContextManager, ExitStack
from types import TracebackType

from torch._subclasses.fake_tensor import FakeTensorMode

from bench.errors import UnsupportedError
from bench.schema import Kind, gpus, overheads
from bench.schema.catalogue import Scalar
from bench.worker.devices import Shortage
from bench.worker.fake import abi
from bench.worker.fake.allocator import CachingAllocator
from bench.worker.fake.gpu import FakeCuda
from bench.worker.fake.heap import Heap
from bench.worker.fake.kernels import scratch
from bench.worker.fake.seams import seams
from bench.worker.fake.tracker import Tracker
from bench.worker.probes import Meters, Reading
from bench.worker.probes.allocator import AllocatorPeaks
from bench.worker.probes.managed import ManagedMemory, bitsandbytes_bytes
from bench.worker.probes.recorder_cuda import CudaRecorder
from bench.worker.probes.trace import Recorder


class NoClock:
    """Times nothing: on a simulated device no work is done."""

    def mark(self) -> None:
        """Note nothing."""

    def seconds(self) -> list[float]:
        """Return no seconds."""
        return []


class Beyond:
    """Adds to the reserved peak what a process holds outside torch's allocator, a documented figure."""

    def __init__(self, heap: Heap, outside: int) -> None:
        self._heap = heap
        self._outside = outside

    def start(self) -> None:
        """Nothing: the allocator's peaks begin again by themselves."""

    def stop(self) -> Reading:
        """Return `peak_process` and `peak_device` in bytes; nothing else runs on a simulated device."""
        held = self._heap.allocator.peak_reserved + self._outside
        return Reading({"peak_process": held, "peak_device": held})


class Fake:
    """The GPU called `name` in the catalogue, simulated without a limit: what a run needs is asked before what fits."""

    torch_name = "cuda:0"
    kind = Kind.PREDICTED

    def __init__(self, name: str) -> None:
        self.sku = gpus.by_slug(name)
        if self.sku.memory_bytes is None:
            raise UnsupportedError(f"what CUDA reports as the memory of {self.sku.name} is not known: "
                                   f"{self.sku.memory_source}")  # fmt: skip
        self.memory_bytes = self.sku.memory_bytes
        self.outside = overheads.outside_torch(self.sku)
        self.heap = Heap(CachingAllocator())
        self.cuda = FakeCuda(self.sku, self.memory_bytes, self.heap)
        self._open = ExitStack()

    @property
    def capacity(self) -> int:
        """Bytes of the card that torch's allocator can have."""
        return self.memory_bytes - self.outside.bytes

    def __enter__(self) -> Fake:
        """Let torch meet the simulated GPU."""
        abi.install()
        workspace = overheads.cublas_workspace_bytes(self.sku.capability)
        tracker = Tracker(self.heap, scratch=scratch, workspace=workspace)
        self._open.enter_context(seams(self.cuda, tracker))
        # a number made a tensor on the meta device, where transformers builds models, is not fake by itself
        self._open.enter_context(FakeTensorMode(allow_non_fake_inputs=True))
        self._open.enter_context(tracker)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Give torch back as it was."""
        self._open.close()

    def synchronize(self) -> None:
        """Nothing is queued."""

    def clock(self) -> NoClock:
        """Time nothing."""
        return NoClock()

    def meters(self) -> Meters:
        """Simulated memory around phases; there is nothing to time."""
        peaks = AllocatorPeaks(self.cuda.memory_stats, self._start_peaks)
        beyond = Beyond(self.heap, self.outside.bytes)
        return Meters(phase=(peaks, beyond, ManagedMemory(bitsandbytes_bytes)))

    def _start_peaks(self) -> None:
        self.cuda.empty_cache()
        self.cuda.reset_peak_memory_stats()

    def recorder(self) -> AbstractContextManager[Recorder]:
        """Follow the simulated allocator as a real one is followed."""
        return CudaRecorder(memory=self.cuda.memory)

    def shortage(self, error: BaseException) -> Shortage | None:  # noqa: ARG002 (the signature is Device.shortage's)
        """Never: the simulation has no limit; whether a run fits is worked out after it."""
        return None

    def facts(self) -> dict[str, Scalar]:
        """Describe the simulated device by the catalogue, and where its figures come from."""
        return {
            "torch.device": self.sku.name,
            "torch.device_memory_bytes": self.memory_bytes,
            "torch.compute_capability": "{}.{}".format(*self.sku.capability),
            "torch.multiprocessors": self.sku.multiprocessors,
            "outside_torch.bytes": self.outside.bytes,
            "outside_torch.source": self.outside.source,
        }
