"""The example is right for every photo that it accepts, and refuses the others."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from tatsnet.photos.files import Photo, read_photo, write_photo
from tatsnet.pruned.extraction import extract
from tatsnet.pruned.folder import read_folder
from tatsnet.pruned.onnx_export import export
from tatsnet.restorer import Restorer
from tests.tatsnet.networks import frozen_network

EXAMPLE = Path(__file__).parents[2] / "examples" / "onnx_restore.py"
TASK = (0.0, 0.5, 0.0)
NOISE = np.random.default_rng(0).integers(0, 256, (21, 34, 3), dtype=np.uint8)
ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("example")
    extract(frozen_network(4), folder / "net", [TASK])
    export(read_folder(folder / "net"), folder / "onnx")
    return folder


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    monkeypatch.setattr(sys, "argv", ["onnx_restore.py", *map(str, arguments)])
    runpy.run_path(str(EXAMPLE), run_name="__main__")


def turned(orientation: int) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        exif = Image.Exif()
        exif[274], exif[271] = orientation, "Maker"
        Image.fromarray(NOISE).save(path, "JPEG", exif=exif)

    return write


ACCEPTED: dict[str, Callable[[Path], None]] = {
    **{f"orientation {number}": turned(number) for number in range(1, 9)},
    "grey PNG": lambda path: Image.fromarray(NOISE[..., 0]).save(path, "PNG"),
    "grey JPEG": lambda path: Image.fromarray(NOISE[..., 0]).save(path, "JPEG"),
    "RGB PNG": lambda path: Image.fromarray(NOISE).save(path, "PNG", icc_profile=ICC),
    "RGB TIFF": lambda path: Image.fromarray(NOISE).save(path, "TIFF"),
    "RGB TIFF, packed": lambda path: Image.fromarray(NOISE).save(path, "TIFF", compression="tiff_lzw"),
    "WebP": lambda path: Image.fromarray(NOISE).save(path, "WEBP", lossless=True),
    "two pictures": lambda path: Image.fromarray(NOISE).save(
        path, "MPO", save_all=True, append_images=[Image.fromarray(NOISE)]
    ),
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_what_it_accepts_comes_out_as_the_library_restores_it(
    name: str, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ACCEPTED[name](tmp_path / "photo")
    run(monkeypatch, model / "onnx", tmp_path / "photo", tmp_path / "out.png", *TASK)
    photo, made = read_photo(tmp_path / "photo"), read_photo(tmp_path / "out.png")
    expected = Restorer.load(model / "net", runtime="torch").restore(photo.rgb_HWC, TASK)
    if photo.grey:
        expected = expected.mean(axis=2, keepdims=True).repeat(3, axis=2)
    assert made.rgb_HWC.shape == expected.shape
    assert np.abs(made.rgb_HWC - expected).max() <= 0.5 / 255 + 1e-5
    assert (made.grey, made.metadata.icc) == (photo.grey, photo.metadata.icc)
    if name.startswith("orientation"):
        with Image.open(tmp_path / "out.png") as image:
            assert image.getexif()[271] == "Maker"
            assert image.getexif().get(274, 1) == 1


def palette() -> Image.Image:
    return Image.fromarray(NOISE).convert("P")


REFUSED: dict[str, Callable[[Path], None]] = {
    "16-bit grey PNG": lambda path: Image.fromarray(NOISE[..., 0].astype(np.uint16) * 257).save(path, "PNG"),
    "16-bit grey TIFF": lambda path: tifffile.imwrite(path, NOISE[..., 0].astype(np.uint16) * 257),
    "16-bit RGB TIFF": lambda path: tifffile.imwrite(path, NOISE.astype(np.uint16) * 257, photometric="rgb"),
    "16-bit RGB TIFF, packed": lambda path: tifffile.imwrite(
        path, NOISE.astype(np.uint16) * 257, photometric="rgb", compression="zlib"
    ),
    "RGBA": lambda path: Image.fromarray(NOISE).convert("RGBA").save(path, "PNG"),
    "grey, alpha": lambda path: Image.fromarray(NOISE).convert("LA").save(path, "PNG"),
    "palette": lambda path: palette().save(path, "PNG"),
    "a transparent colour": lambda path: Image.fromarray(NOISE).save(path, "PNG", transparency=(1, 2, 3)),
    "CMYK": lambda path: Image.fromarray(NOISE).convert("CMYK").save(path, "JPEG"),
    "animation": lambda path: Image.fromarray(NOISE).save(
        path, "WEBP", save_all=True, append_images=[Image.fromarray(255 - NOISE)]
    ),
    "black and white": lambda path: Image.fromarray(NOISE[..., 0]).convert("1").save(path, "PNG"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_it_would_get_wrong_it_refuses(
    name: str, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    REFUSED[name](tmp_path / "photo")
    with pytest.raises(SystemExit, match="photo: not a single opaque photo of 8-bit RGB or grey"):
        run(monkeypatch, model / "onnx", tmp_path / "photo", tmp_path / "out.png", *TASK)
    assert not (tmp_path / "out.png").exists()


def test_16_bit_rgb_in_a_png_is_refused_too(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rgb = np.random.default_rng(0).random((9, 8, 3), np.float32)
    write_photo(tmp_path / "photo.png", Photo(rgb_HWC=rgb, depth=16), rgb)
    with pytest.raises(SystemExit, match="8-bit"):
        run(monkeypatch, model / "onnx", tmp_path / "photo.png", tmp_path / "out.png", *TASK)


def test_wrong_arguments_show_how_it_is_called(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SystemExit, match=r"onnx_restore\.py FOLDER PHOTO OUT"):
        run(monkeypatch, model / "onnx")
