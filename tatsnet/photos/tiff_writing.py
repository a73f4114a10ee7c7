"""TIFF of 8 and of 16 bits written: pixels by tifffile, with the tags of an EXIF block by Pillow."""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
import tifffile
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from tatsnet.photos import exif
from tatsnet.photos.metadata import Metadata
from tatsnet.photos.tiff_tags import IPTC, NO_EXIF, XMP

_HEAD = b"II*\0\x08\0\0\0"
_LEVEL = 3
_STRIPS = 273


def encode(samples_HWC: npt.NDArray[np.generic], metadata: Metadata) -> bytes:
    """Encode uint8 or uint16 samples, C in 1 .. 4, losslessly."""
    channels = samples_HWC.shape[2]
    buffer = io.BytesIO()
    tifffile.imwrite(
        buffer,
        samples_HWC[..., 0] if channels == 1 else samples_HWC,
        byteorder="<",
        photometric="rgb" if channels >= 3 else "minisblack",
        planarconfig="contig" if channels > 1 else None,
        extrasamples=["unassalpha"] if channels in (2, 4) else None,
        compression="zlib",
        compressionargs={"level": _LEVEL},
        predictor=True,
        iccprofile=metadata.icc,
        resolution=metadata.resolution,
        resolutionunit="INCH" if metadata.resolution else None,
        metadata=None,
        software=False,
    )
    return _with_tags(buffer.getvalue(), metadata)


def _with_tags(data: bytes, metadata: Metadata) -> bytes:
    """The file with the tags of an EXIF block, with XMP and IPTC in its directory, which Pillow writes anew."""
    if metadata.exif is None and metadata.xmp is None and metadata.iptc is None:
        return data
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page = file.pages.first
        starts, end = page.dataoffsets, page.dataoffsets[-1] + page.databytecounts[-1]
    stream = io.BytesIO(data)
    stream.seek(page.offset)
    directory = ImageFileDirectory_v2(_HEAD)
    directory.load(stream)
    own = set(dict(directory)) | NO_EXIF  # it writes only the tags that were looked at
    for tag, value in (exif.tags(metadata.exif) if metadata.exif is not None else {}).items():
        if tag not in own:
            directory[tag] = value
    for tag, kind, body in ((XMP, 1, metadata.xmp), (IPTC, 7, metadata.iptc)):
        if body is not None:
            directory.tagtype[tag] = kind
            directory[tag] = body
    directory[_STRIPS] = tuple(start - starts[0] for start in starts)
    return _HEAD + directory.tobytes(len(_HEAD)) + data[starts[0] : end]
