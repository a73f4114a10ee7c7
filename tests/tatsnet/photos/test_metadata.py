"""A photo is more than its pixels: what its file says travels wherever the output format can hold it."""

from __future__ import annotations

import io
import itertools
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms
from PIL.ExifTags import IFD
from PIL.PngImagePlugin import PngInfo
from PIL.TiffImagePlugin import IFDRational

from tatsnet.photos import iptc
from tatsnet.photos.files import Metadata, Photo, losses, read_photo, write_photo
from tatsnet.photos.metadata import upright_xmp

ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = (
    b'<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF '
    b'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" '
    b'xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:tiff="http://ns.adobe.com/tiff/1.0/" xmp:Rating="4" '
    b'tiff:Orientation="6"/></rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
)
IPTC = b"\x1c\x02\x50\x00\x06J\xc3\xbcrgen"[:0] + b"\x1c\x02\x50\x00\x05Maker" + b"\x1c\x02\x19\x00\x03fog"
MAKER_NOTE = b"maker's own\0\x01\x02\xff" * 3
SUFFIXES = (".jpg", ".png", ".tif", ".webp")
WIDTH, HEIGHT = 40, 24


def exif_block(orientation: int = 6, thumbnail: bytes = b"") -> bytes:
    """An EXIF block as cameras write it, with letters that are not ASCII and a thumbnail."""
    exif = Image.Exif()
    exif[271], exif[272], exif[274] = "Camera & Co", "Model 1", orientation
    exif[33432] = "© Jürgen Groß".encode()
    exif[282] = exif[283] = IFDRational(300)
    exif[296] = 2
    inner = exif.get_ifd(IFD.Exif)
    inner[36867], inner[33434], inner[37500] = "2024:05:06 07:08:09", IFDRational(1, 250), MAKER_NOTE
    inner[40962], inner[40963] = WIDTH, HEIGHT
    place = exif.get_ifd(IFD.GPSInfo)
    place[1], place[2] = "N", (IFDRational(48), IFDRational(8), IFDRational(1234, 100))
    block = bytearray(exif.tobytes().removeprefix(b"Exif\0\0"))
    if thumbnail:
        order = "<" if block[:2] == b"II" else ">"
        (first,) = struct.unpack_from(f"{order}I", block, 4)
        (count,) = struct.unpack_from(f"{order}H", block, first)
        second = len(block)
        struct.pack_into(f"{order}I", block, first + 2 + 12 * count, second)
        start = second + 2 + 2 * 12 + 4
        block += struct.pack(f"{order}H", 2)
        for tag, value in ((513, start), (514, len(thumbnail))):
            block += struct.pack(f"{order}HHII", tag, 4, 1, value)
        block += struct.pack(f"{order}I", 0) + thumbnail
    return bytes(block)


def thumbnail() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16), "red").save(buffer, "JPEG")
    return buffer.getvalue()


def picture() -> Image.Image:
    return Image.effect_noise((WIDTH, HEIGHT), 60).convert("RGB")


def jpeg_of_a_camera(path: Path) -> None:
    picture().save(
        path,
        "JPEG",
        exif=b"Exif\0\0" + exif_block(thumbnail=thumbnail()),
        xmp=XMP,
        icc_profile=ICC,
        comment=b"a comment",
        dpi=(300, 300),
        extra=iptc.jpeg_segment(IPTC),
    )


def tiff_of_an_editor(path: Path) -> None:
    tifffile.imwrite(
        path,
        np.asarray(picture()),
        photometric="rgb",
        iccprofile=ICC,
        resolution=(300, 300),
        resolutionunit="INCH",
        metadata=None,
        software=False,
        extratags=[
            (271, "s", 0, "Camera & Co", True),
            (272, "s", 0, "Model 1", True),
            (274, "H", 1, 6, True),
            (700, 1, len(XMP), XMP, True),
            (33432, 2, 17, "© Jürgen Groß".encode() + b"\0", True),
            (33723, 7, len(IPTC), IPTC, True),
            (33550, "d", 3, (1.5, 2.5, 0.0), True),
        ],
    )


