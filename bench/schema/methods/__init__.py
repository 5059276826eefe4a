"""Every method a config may use: its label, its sentence, its code, and the settings it takes.

Full, LoRA and QLoRA start from the guide's settings, LoRA's variants from LoRA's, all others from peft's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from bench.schema.entry import Entry
from bench.schema.methods.lora import LORA_FAMILY
from bench.schema.methods.matrices import MATRICES
from bench.schema.methods.mixtures import MIXTURES
from bench.schema.methods.transforms import TRANSFORMS
from bench.schema.methods.vectors import VECTORS

METHODS: Mapping[str, Entry] = MappingProxyType({**LORA_FAMILY, **MIXTURES, **MATRICES, **TRANSFORMS, **VECTORS})

__all__ = ["METHODS"]
