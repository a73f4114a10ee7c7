"""Photos in and out: every kind that is handled keeps its nature, every kind that is not is refused cleanly."""

from __future__ import annotations

import errno
import io
import os
import resource
import stat
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import tifffile
from PIL import Image, ImageCms

from tatsnet.photos.files import (
    Metadata,
    Photo,
    PhotoError,
    check_output,
    list_images,
    read_photo,
    to_uint8,
    write_photo,
)

Samples = npt.NDArray[Any]
RNG = np.random.default_rng(5)
ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
CHANNELS = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4}


def samples(channels: int, dtype: Any, height: int = 5, width: int = 7) -> Samples:
    return RNG.integers(0, np.iinfo(dtype).max + 1, (height, width, channels), dtype=dtype)


def save8(path: Path, values: Samples, **options: Any) -> None:
    Image.fromarray(values.squeeze(2) if values.shape[2] == 1 else values).save(path, **options)


def save16(path: Path, values: Samples, **tags: Any) -> None:
    """Written by other means than the library's: OpenCV for PNG, tifffile without compression for TIFF."""
    if path.suffix == ".png":
        order = {1: [0], 3: [2, 1, 0], 4: [2, 1, 0, 3]}[values.shape[2]]
        assert cv2.imwrite(str(path), values[..., order])
        return
    channels = values.shape[2]
    tifffile.imwrite(
        path,
        values.squeeze(2) if channels == 1 else values,
        photometric="rgb" if channels > 2 else "minisblack",
        planarconfig="contig" if channels > 1 else None,
        extrasamples=["unassalpha"] if channels in (2, 4) else None,
        metadata=None,
        **tags,
    )


def photo_of(mode: str, depth: int, icc: bytes | None = None) -> Photo:
    values = samples(CHANNELS[mode], np.uint16 if depth == 16 else np.uint8) / np.float32(2**depth - 1)
    return Photo(
        rgb_HWC=(np.repeat(values[..., :1], 3, 2) if mode in ("L", "LA") else values[..., :3]).astype(np.float32),
        depth=16 if depth == 16 else 8,
        grey=mode in ("L", "LA"),
        alpha_HW=values[..., -1].astype(np.float32) if mode in ("LA", "RGBA") else None,
        metadata=Metadata(icc=icc),
    )


def assert_holds(photo: Photo, values: Samples, top: int) -> None:
    grey, alpha = values.shape[2] <= 2, values.shape[2] in (2, 4)
    expected = np.repeat(values[..., :1], 3, axis=2) if grey else values[..., :3]
    assert photo.rgb_HWC.dtype == np.float32
    assert photo.rgb_HWC.flags.c_contiguous
    assert np.array_equal(np.rint(photo.rgb_HWC * top), expected)
    assert (photo.grey, photo.depth) == (grey, 16 if top == 65535 else 8)
    assert (photo.alpha_HW is not None) == alpha
    if photo.alpha_HW is not None:
        assert photo.alpha_HW.dtype == np.float32
        assert np.array_equal(np.rint(photo.alpha_HW * top), values[..., -1])


@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp"])
@pytest.mark.parametrize("mode", CHANNELS)
def test_8_bit_files_are_read_exactly(mode: str, suffix: str, tmp_path: Path) -> None:
    if suffix == ".webp" and mode in ("L", "LA"):
        pytest.skip("WebP has no grey")
    values = samples(CHANNELS[mode], np.uint8)
    save8(tmp_path / f"a{suffix}", values, **({"lossless": True, "exact": True} if suffix == ".webp" else {}))
    assert_holds(read_photo(tmp_path / f"a{suffix}"), values, 255)


@pytest.mark.parametrize(
    ("suffix", "channels"), [(".png", 1), (".png", 3), (".png", 4)] + [(".tif", n) for n in range(1, 5)]
)
def test_16_bit_files_are_read_exactly(suffix: str, channels: int, tmp_path: Path) -> None:
    values = samples(channels, np.uint16)
    save16(tmp_path / f"a{suffix}", values)
    assert_holds(read_photo(str(tmp_path / f"a{suffix}")), values, 65535)


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_jpeg(mode: str, tmp_path: Path) -> None:
    smooth = np.linspace(40, 200, 64 * 48 * CHANNELS[mode]).reshape(48, 64, -1).astype(np.uint8)
    save8(tmp_path / "a.jpg", smooth, quality=98)
    photo = read_photo(tmp_path / "a.jpg")
    assert photo.grey == (mode == "L")
    assert photo.rgb_HWC.shape == (48, 64, 3)
    assert np.abs(photo.rgb_HWC * 255 - smooth).max() < 12


