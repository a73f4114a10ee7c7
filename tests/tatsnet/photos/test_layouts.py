"""One contract over all decoders and layouts: a picture of 16 bits is read as the same picture of 8 bits is."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt
import pytest
import tifffile
from PIL import Image

from tatsnet.photos.files import Photo, PhotoError, read_photo, write_photo

Samples = npt.NDArray[Any]
HEIGHT, WIDTH = 37, 26


def picture(channels: int, depth: int) -> Samples:
    """The same picture at both depths: a number of 8 bits is repeated to make one of 16."""
    small = np.random.default_rng(channels).integers(0, 256, (HEIGHT, WIDTH, channels), dtype=np.uint8)
    return small if depth == 8 else small.astype(np.uint16) * 257


def tiff(path: Path, values: Samples, **options: Any) -> None:
    channels = values.shape[2]
    options.setdefault("photometric", "rgb" if channels >= 3 else "minisblack")
    options.setdefault("planarconfig", "contig" if channels > 1 else None)
    tifffile.imwrite(path, values[..., 0] if channels == 1 else values, metadata=None, **options)


def planar(path: Path, values: Samples) -> None:
    tiff(path, np.moveaxis(values, 2, 0), photometric="rgb", planarconfig="separate")


def white_is_zero(path: Path, values: Samples) -> None:
    tiff(path, np.iinfo(values.dtype).max - values, photometric="miniswhite")


def premultiplied(path: Path, values: Samples) -> None:
    top = np.iinfo(values.dtype).max
    values[..., 3] = top
    tiff(path, values, extrasamples=["assocalpha"])


ALPHA, PLAIN = "unassalpha", "unspecified"
LAYOUTS: dict[str, tuple[int, Callable[[Path, Samples], None], int, bool]] = {
    # name: channels as stored, how they are written, colours that are read, whether there is alpha
    "grey": (1, tiff, 1, False),
    "grey, alpha": (2, lambda p, v: tiff(p, v, extrasamples=[ALPHA]), 1, True),
    "grey, unspecified": (2, lambda p, v: tiff(p, v, extrasamples=[PLAIN]), 1, False),
    "rgb": (3, tiff, 3, False),
    "rgb, alpha": (4, lambda p, v: tiff(p, v, extrasamples=[ALPHA]), 3, True),
    "rgb, opaque premultiplied": (4, premultiplied, 3, True),
    "rgb, unspecified": (4, lambda p, v: tiff(p, v, extrasamples=[PLAIN]), 3, False),
    "rgb, unspecified, alpha": (5, lambda p, v: tiff(p, v, extrasamples=[PLAIN, ALPHA]), 3, True),
    "rgb, alpha, two more": (6, lambda p, v: tiff(p, v, extrasamples=[ALPHA, PLAIN, PLAIN]), 3, True),
    "rgb, planar": (3, planar, 3, False),
    "rgb, tiles": (3, lambda p, v: tiff(p, v, tile=(16, 16)), 3, False),
    "rgb, big-endian": (3, lambda p, v: tiff(p, v, byteorder=">"), 3, False),
    "rgb, BigTIFF": (3, lambda p, v: tiff(p, v, bigtiff=True), 3, False),
    "grey, white is 0": (1, white_is_zero, 1, False),
    "rgb, LZW": (3, lambda p, v: tiff(p, v, compression="lzw", predictor=True), 3, False),
    "rgb, deflate": (3, lambda p, v: tiff(p, v, compression="zlib"), 3, False),
    "rgb, PackBits": (3, lambda p, v: tiff(p, v, compression="packbits"), 3, False),
    "rgb, zstd strips": (3, lambda p, v: tiff(p, v, compression="zstd", rowsperstrip=5), 3, False),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_8_and_16_bits_of_a_tiff_are_read_alike(name: str, tmp_path: Path) -> None:
    channels, write, colours, has_alpha = LAYOUTS[name]
    photos = []
    for depth in (8, 16):
        values = picture(channels, depth)
        write(tmp_path / f"{depth}.tif", values)
        photo = read_photo(tmp_path / f"{depth}.tif")
        top = 2**depth - 1
        assert (photo.depth, photo.grey, photo.alpha_HW is not None) == (depth, colours == 1, has_alpha)
        assert np.array_equal(np.rint(photo.rgb_HWC * top)[..., :colours], values[..., :colours])
        photos.append(photo)
    shallow, deep = photos
    assert np.allclose(shallow.rgb_HWC, deep.rgb_HWC, atol=1e-6)
    assert shallow.notes == deep.notes
    if shallow.alpha_HW is not None and deep.alpha_HW is not None:
        assert np.allclose(shallow.alpha_HW, deep.alpha_HW, atol=1e-6)
    assert bool(shallow.notes) == (channels > colours + has_alpha)


def png(colour: int, depth: int, rows: Samples, *between: tuple[bytes, bytes]) -> bytes:
    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    lines = b"".join(b"\0" + row.astype(">u2" if depth == 16 else "u1").tobytes() for row in rows)
    header = struct.pack(">IIBBBBB", rows.shape[1], rows.shape[0], depth, colour, 0, 0, 0)
    parts = [(b"IHDR", header), *between, (b"IDAT", zlib.compress(lines)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


@pytest.mark.parametrize(
    ("colour", "channels", "transparent", "colours", "has_alpha"),
    [
        (0, 1, False, 1, False),
        (4, 2, False, 1, True),
        (2, 3, False, 3, False),
        (6, 4, False, 3, True),
        (0, 1, True, 1, True),
        (2, 3, True, 3, True),
    ],
)
def test_8_and_16_bits_of_a_png_are_read_alike(
    colour: int, channels: int, transparent: bool, colours: int, has_alpha: bool, tmp_path: Path
) -> None:
    photos = []
    for depth in (8, 16):
        values = picture(channels, depth)
        key = b"".join(struct.pack(">H", int(value)) for value in values[3, 4])
        between = [(b"tRNS", key)] if transparent else []
        (tmp_path / "a.png").write_bytes(png(colour, depth, values, *between))
        photo = read_photo(tmp_path / "a.png")
        assert (photo.depth, photo.grey, photo.alpha_HW is not None) == (depth, colours == 1, has_alpha)
        assert np.array_equal(np.rint(photo.rgb_HWC * (2**depth - 1))[..., :colours], values[..., :colours])
        if transparent and photo.alpha_HW is not None:
            assert np.array_equal(photo.alpha_HW == 0, (values == values[3, 4]).all(axis=2))
        photos.append(photo)
    assert np.allclose(photos[0].rgb_HWC, photos[1].rgb_HWC, atol=1e-6)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_few_bits_fill_the_range(bits: int, tmp_path: Path) -> None:
    values = np.random.default_rng(bits).integers(0, 2**bits, (HEIGHT, 32), dtype=np.uint8)
    packed = np.packbits(np.unpackbits(values[..., None], axis=2)[..., -bits:].reshape(HEIGHT, -1), axis=1)
    data = bytearray(png(0, 8, packed[..., None]))
    data[16:20], data[24] = struct.pack(">I", 32), bits
    data[29:33] = struct.pack(">I", zlib.crc32(bytes(data[12:29])))
    (tmp_path / "a.png").write_bytes(data)
    expected = values / (2**bits - 1)
    assert np.allclose(read_photo(tmp_path / "a.png").rgb_HWC[..., 0], expected, atol=1e-6)
    if bits in (1, 8):
        tifffile.imwrite(tmp_path / "a.tif", values.astype(bool) if bits == 1 else values, photometric="minisblack")
        assert np.allclose(read_photo(tmp_path / "a.tif").rgb_HWC[..., 0], expected, atol=1e-6)


def by_pillow(mode: str, **options: Any) -> Callable[[Path], Image.Image]:
    def write(path: Path) -> Image.Image:
        smooth = np.linspace(0, 255, HEIGHT * WIDTH * 3).reshape(HEIGHT, WIDTH, 3).astype(np.uint8)
        image = Image.fromarray(smooth).convert(mode)
        image.save(path, "TIFF", **options)
        return image

    return write


@pytest.mark.parametrize(
    "make",
    [
        by_pillow("1", compression="group4"),
        by_pillow("1", compression="group3"),
        by_pillow("P"),
        by_pillow("YCbCr"),
        by_pillow("RGB", compression="jpeg", quality=98),
        by_pillow("L", compression="jpeg", quality=98),
        by_pillow("LA", compression="tiff_lzw"),
    ],
)
def test_tiff_kinds_of_8_bits(make: Callable[[Path], Image.Image], tmp_path: Path) -> None:
    image = make(tmp_path / "a.tif")
    photo = read_photo(tmp_path / "a.tif")
    expected = np.asarray(image.convert("RGB"), np.float32) / 255
    assert np.abs(photo.rgb_HWC - expected).max() < 0.02
    assert (photo.alpha_HW is not None) == (image.mode == "LA")


def pages(*kinds: tuple[int, int], inner: int = 0) -> Callable[[Path], None]:
    """A TIFF of pages, each with a side and a kind (1 reduced); `inner` of them lie below the first."""

    def write(path: Path) -> None:
        with tifffile.TiffWriter(path) as file:
            for index, (side, kind) in enumerate(kinds):
                page = np.full((side, side + 1, 3), index, np.uint8)
                file.write(page, photometric="rgb", subfiletype=kind, subifds=inner if index == 0 else 0, metadata=None)

    return write


@pytest.mark.parametrize(
    ("make", "index", "note"),
    [
        (pages((40, 0)), 0, ""),
        (pages((40, 0), (8, 1)), 0, ""),
        (pages((8, 1), (40, 0)), 1, ""),
        (pages((8, 0), (40, 0)), 1, ""),
        (pages((8, 1), (40, 0), inner=1), 1, ""),
        (pages((8, 1), (40, 0), (20, 0), inner=2), 1, ""),
        (pages((40, 0), (40, 0), (40, 0)), 0, "the first of 3 pages"),
    ],
)
def test_of_several_pages_the_full_one_is_read(
    make: Callable[[Path], None], index: int, note: str, tmp_path: Path
) -> None:
    make(tmp_path / "a.tif")
    photo = read_photo(tmp_path / "a.tif")
    assert photo.rgb_HWC.shape == (40, 41, 3)
    assert np.rint(photo.rgb_HWC * 255).max() == index
    assert note in " ".join(photo.notes)
    assert bool(photo.notes) == bool(note)


def raw_by_name(path: Path, suffix: str) -> Path:
    pages((8, 1), (40, 0), inner=1)(path.with_suffix(suffix))
    return path.with_suffix(suffix)


def raw_by_tag(path: Path, suffix: str) -> Path:
    tag = (50706, "B", 4, b"\1\4\0\0", True)
    tifffile.imwrite(path.with_suffix(suffix), np.zeros((9, 9, 3), np.uint8), photometric="rgb", extratags=[tag])
    return path.with_suffix(suffix)


def raw_by_colours(path: Path, suffix: str) -> Path:
    with tifffile.TiffWriter(path.with_suffix(suffix)) as file:
        file.write(np.zeros((8, 8, 3), np.uint8), photometric="rgb", subfiletype=1, subifds=1)
        file.write(np.zeros((40, 40), np.uint16), photometric="cfa", subfiletype=0)
    return path.with_suffix(suffix)


def raw_of_no_known_format(path: Path, suffix: str) -> Path:
    path.with_suffix(suffix).write_bytes(b"FUJIFILMCCD-RAW 0201")
    return path.with_suffix(suffix)


@pytest.mark.parametrize(
    ("make", "suffix"),
    [
        (raw_by_name, ".dng"),
        (raw_by_name, ".NEF"),
        (raw_by_name, ".arw"),
        (raw_by_tag, ".tif"),
        (raw_by_colours, ".tif"),
        (raw_of_no_known_format, ".raf"),
    ],
)
def test_raw_files_are_refused_with_what_to_do(make: Callable[[Path, str], Path], suffix: str, tmp_path: Path) -> None:
    with pytest.raises(PhotoError, match="a camera's raw file; develop it first"):
        read_photo(make(tmp_path / "a", suffix))


def jpeg(progressive: bool = False, **options: Any) -> bytes:
    buffer = io.BytesIO()
    noise = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(buffer, "JPEG", progressive=progressive, **options)
    return buffer.getvalue()


def png_bytes(**options: Any) -> bytes:
    buffer = io.BytesIO()
    noise = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(buffer, "PNG", **options)
    return buffer.getvalue()


def with_chunk(name: bytes, body: bytes, crc: bytes | None = None) -> bytes:
    plain = png_bytes()
    crc = struct.pack(">I", zlib.crc32(name + body)) if crc is None else crc
    return plain[:33] + struct.pack(">I", len(body)) + name + body + crc + plain[33:]


BOMB = zlib.compress(bytes(200_000_000), 9)
SOUND: dict[str, tuple[bytes, str]] = {
    "a JPEG without its end": (jpeg()[:-2], "end marker is missing"),
    "a JPEG without half its end": (jpeg()[:-1], "end marker is missing"),
    "a progressive JPEG without its end": (jpeg(progressive=True)[:-2], "end marker is missing"),
    "a JPEG with restart markers, without its end": (jpeg(restart_marker_rows=1)[:-2], "end marker is missing"),
    "a JPEG with more behind it": (jpeg() + b"\0" * 99 + b"motion photo", ""),
    "a JPEG with a broken EXIF block": (jpeg(exif=b"Exif\0\0II*\0\xff\xff\xff\x7f"), "EXIF block is damaged"),
    "a PNG without its end": (png_bytes()[:-12], "end is missing"),
    "a PNG with more behind it": (png_bytes() + b"junk" * 9, ""),
    "a PNG with a wrong sum in a text": (with_chunk(b"tEXt", b"a\0b", b"\0\0\0\0"), "tEXt"),
    "a PNG with a wrong sum in its resolution": (with_chunk(b"pHYs", b"\0" * 9, b"\0\0\0\0"), "pHYs"),
    "a PNG with a profile that is none": (with_chunk(b"iCCP", b"x\0\0not packed"), "iCCP"),
    "a PNG with a profile that unpacks to 200 MB": (with_chunk(b"iCCP", b"x\0\0" + BOMB), "iCCP"),
    "a PNG with a long packed text": (with_chunk(b"zTXt", b"w\0\0" + zlib.compress(b"x" * 3_000_000)), ""),
    "a PNG with a text that unpacks to 200 MB": (with_chunk(b"zTXt", b"w\0\0" + BOMB), ""),
    "a PNG with an EXIF chunk that is none": (with_chunk(b"eXIf", b"junk"), "eXIf"),
    "a PNG with an unknown chunk": (with_chunk(b"prVt", b"whatever"), ""),
}


@pytest.mark.parametrize("name", SOUND)
def test_what_browsers_show_is_read_with_one_note(name: str, tmp_path: Path) -> None:
    data, note = SOUND[name]
    (tmp_path / "a").write_bytes(data)
    photo = read_photo(tmp_path / "a")
    with Image.open(io.BytesIO(jpeg("progressive" in name) if "JPEG" in name else png_bytes())) as image:
        assert np.array_equal(np.rint(photo.rgb_HWC * 255), np.asarray(image))
    assert len(photo.notes) == bool(note)
    assert note in "".join(photo.notes)
    write_photo(tmp_path / "b.png", photo, photo.rgb_HWC)
    assert read_photo(tmp_path / "b.png").notes == ()


def scans_left_out(data: bytes) -> bytes:
    """A progressive JPEG up to before its last scan."""
    return data[: data.rindex(b"\xff\xda")]


def wrong_pixel_sum() -> bytes:
    data = bytearray(png_bytes())
    data[data.index(b"IDAT") + 500] ^= 0xFF
    return bytes(data)


DAMAGED = {
    "half a JPEG": jpeg()[: len(jpeg()) // 2],
    "a JPEG cut near its end": jpeg()[:-12],
    "half a progressive JPEG": jpeg(progressive=True)[: len(jpeg()) // 2],
    "a progressive JPEG without its last scan": scans_left_out(jpeg(progressive=True)),
    "a JPEG's head": jpeg()[:20],
    "half a PNG": png_bytes()[:5000],
    "a PNG without its pixels": png_bytes()[:33],
    "a PNG with a wrong sum in its pixels": wrong_pixel_sum(),
    "a PNG of an animation": with_chunk(b"acTL", struct.pack(">II", 2, 0)),
    "a PNG of no width": png(2, 8, np.zeros((3, 0, 3), np.uint8)),
    "a TIFF's head": b"II*\0\x08\0\0\0",
    "a TIFF that is its own next page": b"II*\0\x08\0\0\0\0\0\x08\0\0\0",
    "a WebP's head": b"RIFF\x10\0\0\0WEBPVP8 ",
}


@pytest.mark.parametrize("name", DAMAGED)
def test_what_is_cut_short_stays_refused_in_plain_words(name: str, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(DAMAGED[name])
    with pytest.raises(PhotoError) as caught:
        read_photo(tmp_path / "a")
    assert " object at " not in str(caught.value)
    assert "<" not in str(caught.value)


def test_a_decoder_that_cannot_be_loaded_is_not_blamed_on_the_photo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: bytes) -> NoReturn:
        raise ImportError("libpng16.so.16: cannot open shared object file")

    monkeypatch.setattr("tatsnet.photos.png.decode", fail)
    (tmp_path / "a").write_bytes(png_bytes())
    with pytest.raises(PhotoError, match="its decoder cannot be loaded"):
        read_photo(tmp_path / "a")


def test_every_cut_of_a_file_is_refused_or_whole(tmp_path: Path) -> None:
    """No cut makes a picture with pixels that the whole file does not have."""
    for data in (jpeg(), jpeg(progressive=True), png_bytes()):
        (tmp_path / "a").write_bytes(data)
        whole = read_photo(tmp_path / "a").rgb_HWC
        for end in (*range(len(data) // 2, len(data), 997), *range(len(data) - 40, len(data))):
            (tmp_path / "a").write_bytes(data[:end])
            try:
                photo = read_photo(tmp_path / "a")
            except PhotoError:
                continue
            assert photo.notes
            assert np.array_equal(photo.rgb_HWC, whole)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_both_depths_are_written_alike(suffix: str, channels: int, tmp_path: Path) -> None:
    for depth in (8, 16):
        values = picture(channels, depth) / np.float32(2**depth - 1)
        rgb = np.repeat(values[..., :1], 3, 2) if channels < 3 else values[..., :3]
        photo = Photo(
            rgb_HWC=rgb.astype(np.float32),
            depth=16 if depth == 16 else 8,
            grey=channels < 3,
            alpha_HW=values[..., -1].astype(np.float32) if channels in (2, 4) else None,
        )
        write_photo(tmp_path / f"{depth}{suffix}", photo, photo.rgb_HWC)
    shallow, deep = (read_photo(tmp_path / f"{depth}{suffix}") for depth in (8, 16))
    assert np.allclose(shallow.rgb_HWC, deep.rgb_HWC, atol=1e-6)
    assert (shallow.grey, shallow.alpha_HW is None) == (deep.grey, deep.alpha_HW is None)
