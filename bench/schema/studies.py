"""What a run may be about: training and all that belongs to it, or one question asked of a model or of a kernel."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from bench.schema.entry import Option, Scalar, Study

TRAINING = "training"
SHARED = "distributed"
"""The study of training that several devices share."""

MERGING_OPTIONS: Mapping[str, Option] = MappingProxyType({
    "way": Option("in_place", "How the adapter is merged: in_place as peft does, quantising again where the base is "
                              "quantised; into the base expanded to the run's dtype (dequantized), and that quantised "
                              "again (requantized); into the weights the base was quantised from (original), and those "
                              "quantised (original_requantized); merged and taken out again (repeated).",
                  choices=("in_place", "dequantized", "requantized", "original", "original_requantized", "repeated")),
    "merge_rounds": Option(10, "Rounds of merging and taking out again, of way 'repeated'.", minimum=1),
    "compared_tokens": Option(256, "Tokens of the test items whose logits are compared.", minimum=1),
})  # fmt: skip

QUANTIZATION_OPTIONS: Mapping[str, Option] = MappingProxyType({
    "format": Option("nf4", "How linear layers hold their weights: in a dtype (the whole model then), by bitsandbytes "
                            "(int8, fp4, nf4), or by HQQ in `bits`.",
                     choices=("float32", "bfloat16", "float16", "int8", "fp4", "nf4", "hqq")),
    "blocksize": Option(64, "Weights that share a scale, of 4-bit formats and HQQ.", minimum=1),
    "double_quant": Option(True, "Whether scales are quantised too, of 4-bit formats."),
    "bits": Option(2, "Bits of HQQ's codes.", choices=(8, 4, 3, 2, 1)),
    "compute_dtype": Option("same", "What 4-bit layers compute in; same: the config's dtype.",
                            choices=("same", "float32", "bfloat16", "float16")),
    "test_items": Option(100, "Test items that the model reads.", minimum=1),
    "compared_tokens": Option(256, "Tokens of the test items whose logits are compared.", minimum=1),
})  # fmt: skip

NUMERICS_OPTIONS: Mapping[str, Option] = MappingProxyType({
    "operation": Option("dequantize", "What is computed: quantize, dequantize, forward, backward; evaluation (train, "
                        "evaluate, train again); save_load; merge of an adapter.",
                        choices=("quantize", "dequantize", "forward", "backward", "evaluation", "save_load", "merge")),
    "format": Option("nf4", "How the layer holds its weight: plain in the run's dtype, or quantised by bitsandbytes.",
                     choices=("plain", "nf4", "fp4", "int8")),
    "rows": Option(128, "Outputs of the layer.", minimum=1),
    "columns": Option(256, "Inputs of the layer.", minimum=1),
    "blocksize": Option(64, "Weights that share a scale, of 4-bit formats.", minimum=1),
    "double_quant": Option(True, "Whether scales are quantised too, of 4-bit formats."),
    "bias": Option(False, "Whether the layer adds a bias."),
    "repacking": Option(True, "Leave bitsandbytes' repacking of weights for CPU evaluation as it comes; false turns it "
                              "off, as every other run here does."),
})  # fmt: skip

INFERENCE_OPTIONS: Mapping[str, Option] = MappingProxyType({
    "state": Option("unmerged", "What generates, in turns with the base: the adapter beside the base (unmerged), or in "
                                "it (merged); or the base itself, which shows what the turns cannot tell apart.",
                    choices=("base", "unmerged", "merged")),
    "prompt_tokens": Option(128, "Tokens of every prompt; batch_size says how many sequences there are.", minimum=1),
    "new_tokens": Option(16, "Tokens generated for every sequence, the end of text ignored.", minimum=2),
    "repeats": Option(6, "Blocks of four turns: with the adapter, without, without, with.", minimum=1),
    "dora_caching": Option(False, "Within peft's DoraCaching, which keeps what DoRA computes of its weights."),
})  # fmt: skip

ADAPTERS_OPTIONS: Mapping[str, Option] = MappingProxyType({
    "count": Option(4, "Adapters in the model, all of the method's settings, none trained and none zero.", minimum=1),
    "prompt_tokens": Option(32, "Tokens of every sequence of the batch; batch_size says how many.", minimum=1),
    "timings": Option(5, "How often each operation is timed.", minimum=1),
    "repeats": Option(6, "Blocks of four passes: an adapter a row, one for all, one for all, one a row.", minimum=1),
    "combinations": Option("linear,cat,ties", "Ways of add_weighted_adapter, separated by commas; of linear, cat, ties "
                                              "and svd, which takes long."),
})  # fmt: skip

DISTRIBUTED_OPTIONS: Mapping[str, Option] = MappingProxyType({
    "strategy": Option("one", "How the work is spread: not at all (one); a whole model in every process, gradients "
                              "averaged (ddp); a part of every weight, gradient and moment in each (fsdp2, and "
                              "DeepSpeed's zero3); of gradients and moments (zero2); layers on one GPU after the "
                              "other, by one process (device_map).",
                       choices=("one", "ddp", "fsdp2", "zero2", "zero3", "device_map")),
    "world_size": Option(2, "Devices that share the work, each with its own process but for device_map.", minimum=1),
    "forward_prefetch": Option(False, "Of fsdp2: a layer asks for the next one's weights before it computes."),
})  # fmt: skip


def devices(options: Mapping[str, Scalar]) -> int:
    """Return how many devices share a training, from the study's options; 1 where a record does not say."""
    return 1 if options.get("strategy", "one") == "one" else int(options.get("world_size", 1))


