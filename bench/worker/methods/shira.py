"""SHiRA (Bhardwaj et al., arXiv 2406.13175): random entries of the weight are trained."""

from __future__ import annotations

from bench.worker.adapters import Adapter

METHOD = Adapter("ShiraConfig", {"rank": "r", "projection_seed": "random_seed"}, unset=("projection_seed",)).method()