def tiff16_lzw(path: Path) -> Samples:
    values = samples(4, np.uint16)
    assert cv2.imwrite(str(path), values[..., [2, 1, 0, 3]], [cv2.IMWRITE_TIFF_COMPRESSION, 5])
    return values


def tiff16_planar_big_endian(path: Path) -> Samples:
    values = samples(3, np.uint16)
    tifffile.imwrite(path, np.moveaxis(values, 2, 0), photometric="rgb", planarconfig="separate", byteorder=">")
    return values


def tiff16_white_is_zero(path: Path) -> Samples:
    values = samples(1, np.uint16)
    tifffile.imwrite(path, 65535 - values[..., 0], photometric="miniswhite")
    return values


def tiff16_premultiplied(path: Path) -> Samples:
    values = samples(4, np.uint16)
    values[..., 3] = np.maximum(values[..., 3], 40000)
    values[..., :3] = values[..., :3] // 4 * 4
    shares = values[..., 3:].astype(float) / 65535
    stored = values.copy()
    stored[..., :3] = np.rint(values[..., :3] * shares).astype(np.uint16)
    tifffile.imwrite(path, stored, photometric="rgb", extrasamples=["assocalpha"])
    return np.concatenate([np.rint(stored[..., :3] / shares).clip(0, 65535).astype(np.uint16), values[..., 3:]], axis=2)


@pytest.mark.parametrize("make", [tiff16_lzw, tiff16_planar_big_endian, tiff16_white_is_zero, tiff16_premultiplied])
def test_kinds_of_16_bit_tiff(make: Callable[[Path], Samples], tmp_path: Path) -> None:
    values = make(tmp_path / "a.tif")
    assert_holds(read_photo(tmp_path / "a.tif"), values, 65535)


def test_a_palette_becomes_rgb(tmp_path: Path) -> None:
    colours = RNG.integers(0, 256, (4, 3), dtype=np.uint8)
    indices = RNG.integers(0, 4, (5, 7), dtype=np.uint8)
    image = Image.fromarray(indices, mode="P")
    image.putpalette(colours.tobytes())
    image.save(tmp_path / "a.png")
    assert_holds(read_photo(tmp_path / "a.png"), colours[indices], 255)
    image.save(tmp_path / "b.png", transparency=2)
    with_alpha = np.concatenate([colours[indices], np.where(indices == 2, 0, 255)[..., None].astype(np.uint8)], axis=2)
    assert_holds(read_photo(tmp_path / "b.png"), with_alpha, 255)


def test_black_and_white_is_grey(tmp_path: Path) -> None:
    bits = RNG.random((5, 7)) < 0.5
    Image.fromarray(bits).save(tmp_path / "a.png")
    assert_holds(read_photo(tmp_path / "a.png"), (bits * 255).astype(np.uint8)[..., None], 255)


# Where the corners A (top left), B (top right), C (bottom left), D (bottom right) of the stored pixels end up upright.
ORIENTATIONS = {1: "ABCD", 2: "BADC", 3: "DCBA", 4: "CDAB", 5: "ACBD", 6: "CADB", 7: "DBCA", 8: "BDAC"}


