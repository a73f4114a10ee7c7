"""One contract for every runtime: whatever runs a network, it restores as the masked one does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
import torch
from torch import Tensor

from tatsnet.data.degradation import GRID
from tatsnet.method.masked import MaskedNetwork
from tatsnet.network.architecture import Channels, Conv, NetworkConfig, Pattern, convolutions
from tatsnet.network.section_plan import SectionPlan, plan_section
from tatsnet.network.slicing import slice_section, travelling
from tatsnet.pruned.extraction import TOLERANCE, slice_parts
from tatsnet.pruned.network import Encoded, ExtractedNetwork
from tatsnet.runtimes import Compiled, Runtime
from tatsnet.runtimes.api import BOUNDS
from tatsnet.runtimes.choose import CPU_ONLY, GPU_ONLY, NAMES, pick
from tatsnet.runtimes.torch.cudagraph import CudaGraphRuntime
from tatsnet.runtimes.torch.layers import State, start
from tatsnet.runtimes.torch.runtime import TorchRuntime
from tatsnet.runtimes.torch.section import Section
from tatsnet.runtimes.triton.runtime import TritonRuntime
from tatsnet.timing.measure import threads
from tests.tatsnet.networks import DEAD, HALF, OPEN, SPARSE, TINY, frozen_network, random_tasks

KNOWN = GRID
ALL, NONE, TIED, LEFT, RIGHT = tuple(range(8)), (), (1, 2, 5, 6), (0, 1, 5), (2, 5, 6, 7)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Small tensors, and other tests at work beside this one."""
    with threads(1):
        yield


def run_again(work: Callable[[], State]) -> tuple[State, Callable[[], None]]:
    """Does on a CPU what a CUDA graph does: computes anew from the same memory into the same memory."""
    made = work()

    def replay() -> None:
        for old, new in zip(made[:3], work()[:3], strict=True):
            old.copy_(new)

    return made, replay


RUNTIMES: dict[str, Callable[[], Runtime]] = {
    **{name: partial(pick, name) for name in NAMES if name not in GPU_ONLY},
    "torch-channels-last": lambda: TorchRuntime(layout=torch.channels_last),
    "recorded": lambda: CudaGraphRuntime("cpu", recorder=lambda: run_again),
    "triton": lambda: TritonRuntime("cpu"),
    "torch-cuda": lambda: pick("torch", "cuda"),
    "cudagraph-cuda": lambda: pick("cudagraph", "cuda"),
    "triton-cuda": lambda: pick("triton", "cuda"),
}


@pytest.fixture(params=RUNTIMES)
def runtime(request: pytest.FixtureRequest) -> Runtime:
    if request.param.endswith("-cuda") and not torch.cuda.is_available():
        pytest.skip("needs an NVIDIA GPU")
    return RUNTIMES[request.param]()


def image(height: int, width: int, batch: int = 1) -> Tensor:
    return torch.rand(batch, 3, height, width, generator=torch.Generator().manual_seed(height * 100 + width))


def network_of(model: MaskedNetwork, runtime: Runtime) -> ExtractedNetwork:
    return ExtractedNetwork(slice_parts(model, KNOWN), runtime=runtime)


def prepared(network: ExtractedNetwork, picture: Tensor, tasks: Sequence[tuple[float, float, float]]) -> Encoded:
    """The encoded picture, and its effects compiled: PyTorch answers for none of them in the runtime's stead."""
    encoded = network.encode(picture)
    network.prepare(tasks)
    return encoded


def difference(
    model: MaskedNetwork, network: ExtractedNetwork, picture: Tensor, tasks: Sequence[tuple[float, float, float]]
) -> float:
    encoded = prepared(network, picture, tasks)
    with torch.inference_mode():
        wanted = [model(picture, torch.tensor([task] * len(picture))) for task in tasks]
    made = [network.effect(encoded, task).cpu() for task in tasks]
    assert all(a.shape == b.shape for a, b in zip(made, wanted, strict=True))
    return float(torch.stack([(a - b).abs().max() for a, b in zip(made, wanted, strict=True)]).max())


def test_all_27_effects_equal_the_masked_networks(runtime: Runtime) -> None:
    model = frozen_network(8, network=NetworkConfig(width=12, blocks=3), min_channels=2)
    network = network_of(model, runtime)
    assert len(network.architecture.patterns) > 5
    assert difference(model, network, image(29, 37), KNOWN) <= TOLERANCE


