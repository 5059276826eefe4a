"""PEANuT (arXiv 2410.01870): a small network makes the update out of the frozen weight."""

from __future__ import annotations

from bench.worker.adapters import Adapter

METHOD = Adapter("PeanutConfig", {"rank": "r", "activation": "act_fn"}).method()
