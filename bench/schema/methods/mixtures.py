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
    "xlora": Entry("bench.worker.methods.xlora:METHOD", "X-LoRA",
                   "Several LoRA adapters, whose shares a router says for every token after a pass without them; all "
                   "are trained from the start. Not merged; answers are generated without a cache.",
                   like_lora(experts=EXPERTS,
                             router_layers=Option(1, "Layers of the router.", minimum=1),
                             router_width=Option(2048, "Width of the router, where it has more than one layer.",
                                                 minimum=1),
                             temperature=Option(1.0, "Lower makes shares more unequal.", minimum=0.01),
                             layerwise=Option(False, "Other shares in every layer."),
                             top_k=Option(0, "Experts that count for a token; 0 is all.", minimum=0))),
})  # fmt: skip
