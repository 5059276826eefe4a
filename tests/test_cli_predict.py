"""`ftbench predict`, `cite` and `predict-published`: flags, one run's numbers, published numbers, one-line mistakes."""

from __future__ import annotations

import argparse
import functools
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bench import cache, store
from bench.analysis.values import value
from bench.commands.settings import HIDDEN, add_settings, config_of
from bench.errors import BadValueError, UnknownNameError
from bench.schema import Kind, RunConfig, Status
from bench.schema.catalogue import METHODS, Option, Scalar
from bench.schema.config import Protocol
from bench.schema.models import architecture
from bench.schema.protocols import PROTOCOLS

Ftbench = Callable[..., "subprocess.CompletedProcess[str]"]
TINY = ("--gpu", "L40S", "--model", "tiny-llama")
METAMATH = ("--protocol", "peft-metamath")

TOLD: dict[str, Scalar] = {
    "model": "smollm2-135m", "method": "full", "task": "dates", "dtype": "float16", "autocast": "float16",
    "attention": "eager", "optimizer": "adamw_8bit", "learning_rate": 0.5, "weight_decay": 0.25,
    "lr_scheduler_type": "cosine", "warmup_ratio": 0.5, "max_grad_norm": 2.0, "steps": 7, "untimed_steps": 1,
    "batch_size": 9, "gradient_accumulation_steps": 5, "sequence_length": 77, "packing": False,
    "gradient_checkpointing": True, "train_examples": 6, "evaluate_items": 3, "evaluate_batch_size": 8,
    "infer_tokens": 4, "merge": True, "largest_batch": False, "base": "fp4",
}  # fmt: skip
"""Another value than the default of every field that has a flag."""


def flag(name: str, value: Scalar) -> list[str]:
    """Spell a setting as a person would."""
    word = name.replace("_", "-")
    if isinstance(value, bool):
        return [f"--{word}" if value else f"--no-{word}"]
    return [f"--{word}", str(value)]


def asked(method: str, *flags: str, device: str = "fake") -> RunConfig:
    """Return the config that these flags ask for."""
    return config_of(_parser().parse_args([*TINY, "--method", method, *flags]), device)


@functools.cache
def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser()
    add_settings(parser)
    return parser


def other_value(option: Option) -> Scalar | None:
    """Return another value than the default that an option takes; None where none is known."""
    if isinstance(option.default, bool):
        return not option.default
    if option.choices:
        return next((choice for choice in option.choices if choice != option.default), None)
    return option.default + 1 if isinstance(option.default, int | float) else None


def options() -> Iterator[tuple[str, str, Scalar]]:
    for method, entry in METHODS.items():
        for name, option in entry.options.items():
            if (other := other_value(option)) is not None:
                yield method, name, other


@pytest.mark.parametrize("name", [name for name in RunConfig.__struct_fields__ if name not in HIDDEN])
def test_every_setting_has_a_flag(name):
    """A field of a config is its name with hyphens, and its text becomes a value of the field's type."""
    assert name in TOLD, "a new field needs a value here"
    made = asked("lora", *flag(name, TOLD[name]))

    assert (getattr(made, name), type(getattr(made, name))) == (TOLD[name], type(TOLD[name]))
    if name not in ("model", "method"):
        assert getattr(asked("lora"), name) != TOLD[name]


@pytest.mark.parametrize(("method", "name", "other"), list(options()), ids=str)
def test_every_option_of_every_method_has_a_flag(method, name, other):
    """A method's option is taken from its flag in the type its method gives it, whoever shares its name."""
    made = asked(method, *flag(name, other))

    assert made.options == {**asked(method).options, name: other}


@pytest.mark.parametrize("method", METHODS)
def test_a_method_without_flags_has_its_own_defaults(method):
    """Nothing but what was asked for is set."""
    assert asked(method).options == {name: option.default for name, option in METHODS[method].options.items()}


def test_a_protocol_brings_its_settings_and_flags_win_over_it():
    """All settings of the named loop are there; the one that was given differs, and no other."""
    loop = PROTOCOLS["peft-metamath"]
    whole, changed = asked("lora", *METAMATH), asked("lora", *METAMATH, "--batch-size", "2", "--rank", "32")

    assert {name: getattr(whole, name) for name in loop.settings} == dict(loop.settings)
    assert changed == whole.but(batch_size=2, rank=32)
    assert (changed.batch_size, changed.options["rank"], changed.options["alpha"]) == (2, 32, 8)