def corners(image: Samples) -> list[int]:
    return [int(image[row, column]) for row in (0, -1) for column in (0, -1)]


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("name", ["8.jpg", "8.png", "8.webp", "8.tif", "16.png", "16.tif", "lzw.tif", "square.tif"])
def test_the_orientation_is_applied_once(name: str, orientation: int, tmp_path: Path) -> None:
    height, width = (24, 24) if name == "square.tif" else (24, 40)
    stored = np.full((height, width, 3), 128, np.uint8)
    half = (height // 2, width // 2)
    for index, level in enumerate((20, 90, 170, 240)):  # A, B, C, D
        row, column = divmod(index, 2)
        stored[row * half[0] :, column * half[1] :] = level
    path = tmp_path / name
    exif = Image.Exif()
    exif[274] = orientation
    exif[271] = "Maker"
    if name.startswith("8"):
        save8(path, stored, exif=exif, **({"lossless": True} if name == "8.webp" else {}))
    elif name == "16.png":
        block = exif.tobytes().removeprefix(b"Exif\0\0")
        plain = cv2.imencode(".png", stored.astype(np.uint16) * 257)[1].tobytes()
        chunk = struct.pack(">I", len(block)) + b"eXIf" + block + struct.pack(">I", zlib.crc32(b"eXIf" + block))
        path.write_bytes(plain[:33] + chunk + plain[33:])
    elif name == "lzw.tif":
        lzw_with_orientation(path, stored.astype(np.uint16) * 257, orientation)
    else:
        save16(path, stored.astype(np.uint16) * 257, extratags=[(274, "H", 1, orientation, True)])
    photo = read_photo(path)
    levels = dict(zip("ABCD", (20, 90, 170, 240), strict=True))
    upright = np.rint(photo.rgb_HWC[..., 0] * 255)
    assert np.abs(np.array(corners(upright)) - [levels[letter] for letter in ORIENTATIONS[orientation]]).max() <= 4
    assert upright.shape == ((width, height) if orientation > 4 else (height, width))
    write_photo(tmp_path / "again.png", photo, photo.rgb_HWC)
    again = read_photo(tmp_path / "again.png")
    assert np.array_equal(again.rgb_HWC, photo.rgb_HWC)
    if not name.endswith(".tif"):
        with Image.open(tmp_path / "again.png") as image:
            assert image.getexif()[271] == "Maker"
            assert image.getexif().get(274, 1) == 1


def lzw_with_orientation(path: Path, values: Samples, orientation: int) -> None:
    """OpenCV's LZW file (one strip) with the orientation in place of the tag RowsPerStrip, tags kept in order."""
    data = bytearray(cv2.imencode(".tif", values, [cv2.IMWRITE_TIFF_COMPRESSION, 5])[1].tobytes())
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        tags = file.pages.first.tags
        assert file.pages.first.compression == 5
        samples_per_pixel, rows_per_strip = tags[277].offset, tags[278].offset
    data[rows_per_strip : rows_per_strip + 12] = data[samples_per_pixel : samples_per_pixel + 12]
    struct.pack_into("<HHIHH", data, samples_per_pixel, 274, 3, 1, orientation, 0)
    path.write_bytes(data)


DEEP_TARGETS = [(mode, suffix) for mode in CHANNELS for suffix in (".png", ".tif")]


@pytest.mark.parametrize(("mode", "suffix"), DEEP_TARGETS)
@pytest.mark.parametrize("depth", [8, 16])
def test_a_lossless_round_trip_keeps_everything(mode: str, suffix: str, depth: int, tmp_path: Path) -> None:
    photo, path = photo_of(mode, depth, ICC), tmp_path / f"a{suffix}"
    write_photo(path, photo, photo.rgb_HWC)
    again = read_photo(path)
    assert np.array_equal(again.rgb_HWC, photo.rgb_HWC)
    assert (again.depth, again.grey, again.metadata.icc) == (photo.depth, photo.grey, photo.metadata.icc)
    assert (again.alpha_HW is None) == (photo.alpha_HW is None)
    if photo.alpha_HW is not None and again.alpha_HW is not None:
        assert np.array_equal(again.alpha_HW, photo.alpha_HW)


@pytest.mark.parametrize(("mode", "suffix"), [(m, s) for m, s in DEEP_TARGETS if (m, s) != ("LA", ".tif")])
def test_other_programs_read_our_16_bits(mode: str, suffix: str, tmp_path: Path) -> None:
    photo, path = photo_of(mode, 16), tmp_path / f"a{suffix}"
    write_photo(path, photo, photo.rgb_HWC)
    other = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert other is not None
    assert other.dtype == np.uint16
    colours = other.reshape(5, 7, -1)[..., :3][..., ::-1]
    assert np.array_equal(colours, np.rint(photo.rgb_HWC * 65535)[..., : colours.shape[2]])
    if photo.alpha_HW is not None:
        assert np.array_equal(other[..., 3], np.rint(photo.alpha_HW * 65535))
    with Image.open(path) as image:
        image.load()
        assert image.size == (7, 5)


@pytest.mark.parametrize("mode", CHANNELS)
@pytest.mark.parametrize("suffix", [".jpg", ".jpeg", ".webp"])
def test_formats_with_8_bits_take_a_16_bit_photo(mode: str, suffix: str, tmp_path: Path) -> None:
    photo = photo_of(mode, 16, ICC)
    smooth = np.full_like(photo.rgb_HWC, 0.5)
    path = tmp_path / f"a{suffix}"
    if photo.alpha_HW is not None and suffix != ".webp":
        with pytest.raises(PhotoError, match=r"a\.jpe?g: JPEG cannot hold .*\.png"):
            write_photo(path, photo, smooth)
        assert list(tmp_path.iterdir()) == []
        return
    write_photo(path, photo, smooth)
    again = read_photo(path)
    assert (again.depth, again.metadata.icc) == (8, ICC)
    assert again.grey == (photo.grey and suffix != ".webp")
    assert np.abs(again.rgb_HWC - smooth).max() < 0.01
    if photo.alpha_HW is not None and again.alpha_HW is not None:
        assert np.abs(again.alpha_HW - photo.alpha_HW).max() < 0.003


def test_a_grey_profile_does_not_go_into_a_webp(tmp_path: Path) -> None:
    grey_icc = ICC[:16] + b"GRAY" + ICC[20:]
    photo = photo_of("L", 8, grey_icc)
    write_photo(tmp_path / "a.webp", photo, photo.rgb_HWC)
    write_photo(tmp_path / "a.png", photo, photo.rgb_HWC)
    assert read_photo(tmp_path / "a.webp").metadata.icc is None
    assert read_photo(tmp_path / "a.png").metadata.icc == grey_icc


def test_grey_is_the_mean_of_the_restored_channels(tmp_path: Path) -> None:
    photo = photo_of("L", 8)
    restored = np.broadcast_to(np.array([0.2, 0.4, 0.9], np.float32), photo.rgb_HWC.shape)
    write_photo(tmp_path / "a.png", photo, restored)
    assert np.array(Image.open(tmp_path / "a.png")).tolist() == np.full((5, 7), round(0.5 * 255)).tolist()


def test_values_are_clipped_and_rounded() -> None:
    values = np.array([-0.1, 0, 0.4999 / 255, 0.5001 / 255, 254.6 / 255, 1, 7], np.float32)
    assert to_uint8(values).tolist() == [0, 0, 0, 1, 255, 255, 255]
    every = np.arange(256, dtype=np.float32) / 255
    assert np.array_equal(to_uint8(every), np.arange(256))
    with pytest.raises(ValueError, match="finite"):
        to_uint8(np.array([np.nan], np.float32))


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp"])
@pytest.mark.parametrize("depth", [8, 16])
def test_a_single_pixel(suffix: str, depth: int, tmp_path: Path) -> None:
    photo = Photo(rgb_HWC=np.full((1, 1, 3), 0.6, np.float32), depth=16 if depth == 16 else 8)
    write_photo(tmp_path / f"a{suffix}", photo, photo.rgb_HWC)
    assert read_photo(tmp_path / f"a{suffix}").rgb_HWC == pytest.approx(0.6, abs=0.01)


def test_the_name_does_not_decide_how_a_file_is_read(tmp_path: Path) -> None:
    values = samples(3, np.uint16)
    save16(tmp_path / "a.png", values)
    (tmp_path / "a.png").rename(tmp_path / "ä photo.JPG")
    assert_holds(read_photo(tmp_path / "ä photo.JPG"), values, 65535)


def test_broken_exif_does_not_stop_a_photo(tmp_path: Path) -> None:
    save8(tmp_path / "a.jpg", samples(3, np.uint8), exif=b"Exif\0\0II*\0\xff\xff\xff\x7fjunk")
    photo = read_photo(tmp_path / "a.jpg")
    write_photo(tmp_path / "b.jpg", photo, photo.rgb_HWC)
    assert read_photo(tmp_path / "b.jpg").rgb_HWC.shape == (5, 7, 3)


def cut(path: Path, source: Path, share: float) -> None:
    data = source.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])


