"""What a run may be about: training and all that belongs to it, or one question asked of a model or of a kernel."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from bench.schema.entry import Option, Study

TRAINING = "training"

MERGING_OPTIONS: Mapping[str, Option] = MappingProxyType({
    "way": Option("in_place", "How the adapter is merged: in_place as peft does, quantising again where the base is "
                              "quantised; into the base expanded to the run's dtype (dequantized), and that quantised "
                              "again (requantized); into the weights the base was quantised from (original), and those "
                              "quantised (original_requantized); merged and taken out again (repeated).",
                  choices=("in_place", "dequantized", "requantized", "original", "original_requantized", "repeated")),
    "merge_rounds": Option(10, "Rounds of merging and taking out again, of way 'repeated'.", minimum=1),
    "compared_tokens": Option(256, "Tokens of the test items whose logits are compared.", minimum=1),
})  # fmt: skip

STUDIES: Mapping[str, Study] = MappingProxyType({
    TRAINING: Study("bench.worker.run:run", "Training",
                    "Load, evaluate, train, evaluate, save, infer, look inside, merge."),
    "merging": Study("bench.worker.studies.merging:run", "Merging",
                     "Train, merge the adapter in one of several ways, and compare the merged model with the unmerged "
                     "one and with the base: weights, logits, perplexity, accuracy, memory.", MERGING_OPTIONS,
                     measures=("merging.", "merge.seconds", "merge.weights_")),
})  # fmt: skip
