"""Autograd runs on fake CUDA tensors where there is no GPU, for the life of a process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[3]

pytestmark = pytest.mark.skipif(torch.cuda.device_count() > 0, reason="where there is a GPU nothing of this is needed")
without_cuda = pytest.mark.skipif(torch.backends.cuda.is_built(), reason="this is about a build without CUDA")

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


@without_cuda
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


CUDA_BUILD = "torch.backends.cuda.is_built = lambda: True"


def test_where_there_is_a_gpu_nothing_is_replaced():
    """It has all this."""
    done = child(CUDA_BUILD, "torch.cuda.device_count = lambda: 1", "abi.install()", "print(abi._kept)")

    assert done.stdout == "[]\n", done.stderr


@without_cuda
def test_a_cuda_build_of_a_release_that_is_not_known_is_not_touched():
    """A gradient is tried; where it fails, the sentence says which releases are known."""
    said = refusal(
        CUDA_BUILD,
        "torch.__version__ = '2.99.1'",
        "torch._C._accelerator_getAccelerator = lambda: torch.device('cuda')",
        "abi._answer = None",
        "class Leaf:",
        "    def sum(self): return self",
        "    def backward(self): raise RuntimeError('no context')",
        "torch.empty = lambda *_, **__: Leaf()",
    )

    assert said == "torch 2.99.1 cannot simulate a GPU where there is none; of CUDA builds 2.13 and 2.14 can.\n"


@without_cuda
def test_a_cuda_build_without_a_gpu_is_only_told_that_its_device_has_no_context():
    """It has a guard, and says that it was built with CUDA; here it is a CPU build's 0, which stays."""
    done = child(
        "import ctypes",
        CUDA_BUILD,
        "abi._register_guard = None",
        "abi._try_a_gradient = lambda: None",
        "torch._C._accelerator_getAccelerator = lambda: torch.device('cuda')",
        "abi.install()",
        "hooks_of = abi._library('libtorch_cpu.so')[abi.HOOKS]",
        "hooks_of.restype = ctypes.c_void_p",
        "table = ctypes.c_void_p.from_address(hooks_of()).value",
        "ask = ctypes.CFUNCTYPE(ctypes.c_bool, ctypes.c_void_p, ctypes.c_int8)",
        "entry = lambda number: ask(ctypes.c_void_p.from_address(table + 8 * number).value)",
        "print(entry(abi.IS_BUILT)(hooks_of(), 0), entry(abi.HAS_PRIMARY_CONTEXT)(hooks_of(), 0))",
    )

    assert done.stdout == "False False\n", done.stderr


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