STUDIES: Mapping[str, Study] = MappingProxyType({
    TRAINING: Study("bench.worker.run:run", "Training",
                    "Load, evaluate, train, evaluate, save, infer, look inside, merge."),
    "merging": Study("bench.worker.studies.merging:run", "Merging",
                     "Train, merge the adapter in one of several ways, and compare the merged model with the unmerged "
                     "one and with the base: weights, logits, perplexity, accuracy, memory.", MERGING_OPTIONS,
                     measures=("merging.", "merge.seconds", "merge.weights_")),
    "standard_flow": Study("bench.worker.studies.standard_flow:run", "Standard flow",
                           "The guide's section 5 by transformers' own Trainer: load, wrap, print, train, score.",
                           measures=("flow.",), timed=("train.seconds", "seconds of training")),
    "quantization": Study("bench.worker.studies.quantization:run", "Quantisation",
                          "Hold a model's linear layers in few bits, and compare with what they were: errors of the "
                          "weights, bits a parameter counted, what the model says.",
                          QUANTIZATION_OPTIONS, measures=("quantization.",)),
    "numerics": Study("bench.worker.studies.numerics:run", "Numerics",
                      "One operation on one layer, held against plain float64 arithmetic on the same state.",
                      NUMERICS_OPTIONS, measures=("numerics.",), weights=False, examples=False),
    "inference": Study("bench.worker.studies.inference:run", "Inference",
                       "Generate with an untrained adapter that is not zero, beside the base or merged into it, in "
                       "turns with the base: time to first token, time per token, memory.", INFERENCE_OPTIONS,
                       measures=("inference.", "infer.", "merge.seconds"),
                       timed=("inference.token_seconds", "seconds a generated token")),
    SHARED: Study("bench.worker.distributed.launch:run", "Distributed",
                         "The same training by one device, or by several processes that share every batch: seconds a "
                         "step, memory of each, bytes they exchange.", DISTRIBUTED_OPTIONS,
                         measures=("distributed.",)),
    "adapters": Study("bench.worker.studies.adapters:run", "Adapters",
                      "Put many adapters into one model; save, load, set, swap, delete and combine them, and give "
                      "every row of a batch its own: seconds, bytes, and whether the base stays what it was.",
                      ADAPTERS_OPTIONS, measures=("adapters.",),
                      timed=("adapters.set_seconds", "seconds to make another adapter the active one")),
})  # fmt: skip
