"""Fetching: names carry no path, and every trouble is one line."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from bench import cache
from bench.errors import FetchError, UnknownNameError
from bench.launch.fetch import fetch, missing_models
from bench.launch.process import Launcher
from bench.schema import Status
from bench.schema.codec import encode
from bench.schema.models import Package
from tests.launch.conftest import asked

slow = pytest.mark.slow


@pytest.mark.parametrize(
    "name", ["tiny-lama", "./nope", "../nowhere-at-all", "/nope", "a/b/c", "", "~nobody/x", "-x/y", "a b"]
)
def test_what_cannot_be_a_model_is_refused_before_anything_starts(name, tmp_path, monkeypatch):
    """An unknown name is one line with what is known, and starts no process."""
    monkeypatch.setenv("FTBENCH_CACHE", str(tmp_path))
    monkeypatch.setattr("bench.launch.fetch._in_child", lambda _: pytest.fail("a process was started"))
    with pytest.raises(UnknownNameError, match=r"tiny-llama, .*a local folder") as refusal:
        fetch([name], [], None)
    assert "\n" not in str(refusal.value)


def test_an_unknown_task_is_refused(tmp_path, monkeypatch):
    """A task's name is checked like a model's."""
    monkeypatch.setenv("FTBENCH_CACHE", str(tmp_path))
    with pytest.raises(UnknownNameError, match="Did you mean 'addition'"):
        fetch([], ["adition"], None)


@slow
def test_a_folder_that_is_no_model_is_one_line(tmp_path, monkeypatch):
    """A folder without weights is refused with the remedy."""
    monkeypatch.setenv("FTBENCH_CACHE", str(tmp_path / "cache"))
    with pytest.raises(FetchError, match=r"no config\.json with \*\.safetensors; convert"):
        fetch([str(tmp_path)], [], None)


@slow
def test_a_damaged_manifest_is_mended_by_fetching_again(tiny_cache, tmp_path, monkeypatch):
    """What the message of a damaged manifest advises works."""
    monkeypatch.setenv("FTBENCH_CACHE", str(tmp_path))
    shutil.copytree(tiny_cache, tmp_path, dirs_exist_ok=True)
    (tmp_path / "models/tiny-llama/manifest.json").write_text("{")
    assert missing_models(["tiny-llama"]) == ["tiny-llama"]
    assert fetch(["tiny-llama"], [], None) == ["tiny-llama"]
    assert missing_models(["tiny-llama"]) == []


@slow
def test_a_local_folder_runs_and_its_path_is_nowhere(in_tiny_cache, tmp_path):
    """A model in a folder is trained end to end, and neither its name nor the record tells where it was."""
    folder = tmp_path / "a-private-place" / "My Model"
    shutil.copytree(Path(cache.manifest("tiny-llama").folder), folder)
    (name,) = fetch([str(folder)], [], None)
    assert name.startswith("my-model-local-")
    (again,) = fetch([f"{folder}/"], [], None)
    assert again == name
    with Launcher(device="x", machine={}, isolation="fork") as launcher:
        record = launcher.run(asked(model=name, batch_size=2, sequence_length=32))
    assert record.status is Status.OK, record.failure
    assert record.resolved["model.origin"] == "My Model"
    text = encode(record)
    assert [part for part in ("a-private-place", str(tmp_path), str(in_tiny_cache)) if part in text] == []


@slow
def test_a_gguf_name_carries_the_content_and_no_path(tmp_path, monkeypatch):
    """Two GGUF files of one name get two names, by their contents; a file that is none is one line."""
    monkeypatch.setenv("FTBENCH_CACHE", str(tmp_path / "cache"))
    file = tmp_path / "private" / "Model.Q4.gguf"
    file.parent.mkdir()
    file.write_bytes(b"no gguf at all")
    with pytest.raises(FetchError) as refusal:
        fetch([str(file)], [], None)
    assert "\n" not in str(refusal.value)


@slow
def test_a_package_with_another_hash_is_refused(tmp_path, monkeypatch):
    """Weights whose SHA-256 is not the pinned one are not used."""
    from bench.worker.fetch import package

    other = tmp_path / "weights.gguf"
    other.write_bytes(b"other weights")
    monkeypatch.setattr(package, "_installed", lambda _: other)
    carrier = Package("x==1", "weights.gguf", "0" * 64)
    with pytest.raises(FetchError, match=f"has SHA-256 [0-9a-f]{{64}}, not {'0' * 64}"):
        package.fetch("x", carrier)


@slow
def test_interrupted_and_failed_fetches_leave_nothing_known(tmp_path, monkeypatch):
    """A model that could not be fetched is still absent afterwards."""
    monkeypatch.setenv("FTBENCH_CACHE", str(tmp_path))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # nobody answers there
    with pytest.raises(FetchError, match=r"the hub cannot be reached .*; fetch it where it can be"):
        fetch(["qwen2.5-0.5b"], [], None)
    assert missing_models(["qwen2.5-0.5b"]) == ["qwen2.5-0.5b"]
