"""The GPU that CUDA calls 0, through the real nvidia-ml-py and a library that says what we tell it."""

from __future__ import annotations

import pytest

from tests.nvml_stub import GIB, H100, INSTANCES, Machine

TWO = {**H100, "count": 2, "gpu1.name": H100["gpu0.name"], "gpu1.uuid": "GPU-99999999-2222-3333-4444-555555555555"}
FOUND = """
from bench import nvml
card = nvml.find()
say(card.reason if isinstance(card, nvml.Absent) else card.read("nvmlDeviceGetUUID"))
"""
READ = """
from bench import nvml
card = nvml.find()
answer = {}
plain = lambda found: {"absent": found.reason} if isinstance(found, nvml.Absent) else found
"""


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    return Machine(tmp_path_factory.mktemp("nvml"))


@pytest.mark.parametrize(
    ("visible", "board"),
    [
        ("0", "GPU-1"),
        ("1", "GPU-9"),
        (" 1 ,0", "GPU-9"),
        ("GPU-99999999-2222-3333-4444-555555555555,0", "GPU-9"),
        ("GPU-9", "GPU-9"),
        ("GPU-1", "GPU-1"),
    ],
)
def test_the_card_is_the_first_that_cuda_sees(machine, visible, board):
    """A number, a UUID and the start of a UUID lead to the GPU that CUDA makes its first."""
    assert machine.run(FOUND, TWO, CUDA_VISIBLE_DEVICES=visible).startswith(board)


def test_without_the_variable_the_first_card_is_the_first_of_the_bus(machine):
    """Unset, every GPU is visible."""
    assert machine.run(FOUND, TWO).startswith("GPU-1")


@pytest.mark.parametrize(
    ("facts", "visible", "why"),
    [
        (TWO, "", "hides every GPU"),
        (TWO, "-1", "hides every GPU"),
        (TWO, "2", "asks for GPU 2, which NVML does not have"),
        (TWO, "GPU-7", "fits 0 GPUs"),
        (TWO, "GPU-", "fits 2 GPUs"),
        (INSTANCES, "MIG-7", "fits 0 GPUs"),
        ({**H100, "init": "!9"}, "0", "Driver Not Loaded"),
        ({**H100, "count": 0}, "0", "NVML does not have"),
    ],
)
def test_no_card_has_a_reason(machine, facts, visible, why):
    """A hidden, unknown or ambiguous GPU and a driver that is not loaded are told apart, and nothing is raised."""
    assert why in machine.run(FOUND, facts, CUDA_VISIBLE_DEVICES=visible)


def test_a_machine_without_the_driver_says_so(tmp_path):
    """The real binding with no library it can load is a reason, not an error."""
    machine = Machine(tmp_path)
    (tmp_path / "libnvidia-ml.so.1").write_text("no library")
    assert "Shared Library Not Found" in machine.run(FOUND, H100)


def test_a_machine_without_the_binding_says_what_to_install(machine):
    """nvidia-ml-py is an extra; without it there is a remedy."""
    assert "pip install 'ftbench[train]'" in machine.run("import sys; sys.modules['pynvml'] = None\n" + FOUND, H100)


def test_cards_of_several_kinds_are_not_guessed(machine):
    """CUDA counts the fastest first where NVML counts along the bus; only PCI_BUS_ID makes them agree."""
    mixed = {**TWO, "gpu1.name": "NVIDIA GeForce RTX 3090"}
    assert "set CUDA_DEVICE_ORDER=PCI_BUS_ID" in machine.run(FOUND, mixed)
    assert machine.run(FOUND, mixed, CUDA_DEVICE_ORDER="PCI_BUS_ID").startswith("GPU-1")
    assert machine.run(FOUND, mixed, CUDA_VISIBLE_DEVICES="GPU-9").startswith("GPU-9")


def test_no_reason_holds_a_uuid(machine):
    """Reasons go into records, where a GPU's identity must not."""
    asked = "GPU-77777777-2222-3333-4444-555555555555"
    assert "77777777" not in machine.run(FOUND, TWO, CUDA_VISIBLE_DEVICES=asked)


def test_memory_leaves_out_what_the_driver_keeps(machine):
    """Version 2 tells reserved memory apart: used and free are what programs can have."""
    code = READ + "say(card.memory())"
    assert machine.run(code, H100) == [10 * GIB, 69 * GIB]


