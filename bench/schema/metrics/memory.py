"""Memory: peaks of every phase, and what the training step's peak consists of."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from bench.schema.metrics.metric import Limits, Metric

MIB = 2**20

PHASES: Mapping[str, str] = MappingProxyType(
    {
        "load": "loading and wrapping the model",
        "spread": "sharing the model between processes",
        "evaluate": "evaluating",
        "train": "training",
        "save": "saving the adapter",
        "infer": "generating text",
        "merge": "merging the adapter into the base",
    }
)
"""Phases of a run in their order, and what is done in each. Peaks start again with every phase."""

STAGES: Mapping[str, str] = MappingProxyType(
    {
        "forward": "the forward pass and the loss",
        "backward": "the backward pass",
        "optimizer": "clipping and the optimiser's update",
    }
)
"""Stages of one training step, looked at in a step of their own after everything timed."""

CATEGORIES: Mapping[str, str] = MappingProxyType(
    {
        "base_float32": "weights of the base in float32",
        "base_bfloat16": "weights of the base in bfloat16",
        "base_float16": "weights of the base in float16",
        "base_int8": "weights of the base in 8 bits (LLM.int8)",
        "base_4bit": "4-bit payload of the base's quantised weights",
        "quantization_state": "scaling factors and code books of quantised weights",
        "adapters": "weights of the adapters",
        "buffers": "the model's buffers",
        "gradients": "gradients of the trained weights",
        "optimizer_state": "state of the optimiser, with its own copies of weights where it keeps them",
        "activations": "what the forward pass keeps for the backward pass, the head excepted",
        "logits": "logits, loss and the gradient of the logits",
        "temporaries": "everything else that lives within one stage",
        "other": "what was alive before the step and belongs to none of these",
    }
)
"""What an allocated byte is for. Every byte torch's allocator has handed out is in exactly one."""

TENSORS: Limits = {"margin": 0.001, "grain": 8 * MIB}
HELD: Limits = {"margin": 0.005, "grain": 64 * MIB}
"""Changes of peaks that count. Of what allocators hold, and processes: of 25 configurations run twice by others, none
moved by more (15 to the byte, at most 0.24 %; huggingface/peft, method_comparison, June 2025); of tensors
a proposal."""


def _peaks(phase: str, doing: str) -> dict[str, Metric]:
    """The memory metrics every phase has."""
    return {
        f"{phase}.peak_allocated": Metric(
            "B", "lower", "near-exact", f"peak tensor memory, {doing}",
            f"Most bytes of tensors alive at once while {doing}. CUDA: torch.cuda.max_memory_allocated. CPU: tensors "
            "that live between steps plus what torch's CPU allocator adds in one traced step or batch, the largest "
            "of the run. Misses what libraries allocate outside torch.", **TENSORS),
        f"{phase}.peak_requested": Metric(
            "B", "lower", "near-exact", f"peak requested memory, {doing}",
            f"Most bytes that code asked the caching allocator for at once while {doing}, before rounding to 512 B "
            "(requested_bytes.all.peak of torch.cuda.memory_stats).", devices=("cuda",), **TENSORS),
        f"{phase}.peak_reserved": Metric(
            "B", "lower", "near-exact", f"peak reserved memory, {doing}",
            f"Most bytes torch's caching allocator held while {doing} (torch.cuda.max_memory_reserved). Misses the "
            "CUDA context, libraries' own allocations and managed memory.", devices=("cuda",), **HELD),
        f"{phase}.peak_process": Metric(
            "B", "lower", "near-exact", f"peak GPU memory of the process, {doing}",
            f"Peak reserved memory plus what the process holds on the GPU outside torch, as NVML tells it at the end "
            f"of {doing} (nvmlDeviceGetComputeRunningProcesses). Misses managed memory, and a peak outside torch "
            "that is over when the phase ends.", devices=("cuda",), **HELD),
        f"{phase}.peak_device": Metric(
            "B", "lower", "near-exact", f"peak GPU memory in use, {doing}",
            f"Peak reserved memory plus what is in use on the GPU beyond torch at the end of {doing} "
            "(nvmlDeviceGetMemoryInfo_v2, used): every process, contexts, resident managed pages. Misses managed "
            "pages that were evicted.", devices=("cuda",), **HELD),
        f"{phase}.peak_managed": Metric(
            "B", "lower", "exact", f"managed memory, {doing}",
            f"Bytes of paged optimiser state at the end of {doing}: CUDA managed memory that torch cannot see "
            "(bitsandbytes), or state in a mapped file (CPU). Wherever the pages are.",),
        f"{phase}.peak_resident": Metric(
            "B", "lower", "noisy", f"peak process memory, {doing}",
            f"Most host memory resident in the process while {doing}: VmHWM of /proc/self/status, reset "
            "when the phase starts. Includes the interpreter and libraries (about 0.5 GB) and memory the C "
            "allocator has not returned.", margin=0.05),
        f"{phase}.minor_faults": Metric(
            "1", "lower", "noisy", f"minor page faults, {doing}",
            f"Page faults served without reading a disk while {doing} (getrusage, ru_minflt)."),
        f"{phase}.major_faults": Metric(
            "1", "lower", "noisy", f"major page faults, {doing}",
            f"Page faults that waited for a disk while {doing} (getrusage, ru_majflt). One may bring in many pages."),
        f"{phase}.swap_growth": Metric(
            "B", "lower", "noisy", f"growth of swap, {doing}",
            f"Bytes of the process in swap after {doing}, minus those before (VmSwap of /proc/self/status)."),
        f"{phase}.seconds": Metric("s", "lower", "noisy", f"seconds {doing}", f"Wall time spent {doing}."),
    }  # fmt: skip


