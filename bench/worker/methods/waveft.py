"""WaveFT (Bilican et al., arXiv 2505.12532): a few random coefficients of the update's wavelet transform."""

from __future__ import annotations

from bench.worker.adapters import Adapter

METHOD = Adapter("WaveFTConfig", {"projection_seed": "random_loc_seed"}).method()