def png_of_an_editor(path: Path) -> None:
    info = PngInfo()
    info.add(b"gAMA", struct.pack(">I", 45455))
    info.add(b"cHRM", struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000))
    info.add(b"sRGB", b"\0")
    info.add_text("Author", "Jürgen")
    info.add_text("Title", "fog", zip=True)
    info.add_itxt("Description", "ein Bäcker", lang="de")
    info.add_itxt("XML:com.adobe.xmp", XMP.decode())
    info.add_text(iptc.RAW_PROFILE, iptc.to_text(IPTC), zip=True)
    info.add_text("Comment", "a comment")
    picture().save(path, "PNG", pnginfo=info, exif=b"Exif\0\0" + exif_block(), dpi=(300, 300))


def webp_of_a_phone(path: Path) -> None:
    picture().save(path, "WEBP", exif=exif_block(thumbnail=thumbnail()), xmp=XMP, icc_profile=ICC, lossless=True)


SOURCES: dict[str, Callable[[Path], None]] = {
    "a.jpg": jpeg_of_a_camera,
    "a.tif": tiff_of_an_editor,
    "a.png": png_of_an_editor,
    "a.webp": webp_of_a_phone,
}


def restored(source: str, suffix: str, folder: Path) -> tuple[Photo, Path, tuple[str, ...]]:
    SOURCES[source](folder / source)
    photo = read_photo(folder / source)
    out = folder / f"out{suffix}"
    lost = losses(out, photo)
    write_photo(out, photo, photo.rgb_HWC)
    return photo, out, lost


def exif_of(path: Path) -> Image.Exif:
    with Image.open(path) as image:
        return image.getexif()


@pytest.mark.parametrize(("source", "suffix"), list(itertools.product(SOURCES, SUFFIXES)))
def test_exif_travels_from_every_format_into_every_other(source: str, suffix: str, tmp_path: Path) -> None:
    photo, out, _ = restored(source, suffix, tmp_path)
    with Image.open(out) as image:
        assert image.size == (HEIGHT, WIDTH)
        exif = image.getexif()
        assert exif[271].rstrip("\0") == "Camera & Co"
        assert exif[272].rstrip("\0") == "Model 1"
        assert exif[33432].rstrip("\0").encode("latin-1").decode() == "© Jürgen Groß"
        assert exif.get(274, 1) == 1
        if source == "a.tif":
            assert suffix != ".tif" or exif[33550] == (1.5, 2.5, 0.0)
            return
        inner = exif.get_ifd(IFD.Exif)
        assert (inner[36867], float(inner[33434])) == ("2024:05:06 07:08:09", 1 / 250)
        assert inner[37500] == MAKER_NOTE
        assert (inner[40962], inner[40963]) == (HEIGHT, WIDTH)
        place = exif.get_ifd(IFD.GPSInfo)
        assert place[1] == "N"
        assert [float(part) for part in place[2]] == [48, 8, 12.34]
    assert photo.metadata.exif is not None


@pytest.mark.parametrize(("source", "suffix"), list(itertools.product(SOURCES, SUFFIXES)))
def test_all_else_travels_or_its_loss_is_told(source: str, suffix: str, tmp_path: Path) -> None:
    photo, out, lost = restored(source, suffix, tmp_path)
    again, before = read_photo(out).metadata, photo.metadata
    assert again.icc == before.icc
    assert again.xmp is not None
    assert b'xmp:Rating="4"' in again.xmp
    assert b'tiff:Orientation="1"' in again.xmp
    told = " ".join(lost)
    for name, value, now in (("IPTC", before.iptc, again.iptc), ("comment", before.comment, again.comment)):
        assert now == value or (now is None and name in told)
    if before.resolution is not None:
        assert again.resolution == pytest.approx((300, 300), abs=0.6)
    assert (again.chunks == before.chunks) != ("PNG texts" in told)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_thumbnail_of_the_photo_as_it_was_is_dropped(suffix: str, tmp_path: Path) -> None:
    for source in ("a.jpg", "a.webp"):
        _, out, _ = restored(source, suffix, tmp_path)
        with Image.open(out) as image:
            assert not image.getexif().get_ifd(IFD.IFD1)
        assert thumbnail()[:64] not in out.read_bytes()