def test_a_protocols_options_reach_those_who_share_loras():
    """LoRA, its variants and quantised bases get peft's defaults; VeRA, which has its own rank, keeps it."""
    pefts = {"rank": 8, "alpha": 8, "dropout": 0.0, "targets": "default"}
    for method in ("lora", "dora", "rslora", "qlora", "lora_8bit"):
        made = asked(method, *METAMATH).options
        assert {name: made[name] for name in pefts} == pefts, method
    assert asked("vera", *METAMATH).options == asked("vera").options
    assert asked("full", *METAMATH).options == {}


def test_quantised_bases_train_as_in_the_guide():
    """Under autocast, with a step's outputs let go; unless a flag says otherwise, or a protocol has its own loop."""
    made = asked("qlora")

    assert (made.autocast, made.protocol) == ("bfloat16", Protocol())
    assert asked("qlora", "--dtype", "float16").autocast == "float16"
    assert asked("qlora", "--dtype", "float32").autocast == "none"
    assert asked("qlora", "--autocast", "none").autocast == "none"
    assert asked("qlora", *METAMATH).autocast == "none"
    assert (asked("dora", "--base", "nf4").autocast, asked("dora", "--base", "nf4").protocol) == (
        "bfloat16",
        Protocol(),
    )
    assert (asked("lora").autocast, asked("lora").protocol.outputs) == ("none", "backward")


@pytest.mark.parametrize(
    ("flags", "error", "words"),
    [
        (("--steps", "many"), BadValueError, "--steps 'many' is no int"),
        (("--steps", "0"), BadValueError, "steps=0 cannot be used"),
        (("--learning-rate", "fast"), BadValueError, "--learning-rate 'fast' is no float"),
        (("--attention", "linear"), BadValueError, "attention='linear' cannot be used"),
        (("--optimizer", "adam"), UnknownNameError, "Did you mean 'adamw'"),
        (("--task", "gsm9k"), UnknownNameError, "Did you mean 'gsm8k'"),
        (("--rank", "x"), BadValueError, "--rank 'x' is no int"),
        (("--rank", "0"), BadValueError, "rank=0 is below"),
        (("--d-initial", "1"), UnknownNameError, "unknown setting of method 'lora' 'd_initial'"),
        (("--method", "lorra"), UnknownNameError, "Did you mean 'lora'"),
        (("--gpu", "h1000"), UnknownNameError, "Did you mean 'h100"),
    ],
)
def test_a_wrong_flag_is_told_with_what_is_known(flags, error, words):
    """A value of the wrong type or range, an unknown name and another method's option each say what is wrong."""
    with pytest.raises(error, match=words):
        asked("lora", *flags)


