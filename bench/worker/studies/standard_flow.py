"""The guide's standard flow (section 5) by the libraries' own means: transformers' Trainer, and the line peft prints.

A config says what the guide's code says: quantisation, adapter, TrainingArguments. What differs for want of hardware is
the config's to tell. Table T3 of the guide, claims C17 and C18.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from typing import Any

from transformers import Trainer, TrainingArguments

from bench.errors import UnsupportedError
from bench.schema import RunConfig
from bench.worker.batches import cut, padded
from bench.worker.build import Built, begin, build
from bench.worker.encoding import Tokens
from bench.worker.logbook import Logbook
from bench.worker.optimizers import NOT_PAGED
from bench.worker.probes.owners import tensors_in
from bench.worker.refusals import refusing
from bench.worker.run import note_evaluation

OPTIM = {
    "adamw": "adamw_torch", "adamw_fused": "adamw_torch_fused", "adamw_8bit": "adamw_bnb_8bit",
    "paged_adamw_8bit": "paged_adamw_8bit", "paged_adamw_32bit": "paged_adamw_32bit",
}  # fmt: skip
"""What TrainingArguments calls our optimisers."""


def run(logbook: Logbook) -> None:
    """Load, wrap, print, train and score as the guide does; raises `UnsupportedError` for what is refused."""
    config = logbook.config
    named = begin(logbook)
    arguments = _arguments(logbook)
    built = build(logbook, named)
    if not hasattr(built.model, "print_trainable_parameters"):
        raise UnsupportedError(f"{config.method} has no adapter, and only peft prints trainable parameters.")
    _note_printed(logbook, built.model)
    if built.test:
        note_evaluation(logbook, built, "before", "evaluate.before.")
    trainer = _trainer(built, arguments, config)
    with logbook.phase("train"), refusing("the Trainer's training"):
        trainer.train()
    _note_training(logbook, trainer)
    if built.test:
        note_evaluation(logbook, built, "after", "evaluate.")


def _arguments(logbook: Logbook) -> TrainingArguments:
    """Say to transformers what the config says; it refuses what this device cannot do."""
    config, on_cpu = logbook.config, logbook.device.torch_name == "cpu"
    if config.optimizer not in OPTIM:
        raise UnsupportedError(f"transformers' Trainer does not know the optimizer {config.optimizer!r}.")
    if on_cpu and config.optimizer.startswith("paged"):
        raise UnsupportedError(NOT_PAGED)
    with refusing("TrainingArguments"):
        return TrainingArguments(
            output_dir=str(logbook.folder / "trainer"),
            per_device_train_batch_size=config.batch_size,
            gradient_accumulation_steps=config.gradient_accumulation_steps,
            learning_rate=config.learning_rate,
            max_steps=config.steps,
            warmup_steps=config.warmup_ratio,
            lr_scheduler_type=config.lr_scheduler_type,
            weight_decay=config.weight_decay,
            max_grad_norm=config.max_grad_norm,
            logging_steps=1,
            save_strategy="no",
            optim=OPTIM[config.optimizer],
            fp16=config.autocast == "float16",
            bf16=config.autocast == "bfloat16",
            seed=config.seed,
            use_cpu=on_cpu,
            dataloader_pin_memory=not on_cpu,
            remove_unused_columns=False,  # rows are sequences, and have no columns
            report_to="none",
            disable_tqdm=True,
        )


def _note_printed(logbook: Logbook, model: Any) -> None:
    """Keep the line that peft prints, and its numbers."""
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        model.print_trainable_parameters()
    logbook.resolve({"flow.line": printed.getvalue().strip()})
    trained, total = model.get_nb_trainable_parameters()
    logbook.metrics |= {"flow.trainable": trained, "flow.total": total}


def _trainer(built: Built, arguments: TrainingArguments, config: RunConfig) -> Trainer:
    sequences, _ = cut([built.encoder.whole(example) for example in built.training], config.sequence_length)

    def collate(rows: list[Tokens]) -> dict[str, Any]:
        batch = padded(rows, built.encoder.pad_id)
        return {"attention_mask": batch.attention_mask, **batch.on("cpu")}

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return Trainer(model=built.model, args=arguments, train_dataset=sequences, data_collator=collate)


def _note_training(logbook: Logbook, trainer: Trainer) -> None:
    """Keep the losses that the Trainer logged, every step's, and the bytes of the optimiser's state."""
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    logbook.keep_series("step.loss", losses)
    logbook.metrics["paging.state_bytes"] = sum(tensor.nbytes for tensor in tensors_in(trainer.optimizer.state))
    kind = type(getattr(trainer.optimizer, "optimizer", trainer.optimizer))
    logbook.resolve({"optimizer.class": f"{kind.__module__}.{kind.__name__}"})