def test_a_png_keeps_all_that_describes_its_colours_and_its_texts(tmp_path: Path) -> None:
    _, out, lost = restored("a.png", ".png", tmp_path)
    assert lost == ()
    with Image.open(out) as image:
        image.load()
        assert image.info["gamma"] == 0.45455
        assert image.info["chromaticity"][:2] == (0.3127, 0.329)
        assert image.info["srgb"] == 0
        texts = {"Author": "Jürgen", "Title": "fog", "Description": "ein Bäcker", "Comment": "a comment"}
        assert texts.items() <= image.info.items()


def test_a_video_colour_space_stays_in_a_png_and_is_told_elsewhere(tmp_path: Path) -> None:
    info = PngInfo()
    info.add(b"cICP", bytes([9, 16, 0, 1]))
    picture().save(tmp_path / "a.png", pnginfo=info)
    photo = read_photo(tmp_path / "a.png")
    write_photo(tmp_path / "b.png", photo, photo.rgb_HWC)
    assert (b"cICP", bytes([9, 16, 0, 1])) in read_photo(tmp_path / "b.png").metadata.chunks
    assert losses(tmp_path / "b.png", photo) == ()
    assert losses(tmp_path / "b.jpg", photo) == ("its colour space (cICP)",)


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_16_bits_carry_what_8_bits_carry(suffix: str, depth: int, tmp_path: Path) -> None:
    metadata = Metadata(icc=ICC, exif=exif_block(1), xmp=upright_xmp(XMP), iptc=IPTC, resolution=(300.0, 150.0))
    rgb = np.full((4, 6, 3), 0.5, np.float32)
    photo = Photo(rgb_HWC=rgb, depth=16 if depth == 16 else 8, metadata=metadata)
    write_photo(tmp_path / f"a{suffix}", photo, rgb)
    again = read_photo(tmp_path / f"a{suffix}")
    assert again.depth == depth
    assert (again.metadata.icc, again.metadata.xmp, again.metadata.iptc) == (ICC, metadata.xmp, IPTC)
    assert again.metadata.resolution == pytest.approx((300, 150), abs=0.6)
    with Image.open(tmp_path / f"a{suffix}") as image:
        exif = image.getexif()
        assert exif.get_ifd(IFD.Exif)[37500] == MAKER_NOTE
        assert exif.get_ifd(IFD.GPSInfo)[1] == "N"


def test_the_notes_of_a_camera_maker_stay_where_their_offsets_say(tmp_path: Path) -> None:
    block = exif_block(thumbnail=thumbnail())
    picture().save(tmp_path / "a.jpg", exif=b"Exif\0\0" + block)
    photo = read_photo(tmp_path / "a.jpg")
    write_photo(tmp_path / "b.jpg", photo, photo.rgb_HWC)
    with Image.open(tmp_path / "b.jpg") as image:
        written = image.info["exif"].removeprefix(b"Exif\0\0")
    assert written.index(MAKER_NOTE) == block.index(MAKER_NOTE)


