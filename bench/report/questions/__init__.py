"""One question a file: the tables and charts that answer it, from the cases that are about it.

A module has `tables(cases)` and `charts(cases)`, each for all cases of a results folder; it picks its own. A new
question is one file and one line here; `ftbench table`, the site and the contract tests pick it up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.analysis.cases import Case
    from bench.report.chart import Chart
    from bench.report.tables import Table


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, in the words of its page; `name` is its module here, and its word for `ftbench table`."""

    name: str
    title: str
    about: str

    def tables(self, cases: Sequence[Case]) -> list[Table]:
        """Return the tables that answer it; none where no case is about it."""
        made: list[Table] = import_module(f"{__name__}.{self.name}").tables(cases)
        return made

    def charts(self, cases: Sequence[Case]) -> list[Chart]:
        """Return the charts that answer it; none where no case is about it."""
        made: list[Chart] = import_module(f"{__name__}.{self.name}").charts(cases)
        return made


_ALL: tuple[Question, ...] = (
    Question("rank", "What does a higher rank cost and give?",
             "LoRA from rank 1 to 128, with alpha by three rules: accuracy, speed, memory, size."),
    Question("targets", "Which layers should an adapter sit on?",
             "Query and value, attention, feed-forward, all linear layers, embeddings too: at one rank, and at equal "
             "numbers of parameters."),
    Question("sizes", "How does cost grow with the model?",
             "Full, LoRA and QLoRA along the ladder of models: speed, memory, and the share of weights that train."),
    Question("learning_rate", "How fast should each method learn?",
             "Accuracy, loss and breakdowns by learning rate and warm-up, and how far seeds are apart."),
    Question("optimizers", "What does an optimiser cost and give?",
             "Bytes of state, seconds a step, peak memory and what is learned, for what torch and bitsandbytes offer."),
    Question("paging", "What do page faults cost?",
             "Optimiser state that is away when a step needs it, and comes back by prefetch or by faults: stalls, what "
             "moved, what counters saw."),
    Question("variants", "What do LoRA's variants cost and give?",
             "DoRA, rsLoRA, LoRA+, PiSSA, AdaLoRA, VeRA and others beside LoRA, on a plain and on a 4-bit base."),
    Question("merging", "What does a merge keep?",
             "An adapter merged into its base, in place and by way of weights that are not quantised: how much of what "
             "was learned is left in the weights, in what the model says and in what it gets right."),
    Question("quantization", "What do few bits cost?",
             "A model's linear layers in 16, 8, 4 and fewer bits: errors of the weights beside uniform 4-bit, bits a "
             "parameter counted from what is there, and how far what the model says moves."),
    Question("recipes", "Do the guide's use cases hold?",
             "An FAQ chatbot, code completion, medical reports, images with text: as the guide states them, and beside "
             "their nearest alternatives."),
    Question("standard_flow", "Does the guide's standard flow run as written?",
             "Section 5 by transformers' own Trainer, as written and with what a device lacks exchanged: the line of "
             "trainable parameters, what it learned."),
    Question("numerics", "Are the kernels right?",
             "Quantise, expand, multiply, differentiate, evaluate, save and merge one layer in every format, shape and "
             "dtype, against plain arithmetic on the same numbers: what is wrong, and what is refused."),
    Question("inference", "What does an adapter cost when text is generated?",
             "Time to first token, time per token and memory with an adapter beside its base or merged into it, in "
             "turns with the base in the same run: by rank, layers, base, sequences and length of the prompt."),
    Question("adapters", "What do many adapters in one model cost?",
             "Saving, loading, setting, hot-swapping, deleting and combining adapters, and a batch whose rows have one "
             "each: seconds and bytes by the number of adapters, and whether the base stays bit for bit what it was."),
    Question("distributed", "What does sharing the work between devices give and cost?",
             "One device, a whole model on each (DDP), or a part of every weight on each (FSDP2, ZeRO), on the same "
             "work: speed, memory of a process, and the bytes that are exchanged by collective."),
)  # fmt: skip

QUESTIONS: Mapping[str, Question] = MappingProxyType({question.name: question for question in _ALL})
