"""What is told about this machine: facts that can be compared, none that name it."""

from __future__ import annotations

import getpass
import json
import platform
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import BadValueError, UnknownNameError
from bench.launch import machine


def test_the_facts_are_plain_and_name_nobody():
    """Facts go into JSON and hold no host name, user name or folder of this machine."""
    facts = machine.facts()
    text = json.dumps(facts)
    assert facts["cpu.cores"] >= 1
    assert facts["python"] == platform.python_version()
    names = {platform.node(), str(Path.home()), str(Path.cwd()), sys.prefix} | ({getpass.getuser()} - {"root"})
    assert [name for name in names if len(name) > 2 and re.search(rf"\b{re.escape(name)}\b", text)] == []


def test_the_stack_is_what_is_installed():
    """Versions are those a fresh interpreter imports, found without importing them."""
    stack = machine.stack()
    said = subprocess.check_output(
        [sys.executable, "-c", "from importlib.metadata import version as v; print(v('torch'), v('peft'))"], text=True
    )
    assert said.split() == [stack["package.torch"], stack["package.peft"]]
    assert set(stack) <= machine.STACK_FACTS


def test_the_machine_is_described_without_torch():
    """Describing a machine imports nothing of the training stack."""
    code = "import sys; from bench.launch import machine; machine.facts(); print('torch' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"


@given(st.text(min_size=1))
def test_a_device_slug_is_a_folder_name(text):
    """Whatever a vendor calls a product, its folder has a safe name."""
    assert re.fullmatch(r"[a-z0-9.-]*", machine._slug(text))
    assert not machine._slug(text).startswith((".", "-"))


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("Intel(R) Xeon(R) CPU E5-2680 v4 @ 2.40GHz", "intel-xeon-e5-2680-v4"),
        ("AMD EPYC 7B13", "amd-epyc-7b13"),
        ("NVIDIA H100 80GB HBM3", "nvidia-h100-80gb-hbm3"),
    ],
)
def test_a_device_slug_can_be_recognised(name, slug):
    """The product's name survives, its decoration does not."""
    assert machine._slug(name) == slug


def test_a_device_that_is_not_there_is_refused(monkeypatch):
    """Asking for a GPU on a machine without one is an error with a remedy, not a record with another device."""
    monkeypatch.setattr(machine, "gpu", lambda: None)
    with pytest.raises(BadValueError, match="use --device cpu"):
        machine.device_slug("cuda")


def test_a_simulated_gpu_has_a_folder_of_its_own():
    """Predictions for a card lie beside its measurements, whatever this machine is; a card nobody knows is refused."""
    assert machine.device_slug("fake:A100") == "fake-a100-80gb"
    with pytest.raises(UnknownNameError, match=r"unknown GPU 'h1000'\. Did you mean 'h100-"):
        machine.device_slug("fake:h1000")


def test_software_is_what_does_not_depend_on_the_machine():
    """Of the facts, a prediction carries packages and code; nothing of processor, memory, system or GPU."""
    kept = machine.software()
    assert kept.items() <= machine.facts().items()
    assert {"python", "package.torch", "ftbench.code"} <= kept.keys()
    assert {name.partition(".")[0] for name in kept} == {"python", "package", "ftbench"}


def test_variables_are_told_without_serials(monkeypatch):
    """Settings that change results are recorded, but not the serial number of a GPU in them."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-01234567-89ab-cdef-0123-456789abcdef")
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    facts = machine.facts()
    assert facts["variable.CUDA_VISIBLE_DEVICES"] == "<gpu>"
    assert facts["variable.OMP_NUM_THREADS"] == "3"


def test_the_code_hash_follows_the_code(monkeypatch, tmp_path):
    """Two records with the same hash were made by the same measuring code."""
    monkeypatch.setattr("bench.__file__", str(tmp_path / "__init__.py"))
    (tmp_path / "worker").mkdir()
    hashes = []
    for text in ("a = 1", "a = 2", "a = 1"):
        (tmp_path / "worker" / "one.py").write_text(text)
        machine.code_hash.cache_clear()
        hashes.append(machine.code_hash())
    machine.code_hash.cache_clear()
    assert hashes[0] == hashes[2] != hashes[1]