def one_line(done: subprocess.CompletedProcess[str]) -> str:
    """Check that a command failed with one line and nothing else, and return it."""
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("ftbench: ")
    assert done.stderr.count("\n") == 1
    return done.stderr


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("predict", "--gpu", "L4S", "--model", "tiny-llama", "--method", "lora"), "Did you mean 'l40s'"),
        (("predict", *TINY, "--method", "full", "--rank", "4"), "unknown setting of method 'full' 'rank'"),
        (("predict", "--gpu", "l40s", "--model", "tiny-lama", "--method", "lora"), "tiny-lama"),
        (("predict-published", "--results", "none"), "there is no folder none"),
    ],
)
def test_a_mistake_is_one_line(ftbench: Ftbench, tmp_path: Path, command, words):
    """What cannot be predicted ends with one line on standard error, nothing on standard output, and exit code 2."""
    assert words in one_line(ftbench(*command, cwd=tmp_path))


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--metric", "train.peak_reservd"), "Did you mean 'train.peak_reserved'"),
        (("--value", "nan"), "--value nan is no number"),
        (("--value", "inf"), "--value inf is no number"),
        (("--citation", " "), "--citation is empty"),
        (("--gpu", "L4S"), "Did you mean 'l40s'"),
    ],
)
def test_a_number_that_cannot_be_cited_is_one_line(ftbench: Ftbench, tmp_path: Path, flags, words):
    """An unknown metric or card, no number or no source are refused, and nothing is kept."""
    good = ("--metric", "train.peak_reserved", "--value", "1", "--citation", "a source", *TINY, "--method", "lora")
    assert words in one_line(ftbench("cite", *good, *flags, cwd=tmp_path))
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def folder(ftbench: Ftbench, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder with one published number and, by the commands, its prediction."""
    root = tmp_path_factory.mktemp("published")
    number = ("--metric", "train.peak_reserved", "--value", str(200 * 2**20), "--citation", "somebody, in 2026, MiB")
    cited = ftbench("cite", *number, *TINY, "--method", "lora", *METAMATH, "--rank", "32", cwd=root)
    made = ftbench("predict-published", cwd=root)
    (root / "said").write_text(made.stderr)
    assert (cited.returncode, made.returncode) == (0, 0), cited.stderr + made.stderr
    return root


def test_what_is_cited_is_kept_with_its_source(folder: Path):
    """The record is of the run that was named, on the card itself, of kind published, with number and source."""
    found = next(run.record for run in store.read(folder / "results")[0] if run.record.kind is Kind.PUBLISHED)

    assert found.metrics == {"train.peak_reserved": 200 * 2**20}
    assert (found.citation, found.device, found.status) == ("somebody, in 2026, MiB", "l40s", Status.OK)
    assert (found.config.device, found.config.options["rank"], found.config.largest_batch) == ("cuda", 32, False)


def test_a_published_run_is_predicted_as_the_same_case(ftbench: Ftbench, folder: Path):
    """The prediction's case is the published one, said while it is made, and the two stand in one row with an error."""
    runs = {run.record.kind: run.record for run in store.read(folder / "results")[0]}
    predicted, published = runs[Kind.PREDICTED], runs[Kind.PUBLISHED]

    assert (predicted.case, predicted.status) == (published.case, Status.OK)
    assert (folder / "said").read_text() == f"ftbench: ok: {predicted.case} on fake-l40s\n"
    tables = json.loads(ftbench("table", "predictions", "--format", "json", cwd=folder).stdout)
    (row,) = next(table["rows"] for table in tables if table["title"].startswith("Predicted against"))
    assert "somebody, in 2026, MiB" in json.dumps(row)
    assert value(predicted, "train.peak_reserved") / (200 * 2**20) - 1 == pytest.approx(_error(row), abs=1e-9)


def _error(row: dict[str, object]) -> object:
    cell = row["error"]
    return cell["value"] if isinstance(cell, dict) else cell


def test_a_published_run_is_predicted_once(ftbench: Ftbench, folder: Path):
    """Asking again makes no other record and says nothing."""
    before = sorted(folder.rglob("*.json"))
    done = ftbench("predict-published", cwd=folder)

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert sorted(folder.rglob("*.json")) == before


def test_a_prediction_in_lines(ftbench: Ftbench, tmp_path: Path):
    """Peaks of each phase, the moment of the largest, its parts, whether it fits, and how far off it may be."""
    done = ftbench("predict", *TINY, "--method", "lora", "--merge", "--gradient-checkpointing", cwd=tmp_path)
    lines = done.stdout.splitlines()

    assert (done.returncode, done.stderr) == (0, "")
    assert lines[0].startswith("predicted: tiny-llama-lora-r16-bf16-b4-s1024-gsm8k-")
    assert lines[0].endswith(" on L40S")
    for words in ("peak while training: ", "peak while merging", "the backward pass: ", "fits into the ",
                  "the peak of training is in train, ", "largest batch that fits: ",
                  "expected error: Full and the LoRA family: median"):  # fmt: skip
        assert sum(words in line for line in lines) == 1, words
    assert list(tmp_path.iterdir()) == []


def test_a_prediction_as_json(ftbench: Ftbench, tmp_path: Path):
    """The kept record, with its two peaks of training, whether it fits, and the expected error."""
    kept = tmp_path / "kept"
    flags = ("--json", "--results", kept, "--no-largest-batch")
    done = ftbench("predict", *TINY, "--method", "full", *flags, cwd=tmp_path)
    said = json.loads(done.stdout)
    (found,) = store.read(kept)[0]

    assert (done.returncode, done.stderr) == (0, "")
    assert said["fits"] is True
    assert said["expected_error"].startswith("Full and the LoRA family: median ")
    assert 0 < said["metrics"]["train.peak_allocated"] < said["metrics"]["train.peak_reserved"]
    assert "predict.largest_batch" not in said["metrics"]
    assert said["metrics"] == found.record.metrics
    assert (found.record.kind, found.record.device) == (Kind.PREDICTED, "fake-l40s")


def test_a_config_json_is_enough(ftbench: Ftbench, tmp_path: Path):
    """A folder with nothing but a config.json is predicted like the model it describes."""
    (tmp_path / "Mine").mkdir()
    (tmp_path / "Mine" / "config.json").write_text(json.dumps(architecture("tiny-llama")))
    flags = ("--gpu", "L40S", "--method", "lora", "--json", "--no-largest-batch")
    cached = {**os.environ, cache.VARIABLE: str(tmp_path / "cache")}

    mine = json.loads(ftbench("predict", *flags, "--model", tmp_path / "Mine", cwd=tmp_path, env=cached).stdout)
    known = json.loads(ftbench("predict", *flags, "--model", "tiny-llama", cwd=tmp_path, env=cached).stdout)

    assert mine["config"]["model"].startswith("mine-")
    assert mine["metrics"]["train.peak_allocated"] == known["metrics"]["train.peak_allocated"]