@pytest.mark.parametrize(("visible", "used"), [("MIG-a", 3), ("MIG-bbbbbbbb-2222-3333-4444-555555555555", 4)])
def test_memory_of_an_instance_is_its_own(machine, visible, used):
    """With a MIG-UUID memory is the instance's, while clocks and energy stay the board's."""
    code = READ + "say([card.mig, card.memory().used, card.read('nvmlDeviceGetUUID')])"
    mig, bytes_used, board = machine.run(code, INSTANCES, CUDA_VISIBLE_DEVICES=visible)
    assert (mig, bytes_used) == (True, used * GIB)
    assert board.startswith("GPU-1")


def test_the_only_instance_is_the_one(machine):
    """A board with one instance needs no MIG-UUID; with two, nothing is guessed and the remedy is told."""
    code = READ + "say([card.mig, plain(card.memory())])"
    one = {key: value for key, value in INSTANCES.items() if not key.startswith("gpu0mig1")}
    assert machine.run(code, one) == [True, [3 * GIB, 7 * GIB]]
    mig, memory = machine.run(code, INSTANCES)
    assert mig
    assert "MIG is on with 2 instances; set CUDA_VISIBLE_DEVICES" in memory["absent"]


@pytest.mark.parametrize(
    ("processes", "expected"),
    [
        (f"self:{5 * GIB}", [5 * GIB, 0]),
        (f"7:{GIB},self:{5 * GIB},8:na", [5 * GIB, 2]),
        (f"self:{GIB},self:{2 * GIB}", [3 * GIB, 0]),
        ("self:na", [{"absent": "NVML does not tell this process's memory, as under WDDM."}, 0]),
        (f"self:na,self:{GIB}", [{"absent": "NVML does not tell this process's memory, as under WDDM."}, 0]),
    ],
)
def test_the_list_of_processes_is_read(machine, processes, expected):
    """This process's bytes and the number of others; bytes that are not told are absent, never 0."""
    code = READ + "own, others = card.listing(); say([plain(own), others])"
    assert machine.run(code, {**H100, "gpu0.processes": processes}) == expected


@pytest.mark.parametrize(
    ("processes", "why"),
    [
        ("-", "does not list this process (it lists 0)"),
        ("1:5,2:5", "does not list this process (it lists 2)"),
        ("!4", "Insufficient Permissions"),
        (None, "Not Supported"),
    ],
)
def test_a_process_that_is_not_listed_is_absent(machine, processes, why):
    """In another pid namespace, without permission or without support there is a reason."""
    code = READ + "say(plain(card.listing()))"
    assert why in machine.run(code, {**H100, "gpu0.processes": processes})["absent"]


def test_every_field_has_its_own_return_code(machine):
    """One field that fails leaves the others; 32-bit fields are read as such, unknown types not at all."""
    facts = {**H100, "gpu0.field1": 2**40, "gpu0.field2": "!3", "gpu0.field3": "u7", "gpu0.field4": "?9"}
    code = READ + "say({n: plain(v) for n, v in card.fields((1, 2, 3, 4)).items()})"
    assert machine.run(code, facts) == {
        "1": 2**40,
        "2": {"absent": "NVML field 2: Not Supported."},
        "3": 7,
        "4": {"absent": "NVML field 4 has the unknown type 9."},
    }


def test_fields_that_fail_together_are_all_absent(machine):
    """A refusal of the whole call is the reason of each field."""
    code = READ + "say({n: plain(v) for n, v in card.fields((1, 2)).items()})"
    answer = machine.run(code, {**H100, "gpu0.fields": "!15"})
    assert [value["absent"] for value in answer.values()] == ["nvmlDeviceGetFieldValues: GPU is lost."] * 2


def test_an_old_driver_lacks_functions_and_nothing_breaks(tmp_path):
    """Symbols that the library does not have are reasons."""
    old = Machine(tmp_path, "-DOLD")
    code = READ + "say([plain(card.memory())['absent'], plain(card.listing())['absent']])"
    assert all("Function Not Found" in why for why in old.run(code, H100))


def test_a_function_the_binding_lacks_is_a_reason(machine):
    """An old nvidia-ml-py is told to be updated."""
    code = READ + "say(plain(card.read('nvmlDeviceGetSomethingNew')))"
    assert "pip install -U nvidia-ml-py" in machine.run(code, H100)["absent"]


def test_the_library_is_let_go(machine):
    """`close` and every failed search leave NVML as closed as before."""
    code = """
import os
from bench import nvml
import pynvml
card = nvml.find()
counts = [pynvml.nvmlLib.stubOpened()]
card.close()
counts.append(pynvml.nvmlLib.stubOpened())
os.environ["CUDA_VISIBLE_DEVICES"] = "5"
nvml.find()
say([*counts, pynvml.nvmlLib.stubOpened()])
"""
    assert machine.run(code, H100) == [1, 0, 0]
