"""Adapters that are vectors: scales, biases, norms, embeddings and prompts."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from bench.schema.entry import Entry, Option
from bench.schema.methods.options import AUTOCAST, HIDDEN_SIZE, TARGETS, of_prompts, on_layers, rank

VECTORS: Mapping[str, Entry] = MappingProxyType({
    "ia3": Entry("bench.worker.methods.ia3:METHOD", "(IA)³",
                 "Scales of outputs, and of inputs in feed-forward layers.",
                 on_layers(feedforward=Option("default", "Layers whose inputs are scaled: 'default' (peft's choice for "
                                                         "the model), 'none', or names as in `targets`."))),
    "beft": Entry("bench.worker.methods.beft:METHOD", "BEFT", "A trained bias a layer.", on_layers()),
    "ln_tuning": Entry("bench.worker.methods.ln_tuning:METHOD", "LN tuning",
                       "The weights of the normalisation layers are trained.", MappingProxyType({"targets": TARGETS})),
    "trainable_tokens": Entry("bench.worker.methods.trainable_tokens:METHOD", "Trainable tokens",
                              "The embeddings of a few tokens are trained.",
                              MappingProxyType({
                                  "tokens": Option("special", "Token ids with commas between, or 'special': begin and "
                                                              "end of text."),
                                  "autocast_adapter_dtype": AUTOCAST,
                              })),
    "prompt_tuning": Entry("bench.worker.methods.prompt_tuning:METHOD", "Prompt tuning",
                           "Embeddings of tokens that are put before every sequence.",
                           of_prompts(init=Option("RANDOM", "Embeddings at the start.",
                                                  choices=("RANDOM", "SAMPLE_VOCAB")))),
    "p_tuning": Entry("bench.worker.methods.p_tuning:METHOD", "P-tuning",
                      "A small network that makes the embeddings put before every sequence.",
                      of_prompts(encoder=Option("MLP", "Kind of network.", choices=("MLP", "LSTM")),
                                 encoder_hidden_size=HIDDEN_SIZE,
                                 encoder_layers=Option(2, "Layers of the LSTM; an MLP has two.", minimum=1),
                                 dropout=Option(0.0, "Dropout in the network.", minimum=0.0))),
    "prefix_tuning": Entry("bench.worker.methods.prefix_tuning:METHOD", "Prefix tuning",
                           "Keys and values that are put before every sequence, in every layer.",
                           of_prompts(projection=Option(False, "Make them by a small network."),
                                      encoder_hidden_size=HIDDEN_SIZE,
                                      init=Option("random", "Keys and values at the start.",
                                                  choices=("random", "zero")))),
    "cartridge": Entry("bench.worker.methods.cartridge:METHOD", "Cartridge",
                       "Keys and values before every sequence, trained as they are; the first stay frozen.",
                       of_prompts(frozen_tokens=Option(1, "Tokens that stay frozen.", minimum=0))),
    "adaption_prompt": Entry("bench.worker.methods.adaption_prompt:METHOD", "LLaMA-Adapter",
                             "Tokens that the upper layers attend to through a gate that starts closed.",
                             of_prompts(layers=Option(0, "Adapted layers, from the top; 0 is all.", minimum=0))),
    "shadow": Entry("bench.worker.methods.shadow:METHOD", "ShadowPEFT",
                    "A small network beside the frozen model corrects the input of its layers.",
                    MappingProxyType({
                        "rank": rank(8, "Rank of the corrections."),
                        "alpha": Option(0.1, "The corrections are multiplied by this.", minimum=0.0),
                        "dropout": Option(0.2, "Dropout on what is corrected by.", minimum=0.0),
                        "shadow_layers": Option(0, "Layers of the network; 0 is one.", minimum=0),
                        "shadow_hidden_size": Option(0, "Its width; 0 is the model's.", minimum=0),
                        "shadow_heads": Option(0, "Its attention heads; 0 is as many as the model's.", minimum=0),
                        "shadow_intermediate_size": Option(0, "Its feed-forward width; 0 is the model's.", minimum=0),
                        "share_embeddings": Option(True, "Use the model's embeddings."),
                        "auxiliary_loss_weight": Option(0.05, "Weight of the network's own loss.", minimum=0.0),
                    })),
})  # fmt: skip
