"""The tracker holds what tensors hold, for as long as they do, and says what only data could tell."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.checkpoint import checkpoint

from bench.errors import UnsupportedError
from bench.worker.fake.allocator import CachingAllocator
from bench.worker.fake.heap import Heap
from bench.worker.fake.tracker import Tracker
from bench.worker.probes.recorder_cpu import CpuRecorder

FLOATS = 100
BYTES = 4 * FLOATS


@pytest.fixture
def heap():
    return Heap(CachingAllocator())


@pytest.fixture
def tracker(heap):
    """Fake tensors on the host, held by `heap`."""
    with FakeTensorMode(), Tracker(heap, device="cpu") as tracker:
        yield tracker


def held(heap: Heap) -> int:
    heap.settle()
    return heap.allocator.requested


def test_a_storage_is_held_while_a_tensor_has_it(heap, tracker):
    """Views take nothing and keep it; with the last of them it is released."""
    made = torch.empty(FLOATS)
    view = made.view(10, 10)[2:4].t()
    assert held(heap) == BYTES

    del made
    assert held(heap) == BYTES
    del view
    assert held(heap) == 0


def test_in_place_takes_nothing(heap, tracker):
    """What writes into a tensor returns the storage it was given."""
    made = torch.zeros(FLOATS)
    made += 1
    made.mul_(2).copy_(made)

    assert held(heap) == heap.allocator.peak_requested == BYTES


def test_only_one_device_is_held(heap):
    """Tensors of the host are not on the GPU, and their storages lie nowhere on it."""
    with FakeTensorMode(), Tracker(heap) as tracker:
        host, device = torch.empty(FLOATS), torch.empty(FLOATS, device="cuda")

        assert held(heap) == BYTES
        assert tracker.address(host.untyped_storage()) == 0
        assert tracker.address(device.untyped_storage()) != 0


def test_a_thread_that_drops_a_tensor_releases_it(heap, tracker):
    """Autograd's thread releases what the main thread has made."""
    made = [torch.empty(FLOATS)]
    thread = threading.Thread(target=made.clear)
    thread.start()
    thread.join()

    assert held(heap) == 0


def grown(leaf: torch.Tensor) -> torch.Tensor:
    return leaf * 2


def of_two_products(leaf: torch.Tensor) -> torch.Tensor:
    """Two gradients meet that nobody else holds: the sum is made in the earlier."""
    made = grown(leaf)
    return made * 3 + made * 4


def of_three_products(leaf: torch.Tensor) -> torch.Tensor:
    made = grown(leaf)
    return made * 3 + made * 4 + made * 5


def of_itself(leaf: torch.Tensor) -> torch.Tensor:
    """The gradient meets itself: no sum can be made in it."""
    made = grown(leaf)
    return made + made


def of_a_view(leaf: torch.Tensor) -> torch.Tensor:
    """The gradient that comes first is a view of another tensor, which holds its memory."""
    made = grown(leaf)
    return (made.view(10, 10) @ torch.ones(10, 10)).view(FLOATS) + made.view(FLOATS, 1).mul(3).view(FLOATS)


def of_one_held(leaf: torch.Tensor) -> torch.Tensor:
    """Somebody keeps the gradient that comes first."""
    made, kept = grown(leaf), []
    one, other = made * 3, made * 4
    other.register_hook(kept.append)
    one.register_hook(kept.append)
    return one + other + 0 * len(kept)


def of_a_product_of_itself(leaf: torch.Tensor) -> torch.Tensor:
    """Both gradients come from one node."""
    made = grown(leaf).view(10, 10)
    return made @ made


def of_an_index(leaf: torch.Tensor) -> torch.Tensor:
    """The derivative writes into zeros it has made."""
    return grown(leaf)[torch.ones(FLOATS, dtype=torch.long)]


def of_gathered(leaf: torch.Tensor) -> torch.Tensor:
    return grown(leaf).gather(0, torch.ones(FLOATS, dtype=torch.long))


class Sums(torch.autograd.Function):
    """A node written in Python, whose own sum of its own temporaries is not made in place."""

    @staticmethod
    def forward(ctx, given):
        return given.clone()

    @staticmethod
    def backward(ctx, gradient):
        return gradient * 2 + gradient * 3


def of_a_python_node(leaf: torch.Tensor) -> torch.Tensor:
    return Sums.apply(grown(leaf))


def of_what_is_made_again(leaf: torch.Tensor) -> torch.Tensor:
    """A forward pass made again in the middle of a backward pass adds like any forward pass."""

    def again(given):
        return (given * 3 + given * 4).exp()

    return checkpoint(again, grown(leaf), use_reentrant=False, preserve_rng_state=False)


GRAPHS = [of_two_products, of_three_products, of_itself, of_a_view, of_one_held, of_a_product_of_itself, of_an_index,
          of_gathered, of_a_python_node, of_what_is_made_again]  # fmt: skip


def really(graph: Callable[[torch.Tensor], torch.Tensor]) -> list[int]:
    """Bytes that a real backward pass takes, and gives back of these."""
    with CpuRecorder() as recorder:
        result = (graph(torch.ones(FLOATS, requires_grad=True)) * 5).sum()
        recorder.mark("backward")
        result.backward()
    assert recorder.trace is not None
    sizes: dict[int, int] = {}
    found = []
    for position, change in enumerate(recorder.trace.changes):
        size = change.size if change.size > 0 else -sizes.pop(change.address, 0)
        sizes[change.address] = size
        if position >= recorder.trace.marks[0].position:
            found.append(size)
    return [size for size in found if abs(size) >= BYTES]