def _stage(stage: str, doing: str) -> dict[str, Metric]:
    return {
        f"{stage}.peak_allocated": Metric(
            "B", "lower", "near-exact", f"peak tensor memory, {doing}",
            f"Most bytes of tensors alive at once in {doing}, from the allocations of one traced step after all timed "
            "work, the largest of the run.", **TENSORS),
        f"{stage}.seconds": Metric(
            "s", "lower", "noisy", f"seconds of {doing}",
            f"Wall time of {doing} in one step after all timed work, the device synchronised at both ends."),
    }  # fmt: skip


MEMORY: Mapping[str, Metric] = MappingProxyType({
    **{name: metric for phase, doing in PHASES.items() for name, metric in _peaks(phase, doing).items()},
    **{name: metric for stage, doing in STAGES.items() for name, metric in _stage(stage, doing).items()},
    **{
        f"at_peak.{category}": Metric(
            "B", "lower", "near-exact", f"at the peak: {category.replace('_', ' ')}",
            f"Bytes of {what}, at the moment of the training step's peak.")
        for category, what in CATEGORIES.items()
    },
    "merge.weights_before": Metric(
        "B", "neither", "exact", "weights before merging",
        "Bytes of the model's weights with its adapter before it is merged: base, quantisation state and adapter."),
    "merge.weights_after": Metric(
        "B", "lower", "exact", "weights after merging",
        "Bytes of the merged model's weights. `merge.quantization` of the run says whether they are still quantised."),
    "at_peak.total": Metric(
        "B", "lower", "near-exact", "at the peak: all tensors",
        "Bytes of tensors alive at the peak of the traced step: the sum of all categories."),
    "at_peak.unseen": Metric(
        "B", "lower", "near-exact", "at the peak: unseen",
        "The allocator's own peak of requested bytes in the traced step minus at_peak.total: up to 2 kB, what a mark "
        "in the trace takes, when the trace saw everything.", devices=("cuda",)),
    "at_peak.allocator_slack": Metric(
        "B", "lower", "near-exact", "at the peak: allocator slack",
        "Bytes the caching allocator held beyond at_peak.total: rounding and free blocks it kept.",
        devices=("cuda",)),
    "at_peak.outside_torch": Metric(
        "B", "lower", "near-exact", "at the peak: outside torch",
        "GPU memory of the process that torch does not hold: CUDA context, modules, libraries (NVML's process figure "
        "minus reserved memory). at_peak.total, allocator_slack and this sum to the process's peak.",
        devices=("cuda",)),
})  # fmt: skip
