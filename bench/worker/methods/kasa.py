"""KaSA (Wang et al., arXiv 2412.06071): LoRA with trained singular values on a base without its smallest ones.

The paper adds two terms to the loss, which peft leaves to the training loop; here there are none.
"""

from __future__ import annotations

from bench.worker.methods.lora import variant

METHOD = variant(kasa_config={}).method()