@pytest.mark.parametrize("share", [0.3, 0.7, 0.98])
@pytest.mark.parametrize("name", ["8.jpg", "8.png", "8.tif", "8.webp", "16.png", "16.tif", "lzw.tif"])
def test_a_file_that_is_cut_short_is_refused(name: str, share: float, tmp_path: Path) -> None:
    whole = tmp_path / f"whole{name}"
    if name.startswith("8"):
        save8(whole, samples(3, np.uint8, 64, 64))
    elif name == "lzw.tif":
        assert cv2.imwrite(str(whole), samples(3, np.uint16, 64, 64), [cv2.IMWRITE_TIFF_COMPRESSION, 5])
    else:
        save16(whole, samples(3, np.uint16, 64, 64))
    read_photo(whole)
    cut(tmp_path / name, whole, share)
    with pytest.raises(PhotoError, match=name):
        read_photo(tmp_path / name)


def make_cmyk(path: Path) -> None:
    Image.new("CMYK", (8, 8)).save(path, "JPEG")


def make_cmyk16(path: Path) -> None:
    tifffile.imwrite(path, samples(4, np.uint16), photometric="separated")


def make_float(path: Path) -> None:
    tifffile.imwrite(path, np.zeros((8, 8, 3), np.float32), photometric="rgb")


