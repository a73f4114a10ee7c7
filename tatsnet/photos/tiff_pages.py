"""Which page of a TIFF file is the photo: thumbnails, masks and raw sensor data lie beside it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import tifffile

from tatsnet.photos.decoded import DamagedImageError, UnsupportedImageError

_SUFFIXES = """
.3fr .ari .arw .bay .cr2 .cr3 .crw .dcr .dng .erf .fff .gpr .iiq .k25 .kdc .mef .mos .mrw .nef
.nrw .orf .pef .raf .raw .rw2 .rwl .sr2 .srf .srw .x3f
"""

RAW_SUFFIXES = frozenset(_SUFFIXES.split())
RAW = "a camera's raw file; develop it first and export it as a 16-bit TIFF or a JPEG"

_MOST_PAGES = 64
_REDUCED, _MASK = 1, 4
_RAW_TAGS = (50706, 33421)  # DNGVersion, CFARepeatPatternDim
_RAW_COLOURS = (32803, 34892)  # a colour filter array, linear raw


def photo_page(file: tifffile.TiffFile) -> tuple[tifffile.TiffPage, list[str]]:
    """The largest page that is no thumbnail and no mask, and what there is to say about the others.

    Raises:
        UnsupportedImageError: a camera's raw file.
        DamagedImageError: there is no page.
    """
    pages = list(_pages(file))
    if not pages:
        raise DamagedImageError("it has no page")
    if any(_is_raw(page) for page in pages):
        raise UnsupportedImageError(RAW)
    full = [page for page in pages if not page.subfiletype & (_REDUCED | _MASK)] or pages
    most = max(_pixels(page) for page in full)
    largest = [page for page in full if _pixels(page) == most]
    others = len(largest) - 1
    notes = [f"the first of {len(largest)} pages of this size is read"] if others else []
    return largest[0], notes


def _pages(file: tifffile.TiffFile) -> Iterator[tifffile.TiffPage]:
    """The pages and what lies below them, as far as they can be read."""
    first = True
    try:
        for page in islice(file.pages, _MOST_PAGES):
            whole = page.aspage()
            yield whole
            first = False
            for inner in islice(whole.pages or (), _MOST_PAGES):
                yield inner.aspage()
    except Exception:  # a later page that is damaged; the first one must be sound
        if first:
            raise


def _is_raw(page: tifffile.TiffPage) -> bool:
    return int(page.photometric) in _RAW_COLOURS or any(tag in page.tags for tag in _RAW_TAGS)


def _pixels(page: tifffile.TiffPage) -> int:
    return int(page.imagewidth) * int(page.imagelength)