def as_simulated(graph: Callable[[torch.Tensor], torch.Tensor], heap: Heap) -> list[int]:
    """Bytes that a simulated backward pass takes, and gives back."""
    result = (graph(torch.ones(FLOATS, requires_grad=True)) * 5).sum()
    heap.settle()
    start = len(heap.events)
    result.backward()
    heap.settle()
    sizes: dict[int, int] = {}
    found = []
    for position, event in enumerate(heap.events):
        if event.what == "take":
            sizes[event.key] = event.value
        elif event.what == "rename":
            sizes[event.value] = sizes[event.key]
            continue
        size = event.value if event.what == "take" else -sizes[event.key]
        if position >= start:
            found.append(size)
    return [size for size in found if abs(size) >= BYTES]


@pytest.mark.parametrize("graph", GRAPHS)
def test_gradients_that_meet_are_summed_where_they_really_are(graph, heap):
    """In place or not, a backward pass takes and gives back what a real one does, in order."""
    expected = really(graph)

    with FakeTensorMode(), Tracker(heap, device="cpu"):
        assert as_simulated(graph, heap) == expected


@pytest.mark.parametrize(
    ("operation", "call"),
    [
        ("nonzero", lambda given: given.nonzero()),
        ("nonzero", lambda given: given[given > 0]),
        ("_unique2", lambda given: given.unique()),
        ("masked_select", lambda given: given.masked_select(given > 0)),
        ("bincount", lambda given: given.long().bincount()),
        ("repeat_interleave", lambda given: given.repeat_interleave(given.long())),
        ("equal", lambda given: torch.equal(given, given + 1)),
    ],
)
def test_a_result_that_depends_on_data_is_refused_by_its_operations_name(tracker, operation, call):
    """Sizes, and decisions about whole tensors, cannot be made up."""
    with pytest.raises(UnsupportedError, match=rf"aten\.{operation}\b.*depends on the data"):
        call(torch.ones(FLOATS))


@pytest.mark.parametrize(
    ("expected", "ask"),
    [
        (0.0, lambda given: given.sum().item()),
        (1, lambda given: given.long().sum().item()),
        (1, lambda given: int(given.argmax())),
        (True, lambda given: bool((given == 1).all())),
        (True, lambda given: bool(torch.rand(1) > 0.5)),
        (False, lambda given: bool(given.isinf().any())),
        (False, lambda given: bool(given.norm() == 0)),
        ([0.0] * 3, lambda given: given[:3].tolist()),
    ],
)
def test_values_read_back_let_code_go_on_as_if_all_were_well(tracker, expected, ask):
    """Numbers are 0.0 or 1; of questions only whether all is well, and whether a draw passed, are answered with yes."""
    answer = ask(torch.ones(FLOATS))

    assert answer == expected
    assert type(answer) is type(expected)


def test_a_scaled_loss_counts_as_finite(tracker):
    """torch.amp.GradScaler lets its optimiser step."""
    parameter = torch.nn.Parameter(torch.zeros(FLOATS))
    parameter.grad = torch.zeros(FLOATS)
    optimizer = torch.optim.SGD([parameter], lr=1.0, momentum=0.9)
    scaler = torch.amp.GradScaler("cpu")
    scaler.scale(torch.zeros(()))

    scaler.step(optimizer)
    scaler.update()

    assert optimizer.state[parameter]["momentum_buffer"].shape == (FLOATS,)


def test_every_thread_has_one_workspace_for_matrix_products(heap):
    """It is taken at a thread's first product on the device, and stays when its tensors go."""
    with FakeTensorMode(), Tracker(heap, device="cpu", workspace=1000):
        square = torch.ones(10, 10)
        square * square
        assert held(heap) == square.nbytes
        for _ in range(2):
            square @ square
            torch.baddbmm(square[None], square[None], square[None])
        assert held(heap) == square.nbytes + 1000

        modes = torch.utils._python_dispatch._get_current_dispatch_mode_stack()

        def elsewhere(given: torch.Tensor) -> None:
            with modes[0], modes[1]:
                given @ given

        thread = threading.Thread(target=elsewhere, args=(square,))
        thread.start()
        thread.join()
        del thread
        assert held(heap) == square.nbytes + 2000

        del square
        assert held(heap) == 2000


def test_products_on_the_host_take_no_workspace(heap):
    """cuBLAS is asked for tensors of the GPU alone."""
    with FakeTensorMode(), Tracker(heap, workspace=1000):
        torch.ones(10, 10) @ torch.ones(10, 10)

        assert held(heap) == 0


def test_what_a_kernel_takes_is_held_with_its_results(heap):
    """Its temporaries exist beside the result, and are gone after the operation."""

    def scratch(name, args, kwargs, out):
        return [args[0].nbytes, out.nbytes] if name == "exp" else ()

    with FakeTensorMode(), Tracker(heap, device="cpu", scratch=scratch):
        made = torch.ones(FLOATS)
        result = made.exp()

        assert heap.allocator.peak_requested == 4 * BYTES
        assert held(heap) == made.nbytes + result.nbytes
        assert heap.peak_operation == "exp"
