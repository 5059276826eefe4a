"""Full fine-tuning, LoRA, and LoRA with one thing more."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from bench.schema.entry import Entry, Option
from bench.schema.methods.options import (
    DROPOUT,
    LORA_OPTIONS,
    PREPARE_KBIT,
    QUANTIZATION_OPTIONS,
    like_lora,
    on_layers,
    rank,
)

LORA_FAMILY: Mapping[str, Entry] = MappingProxyType({
    "full": Entry("bench.worker.methods.full:METHOD", "Full", "Every weight of the model is trained."),
    "lora": Entry("bench.worker.methods.lora:METHOD", "LoRA",
                  "The base is frozen; low-rank adapters are trained.", LORA_OPTIONS),
    "qlora": Entry("bench.worker.methods.qlora:METHOD", "QLoRA",
                   "The base is frozen in 4 bits; low-rank adapters are trained.",
                   MappingProxyType({**LORA_OPTIONS, **QUANTIZATION_OPTIONS})),

    "lora_8bit": Entry("bench.worker.methods.lora_8bit:METHOD", "LoRA (8-bit base)",
                       "The base is frozen in 8 bits, outliers apart; low-rank adapters are trained.",
                       like_lora(threshold=Option(6.0, "Inputs beyond this are outliers, multiplied in 16 bits; "
                                                       "0 knows none.", minimum=0.0),
                                 prepare_kbit=PREPARE_KBIT)),
    "dora": Entry("bench.worker.methods.dora:METHOD", "DoRA",
                  "LoRA for a weight's direction, and a trained length for every output.", like_lora()),
    "rslora": Entry("bench.worker.methods.rslora:METHOD", "rsLoRA",
                    "LoRA scaled by alpha over the rank's square root, so that high ranks learn too.", like_lora()),
    "loraplus": Entry("bench.worker.methods.loraplus:METHOD", "LoRA+",
                      "LoRA whose second matrix learns faster than its first.",
                      like_lora(lr_ratio=Option(16.0, "Learning rate of B over that of A; 16 is the paper's.",
                                                minimum=1.0))),
    "lorafa": Entry("bench.worker.methods.lorafa:METHOD", "LoRA-FA",
                    "LoRA whose first matrix stays frozen; it brings its own AdamW, whatever the optimizer.",
                    like_lora()),
    "lora_riemannian": Entry("bench.worker.methods.lora_riemannian:METHOD", "LoRA, Riemannian",
                             "LoRA with preconditioned gradients; it brings torch's AdamW, whatever the optimizer.",
                             like_lora(regularization=Option(1e-2, "Damping of the preconditioner.", minimum=0.0))),
    "lora_orthogonal": Entry("bench.worker.methods.lora_orthogonal:METHOD", "LoRA, orthogonal",
                             "LoRA that starts from orthogonal matrices; needs an even rank.", like_lora()),
    "pissa": Entry("bench.worker.methods.pissa:METHOD", "PiSSA",
                   "LoRA that starts from the weight's largest singular values and takes them out of the base.",
                   like_lora(iterations=Option(0, "Iterations of a fast SVD; 0 computes the exact one.", minimum=0))),
    "olora": Entry("bench.worker.methods.olora:METHOD", "OLoRA",
                   "LoRA that starts from the weight's QR decomposition and takes it out of the base.", like_lora()),
    "eva": Entry("bench.worker.methods.eva:METHOD", "EVA",
                 "LoRA that starts from the main directions of its layers' inputs in the training data, with higher "
                 "ranks where they explain more; how many parameters that makes depends on the data.",
                 like_lora(rho=Option(2.0, "A layer's highest rank over `rank` (peft's default); 1 gives all layers "
                                           "the same, and as many parameters as LoRA has.", minimum=1.0),
                           tau=Option(0.99, "Cosine between a direction and the one a batch before from which it is "
                                            "settled.", minimum=0.0),
                           use_label_mask=Option(True, "Look at trained tokens alone."),
                           whiten=Option(False, "Scale directions to the same variance."),
                           adjust_scaling_factors=Option(True, "Let alpha follow a layer's rank."))),
    "loftq": Entry("bench.worker.methods.loftq:METHOD", "LoftQ",
                   "LoRA that starts from what quantising the base to 4 bits takes away; a plain base keeps the "
                   "quantised values in its own type, and its size.",
                   like_lora(iterations=Option(1, "How often base and adapter are fitted to each other in turns; 1 is "
                                                  "peft's default.", minimum=1))),
    "mica": Entry("bench.worker.methods.mica:METHOD", "MiCA",
                  "LoRA whose second matrix is frozen at the weight's smallest singular directions.", like_lora()),
    "kasa": Entry("bench.worker.methods.kasa:METHOD", "KaSA",
                  "LoRA with trained singular values on a base without its smallest ones; no regularisation is added.",
                  like_lora()),
    "bdlora": Entry("bench.worker.methods.bdlora:METHOD", "BD-LoRA",
                    "LoRA with block-diagonal matrices, made to be served from several GPUs.",
                    like_lora(blocks=Option(2, "Blocks of a matrix.", minimum=1),
                              diagonal_a=Option("o_proj,down_proj", "Layers with a block-diagonal A."),
                              diagonal_b=Option("q_proj,k_proj,v_proj,up_proj,gate_proj",
                                                "Layers with a block-diagonal B."))),
    "velora": Entry("bench.worker.methods.velora:METHOD", "VeLoRA",
                    "LoRA that keeps its layers' inputs as projections for the backward pass.",
                    like_lora(groups=Option(64, "Groups an input is split into.", minimum=1),
                              scale=Option(1.0, "Scale of what is reconstructed."),
                              init_type=Option("batch_average", "Where the projection comes from.",
                                               choices=("batch_average", "batch_average_once", "random")))),
    "adalora": Entry("bench.worker.methods.adalora:METHOD", "AdaLoRA",
                     "Adapters with singular values, whose ranks are cut while training, where they matter least.",
                     on_layers(rank=rank(8, "Mean rank at the end (peft's target_r)."),
                               init_rank=Option(0, "Rank at the start; 0 is one and a half times `rank`, as peft's "
                                                   "12 and 8 and the paper's budgets.", minimum=0),
                               alpha=Option(8, "Scale: the update is multiplied by alpha over the current rank.",
                                            minimum=1),
                               dropout=DROPOUT,
                               tinit=Option(0, "Steps before ranks are cut.", minimum=0),
                               tfinal=Option(0, "Steps after the last cut.", minimum=0),
                               delta_t=Option(1, "Steps between cuts.", minimum=1),
                               beta1=Option(0.85, "Smoothing of a weight's importance.", minimum=0.0),
                               beta2=Option(0.85, "Smoothing of the importance's uncertainty.", minimum=0.0),
                               orth_reg_weight=Option(0.5, "Weight of the loss term for orthogonality.",
                                                      minimum=0.0))),
})  # fmt: skip
