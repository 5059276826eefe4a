"""The table of models: open rungs, a source for every architecture, and advice for what is not known."""

from __future__ import annotations

import json
from importlib import resources

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import NotFetchedError, UnsupportedError
from bench.schema.models import DEFAULT_CPU_MODEL, MODELS, architecture, largest_for_full_training

FOLDER = resources.files("bench.schema") / "architectures"
OF_TEXT = [name for name, model in MODELS.items() if not model.images]


def test_every_model_has_an_architecture_and_every_architecture_a_model():
    """A name can be predicted, and no file lies there that nothing leads to."""
    assert {file.name for file in FOLDER.iterdir()} == {f"{name}.json" for name in OF_TEXT}


@pytest.mark.parametrize("name", OF_TEXT)
def test_an_architecture_says_whose_it_is(name):
    """The source in the file is the repository that the weights come from."""
    source = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))["source"]
    hub = MODELS[name].hub
    said = f"hub config.json of {hub}" if hub else "bench/worker/fetch/tiny.py"

    assert source.startswith(said)
    assert source[len(said) :][:1] in {"", ";", ","}
    assert "source" not in architecture(name)


@pytest.mark.parametrize("name", OF_TEXT)
def test_heads_divide_into_groups(name):
    """Query heads share key heads evenly, and one class is named."""
    facts = architecture(name)
    assert facts["num_attention_heads"] % facts["num_key_value_heads"] == 0
    assert len(facts["architectures"]) == 1


def test_an_architecture_may_be_changed_by_who_asked_for_it():
    """Each call reads the facts anew, so that one user's change is not the next one's surprise."""
    architecture("llama-3.1-8b")["rope_parameters"].clear()
    assert architecture("llama-3.1-8b")["rope_parameters"]["factor"] == 8.0


@pytest.mark.parametrize("name", ["llama-3-9b", "", "../record.schema", "..", "someone--model"])
def test_an_unknown_architecture_is_an_error_with_a_remedy(name):
    """What is not in the table is fetched first; nothing outside the folder is read."""
    with pytest.raises(NotFetchedError, match="ftbench fetch"):
        architecture(name)


def test_models_have_names_of_their_own():
    """Names go into folders, and two checkpoints never share a label or a repository."""
    assert all(set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789.-") for name in MODELS)
    assert len({model.label for model in MODELS.values()}) == len(MODELS)
    hubs = [model.hub for model in MODELS.values() if model.hub]
    assert len(set(hubs)) == len(hubs)


@pytest.mark.parametrize("name", [name for name in MODELS if name not in OF_TEXT])
def test_what_images_need_is_not_predicted(name):
    """A model that reads images has no shapes kept here, and says so instead of being simulated as text alone."""
    with pytest.raises(UnsupportedError, match="not predicted"):
        architecture(name)


@pytest.mark.parametrize(
    ("card_gb", "name"),
    [
        (8, "smollm2-135m"),
        (12, "qwen2.5-0.5b"),
        (24, "qwen2.5-1.5b"),
        (40, "smollm2-1.7b"),
        (48, "smollm3-3b"),
        (80, "smollm3-3b"),
        (141, "qwen2.5-7b"),
        (180, "qwen2.5-7b"),
        (192, "qwen2.5-14b"),
        (400, "qwen2.5-32b"),
    ],
)
def test_a_card_keeps_its_model(card_gb, name):
    """Runs of one card stay comparable over time: a new model does not change what is chosen for it."""
    assert largest_for_full_training(card_gb * 10**9) == name


@given(st.integers(0, 10**12))
def test_what_is_chosen_for_a_card_is_open(memory):
    """No licence has to be accepted for a model nobody named."""
    chosen = MODELS[largest_for_full_training(memory)]
    assert chosen.hub
    assert not chosen.gated
    assert MODELS[DEFAULT_CPU_MODEL].ladder
