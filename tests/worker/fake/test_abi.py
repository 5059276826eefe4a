"""Autograd runs on fake CUDA tensors in a build of torch without CUDA, for the life of a process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[3]

pytestmark = pytest.mark.skipif(torch.backends.cuda.is_built(), reason="a CUDA build of torch needs none of this")

GRADIENTS = """
from torch._subclasses.fake_tensor import FakeTensorMode
with FakeTensorMode():
    leaf = torch.ones(10, device="cuda", requires_grad=True)
    made = leaf * 2
    (made * 3 + made * 4).sum().backward()
    print(leaf.grad.device, leaf.grad.shape)
"""


def child(*lines: str) -> subprocess.CompletedProcess[str]:
    """Run lines of Python in a process of its own."""
    script = "\n".join(["import torch", "from bench.worker.fake import abi", *lines])
    return subprocess.run(
        [sys.executable, "-c", script], check=False, capture_output=True, text=True, timeout=120, cwd=ROOT
    )


def test_gradients_meet_and_the_process_ends_well():
    """A backward pass gives a gradient on the fake GPU, where two met too, and the exit is clean."""
    done = child("abi.install()", "abi.install()", GRADIENTS)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "cuda:0 torch.Size([10])\n"


def test_without_it_there_are_no_gradients():
    """The first gradient ends the process: that is what it is for."""
    assert child(GRADIENTS).returncode != 0


def test_real_tensors_train_on_as_before():
    """On the host gradients are computed as ever, also after a fake GPU was."""
    done = child(
        "abi.install()",
        GRADIENTS,
        "leaf = torch.ones(3, requires_grad=True)",
        "made = leaf * 2",
        "(made * 3 + made * 4).sum().backward()",
        "print(leaf.grad.tolist(), torch.cuda.is_available())",
    )

    assert done.returncode == 0
    assert done.stdout.splitlines()[-1] == "[14.0, 14.0, 14.0] False"


def refusal(*lines: str) -> str:
    """Return what the installation says when it refuses."""
    done = child(
        "from bench.errors import UnsupportedError",
        *lines,
        "try:",
        "    abi.install()",
        "except UnsupportedError as refusal:",
        "    print(refusal)",
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_process_that_has_computed_gradients_is_refused():
    """Autograd has counted the devices by then; the sentence says what to do."""
    said = refusal("torch.ones(1, requires_grad=True).sum().backward()")

    assert said == "this process has computed gradients before it was to simulate a GPU; start another one for that.\n"


def test_another_release_of_torch_is_refused():
    """Whose tables are not known is not touched; the sentence says which release is needed, and the other way out."""
    said = refusal("torch.__version__ = '2.99.1'")

    assert "need torch 2.13; this is 2.99.1" in said
    assert "or a CUDA build (which needs no GPU)" in said


@pytest.mark.parametrize("symbol", ["REGISTER", "HOOKS"])
def test_a_build_without_the_symbols_is_refused(symbol):
    """What cannot be found in the libraries is named, before anything is changed."""
    said = refusal(f"abi.{symbol} = '_ZNowhere'", "abi.ctypes.CFUNCTYPE = None")

    assert said.startswith("this build of torch cannot simulate a GPU: ")
    assert "_ZNowhere" in said


def test_a_cuda_build_is_left_alone():
    """It has all this, so nothing of it is replaced."""
    done = child("torch.backends.cuda.is_built = lambda: True", "abi.install()", "print(abi._kept)")

    assert done.stdout == "[]\n"


def test_importing_the_story_of_a_prediction_changes_nothing():
    """Torch has the same functions, lists and accelerator, and the environment the same variables."""
    done = child(
        "import os, sys, transformers, peft, bitsandbytes",
        "from torch.utils import _foreach_utils",
        "def state():",
        "    places = torch.cuda, torch.nn.functional, torch.utils, torch.UntypedStorage, torch.Tensor",
        "    functions = [{name: id(value) for name, value in vars(place).items()} for place in places]",
        "    modules = _foreach_utils, sys.modules['torch.optim.optimizer']",
        "    lists = [list(module._foreach_supported_types) for module in modules]",
        "    return functions, lists, torch._C._accelerator_getAccelerator(), dict(os.environ)",
        "before = state()",
        "import bench.worker.predict",
        "print(state() == before)",
    )

    assert done.stdout == "True\n", done.stderr