def test_the_resolution_turns_with_the_photo(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[274] = 6
    picture().save(tmp_path / "a.jpg", exif=exif, dpi=(300, 150))
    assert read_photo(tmp_path / "a.jpg").metadata.resolution == (150, 300)


@pytest.mark.parametrize("key", ["Raw profile type exif", "Raw profile type APP1"])
def test_exif_that_an_editor_wrote_as_text_counts(key: str, tmp_path: Path) -> None:
    block = b"Exif\0\0" + exif_block()
    digits = block.hex()
    info = PngInfo()
    info.add_text(key, f"\nexif\n{len(block):8}\n{digits[:72]}\n{digits[72:]}\n", zip=True)
    picture().save(tmp_path / "a.png", pnginfo=info)
    photo = read_photo(tmp_path / "a.png")
    assert photo.rgb_HWC.shape == (WIDTH, HEIGHT, 3)
    write_photo(tmp_path / "b.jpg", photo, photo.rgb_HWC)
    assert exif_of(tmp_path / "b.jpg")[271] == "Camera & Co"


@pytest.mark.parametrize(("kind", "name"), [("JPEG", "a.jpg"), ("PNG", "a.png"), ("TIFF", "a.tif"), ("WEBP", "a.webp")])
def test_no_resolution_is_made_up(kind: str, name: str, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[271] = "Maker"
    picture().save(tmp_path / name, kind, exif=exif)
    assert read_photo(tmp_path / name).metadata.resolution is None


def test_what_a_jpeg_holds_beyond_one_picture_is_told(tmp_path: Path) -> None:
    picture().save(tmp_path / "two.jpg", "MPO", save_all=True, append_images=[picture()])
    assert "1 further picture in it" in read_photo(tmp_path / "two.jpg").notes[0]
    body = b"http://ns.adobe.com/xmp/extension/\0" + b"0" * 40 + b"<x/>"
    picture().save(tmp_path / "a.jpg", extra=b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body, xmp=XMP)
    assert read_photo(tmp_path / "a.jpg").notes == ("the extended part of its XMP was left out",)


def test_a_webp_says_the_resolution_in_its_exif(tmp_path: Path) -> None:
    picture().save(tmp_path / "a.png", dpi=(300, 300))
    photo = read_photo(tmp_path / "a.png")
    write_photo(tmp_path / "b.webp", photo, photo.rgb_HWC)
    assert float(exif_of(tmp_path / "b.webp")[282]) == pytest.approx(300, abs=0.1)


@pytest.mark.parametrize("field", ["exif", "xmp", "iptc", "comment"])
def test_what_is_too_large_for_a_jpeg_is_left_out_and_told(field: str, tmp_path: Path) -> None:
    large: Any = exif_block() + bytes(70_000) if field == "exif" else b"x" * 70_000
    photo = Photo(rgb_HWC=np.zeros((4, 4, 3), np.float32), metadata=Metadata(**{field: large}))
    assert losses(tmp_path / "a.jpg", photo)[0].endswith("of more than 64 KiB")
    write_photo(tmp_path / "a.jpg", photo, photo.rgb_HWC)
    assert getattr(read_photo(tmp_path / "a.jpg").metadata, field) is None
    if field != "comment":
        write_photo(tmp_path / "a.png", photo, photo.rgb_HWC)
        assert getattr(read_photo(tmp_path / "a.png").metadata, field) is not None


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b'tiff:Orientation="6"', b'tiff:Orientation="1"'),
        (b"tiff:Orientation = '8'", b"tiff:Orientation = '1'"),
        (b"<tiff:Orientation>3</tiff:Orientation>", b"<tiff:Orientation>1</tiff:Orientation>"),
        (b"a<xmp:Thumbnails><rdf:Alt>x\ny</rdf:Alt></xmp:Thumbnails>b", b"ab"),
        (b"<dc:title>6</dc:title>", b"<dc:title>6</dc:title>"),
    ],
)
def test_an_xmp_packet_is_made_upright(before: bytes, after: bytes) -> None:
    assert upright_xmp(before) == after


@pytest.mark.parametrize(("suffix", "lost"), [(".jpg", ("its 16 bits, 8 are written",)), (".png", ()), (".tif", ())])
def test_fewer_bits_are_told(suffix: str, lost: tuple[str, ...], tmp_path: Path) -> None:
    photo = Photo(rgb_HWC=np.zeros((4, 4, 3), np.float32), depth=16)
    assert losses(tmp_path / f"a{suffix}", photo) == lost


@pytest.mark.parametrize("records", [b"", b"\x1c\x02\x50\x00\x01x", b"\x1c\x02\x50\x00\x02xy" * 99])
def test_iptc_records_survive_their_wrappers(records: bytes) -> None:
    assert iptc.from_text(iptc.to_text(records)) == records
    other = struct.pack(">4sHBxI", b"8BIM", 0x03ED, 0, 3) + b"abc\0"
    body = iptc.jpeg_segment(records)[4:].removeprefix(b"Photoshop 3.0\0")
    assert iptc.from_resources(other + body) == records
    assert iptc.from_resources(other) is None
    assert iptc.from_text("no such text") is None
