"""LoRA layers of our own: what a layer adds to its base is written once, and peft does the rest on every kind of base.

A method subclasses `Update` and `OwnLoraConfig`. peft then wraps plain, 8-bit and 4-bit linear layers, casts, saves,
disables, merges and takes out again as it does for its own variants of LoRA.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, NoReturn

import bitsandbytes as bnb
import torch
from peft import LoraConfig
from peft.tuners import lora
from peft.tuners.lora.layer import LoraVariant


class Update(LoraVariant):  # type: ignore[misc]
    """What an adapter adds to a linear layer. `init` makes its weights, entries of the layer's lora_A and lora_B."""

    def init(self, module: Any, adapter_name: str, config: Any, **_: Any) -> None:
        """Put the adapter's weights in the place of LoRA's, on the device and of the type that those have."""
        raise NotImplementedError

    def added(self, module: Any, adapter: str, inputs: torch.Tensor) -> torch.Tensor:
        """Return what inputs [..., in] add to the outputs [..., out], before the scale."""
        raise NotImplementedError

    def weight(self, module: Any, adapter: str) -> torch.Tensor:
        """Return the update of the weight [out, in] that a merge adds, the scale included, in the adapter's type."""
        raise NotImplementedError

    def forward(
        self, module: Any, active_adapter: str, x: torch.Tensor, result: torch.Tensor, **_: Any
    ) -> torch.Tensor:
        """Return the base's result and what the adapter adds to it."""
        inputs = module.lora_dropout[active_adapter](x)
        return result + self.added(module, active_adapter, inputs) * float(module.scaling[active_adapter])

    def merge_safe(self, module: Any, active_adapter: str, orig_weight: torch.Tensor) -> torch.Tensor:
        """Return a weight with the update in it."""
        return orig_weight + self.weight(module, active_adapter).to(orig_weight)

    def merge_unsafe(self, module: Any, active_adapter: str, orig_weight: torch.Tensor) -> None:
        """Add the update to a weight in place."""
        orig_weight.data += self.weight(module, active_adapter).to(orig_weight)

    def unmerge(self, module: Any, active_adapter: str, orig_weight: torch.Tensor) -> torch.Tensor:
        """Return a weight without the update."""
        return orig_weight - self.weight(module, active_adapter).to(orig_weight)

    def supports_lora_conversion(self) -> bool:
        """No: the update is not A times B of this rank."""
        return False


class _OwnUpdate:
    """Makes a LoRA layer of peft one with the update that its config names."""

    lora_variant: dict[str, Update]

    def resolve_lora_variant(self, *, config: OwnLoraConfig, **_: Any) -> Update:
        return config.update()

    def get_delta_weight(self, adapter: str) -> torch.Tensor:
        return self.lora_variant[adapter].weight(self, adapter)


class Linear(_OwnUpdate, lora.Linear):  # type: ignore[misc]
    """On a plain linear layer."""


class Linear8bit(_OwnUpdate, lora.Linear8bitLt):  # type: ignore[misc]
    """On a linear layer in 8 bits."""


class Linear4bit(_OwnUpdate, lora.Linear4bit):  # type: ignore[misc]
    """On a linear layer in 4 bits."""


def _refuse(target: torch.nn.Module, *_: Any, config: OwnLoraConfig, **__: Any) -> NoReturn:
    raise ValueError(f"{type(config).__name__} has a form for linear layers alone, not for {type(target).__name__}.")


@dataclass
class OwnLoraConfig(LoraConfig):  # type: ignore[misc]
    """LoRA's config for layers of our own; `update` is what they add. Layers of other kinds are a ValueError."""

    update: ClassVar[type[Update]]

    def __post_init__(self) -> None:
        """Register the layers with peft, which takes the first entry that fits."""
        super().__post_init__()
        self._register_custom_module({
            bnb.nn.Linear4bit: Linear4bit,
            bnb.nn.Linear8bitLt: Linear8bit,
            torch.nn.Linear: Linear,
            torch.nn.Module: _refuse,
        })  # fmt: skip