def make_lab(path: Path) -> None:
    Image.new("LAB", (8, 8)).save(path, "TIFF")


def make_animation(path: Path) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    frames[0].save(path, "WEBP", save_all=True, append_images=frames[1:])


def make_bomb(path: Path) -> None:
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    path.write_bytes(png_of(header))


def make_deep_bomb(path: Path) -> None:
    path.write_bytes(png_of(struct.pack(">IIBBBBB", 14_000, 14_000, 16, 2, 0, 0, 0)))


def make_tiff_bomb(path: Path) -> None:
    tifffile.imwrite(path, np.zeros((4, 4, 3), np.uint8), photometric="rgb")
    with tifffile.TiffFile(path, mode="r+") as file:
        for size in (256, 257):
            file.pages.first.tags[size].overwrite(30_000)


def png_of(header: bytes) -> bytes:
    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(999))) + chunk(b"IEND", b"")
    )


def make_text(path: Path) -> None:
    path.write_text("this is no picture")


def make_gif(path: Path) -> None:
    Image.new("RGB", (8, 8)).save(path, "GIF")


def make_empty(path: Path) -> None:
    path.touch()


def make_nothing(path: Path) -> None:
    pass


def make_folder(path: Path) -> None:
    path.mkdir()


def make_garbage(path: Path) -> None:
    path.write_bytes(b"\xff\xd8\xff" + bytes(range(256)) * 4)


def make_tiny_head(path: Path) -> None:
    path.write_bytes(b"\x89PNG\r\n\x1a\n")


REFUSED: dict[Callable[[Path], None], str] = {
    make_cmyk: "CMYK.*convert it",
    make_cmyk16: "convert it to RGB",
    make_float: "32 bits.*export it as 16-bit",
    make_lab: "LAB.*convert it",
    make_animation: "an animation.*export one frame",
    make_bomb: "178 million pixels",
    make_deep_bomb: "178 million pixels",
    make_tiff_bomb: "178 million pixels",
    make_text: "not a JPEG, PNG, TIFF or WebP",
    make_gif: "not a JPEG, PNG, TIFF or WebP",
    make_empty: "the file is empty",
    make_nothing: "no such file",
    make_folder: "is a folder",
    make_garbage: "damaged or cut short",
    make_tiny_head: "damaged or cut short",
}


@pytest.mark.parametrize("make", REFUSED)
def test_what_is_not_a_photo_is_refused_by_name(make: Callable[[Path], None], tmp_path: Path) -> None:
    path = tmp_path / "input.jpg"
    make(path)
    with pytest.raises(PhotoError, match=f"input.jpg: .*{REFUSED[make]}") as caught:
        read_photo(path)
    assert "\n" not in str(caught.value)


