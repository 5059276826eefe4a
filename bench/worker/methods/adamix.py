"""AdaMix (Wang et al., arXiv 2205.12410) of LoRA: several adapters a layer, of which each pass trains a random one."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.functional import linear, log_softmax

from bench.schema import RunConfig
from bench.worker import bases
from bench.worker.encoding import IGNORED
from bench.worker.lora_layers import OwnLoraConfig, Update
from bench.worker.methods import Method
from bench.worker.methods.lora import variant


class Bank(torch.nn.Module):
    """Matrices [experts, out, in] that all start as the one given; what is saved and loaded is their mean [out, in].

    So a saved adapter is LoRA's, which peft loads as such (section 3.3 of the paper).
    """

    def __init__(self, start: torch.Tensor, experts: int) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(start.detach().expand(experts, *start.shape).clone())

    def mean(self) -> torch.Tensor:
        """Return the mean matrix, which is what evaluation, saving and merging use."""
        return self.weight.mean(dim=0)

    def drawn(self) -> torch.Tensor:
        """Return one of the matrices, drawn by torch's generator of the device, without waiting for the device.

        The others get a gradient of 0 and not none, so a moment of the optimiser still moves them.
        """
        which = torch.randint(len(self.weight), (1,), device=self.weight.device)
        return self.weight.index_select(0, which).squeeze(0)

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        kept = self.mean()
        destination[f"{prefix}weight"] = kept if keep_vars else kept.detach()

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *more: Any) -> None:
        whole = state_dict[f"{prefix}weight"].expand_as(self.weight)
        super()._load_from_state_dict({f"{prefix}weight": whole}, prefix, *more)


class RoutedUpdate(Update):
    """LoRA with a bank of As and a bank of Bs: a training pass draws one of each, everything else takes the means."""

    def init(self, module: Any, adapter_name: str, config: Any, **_: Any) -> None:
        """Start all experts from LoRA's start, as the authors' code does (github.com/microsoft/AdaMix)."""
        for matrices in (module.lora_A, module.lora_B):
            matrices[adapter_name] = Bank(matrices[adapter_name].weight, config.experts)

    def added(self, module: Any, adapter: str, inputs: torch.Tensor) -> torch.Tensor:
        """Multiply by one A and one B, drawn apart, while training (section 3.1), by their means otherwise."""
        banks = module.lora_A[adapter], module.lora_B[adapter]
        down, up = (bank.drawn() if module.training else bank.mean() for bank in banks)
        return linear(linear(inputs, down), up)

    def weight(self, module: Any, adapter: str) -> torch.Tensor:
        """Return mean B times mean A, whether or not the model is training."""
        update: torch.Tensor = module.lora_B[adapter].mean() @ module.lora_A[adapter].mean()
        return update * float(module.scaling[adapter])


@dataclass
class AdamixConfig(OwnLoraConfig):
    """LoRA's config, and how many adapters a layer has."""

    update = RoutedUpdate
    experts: int = 4


ADAMIX = variant({"consistency": None}, config_class=AdamixConfig)


def divergence(one: torch.Tensor, other: torch.Tensor, labels: torch.Tensor, count: Any = None) -> torch.Tensor:
    """Return half the sum of both Kullback-Leibler divergences of two predictions, in nats (section 3.2).

    Logits are [sequences, tokens, vocabulary]. It is the mean over trained tokens, or their sum over `count`.
    """
    first, second = (log_softmax(logits[:, :-1].float(), dim=-1) for logits in (one, other))
    each = ((first.exp() - second.exp()) * (first - second)).sum(dim=-1) / 2
    trained = labels[:, 1:] != IGNORED
    return (each * trained).sum() / (trained.sum() if count is None else count)


def regularise(model: Any, weight: float) -> None:
    """Let every training pass be two, by other routes, and add `weight` times their divergence to the first's loss."""
    once = model.forward

    @functools.wraps(once)
    def twice(*given: Any, labels: Any = None, num_items_in_batch: Any = None, **named: Any) -> Any:
        counted = {} if num_items_in_batch is None else {"num_items_in_batch": num_items_in_batch}
        found = once(*given, labels=labels, **counted, **named)
        if model.training and labels is not None:
            other = once(*given, **named).logits
            found.loss = found.loss + weight * divergence(found.logits, other, labels, num_items_in_batch)
        return found

    model.forward = twice


def prepare(model: Any, config: RunConfig) -> Any:
    """Add the adapters, and the second pass if the config wants its divergence in the loss."""
    model = ADAMIX.prepare(model, config)
    if weight := float(config.options["consistency"]):
        regularise(model, weight)
    return model


METHOD = Method(bases.quantization, prepare, saves_adapter=True)
