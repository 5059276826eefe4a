"""MoRA (Jiang et al., arXiv 2405.12130): one square matrix of as many weights as LoRA's two, between fixed maps."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch

from bench.worker.lora_layers import OwnLoraConfig, Update
from bench.worker.methods.lora import variant

BASE = 10_000.0
"""Of the angles' geometric series: that of rotary embeddings (arXiv 2104.09864, section 3.2.2), which eq. 9 takes."""


def side(inputs: int, outputs: int, rank: int, *, even: bool) -> int:
    """Return the side of the square matrix: floor(sqrt((inputs + outputs) rank)), as in section 4.1 of the paper.

    Rotations turn pairs, so `even` takes one off an odd side.
    """
    found = math.isqrt((inputs + outputs) * rank)
    return found - found % 2 if even else found


def repeated(tensor: torch.Tensor, length: int) -> torch.Tensor:
    """Fill the last dimension up to `length` with the tensor's own entries from the first on, or cut it there."""
    times = -(-length // tensor.shape[-1])
    return tensor.repeat(*[1] * (tensor.dim() - 1), times)[..., :length]


def rotated(pieces: torch.Tensor) -> torch.Tensor:
    """Turn the pairs of piece i of [..., pieces, side] by i times the angles of their places."""
    count, width = pieces.shape[-2:]
    places = torch.arange(0, width, 2, device=pieces.device, dtype=torch.float32)
    angles = torch.outer(torch.arange(count, device=pieces.device, dtype=torch.float32), BASE ** (-places / width))
    cosine, sine = (turn.to(pieces.dtype) for turn in (angles.cos(), angles.sin()))
    first, second = pieces.chunk(2, dim=-1)
    return torch.cat((first * cosine - second * sine, second * cosine + first * sine), dim=-1)


class SquareUpdate(Update):
    """h = W x + decompress(M compress(x)); M, the entry of lora_A, is all that is trained and starts at 0.

    By sharing (eq. 6), inputs whose places differ by a multiple of the side are added up, and outputs that do are
    the same. By rotation (eq. 9), pieces of the input are turned by their number, multiplied one by one, and laid
    end to end. Where sides do not divide, the input is filled up and the output repeated from its beginning, as in
    the authors' code (github.com/kongds/MoRA).
    """

    def __init__(self) -> None:
        self.sharing = False

    def init(self, module: Any, adapter_name: str, config: Any, **_: Any) -> None:
        """Put M in the place of A, and nothing in the place of B."""
        self.sharing = config.compression == "sharing"
        width = side(module.in_features, module.out_features, module.r[adapter_name], even=not self.sharing)
        like = module.lora_A[adapter_name].weight
        square = torch.nn.Linear(width, width, bias=False, device=like.device, dtype=like.dtype)
        torch.nn.init.zeros_(square.weight)
        module.lora_A[adapter_name] = square
        module.lora_B[adapter_name] = torch.nn.Identity()

    def added(self, module: Any, adapter: str, inputs: torch.Tensor) -> torch.Tensor:
        """Compress, multiply, decompress."""
        square = module.lora_A[adapter]
        width = square.in_features
        pieces = -(-module.in_features // width)
        filled = repeated(inputs, pieces * width).view(*inputs.shape[:-1], pieces, width)
        if self.sharing:
            return repeated(square(filled.sum(dim=-2)), module.out_features)
        return repeated(square(rotated(filled)).flatten(-2), module.out_features)

    def weight(self, module: Any, adapter: str) -> torch.Tensor:
        """Return what the unit vectors come out as: the map is linear."""
        kind = module.lora_A[adapter].weight
        units = torch.eye(module.in_features, device=kind.device, dtype=torch.float32)
        with torch.autocast(kind.device.type, enabled=False):
            columns = self.added(module, adapter, units.to(kind.dtype))
        return columns.T * float(module.scaling[adapter])


@dataclass
class MoraConfig(OwnLoraConfig):
    """LoRA's config, and how inputs and outputs are compressed."""

    update = SquareUpdate
    compression: str = "rotation"


METHOD = variant(config_class=MoraConfig).method()
