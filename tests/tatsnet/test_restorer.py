"""Load once, encode once, ask for effects: whatever the photo's size; a damaged folder is named."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image
from torch import Tensor

from tatsnet.data.degradation import GRID
from tatsnet.network.architecture import Pattern
from tatsnet.network.section_plan import SectionPlan
from tatsnet.pruned.extraction import extract, slice_parts
from tatsnet.pruned.folder import SCHEMA
from tatsnet.pruned.network import ExtractedNetwork
from tatsnet.restorer import STRIPS, Restorer
from tatsnet.runtimes.api import BOUNDS, Compiled
from tatsnet.runtimes.torch.runtime import TorchRuntime
from tatsnet.system.memory import NotEnoughMemoryError
from tests.tatsnet.networks import frozen_network, random_tasks


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return extract(frozen_network(4), tmp_path_factory.mktemp("models") / "net").folder


@pytest.fixture
def spoilt(tmp_path: Path) -> Path:
    """A folder of its own, to be damaged."""
    return extract(frozen_network(4), tmp_path / "spoilt").folder


def photo(height: int, width: int) -> npt.NDArray[np.float32]:
    return np.random.default_rng(height * 100 + width).random((height, width, 3), np.float32)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 6), (5, 1), (2, 2), (9, 12), (11, 7)])
@pytest.mark.parametrize("task", [GRID[0], GRID[26], *random_tasks(2)])
def test_restores_as_the_masked_network(folder: Path, height: int, width: int, task: tuple[float, ...]) -> None:
    rgb_HWC = photo(height, width)
    restorer = Restorer.load(folder)
    restored = restorer.effect(restorer.encode(rgb_HWC), task)
    with torch.inference_mode():
        expected = frozen_network(4)(torch.tensor(rgb_HWC).permute(2, 0, 1)[None], torch.tensor([task]))
    assert (restored.dtype, restored.shape) == (np.float32, rgb_HWC.shape)
    assert restored.flags.c_contiguous
    np.testing.assert_allclose(restored, expected[0].permute(1, 2, 0).clamp(0, 1).numpy(), atol=1e-5)


@pytest.mark.parametrize("shared", [0, 4, 9])
@pytest.mark.parametrize(("height", "width"), [(96, 6), (97, 7), (64, 5), (1, 9)])
def test_a_large_image_in_strips_is_the_image_whole(shared: int, height: int, width: int) -> None:
    network = ExtractedNetwork(slice_parts(frozen_network(shared), [(0.0, 0.5, 1.0)]))
    rgb_HWC = photo(height, width)
    narrow = Restorer(network, strip_bytes=1)  # strips as narrow as what lies around them
    assert narrow._plan(height, width, 1)[0] < height or height == 1
    for task in ((0.0, 0.5, 1.0), (0.3, 0.2, 0.1)):
        whole = Restorer(network).restore(rgb_HWC, task)
        np.testing.assert_allclose(narrow.restore(rgb_HWC, task), whole, atol=1e-6)


@pytest.mark.parametrize("runtime", ["numba", "openvino", "onnxruntime", "torch"])
@pytest.mark.parametrize("share", [0.0, 0.6, 0.9, 1.0])
def test_effects_made_in_groups_and_strips_are_those_of_the_image_whole(
    runtime: str, share: float, folder: Path
) -> None:
    """Five effects in a share of the memory that they need with the image whole."""
    whole, rgb_HWC, tasks = Restorer.load(folder, runtime=runtime), photo(150, 9), random_tasks(5)
    narrow = whole.in_strips(share * 150 * whole._network.held_per_row(9) / STRIPS)
    for task, restored_HWC in zip(tasks, narrow.restore_each(rgb_HWC, tasks), strict=True):
        np.testing.assert_allclose(restored_HWC, whole.restore(rgb_HWC, task), atol=1e-5)


def test_as_many_effects_are_made_at_a_time_as_the_memory_holds(folder: Path) -> None:
    network = Restorer.load(folder, runtime="torch")._network
    held, image = network.held_per_row(9), 12 * 9
    seen = set()
    for limit in np.linspace(0, 150 * held, 30):
        strip, together = Restorer(network, limit / STRIPS)._plan(150, 9, 5)
        seen.add(together)
        least = together == 1 and strip <= 2 * network.around
        whole = strip >= 150
        assert whole or least or (strip + 4 * network.around) * held + together * 150 * image <= limit
        assert not whole or limit >= 150 * held
    assert seen == {1, 2, 3, 5}, "five are made in groups as even as they can be"


@pytest.mark.parametrize("runtime", ["numba", "openvino", "onnxruntime", "torch"])
def test_every_runtime_restores_in_strips(folder: Path, runtime: str) -> None:
    rgb_HWC = photo(70, 9)
    whole = Restorer.load(folder, runtime=runtime)
    narrow = Restorer(whole._network, strip_bytes=1)
    np.testing.assert_allclose(narrow.restore(rgb_HWC, (0, 1, 0)), whole.restore(rgb_HWC, (0, 1, 0)), atol=1e-5)


@pytest.mark.parametrize("free", [2**20, 40 * 2**20])
def test_too_little_memory_is_told_before_the_work(free: int, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    restorer = Restorer.load(folder, runtime="torch")
    monkeypatch.setattr("tatsnet.system.memory.available", lambda: free)
    monkeypatch.setattr("tatsnet.pruned.network.start", None)  # what the work begins with: it must not be reached
    large = np.broadcast_to(np.float32(0.5), (2000, 3000, 3))
    for work in (
        restorer.encode,
        lambda image: restorer.restore(image, (0, 0, 1)),
        lambda image: restorer.restore_each(image, [(0, 0, 1), (0, 1, 1)]),
    ):
        with pytest.raises(
            NotEnoughMemoryError, match=r"an image of 3000x\d+ pixels takes about .* free; make it smaller"
        ):
            work(large)


def test_restore_is_encode_and_effect(folder: Path) -> None:
    restorer, rgb_HWC = Restorer.load(folder), photo(6, 7)
    before = rgb_HWC.copy()
    assert np.array_equal(
        restorer.restore(rgb_HWC, (0, 0.5, 1)), restorer.effect(restorer.encode(rgb_HWC), (0, 0.5, 1))
    )
    assert np.array_equal(rgb_HWC, before)


def test_the_result_stays_in_range(folder: Path) -> None:
    restorer = Restorer.load(folder)
    encoded = restorer.encode(photo(8, 8))
    raw = restorer.effect_tensor(encoded, (1, 1, 1))
    assert raw.min() < 0 or raw.max() > 1
    restored = restorer.effect(encoded, (1, 1, 1))
    assert restored.min() >= 0
    assert restored.max() <= 1


def test_views_and_read_only_photos_are_fine(folder: Path) -> None:
    restorer, rgb_HWC = Restorer.load(folder), photo(6, 9)
    mirrored = rgb_HWC[::-1, ::-2]
    fixed = mirrored.copy()
    fixed.flags.writeable = False
    assert np.array_equal(restorer.restore(mirrored, (0, 0, 1)), restorer.restore(fixed, (0, 0, 1)))


def test_double_precision_is_kept(tmp_path: Path) -> None:
    model = frozen_network(4).double()
    restorer = Restorer.load(extract(model, tmp_path / "net").folder)
    picture = torch.rand(1, 3, 7, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    encoded = restorer.encode_tensor(picture)
    for task in random_tasks(5):
        with torch.inference_mode():
            expected = model(picture, torch.tensor([task], dtype=torch.float64))
        assert (restorer.effect_tensor(encoded, task) - expected).abs().max() <= 1e-10


def test_threads_may_share_a_restorer(folder: Path) -> None:
    restorer, rgb_HWC, tasks = Restorer.load(folder), photo(10, 10), random_tasks(40)
    encoded = restorer.encode(rgb_HWC)
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda task: restorer.effect(encoded, task), tasks))
    alone = Restorer.load(folder)
    for image, task in zip(together, tasks, strict=True):
        np.testing.assert_allclose(image, alone.restore(rgb_HWC, task), atol=1e-5)


def test_loading_leaves_the_global_random_numbers_alone(folder: Path) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    Restorer.load(folder).restore(photo(2, 2), (0.1, 0.2, 0.3))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4, 4), np.float32),
        np.zeros((4, 4, 4), np.float32),
        np.zeros((0, 4, 3), np.float32),
        np.full((4, 4, 3), np.nan, np.float32),
    ],
)
def test_what_is_no_photo_is_refused(folder: Path, image: npt.NDArray[np.float32]) -> None:
    with pytest.raises(ValueError, match="image"):
        Restorer.load(folder).encode(image)


def test_bytes_and_pictures_of_pil_are_taken_as_the_floats_they_stand_for(folder: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    restorer, task = Restorer.load(folder), (0.1, 0.5, 0.2)
    wanted = restorer.restore(pixels / np.float32(255), task)
    assert np.array_equal(restorer.restore(pixels, task), wanted)
    assert np.array_equal(restorer.restore(Image.fromarray(pixels), task), wanted)
    assert np.array_equal(restorer.effect(restorer.encode(pixels), task), wanted)


@pytest.mark.parametrize("task", [(0, 0), (0, 0, 2), (0, float("nan"), 0)])
def test_a_wrong_task_is_refused(folder: Path, task: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        Restorer.load(folder).restore(photo(2, 2), task)


def flip_a_bit(folder: Path) -> str:
    path = folder / "patterns" / "000.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    return r"000\.safetensors has been changed"


def truncate(folder: Path) -> str:
    path = folder / "rest.safetensors"
    path.write_bytes(path.read_bytes()[:-4])
    return r"rest\.safetensors has \d+ bytes instead of"


def remove(folder: Path) -> str:
    (folder / "control.safetensors").unlink()
    return r"control\.safetensors cannot be read"


def edit_the_description(folder: Path) -> str:
    spec = json.loads((folder / "architecture.json").read_text())
    spec["method"]["min_channels"] += 1
    (folder / "architecture.json").write_text(json.dumps(spec))
    return r"architecture\.json has been changed"


def newer_schema(folder: Path) -> str:
    spec = json.loads((folder / "architecture.json").read_text())
    (folder / "architecture.json").write_text(json.dumps({**spec, "schema": SCHEMA + 1}))
    return f"schema {SCHEMA + 1}"


def no_json(folder: Path) -> str:
    (folder / "architecture.json").write_text("{")
    return r"architecture\.json is not the description"


def other_json(folder: Path) -> str:
    (folder / "architecture.json").write_text("[1, 2]")
    return r"architecture\.json is not the description"


def no_description(folder: Path) -> str:
    (folder / "architecture.json").unlink()
    return "not the folder of an extracted network"


@pytest.mark.parametrize(
    "damage",
    [flip_a_bit, truncate, remove, edit_the_description, newer_schema, no_json, other_json, no_description],
)
def test_a_damaged_folder_is_refused(spoilt: Path, damage: Callable[[Path], str]) -> None:
    Restorer.load(spoilt)
    message = damage(spoilt)
    with pytest.raises(ValueError, match=message) as caught:
        Restorer.load(spoilt)
    assert "spoilt" in str(caught.value)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*nowhere"):
        Restorer.load(tmp_path / "nowhere")


class TestSlider:
    """A runtime that takes a second to compile, in a slider's hands."""

    @pytest.fixture
    def slow(self, tmp_path: Path) -> tuple[Restorer, threading.Event, list[Pattern]]:
        parts = slice_parts(frozen_network(4), GRID)
        may_compile, compiled = threading.Event(), list[Pattern]()

        class Slow(TorchRuntime):
            compiles = True

            def compile(self, plan: SectionPlan, tensors: Mapping[str, Tensor]) -> Compiled:
                if plan.incoming:
                    assert may_compile.wait(60)
                    compiled.append(plan.pattern)
                return super().compile(plan, tensors)

        return Restorer(ExtractedNetwork(parts, runtime=Slow())), may_compile, compiled

    def test_a_new_position_never_waits_for_a_compiler(
        self, slow: tuple[Restorer, threading.Event, list[Pattern]]
    ) -> None:
        restorer, may_compile, compiled = slow
        encoded = restorer.encode(np.full((6, 7, 3), 0.4, np.float32))
        tasks = random_tasks(3)
        before = [restorer.effect(encoded, task) for task in tasks]
        assert compiled == [], "all of them were answered before anything was compiled"
        may_compile.set()
        restorer.prepare(tasks)
        assert len(compiled) == len({restorer._network.pattern(task) for task in tasks})
        for task, image in zip(tasks, before, strict=True):
            np.testing.assert_allclose(restorer.effect(encoded, task), image, atol=1e-6)

    def test_effects_come_one_by_one_and_compiled(self, slow: tuple[Restorer, threading.Event, list[Pattern]]) -> None:
        restorer, may_compile, compiled = slow
        may_compile.set()
        encoded = restorer.encode(np.full((6, 7, 3), 0.4, np.float32))
        tasks = random_tasks(4)
        stream = restorer.effects(encoded, tasks)
        assert compiled == []
        first = next(stream)
        assert len(compiled) == 1, "the first is there before the second is begun"
        np.testing.assert_allclose(first, restorer.effect(encoded, tasks[0]), atol=1e-6)
        assert len(list(stream)) == 3
        with pytest.raises(ValueError, match="three numbers"):
            restorer.effects(encoded, [tasks[0], (0.0, 0.0, 2.0)])


