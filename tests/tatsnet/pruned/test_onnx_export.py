"""Exported files restore as the network does, for those who have ONNX Runtime, NumPy and Pillow only."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
import torch
from PIL import Image

from tatsnet.cli import main
from tatsnet.data.degradation import GRID
from tatsnet.pruned.extraction import extract, slice_parts
from tatsnet.pruned.network import ExtractedNetwork, Parts
from tatsnet.pruned.onnx_export import export
from tatsnet.restorer import Restorer
from tatsnet.timing.measure import threads
from tests.tatsnet.networks import DEAD, HALF, OPEN, SPARSE, TINY, frozen_network

ROOT = Path(__file__).parents[3]
KNOWN = GRID
Array = npt.NDArray[np.float32]


def run(folder: Path, task: tuple[float, ...], image: Array) -> Array:
    """What the example does, for tensors."""
    spec = json.loads((folder / "tasks.json").read_text())
    pattern = next(entry["pattern"] for entry in spec["tasks"] if tuple(entry["task"]) == task)
    values = {"image": image, "task": np.array(task, np.float32)}
    for part in (*spec["shared"], spec["patterns"][pattern]):
        session = onnxruntime.InferenceSession(folder / part["file"])
        assert [entry.name for entry in session.get_inputs()] == part["inputs"]
        made = session.run(part["outputs"], {name: values[name] for name in part["inputs"]})
        values.update(zip(part["outputs"], made, strict=True))
    restored: Array = values["restored"]
    return restored


def exported(tmp_path: Path, parts: Parts) -> Path:
    export(parts, tmp_path / "onnx")
    return tmp_path / "onnx"


def image(height: int, width: int) -> Array:
    return np.random.default_rng(height * 100 + width).random((1, 3, height, width), np.float32)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    with threads(1):
        yield


@pytest.mark.parametrize("preference", [DEAD, SPARSE, HALF, OPEN])
@pytest.mark.parametrize("shared", range(TINY.points + 1))
def test_files_restore_as_the_network_wherever_sharing_ends(tmp_path: Path, shared: int, preference: float) -> None:
    parts = slice_parts(frozen_network(shared, preference, seed=shared), KNOWN[::14])
    network, folder = ExtractedNetwork(parts), exported(tmp_path, parts)
    for picture in (image(5, 8), image(1, 1)):
        encoded = network.encode(torch.from_numpy(picture))
        for task in KNOWN[::14]:
            expected = network.effect(encoded, task).clamp(0, 1).numpy()
            np.testing.assert_allclose(run(folder, task, picture), expected, atol=1e-5)


@pytest.mark.parametrize(("height", "width"), [(1, 2), (2, 1), (1, 7), (3, 1), (2, 2), (9, 9), (10, 13)])
@pytest.mark.parametrize("shared", [0, 4])
def test_images_of_any_size(tmp_path: Path, shared: int, height: int, width: int) -> None:
    parts = slice_parts(frozen_network(shared), KNOWN[:1])
    network, picture = ExtractedNetwork(parts), image(height, width)
    expected = network.effect(network.encode(torch.from_numpy(picture)), KNOWN[0]).clamp(0, 1).numpy()
    made = run(exported(tmp_path, parts), KNOWN[0], picture)
    assert made.shape == picture.shape
    np.testing.assert_allclose(made, expected, atol=1e-5)


def test_each_pattern_has_one_file_and_each_known_task_names_one(tmp_path: Path) -> None:
    parts = slice_parts(frozen_network(4), KNOWN)
    folder = exported(tmp_path, parts)
    spec = json.loads((folder / "tasks.json").read_text())
    assert [(tuple(entry["task"]), entry["pattern"]) for entry in spec["tasks"]] == list(parts.architecture.tasks)
    files = {part["file"] for part in (*spec["shared"], *spec["patterns"])}
    assert files | {"tasks.json"} == {path.name for path in folder.iterdir()}
    assert len(spec["patterns"]) == len(parts.architecture.patterns)
    for name in files:
        onnx.checker.check_model(onnx.load(folder / name), full_check=True)


@pytest.mark.parametrize("shared", [0, 5])
def test_the_example_needs_nothing_of_this_project(tmp_path: Path, shared: int) -> None:
    model = extract(frozen_network(shared), tmp_path / "net", [(0.0, 0.0, 1.0), (1.0, 0.5, 0.0)]).folder
    assert main(["export", str(model), "-o", str(tmp_path / "onnx")]) == 0
    pixels = np.random.default_rng(0).integers(0, 256, (11, 14, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    alone = "import sys, runpy; sys.modules.update(torch=None, tatsnet=None); sys.argv.pop(0); "
    run_it = "runpy.run_path(sys.argv[0], run_name='__main__'); assert not {'torch.nn', 'onnx'} & set(sys.modules)"
    arguments = [tmp_path / "onnx", tmp_path / "photo.png", tmp_path / "out.png", "0.9", "0.6", "0"]
    command = [sys.executable, "-c", alone + run_it, ROOT / "examples" / "onnx_restore.py", *arguments]
    subprocess.run([str(part) for part in command], check=True, cwd=tmp_path)
    with Image.open(tmp_path / "out.png") as picture:
        made = np.asarray(picture, np.float32) / 255
    expected = Restorer.load(model, runtime="torch").restore(pixels.astype(np.float32) / 255, (1.0, 0.5, 0.0))
    assert np.abs(made - expected).max() <= 0.5 / 255 + 1e-5


def test_the_example_is_short() -> None:
    lines = (ROOT / "examples" / "onnx_restore.py").read_text().splitlines()
    assert len([line for line in lines if line.strip()]) <= 30


def make_settings(folder: Path) -> None:
    """What an editor keeps: a tasks.json of its own beside other files."""
    (folder / "tasks.json").write_text(json.dumps({"version": "2.0.0", "tasks": []}))
    (folder / "settings.json").write_text("{}")


def make_export(folder: Path) -> None:
    export(slice_parts(frozen_network(4), KNOWN[:1]), folder)


def make_export_with_notes(folder: Path) -> None:
    make_export(folder)
    (folder / "notes").mkdir()
    (folder / "notes" / "mine.txt").write_text("mine")


def make_export_with_link(folder: Path) -> None:
    make_export(folder)
    (folder / "link").symlink_to(folder.parent)


def make_false_export(folder: Path) -> None:
    """A tasks.json of our keys that names none of the files beside it."""
    (folder / "tasks.json").write_text(json.dumps({"shared": [], "patterns": [], "tasks": []}))
    (folder / "mine.onnx").write_text("mine")


def make_odd(text: str) -> Callable[[Path], None]:
    return lambda folder: (folder / "tasks.json").write_text(text) and None


@pytest.mark.parametrize(
    "make",
    [
        make_settings,
        make_export_with_notes,
        make_export_with_link,
        make_false_export,
        make_odd("[]"),
        make_odd("[" * 100_000),
        make_odd('{"shared": 1, "patterns": null, "tasks": []}'),
        lambda folder: (folder / "mine").write_text("mine"),
        lambda folder: (folder / ".hidden").write_text("mine"),
        lambda folder: extract(frozen_network(4), folder, KNOWN[:1]),
    ],
)
def test_a_folder_that_holds_anything_else_is_not_replaced(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], make: Callable[[Path], None]
) -> None:
    model = extract(frozen_network(4), tmp_path / "net", KNOWN[:1]).folder
    (tmp_path / "there").mkdir()
    make(tmp_path / "there")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert main(["export", str(model), "-o", str(tmp_path / "there")]) == 2
    assert "give another folder" in capsys.readouterr().err
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}


def test_a_file_in_the_folders_place_is_not_replaced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = extract(frozen_network(4), tmp_path / "net", KNOWN[:1]).folder
    (tmp_path / "file").write_text("mine")
    assert main(["export", str(model), "-o", str(tmp_path / "file")]) == 2
    assert "is a file; give another folder" in capsys.readouterr().err
    assert (tmp_path / "file").read_text() == "mine"


def test_a_read_only_export_stays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = extract(frozen_network(4), tmp_path / "net", KNOWN[:1]).folder
    make_export(tmp_path / "onnx")
    (tmp_path / "onnx").chmod(0o555)
    before = (tmp_path / "onnx" / "tasks.json").stat().st_ino
    assert main(["export", str(model), "-o", str(tmp_path / "onnx")]) == 2
    assert "read-only" in capsys.readouterr().err
    assert (tmp_path / "onnx" / "tasks.json").stat().st_ino == before


def test_the_folder_that_one_is_in_stays(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = extract(frozen_network(4), tmp_path / "net", KNOWN[:1]).folder
    (tmp_path / "onnx").mkdir()
    monkeypatch.chdir(tmp_path / "onnx")
    assert main(["export", str(model), "-o", "."]) == 2
    assert "the folder that you are in" in capsys.readouterr().err


def test_a_network_replaces_only_a_network(tmp_path: Path) -> None:
    folder = extract(frozen_network(4), tmp_path / "net", KNOWN[:1]).folder
    folder.chmod(0o750)
    extract(frozen_network(4, seed=1), folder, KNOWN[:1])
    assert stat.S_IMODE(folder.stat().st_mode) == 0o750
    (folder / "mine").write_text("mine")
    with pytest.raises(ValueError, match="holds something else"):
        extract(frozen_network(4), folder, KNOWN[:1])
    assert (folder / "mine").read_text() == "mine"


def test_an_export_replaces_an_older_one(tmp_path: Path) -> None:
    many, one = (slice_parts(frozen_network(shared), KNOWN) for shared in (0, 9))
    assert len(list(exported(tmp_path, many).glob("pattern_*"))) > 1
    assert len(list(exported(tmp_path, one).glob("pattern_*"))) == 1


def test_double_precision_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="float32"):
        export(slice_parts(frozen_network(4).double(), KNOWN[:1]), tmp_path / "onnx")
    assert not list(tmp_path.iterdir())
