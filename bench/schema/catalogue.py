"""Every name a config may use, its label, its sentence, and where its code lives.

Strings go up, imports go down: a `target` is a "module:object" string that only
the worker resolves, so reading this table never imports torch. Adding a method,
a task, an optimizer or a device is one file and one entry here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from types import MappingProxyType
from typing import Any, TypeVar

from bench.errors import BadValueError, UnknownNameError

Scalar = bool | int | float | str


@dataclass(frozen=True, slots=True)
class Option:
    """One setting of a method: its default decides its type; `choices`, if any, its values."""

    default: Scalar
    about: str
    choices: tuple[Scalar, ...] = ()
    minimum: float | None = None

    def checked(self, name: str, value: Any) -> Scalar:
        """Return `value` as this option's type, or raise `BadValueError`."""
        kind = type(self.default)
        if kind is float and type(value) is int:
            value = float(value)
        if type(value) is not kind:
            raise BadValueError(f"option {name}={value!r} must be of type {kind.__name__}, like {self.default!r}.")
        if self.choices and value not in self.choices:
            known = ", ".join(map(repr, self.choices))
            raise BadValueError(f"option {name}={value!r} is not one of {known}.")
        if self.minimum is not None and isinstance(value, int | float) and value < self.minimum:
            raise BadValueError(f"option {name}={value!r} is below its minimum {self.minimum:g}.")
        result: Scalar = value
        return result


@dataclass(frozen=True, slots=True)
class Entry:
    """A name of the catalogue: `target` is "module:object", resolved in the worker only."""

    target: str
    label: str
    about: str
    options: Mapping[str, Option] = field(default_factory=lambda: MappingProxyType({}))


LORA_OPTIONS = MappingProxyType({
    "rank": Option(16, "Rank r of the update; the guide's section 5 uses 16.", minimum=1),
    "alpha": Option(32, "Scale: the update is multiplied by alpha / rank.", minimum=1),
    "dropout": Option(0.05, "Dropout on the adapter's input while training.", minimum=0.0),
    "targets": Option("all-linear", "Adapted layers: 'all-linear' (every linear layer but the output head), "
                                    "or module names separated by commas: 'q_proj,v_proj'."),
    "bias": Option("none", "Which biases train.", choices=("none", "all", "lora_only")),
    "autocast_adapter_dtype": Option(True, "Keep adapters in float32 when the base is in 16 bits (peft's default)."),
})  # fmt: skip

QUANTIZATION_OPTIONS = MappingProxyType({
    "quant_type": Option("nf4", "4-bit data type of the base.", choices=("nf4", "fp4")),
    "double_quant": Option(True, "Quantise the scaling factors too."),
    "compute_dtype": Option("model", "What 4-bit weights are expanded to; 'model' is the config's dtype.",
                            choices=("model", "float32", "bfloat16", "float16")),
    "quant_storage": Option("uint8", "Type of the tensor that carries the 4-bit payload.",
                            choices=("uint8", "float32", "bfloat16", "float16")),
    "prepare_kbit": Option(True, "Call peft's prepare_model_for_kbit_training, which keeps what is "
                                 "not quantised in float32."),
})  # fmt: skip

METHODS: Mapping[str, Entry] = MappingProxyType({
    "full": Entry("bench.worker.methods.full:METHOD", "Full", "Every weight of the model is trained."),
    "lora": Entry("bench.worker.methods.lora:METHOD", "LoRA",
                  "The base is frozen; low-rank adapters are trained.", LORA_OPTIONS),
    "qlora": Entry("bench.worker.methods.qlora:METHOD", "QLoRA",
                   "The base is frozen in 4 bits; low-rank adapters are trained.",
                   MappingProxyType({**LORA_OPTIONS, **QUANTIZATION_OPTIONS})),
})  # fmt: skip

TASKS: Mapping[str, Entry] = MappingProxyType({
    "addition": Entry("bench.worker.tasks.addition:TASK", "Two-digit addition",
                      "Generated sums of two numbers from 10 to 99; exact match of the result. Needs no data."),
    "dates": Entry("bench.worker.tasks.dates:TASK", "Dates to ISO 8601",
                   "Generated dates in words, to be written as YYYY-MM-DD; exact match. Needs no data."),
    "gsm8k": Entry("bench.worker.tasks.gsm8k:TASK", "GSM8K",
                   "Grade-school word problems; exact match of the final number."),
})  # fmt: skip

OPTIMIZERS: Mapping[str, Entry] = MappingProxyType({
    "adamw": Entry("bench.worker.optimizers:adamw", "AdamW",
                   "torch.optim.AdamW, implementation chosen by torch (foreach on GPU)."),
    "adamw_fused": Entry("bench.worker.optimizers:adamw_fused", "AdamW (fused)",
                         "torch.optim.AdamW in one kernel a step."),
    "adamw_8bit": Entry("bench.worker.optimizers:adamw_8bit", "AdamW 8-bit",
                        "bitsandbytes AdamW with 8-bit states."),
    "adamw_32bit": Entry("bench.worker.optimizers:adamw_32bit", "AdamW 32-bit (bitsandbytes)",
                         "bitsandbytes AdamW with 32-bit states."),
    "paged_adamw_8bit": Entry("bench.worker.optimizers:paged_adamw_8bit", "AdamW 8-bit, paged",
                              "bitsandbytes AdamW with 8-bit states in pageable memory; the guide's choice. GPU only."),
    "paged_adamw_32bit": Entry("bench.worker.optimizers:paged_adamw_32bit", "AdamW 32-bit, paged",
                               "bitsandbytes AdamW with 32-bit states in pageable memory. GPU only."),
    "mapped_adamw": Entry("bench.worker.paging.mapped:mapped_adamw", "AdamW, mapped",
                          "torch.optim.AdamW with its states in a mapped file: paging on a host. CPU only."),
})  # fmt: skip

DEVICES: Mapping[str, Entry] = MappingProxyType({
    "cpu": Entry("bench.worker.devices.cpu:Cpu", "CPU", "The host processor, a device like any other."),
    "cuda": Entry("bench.worker.devices.cuda:Cuda", "NVIDIA GPU", "The first visible CUDA device."),
})  # fmt: skip

Found = TypeVar("Found")


def find(kind: str, table: Mapping[str, Found], name: str) -> Found:
    """Return the entry called `name`, or raise `UnknownNameError` with the nearest known name."""
    try:
        return table[name]
    except KeyError:
        raise UnknownNameError(kind, name, table) from None


def load(entry: Entry) -> Any:
    """Import and return the object an entry points to. For the worker only."""
    module, _, attribute = entry.target.partition(":")
    return getattr(import_module(module), attribute)
