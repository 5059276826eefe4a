"""What a run is about: its size, what it learned, what it leaves."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from bench.schema.metrics.metric import Metric

OUTCOME: Mapping[str, Metric] = MappingProxyType({
    "parameters.total": Metric("1", "neither", "exact", "parameters",
                               "Weights of the model and its adapters; a 4-bit weight counts as one."),
    "parameters.trainable": Metric("1", "neither", "exact", "trainable parameters", "Weights that get a gradient."),
    "parameters.trainable_share": Metric("1", "neither", "exact", "trainable share",
                                         "parameters.trainable over parameters.total.", raw="parameters.trainable"),
    "train.loss_first": Metric("1", "lower", "stochastic", "first loss", "Loss of the first step.", raw="step.loss"),
    "train.loss_last": Metric("1", "lower", "stochastic", "last loss",
                              "Mean loss of the last tenth of the steps, at least one.", raw="step.loss", margin=0.02),
    "train.loss_rise": Metric("1", "lower", "stochastic", "largest rise of the loss",
                              "Largest rise of the loss above its lowest before, of means over tenths of the steps (at "
                              "least one step each); 0 where it never rises.", raw="step.loss"),
    "train.diverged": Metric("1", "lower", "stochastic", "diverged",
                             "1 where a step's loss was not finite, or its mean over the last tenth of the steps "
                             "lies above the highest of the first tenth; 0 otherwise.", raw="step.loss", margin=0.0),
    "evaluate.accuracy_before": Metric("1", "higher", "near-exact", "accuracy before",
                                       "Share of the test items answered right before training.", raw="before",
                                       margin=0.01),
    "evaluate.accuracy": Metric("1", "higher", "stochastic", "accuracy",
                                "Share of the test items answered right after training.", raw="after", margin=0.01),
    "evaluate.tokens_per_second": Metric("tok/s", "higher", "noisy", "generated tokens/s",
                                         "Tokens generated over wall time, batched greedy decoding of the test items, "
                                         "after training.", raw="evaluate.batch_seconds", margin=0.05),
    "evaluate.unfinished_before": Metric("1", "lower", "near-exact", "answers cut before",
                                         "As evaluate.unfinished, before training."),
    "evaluate.unfinished": Metric("1", "lower", "stochastic", "answers cut",
                                  "Answers after training that reached the most tokens a task generates without an end "
                                  "of text; they are scored as they are. Only of tasks that generate."),
    "evaluate.truncated": Metric("1", "lower", "exact", "prompts cut",
                                 "Test prompts longer than the model's context (max_position_embeddings) has room for "
                                 "beside an answer; their beginning is cut off."),
    "data.truncated": Metric("1", "lower", "exact", "examples cut",
                             "Training examples longer than sequence_length, cut at its end."),
    "data.contaminated": Metric("1", "lower", "exact", "test items seen",
                                "Test items whose prompt is also a training prompt, letter case and white space aside. "
                                "It misses paraphrases, and what the model was pretrained on."),
    "save.adapter_bytes": Metric("B", "lower", "exact", "adapter on disk",
                                 "Bytes of the adapter's weight file as peft saves it."),
})  # fmt: skip
