"""P-tuning (Liu et al., arXiv 2103.10385): a small network makes the embeddings before every sequence."""

from __future__ import annotations

from bench.worker.adapters import Adapter

METHOD = Adapter(
    "PromptEncoderConfig",
    {
        "encoder": "encoder_reparameterization_type",
        "encoder_layers": "encoder_num_layers",
        "dropout": "encoder_dropout",
    },
    unset=("encoder_hidden_size",),
).method()
