"""DEFT (Kumar et al., NeurIPS 2025): a part of the weight is taken out and another one put in."""

from __future__ import annotations

from bench.worker.adapters import Adapter

METHOD = Adapter("DeftConfig", {"rank": "r", "dropout": "deft_dropout"}, unset=("alpha",)).method()