@pytest.mark.parametrize("preference", [DEAD, SPARSE, HALF, OPEN])
@pytest.mark.parametrize("shared", range(TINY.points + 1))
def test_wherever_sharing_ends_and_for_any_task(runtime: Runtime, shared: int, preference: float) -> None:
    model = frozen_network(shared, preference, seed=shared)
    tasks = [KNOWN[13], *random_tasks(1, shared)]
    assert difference(model, network_of(model, runtime), image(5, 8), tasks) <= TOLERANCE


@pytest.mark.parametrize(("height", "width", "batch"), [(1, 1, 1), (1, 2, 3), (3, 1, 1), (8, 9, 2), (33, 20, 1)])
def test_every_size_and_every_image_of_a_batch(runtime: Runtime, height: int, width: int, batch: int) -> None:
    model, tasks = frozen_network(4), random_tasks(2)
    network = network_of(model, runtime)
    assert difference(model, network, image(height, width, batch), tasks) <= TOLERANCE


def test_one_section_serves_one_size_after_the_other(runtime: Runtime) -> None:
    model, tasks = frozen_network(4), random_tasks(1)
    network = network_of(model, runtime)
    for height, width in [(6, 4), (30, 40), (6, 4), (1, 1), (7, 40)]:
        assert difference(model, network, image(height, width), tasks) <= TOLERANCE


def blocks(*points: Channels) -> Pattern:
    """Head, two blocks, tail and up, of what is kept at each point."""
    assert len(points) == TINY.points
    return points


PATTERNS = {
    "all alive": blocks(*[ALL] * 9),
    "all dead": blocks(*[NONE] * 9),
    "tied": blocks(TIED, TIED, (0, 3), TIED, TIED, (1, 7), TIED, TIED, (4, 5)),
    "tied, another set from the second block on": blocks(TIED, TIED, (3,), TIED, (2, 5), (6,), (2, 5), (2, 5), ALL),
    "untied": blocks(LEFT, (1, 5), (0, 3), RIGHT, (0, 2, 7), (1, 2, 7), (1, 6), (0, 1, 2, 6), (3,)),
    "head dead": blocks(NONE, NONE, (0, 3), RIGHT, (2, 7), (1, 7), (6,), (2, 6), (4, 5)),
    "nothing within the blocks": blocks(LEFT, LEFT, NONE, RIGHT, RIGHT, NONE, LEFT, RIGHT, (4,)),
    "blocks without inputs": blocks(LEFT, NONE, (1, 2), RIGHT, NONE, (4,), LEFT, RIGHT, (4,)),
    "blocks without outputs": blocks(LEFT, (0,), (1, 2), NONE, (1,), (4,), NONE, LEFT, (4,)),
    "tail without inputs": blocks(LEFT, (0,), (1, 2), LEFT, (1,), (4,), LEFT, NONE, (4,)),
    "up without outputs": blocks(LEFT, (0,), (1, 2), LEFT, (1,), (4,), LEFT, LEFT, NONE),
    "written, and read by nobody": blocks(ALL, LEFT, (3,), RIGHT, LEFT, (5,), TIED, (0,), (2, 3)),
}


@pytest.mark.parametrize("cut", [0, 1, 2, 4, 5, 6, 8])
@pytest.mark.parametrize("name", PATTERNS)
def test_each_section_leaves_the_state_that_pytorch_leaves(runtime: Runtime, name: str, cut: int) -> None:
    supernet = frozen_network(0).supernet
    pattern, convs = PATTERNS[name], convolutions(TINY)
    incoming = travelling(convs[:cut], pattern)
    task_D = torch.tensor(random_tasks(1)[0])
    state = start(image(4, 6, 2))
    with torch.inference_mode():
        for part, before, shared in ((convs[:cut], (), True), (convs[cut:], incoming, False)):
            tensors = slice_section(supernet.state_dict(), TINY, part, pattern, shared=shared)
            plan = plan_section(part, pattern, before)
            wanted = Section(plan, tensors)(State(*state[:3], owned=False), task_D)
            section = runtime.compile(plan, tensors)
            given = (tensor.to(runtime.device) for tensor in state[:3])
            made = section(State(*given, owned=False), task_D.to(runtime.device))
            made = State(*(tensor.cpu() for tensor in made[:3]), owned=made.owned)
            assert torch.equal(made.image_BCHW, wanted.image_BCHW)
            assert_equal(made.stream_BCHW, wanted.stream_BCHW)
            if part and not part[-1].writes_stream:  # after a block nothing reads what was hidden in it
                assert_equal(made.hidden_BCHW, wanted.hidden_BCHW)
            state = made


