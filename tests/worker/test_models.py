"""A model is opened from this machine alone, and what it holds is its own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from safetensors.torch import load_file

from bench import cache
from bench.errors import NotFetchedError, UnsupportedError
from bench.worker import models


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="only Linux lists a process's mappings")
def test_no_weight_is_a_view_of_a_mapped_file(prepared, tiny_config):
    """Weights are copied out of the file's mapping, so that resident memory is what the method holds."""
    model = prepared(tiny_config("full"))

    mapped = [line for line in Path("/proc/self/maps").read_text().splitlines() if line.endswith(".safetensors")]
    ranges = [tuple(int(end, 16) for end in line.split()[0].split("-")) for line in mapped]
    addresses = [p.data_ptr() for p in model.parameters()]

    assert addresses
    assert not [a for a in addresses for low, high in ranges if low <= a < high]


def test_code_that_comes_with_a_model_is_never_run(tiny_cache, tmp_path):
    """An architecture transformers does not have is refused, also when the folder offers code for it."""
    (tmp_path / "config.json").write_text(
        json.dumps({"architectures": ["EvilForCausalLM"], "auto_map": {"AutoModelForCausalLM": "evil.EvilForCausalLM"}})
    )
    (tmp_path / "evil.py").write_text("raise SystemExit('ran')")
    manifest = cache.Manifest(name="evil", folder=str(tmp_path), source="folder", origin="evil", revision="sha256:0")

    with pytest.raises(UnsupportedError, match="EvilForCausalLM"):
        models.fetched_class(manifest)


def test_a_model_that_is_not_here_says_how_to_fetch_it(tiny_cache):
    """The message names the command."""
    with pytest.raises(NotFetchedError, match="ftbench fetch smollm2-135m"):
        cache.manifest("smollm2-135m")


def test_the_tiny_model_is_the_same_every_time(prepared, tiny_config):
    """Two openings give equal weights, and its tokenizer is one token a byte and reversible."""
    first, second = (prepared(tiny_config("full")) for _ in range(2))

    assert all((a == b).all() for a, b in zip(first.parameters(), second.parameters(), strict=True))


def test_weights_may_be_given_instead_of_stored(tiny_cache, prepared, tiny_config):
    """A model made of tensors in memory is the one that is loaded from the file they came from."""
    config = tiny_config("full")
    manifest = cache.manifest("tiny-llama")
    kind = models.fetched_class(manifest)
    given = {
        "pretrained_model_name_or_path": None,
        "config": kind.config_class.from_pretrained(manifest.folder),
        "state_dict": load_file(Path(manifest.folder, "model.safetensors")),
    }

    made = models.open_model(kind, given, config, None, "cpu")

    for ours, stored in zip(made.parameters(), prepared(config).parameters(), strict=True):
        assert (ours == stored).all()
    assert made.config.use_cache is False


def test_bytes_survive_the_tiny_tokenizer(tokenizer):
    """Encoding and decoding any text gives it back, one token a byte."""
    text = "12+34=46, naïve 日本\n"

    ids = tokenizer(text)["input_ids"]

    assert len(ids) == len(text.encode())
    assert tokenizer.decode(ids) == text