def test_a_lower_precision_is_asked_for_at_loading_and_stays_within_its_bound(folder: Path) -> None:
    rgb_HWC, task = photo(9, 8), (0.3, 0.7, 0.2)
    exact = Restorer.load(folder).restore(rgb_HWC, task)
    rough = Restorer.load(folder, runtime="torch", precision=torch.bfloat16).restore(rgb_HWC, task)
    assert 0 < np.abs(rough - exact).max() <= BOUNDS[torch.bfloat16]


def test_the_work_is_told_and_can_be_ended_between_strips(tmp_path: Path) -> None:
    class Enough(Exception):
        pass

    def stop(share: float) -> None:
        told.append(share)
        if share > 0.3:
            raise Enough

    told: list[float] = []
    restorer = Restorer.load(extract(frozen_network(4), tmp_path / "net").folder)
    photo_HWC = np.random.default_rng(0).random((700, 20, 3), np.float32)
    expected_HWC = restorer.restore(photo_HWC, (0.2, 0.4, 0.6))
    strips = restorer.in_strips(1)
    assert np.array_equal(strips.restore(photo_HWC, (0.2, 0.4, 0.6), told.append), expected_HWC)
    assert told == sorted(set(told))
    assert len(told) > 3
    told.clear()
    with pytest.raises(Enough):
        strips.restore(photo_HWC, (0.2, 0.4, 0.6), stop)
    assert told[-2] <= 0.3 < told[-1] < 0.9