def assert_equal(own: Tensor, right: Tensor) -> None:
    assert own.shape[:2] == right.shape[:2]
    assert not own.shape[1] or torch.allclose(own, right, rtol=1e-5, atol=1e-5)


def test_effects_leave_what_they_share_alone(runtime: Runtime) -> None:
    network = network_of(frozen_network(5), runtime)
    encoded = prepared(network, image(6, 8), KNOWN[::5])
    before = [tensor.clone() for tensor in encoded.state[:3]]
    first = [network.effect(encoded, task) for task in KNOWN[::5]]
    again = [network.effect(encoded, task) for task in KNOWN[::5]]
    assert all(torch.equal(a, b) for a, b in zip(before, encoded.state[:3], strict=True))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))


def test_threads_may_share_a_network(runtime: Runtime) -> None:
    tasks = random_tasks(3)
    network = network_of(frozen_network(5), runtime)
    pictures = [image(10 + 2 * index, 12) for index in range(4)]
    for picture in pictures:
        prepared(network, picture, tasks)
    alone = [network.effect(network.encode(picture), task) for picture in pictures for task in tasks]
    with ThreadPoolExecutor(4) as pool:
        work = [(picture, task) for picture in pictures for task in tasks] * 5
        together = list(pool.map(lambda given: network.effect(network.encode(given[0]), given[1]), work))
    assert all(torch.equal(a, b) for a, b in zip(together, alone * 5, strict=True))


def test_one_section_serves_all_tasks_of_its_pattern(runtime: Runtime) -> None:
    model = frozen_network(0, OPEN)
    network = network_of(model, runtime)
    tasks = random_tasks(4)
    assert len({network.pattern(task) for task in (*KNOWN, *tasks)}) == 1
    assert difference(model, network, image(4, 4), tasks) <= TOLERANCE


@pytest.mark.parametrize(
    ("name", "precision"),
    [
        ("torch", torch.bfloat16),
        ("torch", torch.float16),
        ("openvino", torch.bfloat16),
        ("triton", torch.bfloat16),
        ("triton", torch.float16),
    ],
)
def test_lower_precision_stays_within_its_bound(name: str, precision: torch.dtype) -> None:
    try:
        runtime = TritonRuntime("cpu", precision) if name == "triton" else pick(name, precision=precision)
    except ValueError as error:
        pytest.skip(str(error))
    model = frozen_network(8, network=NetworkConfig(width=16, blocks=6))
    network = network_of(model, runtime)
    lost = difference(model, network, image(29, 37), KNOWN[::3])
    assert TOLERANCE < lost <= BOUNDS[precision]


@pytest.mark.parametrize("name", CPU_ONLY)
def test_weights_of_another_precision_are_refused(name: str) -> None:
    parts = slice_parts(frozen_network(4).double(), KNOWN[:1])
    with pytest.raises(ValueError, match="float32"):
        ExtractedNetwork(parts, runtime=pick(name))


Change = Callable[[Conv, str, Tensor], Tensor]


class Faulty:
    """A runtime that gets some weights wrong."""

    compiles = False

    def __init__(self, runtime: Runtime, change: Change) -> None:
        self._runtime, self._change = runtime, change
        self.name, self.device, self.image_layout = runtime.name, runtime.device, runtime.image_layout
        self.add_scaled = runtime.add_scaled

    def compile(self, plan: SectionPlan, tensors: Mapping[str, Tensor]) -> Compiled:
        place = {conv.name: conv for conv in plan.convs}
        wrong = {}
        for name, tensor in tensors.items():
            owner, kind = name.rsplit(".", 1)
            wrong[name] = self._change(place[owner], kind, tensor)
        return self._runtime.compile(plan, wrong)


FAULTS: dict[str, Change] = {
    "residual scales that ignore the task": lambda _, kind, x: 0 * x if kind == "scale_weight" else x,
    "a bias forgotten": lambda conv, kind, x: 0 * x if (conv.name, kind) == ("blocks.1.conv2", "bias") else x,
    "inputs in another order": lambda conv, kind, x: x.flip(1) if (conv.name, kind) == ("tail", "weight") else x,
    "outputs in another order": lambda conv, kind, x: x.flip(0) if conv.name == "blocks.0.conv2" else x,
    "kernels transposed": lambda _, kind, x: x.transpose(2, 3).contiguous() if kind == "weight" else x,
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_seen(runtime: Runtime, fault: str) -> None:
    model = frozen_network(2)
    tasks = random_tasks(3)
    network = network_of(model, Faulty(runtime, FAULTS[fault]))
    assert difference(model, network, image(8, 8), tasks) > 10 * TOLERANCE
