"""FourierFT (Gao et al., arXiv 2405.03003): a few random frequencies of the update's Fourier transform."""

from __future__ import annotations

from bench.worker.adapters import Adapter

METHOD = Adapter("FourierFTConfig", {"projection_seed": "random_loc_seed"}).method()
