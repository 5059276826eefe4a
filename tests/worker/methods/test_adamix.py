"""AdaMix: routes are drawn while training, the mean answers, and two routes are held to say the same."""

from __future__ import annotations

import peft
import pytest
import torch
from peft.tuners.lora.layer import LoraLayer

from bench.worker.batches import padded
from bench.worker.encoding import IGNORED, Tokens
from bench.worker.methods.adamix import divergence

IDS = torch.arange(1, 33)[None]
BATCH = padded([Tokens(list(range(1, 17)), [IGNORED] * 8 + list(range(9, 17))), Tokens([5] * 12, [5] * 12)], pad_id=0)


@pytest.fixture
def trained(prepared, tiny_config):
    """Open a model with experts that have gone apart."""

    def make(**settings):
        torch.manual_seed(0)
        model = prepared(tiny_config("adamix", **{"dropout": 0.0, **settings}))
        for parameter in model.parameters():
            if parameter.requires_grad:
                torch.nn.init.normal_(parameter, std=0.05)
        return model

    return make


def said(model, seed):
    torch.manual_seed(seed)
    with torch.no_grad():
        return model(IDS).logits


def test_routes_are_drawn_by_the_seed_in_training_alone(trained):
    """Training passes differ, those of one seed do not; evaluation is the same whatever the seed."""
    model = trained().train()

    assert torch.equal(said(model, 1), said(model, 1))
    assert not torch.allclose(said(model, 1), said(model, 2))
    model.eval()
    assert torch.equal(said(model, 1), said(model, 2))


def test_first_and_second_matrices_are_drawn_apart(trained):
    """In 400 passes of one layer all 4 times 4 pairs come up, each about as often."""
    layer = next(module for module in trained().train().modules() if isinstance(module, LoraLayer))
    first, second = layer.lora_A["default"].weight, layer.lora_B["default"].weight
    inputs = torch.randn(layer.in_features)
    with torch.no_grad():
        pairs = {(a, b): second[b] @ (first[a] @ inputs) for a in range(4) for b in range(4)}
        seen = dict.fromkeys(pairs, 0)
        for _ in range(400):
            added = layer.lora_variant["default"].added(layer, "default", inputs)
            seen[min(pairs, key=lambda pair: (pairs[pair] - added).norm().item())] += 1

    assert min(seen.values()) >= 8  # of 25 expected; fewer in less than one of a thousand sets of 400 passes
    assert max(seen.values()) <= 50


def test_the_mean_of_the_experts_answers(trained):
    """Evaluation is LoRA with the mean A and the mean B, and so is the merged model."""
    model = trained().eval()
    layer = next(module for module in model.modules() if isinstance(module, LoraLayer))
    mean = layer.lora_B["default"].weight.mean(0) @ layer.lora_A["default"].weight.mean(0) * 2
    inputs, answer = torch.randn(3, layer.in_features), said(model, 1)

    with torch.no_grad():
        torch.testing.assert_close(layer(inputs) - layer.base_layer(inputs), inputs @ mean.T, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(said(model.merge_and_unload(), 1), answer, rtol=1e-3, atol=1e-4)


def test_a_saved_adapter_is_loras(trained, tmp_path):
    """peft loads it as LoRA, of LoRA's size, and it says what the mean says."""
    model = trained().eval()
    answer = said(model, 1)
    model.save_pretrained(tmp_path)
    loaded = peft.PeftModel.from_pretrained(model.unload(), tmp_path).eval()

    assert loaded.peft_config["default"].peft_type == "LORA"
    assert {p.dim() for name, p in loaded.named_parameters() if "lora_" in name} == {2}
    assert torch.equal(said(loaded, 1), answer)


def test_consistency_adds_the_divergence_of_two_routes_to_the_loss(trained):
    """The loss grows by its weight times half of both divergences over the trained tokens; 0 leaves it alone."""
    inputs = BATCH.on("cpu")
    found = {}
    for consistency in (0.0, 1.0, 2.0):
        model = trained(consistency=consistency).train()
        torch.manual_seed(7)
        found[consistency] = model(**inputs, num_items_in_batch=BATCH.trained).loss
    plain = trained(consistency=0.0).train()
    torch.manual_seed(7)
    with torch.no_grad():
        one, other = (torch.softmax(plain(**inputs).logits.double(), -1)[:, :-1] for _ in range(2))
    kept = inputs["labels"][:, 1:] != IGNORED
    both = ((one * (one / other).log()).sum(-1) + (other * (other / one).log()).sum(-1))[kept] / 2

    assert both.mean() > 0.01
    torch.testing.assert_close(found[1.0] - found[0.0], both.mean().float(), rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(found[2.0] - found[0.0], 2 * both.mean().float(), rtol=1e-3, atol=1e-5)


def test_evaluation_makes_one_pass(trained):
    """Outside of training the loss is the plain one."""
    inputs = BATCH.on("cpu")
    losses = [trained(consistency=consistency).eval()(**inputs).loss for consistency in (0.0, 1.0)]

    assert torch.equal(*losses)


def test_divergence_is_a_mean_over_trained_tokens_unless_counted():
    """Without a count it divides by the trained tokens, with one by that; equal predictions have none."""
    labels = torch.tensor([[1, IGNORED, 2, 3]])
    one, other = torch.randn(1, 4, 5), torch.randn(1, 4, 5)

    torch.testing.assert_close(divergence(one, other, labels), divergence(one, other, labels, 2))
    torch.testing.assert_close(divergence(one, other, labels, 8), divergence(one, other, labels, 2) / 4)
    assert divergence(one, one, labels) == 0