def test_a_name_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(PhotoError, match="cannot be read"):
        read_photo(tmp_path / "file" / "a.png")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a.bmp", r"cannot tell the format.*\.png"),
        ("a", "cannot tell the format"),
        ("missing/a.png", "no folder .*create it"),
        ("file/a.png", "no folder"),
        ("folder.png", "is a folder"),
    ],
)
def test_targets_that_are_refused(name: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder.png").mkdir()
    photo = photo_of("RGB", 8)
    with pytest.raises(PhotoError, match=message):
        check_output(tmp_path / name, photo)
    with pytest.raises(PhotoError, match=message):
        write_photo(tmp_path / name, photo, photo.rgb_HWC)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "folder.png"]


def test_a_read_only_folder_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "closed"
    folder.mkdir()
    folder.chmod(stat.S_IRUSR | stat.S_IXUSR)
    if os.access(folder, os.W_OK):
        pytest.skip("the administrator may write everywhere")
    photo = photo_of("RGB", 8)
    with pytest.raises(PhotoError, match="read-only"):
        write_photo(folder / "a.png", photo, photo.rgb_HWC)


def test_broken_pixels_are_refused(tmp_path: Path) -> None:
    photo = photo_of("RGB", 8)
    with pytest.raises(PhotoError, match="finite"):
        write_photo(tmp_path / "a.png", photo, np.full_like(photo.rgb_HWC, np.nan))
    with pytest.raises(PhotoError, match="shape"):
        write_photo(tmp_path / "a.png", photo, photo.rgb_HWC[1:])
    assert list(tmp_path.iterdir()) == []


def test_a_size_that_the_format_cannot_hold_is_refused(tmp_path: Path) -> None:
    photo = Photo(rgb_HWC=np.zeros((1, 17_000, 3), np.float32))
    with pytest.raises(PhotoError, match=r"17000x1 pixels cannot be stored as WEBP.*\.png"):
        write_photo(tmp_path / "a.webp", photo, photo.rgb_HWC)
    assert list(tmp_path.iterdir()) == []


@contextmanager
def small_files_only() -> Iterator[None]:
    """Let this process write at most 2000 bytes into one file, as a disk that runs full in the middle.

    Not a fixture: pytest reports before it tears a fixture down, and its own output may be a file.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_write_that_fails_half_way_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    small = photo_of("RGB", 8)
    write_photo(path, small, small.rgb_HWC)
    before = path.read_bytes()
    large = Photo(rgb_HWC=RNG.random((64, 64, 3), dtype=np.float32))
    with small_files_only(), pytest.raises(PhotoError, match=r"a\.png: cannot be written .*free some space"):
        write_photo(path, large, large.rgb_HWC)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)  # a full disk cannot be had without an administrator's rights
    photo = photo_of("RGB", 8)
    with pytest.raises(PhotoError, match=r"No space left on device.*free some space"):
        write_photo(tmp_path / "a.png", photo, photo.rgb_HWC)
    assert list(tmp_path.iterdir()) == []


def test_the_target_is_an_ordinary_file_and_links_stay_links(tmp_path: Path) -> None:
    photo = photo_of("RGB", 8)
    (tmp_path / "link.png").symlink_to(tmp_path / "real.png")
    write_photo(tmp_path / "link.png", photo, photo.rgb_HWC)
    assert (tmp_path / "link.png").is_symlink()
    assert (tmp_path / "real.png").is_file()
    plain = tmp_path / "plain"
    plain.touch()
    assert stat.S_IMODE((tmp_path / "real.png").stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)


def test_list_images(tmp_path: Path) -> None:
    for name in ("b.png", "a.JPG", "c.webp", "d.TIFF", ".hidden.png", "notes.txt"):
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    assert [path.name for path in list_images(tmp_path)] == ["a.JPG", "b.png", "c.webp", "d.TIFF"]
    for wrong in ("missing", "b.png"):
        with pytest.raises(PhotoError, match=f"{wrong}: cannot be listed"):
            list_images(tmp_path / wrong)
