"""The command line: figures of the paper, photos of every kind, one line for what the user can mend."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from tatsnet.cli import main
from tatsnet.cli.contact import CELL, detail_box
from tatsnet.cli.errors import explain
from tatsnet.network.flops import effect_cost
from tatsnet.photos.files import Photo, read_photo, write_photo
from tatsnet.pruned.extraction import extract
from tatsnet.restorer import Restorer
from tests.tatsnet.networks import frozen_network


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(extract(frozen_network(4), tmp_path_factory.mktemp("models") / "net").folder)


def pixels(height: int, width: int) -> npt.NDArray[np.float32]:
    return np.random.default_rng(height * 100 + width).random((height, width, 3), np.float32)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    write_photo(path, Photo(rgb_HWC=pixels(11, 14)), pixels(11, 14))
    return path


def refused(capsys: pytest.CaptureFixture[str], *argv: str | Path) -> str:
    """The one line on stderr of a command that must fail."""
    capsys.readouterr()
    assert main([str(part) for part in argv]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("tatsnet: ")
    assert captured.err.count("\n") == 1
    return captured.err


def printed(capsys: pytest.CaptureFixture[str], *argv: str | Path) -> str:
    """Stdout of a command that must succeed in silence otherwise."""
    capsys.readouterr()
    assert main([str(part) for part in argv]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    return captured.out


@pytest.mark.parametrize(
    ("size", "gflops", "percent"),
    [("1280x720", 1124.3, 0.1), ("2048x1080", 2698.4, 0.1), ("3840x2160", 10119.2, 0.1), ("481x321", 189.1, 0.25)],
)
def test_dense_flops_are_the_papers(
    capsys: pytest.CaptureFixture[str], size: str, gflops: float, percent: float
) -> None:
    facts = json.loads(printed(capsys, "flops", "--size", size, "--json"))
    assert facts["dense_gflops"] == pytest.approx(gflops, rel=percent / 100)
    assert facts["size"] == size
    assert facts["network"] == {"width": 64, "blocks": 32}


@pytest.mark.parametrize("effects", [1, 4, 27, 1000])
def test_flops_of_a_model_are_the_cost_models(capsys: pytest.CaptureFixture[str], model: str, effects: int) -> None:
    argv = ("flops", "--size", "33x20", "--model", model, "--effects", str(effects))
    facts = json.loads(printed(capsys, *argv, "--json"))
    cost = effect_cost(Restorer.load(model).architecture, 20, 33, effects)
    assert facts["per_effect_gflops"] * 1e9 == pytest.approx(cost.per_effect)
    parts = facts["shared_gflops"] / effects + facts["specific_gflops"] + facts["auxiliary_gflops"]
    assert facts["per_effect_gflops"] == pytest.approx(parts)
    assert facts["unshared_gflops"] * 1e9 == pytest.approx(cost.shared + cost.specific + cost.auxiliary)
    assert facts["ratio"] == pytest.approx(facts["per_effect_gflops"] / facts["dense_gflops"])
    assert facts["effects"] == effects
    text = printed(capsys, *argv)
    assert all(f"{facts[key]:.5g}" in text for key in ("dense_gflops", "shared_gflops", "specific_gflops"))


def test_flops_of_another_super_network(capsys: pytest.CaptureFixture[str]) -> None:
    facts = json.loads(printed(capsys, "flops", "--width", "8", "--blocks", "2", "--size", "2x2", "--json"))
    half, whole = 3 * 8 + 2 * 2 * 8 * 8 + 8 * 8, 2 * 8 + 8 * 3
    assert facts["dense_gflops"] * 1e9 == pytest.approx(18 * (half + 4 * whole))


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["flops", "--size", "1280"], "not a size like 1280x720"),
        (["flops", "--size", "0x5"], "not a size like 1280x720"),
        (["flops", "--size", "-3x5"], "size"),
        (["flops", "--effects", "3"], "--model"),
        (["flops", "--model", "m", "--effects", "0"], "whole number from 1"),
        (["sliders", "m", "p", "--count", "0"], "whole number from 1"),
        (["sliders", "m", "p", "--count", "1_0"], "whole number from 1"),
        (["bench", "--rounds", "9" * 5000], "whole number from 1"),
        (["flops", "--width", "63"], "multiple of 4"),
        (["flops", "--blocks", "0"], "blocks must be at least 1"),
        (["flops", "--model", "nowhere"], "there is no folder nowhere"),
        (["flops", "--model", "nowhere", "--width", "64"], "leave them out"),
        (["export", "nowhere", "-o", "onnx"], "tatsnet: there is no folder nowhere"),
        (["restore", "p.jpg"], "-o"),
        (["restore", "p.jpg", "-o", "q.png", "--deblur", "1.1"], "'1.1' is not a number from 0 to 1"),
        (["restore", "p.jpg", "-o", "q.png", "--denoise", "nan"], "'nan' is not a number from 0 to 1"),
        (["restore", "p.jpg", "-o", "q.png", "--dejpeg", "much"], "'much' is not a number from 0 to 1"),
        (["effects", "p.jpg", "-o", "q", "--levels", "0,2"], "'2' is not a number from 0 to 1"),
        (["effects", "p.jpg", "-o", "q", "--levels", "0,.1,.2,.3,.4,.5,.6"], "343 effects"),
        (["effects", "p.jpg", "-o", "q", "--levels", ""], "'' is not a number from 0 to 1"),
        (["restore", "p.jpg", "-o", "q.png", "--runtime", "cudagraph"], "invalid choice: 'cudagraph'"),
        (["effects", "p.jpg", "-o", "q", "--runtime", "cudagraph"], "invalid choice: 'cudagraph'"),
        (["frobnicate"], "frobnicate"),
    ],
)
def test_wrong_arguments_are_told_in_one_line(
    capsys: pytest.CaptureFixture[str], argv: list[str], message: str
) -> None:
    assert message in refused(capsys, *argv)


@pytest.mark.parametrize(
    ("error", "place", "message"),
    [
        (FileNotFoundError("there is no folder m: give another"), Path("out"), "there is no folder m: give another"),
        (
            OSError(28, "No space left on device"),
            Path("out"),
            "out: No space left on device; free some space or write elsewhere",
        ),
        (OSError(28, "No space left on device"), None, "[Errno 28] No space left on device"),
        (PermissionError(13, "Permission denied", "in"), Path("out"), "in: Permission denied"),
    ],
)
def test_the_file_that_is_blamed(error: OSError, place: Path | None, message: str) -> None:
    assert explain(error, place) == message


@pytest.mark.parametrize("command", ["restore", "demo", "effects", "export", "flops", "bench"])
def test_each_command_has_help_with_an_example(capsys: pytest.CaptureFixture[str], command: str) -> None:
    assert f"example: tatsnet {command}" in printed(capsys, command, "--help")


def test_help_loads_no_heavy_library() -> None:
    code = "import sys, tatsnet.cli as c; c.main(['--help']); print({'torch', 'PIL', 'numpy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("set()\n")


def test_restore_writes_what_the_restorer_gives(
    capsys: pytest.CaptureFixture[str], photo: Path, model: str, tmp_path: Path
) -> None:
    out = tmp_path / "out.tif"
    text = printed(
        capsys, "restore", photo, "--deblur", "0.5", "--denoise", ".3", "--dejpeg", "0", "-o", out, "--model", model
    )
    expected = Restorer.load(model).restore(read_photo(photo).rgb_HWC, (0.5, 0.3, 0.0))
    assert np.abs(read_photo(out).rgb_HWC - expected).max() <= 0.5 / 255 + 1e-6
    assert "out.tif: 14x11, deblur 0.5, denoise 0.3, dejpeg 0" in text


@pytest.mark.parametrize("runtime", ["numba", "openvino", "onnxruntime", "torch"])
def test_the_runtime_is_chosen_and_said(
    capsys: pytest.CaptureFixture[str], photo: Path, model: str, tmp_path: Path, runtime: str
) -> None:
    argv = ("--model", model, "--runtime", runtime)
    assert printed(capsys, "restore", photo, "-o", tmp_path / "out.png", *argv).endswith(f"s with {runtime}\n")
    assert printed(capsys, "effects", photo, "-o", tmp_path / "e", "--levels", "1", *argv).endswith(f" {runtime}\n")


@pytest.mark.parametrize(
    ("mode", "name"),
    [("L", "grey.png"), ("RGBA", "clear.png"), ("I;16", "deep.png"), ("LA", "both.png"), ("P", "p.png")],
)
@pytest.mark.parametrize(("height", "width"), [(1, 1), (7, 10)])
def test_photos_of_every_kind_keep_their_nature(
    tmp_path: Path, model: str, mode: str, name: str, height: int, width: int
) -> None:
    values = (pixels(height, width)[..., 0] * 255).astype(np.uint8)
    source = (
        Image.fromarray(values.astype(np.uint16) * 257) if mode == "I;16" else Image.fromarray(values).convert(mode)
    )
    source.save(tmp_path / name)
    assert (
        main(["restore", str(tmp_path / name), "--denoise", "1", "-o", str(tmp_path / "out.png"), "--model", model])
        == 0
    )
    before, after = read_photo(tmp_path / name), read_photo(tmp_path / "out.png")
    assert (after.depth, after.grey, after.rgb_HWC.shape) == (before.depth, before.grey, before.rgb_HWC.shape)
    assert (after.alpha_HW is None) == (before.alpha_HW is None)
    assert after.alpha_HW is None or np.array_equal(after.alpha_HW, before.alpha_HW)  # type: ignore[arg-type]


def test_effects_writes_every_combination_and_a_sheet(
    capsys: pytest.CaptureFixture[str], photo: Path, model: str, tmp_path: Path
) -> None:
    folder = tmp_path / "new" / "effects"
    text = printed(capsys, "effects", photo, "-o", folder, "--levels", "1,0", "--model", model)
    assert "8 effects and contact.jpg" in text
    names = {f"deblur{a}_denoise{b}_dejpeg{c}.png" for a in (0, 1) for b in (0, 1) for c in (0, 1)}
    assert {path.name for path in folder.iterdir()} == names | {"contact.jpg"}
    expected = Restorer.load(model).restore(read_photo(photo).rgb_HWC, (1, 0, 1))
    made = read_photo(folder / "deblur1_denoise0_dejpeg1.png").rgb_HWC
    assert np.abs(made - expected).max() <= 0.5 / 255 + 1e-6
    sheet = read_photo(folder / "contact.jpg").rgb_HWC
    assert sheet.shape[1] > 5 * CELL
    assert sheet.shape[0] > 2 * CELL


def test_effects_runs_the_shared_part_once(
    photo: Path, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[int, ...]] = []
    encode = Restorer.encode
    monkeypatch.setattr(Restorer, "encode", lambda self, rgb: (calls.append(rgb.shape), encode(self, rgb))[1])
    assert main(["effects", str(photo), "-o", str(tmp_path / "e"), "--model", model]) == 0
    assert calls == [(11, 14, 3)]
    assert len(list((tmp_path / "e").iterdir())) == 28


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 300), (500, 301)])
def test_effects_of_any_size(tmp_path: Path, model: str, height: int, width: int) -> None:
    write_photo(tmp_path / "p.jpg", Photo(rgb_HWC=pixels(height, width)), pixels(height, width))
    assert (
        main(["effects", str(tmp_path / "p.jpg"), "-o", str(tmp_path / "e"), "--levels", "0.5", "--model", model]) == 0
    )
    assert read_photo(tmp_path / "e" / "deblur0.5_denoise0.5_dejpeg0.5.jpg").rgb_HWC.shape == (height, width, 3)


def test_a_transparent_photo_with_a_jpeg_name_becomes_png(tmp_path: Path, model: str) -> None:
    Image.new("RGBA", (4, 4), (9, 9, 9, 9)).save(tmp_path / "p.jpg", format="PNG")
    assert main(["effects", str(tmp_path / "p.jpg"), "-o", str(tmp_path / "e"), "--levels", "1", "--model", model]) == 0
    assert {path.name for path in (tmp_path / "e").iterdir()} == {"deblur1_denoise1_dejpeg1.png", "contact.jpg"}


def test_the_detail_lies_where_the_photo_has_most() -> None:
    photo = np.full((600, 900, 3), 0.5, np.float32)
    photo[380:420, 700:740] = pixels(40, 40)
    left, top, right, bottom = detail_box(photo)
    assert left <= 700 < 740 <= right
    assert top <= 380 < 420 <= bottom
    assert (right - left, bottom - top) == (CELL, CELL)


def test_without_a_model_the_shipped_one_restores_and_is_named(
    capsys: pytest.CaptureFixture[str], photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["restore", str(photo), "-o", "out.png"]) == 0
    assert "network: standard" in capsys.readouterr().err
    assert (tmp_path / "out.png").is_file()


def test_the_pipelines_pick_is_the_default(photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    extract(frozen_network(4), tmp_path / "models" / "pruned" / "knee")
    monkeypatch.chdir(tmp_path)
    assert main(["restore", str(photo), "-o", "out.png"]) == 0
    assert (tmp_path / "out.png").is_file()


def test_a_damaged_model_is_named(capsys: pytest.CaptureFixture[str], photo: Path, tmp_path: Path) -> None:
    folder = extract(frozen_network(4), tmp_path / "net").folder
    (folder / "shared.safetensors").write_bytes(b"x")
    message = refused(capsys, "effects", photo, "-o", tmp_path / "e", "--model", folder)
    assert "shared.safetensors" in message
    assert not (tmp_path / "e").exists()


def test_bad_photos_and_outputs_are_named(
    capsys: pytest.CaptureFixture[str], photo: Path, model: str, tmp_path: Path
) -> None:
    (tmp_path / "text.jpg").write_text("no photo")
    (tmp_path / "short.png").write_bytes(photo.read_bytes()[:90])
    before = photo.read_bytes()
    out = tmp_path / "out.png"
    cases: list[tuple[Path, Path, str]] = [
        (tmp_path / "none.jpg", out, "none.jpg: there is no such file"),
        (tmp_path / "text.jpg", out, "text.jpg: not a JPEG"),
        (tmp_path / "short.png", out, "short.png: the image is damaged"),
        (photo, tmp_path / "out.gif", "out.gif: cannot tell the format"),
        (photo, tmp_path / "nowhere" / "out.png", "there is no folder"),
        (photo, photo, "is the photo itself"),
    ]
    for source, target, message in cases:
        assert message in refused(capsys, "restore", source, "-o", target, "--model", model)
    assert photo.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["photo.png", "short.png", "text.jpg"]


def test_effects_never_overwrites_the_photo(capsys: pytest.CaptureFixture[str], model: str, tmp_path: Path) -> None:
    write_photo(tmp_path / "contact.jpg", Photo(rgb_HWC=pixels(5, 5)), pixels(5, 5))
    before = (tmp_path / "contact.jpg").read_bytes()
    assert "the photo itself" in refused(capsys, "effects", tmp_path / "contact.jpg", "-o", tmp_path, "--model", model)
    assert (tmp_path / "contact.jpg").read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


def test_a_file_in_the_folders_place_is_named(
    capsys: pytest.CaptureFixture[str], photo: Path, model: str, tmp_path: Path
) -> None:
    for folder in (photo, photo / "below"):
        assert "is a file" in refused(capsys, "effects", photo, "-o", folder, "--model", model)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_is_named(
    capsys: pytest.CaptureFixture[str], photo: Path, model: str, tmp_path: Path
) -> None:
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o500)
    assert "locked" in refused(capsys, "effects", photo, "-o", folder, "--model", model)
