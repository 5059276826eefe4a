"""A run, fully described before it starts."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec

from bench.errors import BadValueError, UnknownNameError
from bench.schema.catalogue import METHODS, NONE, OPTIMIZERS, STUDIES, Option, Scalar, Study, find, find_task
from bench.schema.studies import TRAINING

Count = Annotated[int, msgspec.Meta(ge=1)]
Quantity = Annotated[int, msgspec.Meta(ge=0)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Positive = Annotated[float, msgspec.Meta(gt=0)]
Slug = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9._-]*$", max_length=120)]
TaskName = Annotated[str, msgspec.Meta(pattern=r"^([a-z0-9][a-z0-9._-]*|lm-eval:[A-Za-z0-9._-]+)$", max_length=120)]
DeviceName = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9._:-]*$", max_length=60)]

NOT_IDENTITY = ("seed", "timeout_s", "device", "largest_batch")
SHORT_DTYPE = {"float32": "f32", "bfloat16": "bf16", "float16": "f16"}


class Protocol(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a training loop differs from ours, as far as memory is concerned; the defaults are ours.

    It lets a loop that others published be run here, or predicted. `bench.schema.protocols` names some.
    """

    shapes: tuple[tuple[Count, Count], ...] = ()
    """[sequences, length in tokens] of every micro-batch in order, then again from the first; none: the config's."""
    padded: bool = False
    """Only the first sequence of a batch is as long as that, so that every batch has a padding mask."""
    use_cache: bool = False
    """Training's forward pass fills a key-value cache, as models do that nobody tells not to."""
    outputs: Literal["loss", "backward", "forward"] = "loss"
    """How long a step's outputs, logits among them, stay alive: until the loss is taken, until the backward pass is
    done, or until the next forward pass has returned."""
    zero_grad_first: bool = False
    """Gradients are released as the next step begins, not as theirs ends."""
    empty_cache_steps: Quantity = 0
    """torch.cuda.empty_cache() after every so many steps; 0 never."""
    evaluate_first: tuple[Count, Count] | None = None
    """Before training, one pass without gradients over [sequences, length], in evaluation mode."""


class RunConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that decides what a run does. Build one with `configure`; derive others with `but`.

    Names follow transformers' `TrainingArguments` where it has the same idea.
    Defaults are part of a case's identity and therefore never change.
    """

    model: Slug
    method: Slug
    task: TaskName
    options: dict[str, Scalar] = {}
    """The method's own settings, complete; `bench.schema.catalogue.METHODS` lists them."""
    study: Slug = TRAINING
    """What is done with the model: it is trained, or something else is asked of it."""
    study_options: dict[str, Scalar] = {}
    """The study's own settings, complete; `bench.schema.catalogue.STUDIES` lists them."""
    base: Literal["plain", "nf4", "fp4", "int8"] = "plain"
    """How the frozen base under an adapter is held: in `dtype`, or quantised by bitsandbytes; 4-bit ones doubly."""
    device: DeviceName = "cpu"
    seed: Quantity = 0
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    """Of the weights that are not quantised."""
    autocast: Literal["none", "bfloat16", "float16"] = "none"
    """Mixed precision in forward and loss; float16 scales the loss."""
    attention: Literal["sdpa", "eager", "flash_attention_2"] = "sdpa"
    optimizer: Slug = "adamw_fused"
    learning_rate: Positive = 2e-4
    weight_decay: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    lr_scheduler_type: Literal["linear", "cosine", "constant_with_warmup"] = "linear"
    warmup_ratio: Share = 0.1
    """Share of the steps in which the learning rate rises."""
    max_grad_norm: Annotated[float, msgspec.Meta(ge=0)] = 1.0
    """Gradients are clipped to this norm; 0 does not clip."""
    steps: Count = 10
    """Optimiser steps, untimed ones included."""
    untimed_steps: Quantity = 2
    """First steps, which allocate and settle: kept in the record, left out of every speed."""
    batch_size: Count = 4
    """Sequences in one forward pass."""
    gradient_accumulation_steps: Count = 1
    sequence_length: Count = 128
    """Longest sequence in tokens; longer examples are cut and counted."""
    packing: bool = False
    """Fill every sequence to `sequence_length` with examples end to end, so that no token is padding."""
    gradient_checkpointing: bool = False
    train_examples: Quantity = 0
    """Examples to train on, again and again; 0 takes all the task has."""
    evaluate_items: Quantity = 0
    """Test items scored before and after training; 0 scores none."""
    evaluate_batch_size: Count = 50
    infer_tokens: Quantity = 0
    """Tokens generated after training, one sequence at a time; 0 generates none."""
    merge: bool = False
    """At the end, merge the adapter into the base."""
    inspect: bool = True
    """After everything timed, look into steps of the largest batch: memory by category, seconds by stage."""
    paging: Literal["none", "prefetch", "fault", "limit", "ballast"] = "none"
    """How paged optimiser state is kept away before every other pair of timed steps: moved out, and brought back by a
    prefetch or by page faults; or pushed out by a memory limit (CPU) or by another process's GPU memory (ballast)."""
    paging_fraction: Share = 0.0
    """Share of the paged state that is kept away; with `ballast`, what it exceeds its room by."""
    uvm_counters: bool = False
    """Attach CUPTI's unified-memory counters; such a run gives no headline speed."""
    memory_limit: Quantity = 0
    """Bytes of private memory a run may take on the host (RLIMIT_DATA); 0 does not limit."""
    protocol: Protocol = Protocol()
    """Whose training loop this is, where it is not ours."""
    largest_batch: bool = False
    """On a simulated GPU, find out the largest batch that fits as well."""
    timeout_s: Positive = 3600.0

    def but(self, **changes: Any) -> RunConfig:
        """Return this config with `changes`: fields of `RunConfig`, options of its method or of its study.

        Options of the old method and study that the new ones have too are kept.
        Raises `UnknownNameError` or `BadValueError`.
        """
        fields = {name: getattr(self, name) for name in self.__struct_fields__}
        options = {**fields.pop("options"), **fields.pop("study_options")}
        method = find("method", METHODS, changes.get("method", self.method))
        study = find("study", STUDIES, changes.get("study", self.study))
        kept = {k: v for k, v in options.items() if k in method.options or k in study.options}
        return configure(**{**fields, **kept, **changes})

    @property
    def identity(self) -> bytes:
        """The canonical form of what is measured: no seed, device, timeout or search; sorted; defaults left out."""
        named = msgspec.to_builtins(self)
        reference = msgspec.to_builtins(RunConfig(model="", method="", task=""))
        said = {k: v for k, v in named.items() if k not in NOT_IDENTITY and v != reference[k]}
        said["options"] = self.changed_options
        if self.study != TRAINING:
            known = STUDIES[self.study].options if self.study in STUDIES else {}
            said["study_options"] = _changed(self.study_options, known)
        return msgspec.json.encode(said, order="sorted")

    @property
    def changed_options(self) -> dict[str, Scalar]:
        """The method's options that are not at their defaults; all of a method that is not in the catalogue."""
        known = METHODS[self.method].options if self.method in METHODS else {}  # a record may know more than we do
        return _changed(self.options, known)

    @property
    def asked(self) -> str:
        """Say what a study was set to, which a case's name has no room for: choices, and what is not at its default."""
        known = STUDIES[self.study].options if self.study in STUDIES else {}
        changed = _changed(self.study_options, known)
        chosen = (name for name in self.study_options if name in changed or (name in known and known[name].choices))
        return ", ".join(f"{name}={self.study_options[name]}" for name in chosen)

    @property
    def case(self) -> str:
        """Name what is measured: equal for runs that differ only by seed, device or timeout."""
        rank = f"-r{self.options['rank']}" if type(self.options.get("rank")) is int else ""
        words = f"{self.model}-{self.method}{rank}-{SHORT_DTYPE[self.dtype]}"
        if self.study == TRAINING:
            words = f"{words}-b{self.batch_size}-s{self.sequence_length}-{self.task.replace(':', '-')}"
        else:
            words = f"{self.study}-{words}"
        return f"{words}-{hashlib.sha256(self.identity).hexdigest()[:8]}"


