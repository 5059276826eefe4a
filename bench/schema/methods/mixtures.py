"""LoRA's rivals that a layer of its own makes: a square matrix, and several adapters in a layer."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from bench.schema.entry import Entry, Option
from bench.schema.methods.options import like_lora

EXPERTS = Option(4, "Adapters a layer has; their parameters count in full.", minimum=1)

MIXTURES: Mapping[str, Entry] = MappingProxyType({
    "mora": Entry("bench.worker.methods.mora:METHOD", "MoRA",
                  "A square matrix of as many weights as LoRA of this rank has, between fixed maps: updates of a high "
                  "rank. The paper has no scale, which is alpha equal to the rank.",
                  like_lora(compression=Option("rotation", "How inputs and outputs are made as short as the matrix: by "
                                                           "rotation (eq. 9 of the paper; the authors advise it for "
                                                           "small ranks) or by sharing (eq. 6; for large ones).",
                                               choices=("rotation", "sharing")))),
    "adamix": Entry("bench.worker.methods.adamix:METHOD", "AdaMix",
                    "Several LoRA adapters a layer, of which each training pass draws one first and one second matrix; "
                    "evaluated, saved and merged is their mean.",
                    like_lora(experts=EXPERTS,
                              consistency=Option(1.0, "Weight of the divergence between two passes by other routes, "
                                                      "which the loss gets; 0 makes no second pass.", minimum=0.0))),
})  # fmt: skip
