"""The cache of fetched models: what is not whole counts as absent, and every trouble is one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import cache
from bench.cache import Manifest
from bench.errors import BadValueError, NotFetchedError


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path / "cache"))
    return tmp_path


def _model(here: Path, name: str = "one") -> Manifest:
    folder = here / "weights"
    folder.mkdir()
    (folder / "config.json").touch()
    return Manifest(name=name, folder=str(folder), source="folder", origin="weights", revision="sha256:0")


def test_a_published_model_is_found_as_it_was(here):
    """What is published is read back the same, and leaves nothing half written."""
    made = _model(here)
    cache.publish(made)
    assert cache.manifest("one") == made
    assert [p.name for p in cache.model_folder("one").iterdir()] == ["manifest.json"]


def test_a_model_that_is_absent_names_the_command(here):
    """A missing model is an error that says how to bring it."""
    with pytest.raises(NotFetchedError, match="bring it with: ftbench fetch one"):
        cache.manifest("one")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b'{"name": "one"}', b'{"name": 3}'])
def test_a_damaged_manifest_is_one_line(here, content):
    """A manifest that cannot be read is reported with the remedy."""
    cache.publish(_model(here))
    (cache.model_folder("one") / "manifest.json").write_bytes(content)
    with pytest.raises(NotFetchedError, match=r"is damaged .*; run: ftbench fetch one"):
        cache.manifest("one")


def test_a_manifest_of_a_folder_that_is_gone_counts_as_absent(here):
    """A model whose folder was moved away is not here, and the error says where it was."""
    cache.publish(_model(here))
    (here / "weights" / "config.json").unlink()
    with pytest.raises(NotFetchedError, match="is gone; run: ftbench fetch one"):
        cache.manifest("one")


def test_a_cache_that_is_no_folder_is_one_line(here):
    """A file in the cache's place is reported, not raised as an error of the system."""
    (here / "cache").touch()
    with pytest.raises(NotFetchedError, match=f"set {cache.VARIABLE} to another folder"):
        cache.manifest("one")


def test_the_data_of_a_task_are_remembered(here):
    """A task's data count as fetched once they were."""
    assert not cache.has_task("addition")
    cache.publish_task("addition")
    assert cache.has_task("addition")


def test_the_cache_is_where_the_variable_says(here, monkeypatch):
    """The variable moves the cache; without it, or empty, it is below the home folder."""
    assert cache.root() == here / "cache"
    monkeypatch.setenv(cache.VARIABLE, "")
    monkeypatch.setenv("HOME", "/nowhere")
    assert cache.root() == Path("/nowhere/.cache/ftbench")


def test_a_config_json_is_a_model_of_its_own(here, tmp_path):
    """It is kept under its folder's name and a part of its hash, and read back as it was; another text is another."""
    file = tmp_path / "My Llama" / "config.json"
    file.parent.mkdir()
    file.write_text('{"model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 64}')

    name = cache.keep_architecture(file)

    assert name.startswith("my-llama-")
    assert cache.kept_architecture(name) == {
        "model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 64,
    }  # fmt: skip
    file.write_text(file.read_text().replace("64", "128"))
    assert cache.keep_architecture(file) != name
    assert cache.kept_architecture("nobody") is None


@pytest.mark.parametrize("text", ["no json", "[]", '{"model_type": "llama"}', '{"architectures": ["X"]}'])
def test_what_is_no_config_json_is_refused(here, tmp_path, text):
    """By the file's name, and nothing is kept."""
    file = tmp_path / "config.json"
    file.write_text(text)

    with pytest.raises(BadValueError, match=r"config\.json"):
        cache.keep_architecture(file)
    assert not (cache.root() / "architectures").exists()
