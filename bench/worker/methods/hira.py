"""HiRA (Huang et al., ICLR 2025): the weight times a low-rank matrix, elementwise, is added to it."""

from __future__ import annotations

from bench.worker.adapters import Adapter

METHOD = Adapter("HiraConfig", {"rank": "r", "dropout": "hira_dropout"}).method()
