"""What do few bits cost? A model's linear layers in one format: errors, bits counted, and what the model says.

Claims C08, C09 and C33 of the guide.
"""

from __future__ import annotations

import torch

from bench.errors import KernelError
from bench.worker.build import Built, begin, build
from bench.worker.logbook import Logbook
from bench.worker.quantized import check_kernels
from bench.worker.studies.answers import Seen, apart, look, perplexity
from bench.worker.studies.layers import Form
from bench.worker.studies.quantization_weights import bits, hold_model, hold_normal, model_size

NOT_FINITE = "the model's numbers were not finite, or there was nothing to divide by."


def run(logbook: Logbook) -> None:
    """Let the model read, hold its layers as the study's options say, let it read again; write down what changed.

    Raises `UnsupportedError` for a format that a library refuses. Where its kernels are wrong the model is not
    asked, and the record says why; errors and bits need no kernel.
    """
    named = begin(logbook)
    built = build(logbook, named)
    form, config = Form.of(logbook.config.study_options), logbook.config
    before = _read(logbook, built)
    normal = hold_normal(form, getattr(torch, config.dtype), built.device, config.seed)
    logbook.note(normal.numbers("quantization.normal_"), NOT_FINITE)
    parameters = sum(parameter.numel() for parameter in built.model.parameters())
    with logbook.phase("load"):
        held = hold_model(built.model, form, built.device)
    held_bytes = model_size(built.model, held)
    logbook.note({**held.numbers("quantization."), **bits(held)}, NOT_FINITE)
    logbook.metrics["quantization.model_bits"] = 8 * held_bytes / parameters
    logbook.metrics["quantization.model_bytes"] = held_bytes
    logbook.metrics["quantization.weights"] = held.ours.count
    logbook.metrics["quantization.seconds"] = held.seconds
    logbook.note({"quantization.perplexity_before": perplexity(before)}, NOT_FINITE)
    try:
        check_kernels(built.model)
    except KernelError as wrong:
        for name in ("perplexity", "kl", "flips", "logit_difference"):
            logbook.absent[f"quantization.{name}"] = str(wrong)
        return
    _note_said(logbook, before, _read(logbook, built))


def _read(logbook: Logbook, built: Built) -> Seen:
    options = logbook.config.study_options
    with logbook.phase("evaluate"):
        examples = built.task.test(int(options["test_items"]))
        return look(built, examples, logbook.config, int(options["compared_tokens"]))


def _note_said(logbook: Logbook, before: Seen, after: Seen) -> None:
    found = apart(before.logits, after.logits)
    logbook.keep_series("quantization.token_kl", found.divergences)
    logbook.keep_series("quantization.answer_nll", after.nll)
    logbook.keep_series("quantization.answer_tokens", after.tokens)
    logbook.metrics["quantization.tokens"] = len(after.logits)
    logbook.note({
        "quantization.perplexity": perplexity(after), "quantization.kl": found.divergence,
        "quantization.flips": found.flips, "quantization.logit_difference": found.largest,
    }, NOT_FINITE)  # fmt: skip