def configure(**settings: Any) -> RunConfig:
    """Build a `RunConfig` from its fields, its method's options and its study's, all checked.

    Raises `UnknownNameError` for a study, method, task, optimizer or option that does
    not exist, and `BadValueError` for a value out of range or of the wrong type.
    """
    for needed in ("model", "method", "task"):
        if needed not in settings:
            raise BadValueError(f"a config needs {needed}=...")
    method = find("method", METHODS, settings["method"])
    study = find("study", STUDIES, settings.get("study", TRAINING))
    _check_needs(study, settings)
    find("optimizer", OPTIMIZERS, settings.get("optimizer", "adamw_fused"))
    given = {k: settings.pop(k) for k in list(settings) if k not in RunConfig.__struct_fields__}
    for name in given:
        if name not in method.options and name not in study.options:
            known = [*method.options, *study.options, *RunConfig.__struct_fields__]
            raise UnknownNameError(f"setting of method {settings['method']!r}", name, known)
    settings |= {"options": _complete(method.options, given), "study_options": _complete(study.options, given)}
    try:
        return msgspec.convert(settings, RunConfig)
    except msgspec.ValidationError as error:
        raise BadValueError(_explained(str(error), settings)) from None


def _check_needs(study: Study, settings: Mapping[str, Any]) -> None:
    """Look the task up, and refuse a model or a task of a study that has none."""
    if study.examples:
        find_task(settings["task"])
    for needed, name in ((study.weights, "model"), (study.examples, "task")):
        if needed is (settings[name] == NONE):
            raise BadValueError(f"{name}={settings[name]!r} cannot be used: {study.label} needs "
                                f"{'one' if needed else 'none'}.")  # fmt: skip


def _complete(options: Mapping[str, Option], given: Mapping[str, Any]) -> dict[str, Scalar]:
    """Return the value of every option: as given, or its default."""
    return {name: option.checked(name, given.get(name, option.default)) for name, option in options.items()}


def _changed(options: Mapping[str, Scalar], known: Mapping[str, Option]) -> dict[str, Scalar]:
    """Return the options that are not at their defaults."""
    return {name: value for name, value in options.items() if name not in known or value != known[name].default}


def _explained(complaint: str, settings: Mapping[str, Any]) -> str:
    """Add the offending value to msgspec's message, which names only the field."""
    found = re.search(r"at `\$\.(\w+)`", complaint)
    if not found:
        return complaint
    field = found.group(1)
    return f"{field}={settings.get(field)!r} cannot be used: {complaint.partition(' - ')[0]}."
