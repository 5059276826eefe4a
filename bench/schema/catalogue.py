"""Every name a config may use, its label, its sentence, and where its code lives.

Strings go up, imports go down: a `target` is a "module:object" string that only
the worker resolves, so reading this table never imports torch. Adding a method,
a task, an optimizer, a study or a device is one file and one entry here.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType
from typing import Any, TypeVar

from bench.errors import UnknownNameError
from bench.schema.entry import Entry, Option, Scalar, Study, Task
from bench.schema.methods import METHODS
from bench.schema.studies import STUDIES

__all__ = [
    "DEVICES", "HARNESS", "METHODS", "NONE", "OPTIMIZERS", "STUDIES", "TASKS", "Entry", "Option", "Scalar", "Study",
    "Task", "find", "find_task", "is_predicted", "load",
]  # fmt: skip

NONE = "none"
"""The model of a study that needs no weights, and the task of one that needs no examples."""

HARNESS = "lm-eval:"
"""What the names of lm-evaluation-harness' tasks begin with, as in lm-eval:arc_easy; the worker looks them up."""

TASKS: Mapping[str, Task] = MappingProxyType({
    "addition": Task("bench.worker.tasks.addition:TASK", "Two-digit addition",
                      "Generated sums of two numbers from 10 to 99; exact match of the result. Needs no data."),
    "dates": Task("bench.worker.tasks.dates:TASK", "Dates to ISO 8601",
                   "Generated dates in words, to be written as YYYY-MM-DD; exact match. Needs no data."),
    "gsm8k": Task("bench.worker.tasks.gsm8k:TASK", "GSM8K",
                   "Grade-school word problems; exact match of the final number."),
    "faq": Task("bench.worker.tasks.faq:TASK", "Product FAQ",
                 "Generated facts of an invented shop, asked in words that were not trained; exact match of "
                 "the number. Needs no data."),
    "humaneval": Task("bench.worker.tasks.humaneval:TASK", "HumanEval",
                       "Python functions to complete, trained on MBPP; right if a problem's tests pass in a jail."),
    "pubmedqa": Task("bench.worker.tasks.pubmedqa:TASK", "PubMedQA",
                      "Questions answered yes, no or maybe by a medical abstract; the likeliest choice."),
    "mnli": Task("bench.worker.tasks.mnli:TASK", "MultiNLI",
                  "Does a premise entail a hypothesis, in ten genres of English? The likeliest choice."),
    "snli": Task("bench.worker.tasks.snli:TASK", "SNLI",
                  "Does an English caption entail a hypothesis? The likeliest choice."),
    "jnli": Task("bench.worker.tasks.jnli:TASK", "JNLI",
                  "Does one Japanese caption entail another? The likeliest choice; pairs divided by photograph."),
    "jcommonsenseqa": Task("bench.worker.tasks.jcommonsenseqa:TASK", "JCommonsenseQA",
                            "Japanese questions of common sense with five choices; the likeliest choice by character."),
    "shapes": Task("bench.worker.tasks.shapes:TASK", "Shapes in pictures",
                   "Drawn pictures of one coloured shape, for models that read images; exact match of colour and "
                   "shape. Needs no data.", images=True),
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
    "lion_8bit": Entry("bench.worker.optimizers:lion_8bit", "Lion 8-bit", "bitsandbytes Lion with an 8-bit state."),
    "lion_32bit": Entry("bench.worker.optimizers:lion_32bit", "Lion 32-bit (bitsandbytes)",
                        "bitsandbytes Lion with a 32-bit state."),
    "ademamix_8bit": Entry("bench.worker.optimizers:ademamix_8bit", "AdEMAMix 8-bit",
                           "bitsandbytes AdEMAMix with 8-bit states."),
    "adafactor": Entry("bench.worker.optimizers:adafactor", "Adafactor",
                       "torch.optim.Adafactor, whose steps are relative to the weights' size."),
    "muon": Entry("bench.worker.optimizers:muon", "Muon",
                  "torch.optim.Muon with steps as large as AdamW's; takes matrices only."),
    "mapped_adamw": Entry("bench.worker.paging.mapped:mapped_adamw", "AdamW, mapped",
                          "torch.optim.AdamW with its states in a mapped file: paging on a host. CPU only."),
})  # fmt: skip

DEVICES: Mapping[str, Entry] = MappingProxyType({
    "cpu": Entry("bench.worker.devices.cpu:Cpu", "CPU", "The host processor, a device like any other."),
    "cuda": Entry("bench.worker.devices.cuda:Cuda", "NVIDIA GPU", "The first visible CUDA device."),
    "fake": Entry("bench.worker.devices.fake:Fake", "Simulated GPU",
                  "A GPU of the catalogue that is not there, as in fake:h100-80gb; its records are predictions."),
})  # fmt: skip


def is_predicted(device: str) -> bool:
    """Tell whether runs on a device, such as "fake:l40s", are predictions."""
    return device.partition(":")[0] == "fake"


Found = TypeVar("Found")


def find(kind: str, table: Mapping[str, Found], name: str) -> Found:
    """Return the entry called `name`, or raise `UnknownNameError` with the nearest known name."""
    try:
        return table[name]
    except KeyError:
        raise UnknownNameError(kind, name, table) from None


def find_task(name: str) -> Task:
    """Return the entry of a task: a known one, or one of lm-evaluation-harness. Raises `UnknownNameError`."""
    if name.startswith(HARNESS):
        return Task("bench.worker.harness:HarnessTask", name, "As lm-evaluation-harness defines and scores it.")
    return find("task", TASKS, name)


def load(entry: Entry) -> Any:
    """Import and return the object an entry points to. For the worker only."""
    module, _, attribute = entry.target.partition(":")
    return getattr(import_module(module), attribute)
