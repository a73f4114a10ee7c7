"""A section run in bands of rows, so that a large photo needs little memory; equal to the section run whole.

A band is cut with as many rows around it as its results depend on, so nothing of its edge is seen in them. Rows are
counted at half resolution, where the stream lives. Shapes: B batch, C channels, H height, W width, D degradation
types (3).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor

from tatsnet.network.architecture import Channels, Conv, Pattern
from tatsnet.network.slicing import travelling
from tatsnet.runtimes.api import Compiled
from tatsnet.runtimes.torch.layers import State
from tatsnet.system.memory import available

BAND_BYTES = 2 * 2**30
"""An image whose convolutions would hold more than so much at a time, or a quarter of the memory that is free, is run
in bands."""

SMALL = 2**20
"""Pixels of an image for which memory is not looked at."""

IMAGES = 5
"""Copies of an image that are alive together: as it is, padded, with an effect added, clamped, as an array."""


def reach(convs: Sequence[Conv]) -> int:
    """Rows at half resolution around a row that a section's results there depend on.

    Each 3x3 convolution at half resolution sees one row further, each at full resolution half a row.
    """
    return math.ceil(sum(1.0 if conv.area < 1 else 0.5 for conv in convs))


def bytes_per_row(convs: Sequence[Conv], pattern: Pattern, incoming: Channels, width: int, itemsize: int) -> float:
    """What a section holds at its fullest, per row at half resolution: an estimate from above.

    Args:
        width: of the padded image, in pixels.
        itemsize: bytes of a number.
    """
    stream = len(travelling(convs, pattern, incoming))
    at_half = 2 * stream + 2 * max((conv.channels(pattern)[1] for conv in convs if conv.area < 1), default=0)
    at_full = sum(4 * (conv.channels(pattern)[1] + conv.inputs) for conv in convs if conv.area == 1)
    return itemsize * width / 2 * max(at_half, stream + at_full, 1)


def hidden_planes(convs: Sequence[Conv], pattern: Pattern) -> int:
    """Numbers per pixel at half resolution of what a section leaves beside the stream.

    An estimate from above: it is taken to leave all that its last convolution makes.
    """
    if not convs:
        return 0
    last = convs[-1]
    return last.channels(pattern)[1] * (4 if last.area == 1 else 1)


def rows_within(limit_bytes: float, bytes_per_row: float, around: int, rows: int) -> int:
    """Rows of a band, so that the band with what is around it takes at most so many bytes; all rows where they fit.

    At least as many as lie around it: a narrower band would compute more around itself than it gives.

    Args:
        bytes_per_row: what a section holds at its fullest, per row.
        around: as `reach` says, on either side.
        rows: of the image.
    """
    fitting = int(limit_bytes // bytes_per_row)
    if fitting >= rows:
        return rows
    count = math.ceil(rows / max(fitting - 2 * around, around, 1))
    return math.ceil(rows / count)


def run_within(
    limit_bytes: float,
    section: Compiled,
    convs: Sequence[Conv],
    pattern: Pattern,
    incoming: Channels,
    state: State,
    task_D: Tensor,
) -> State:
    """Run a section, in as few bands as keep what it holds within a limit.

    On a CPU a large image takes no more than a quarter of the memory that is free, either.

    Args:
        convs, pattern, incoming: what the section was made of.
        state: as the section takes it; left as it is.
    """
    batch, _, height, width = state.image_BCHW.shape
    if state.image_BCHW.device.type == "cpu" and height * width > SMALL:
        limit_bytes = min(limit_bytes, available() / 4)
    around = reach(convs)
    per_row = batch * bytes_per_row(convs, pattern, incoming, width, state.image_BCHW.dtype.itemsize)
    return in_bands(section, state, task_D, around, rows_within(limit_bytes, per_row, around, height // 2))


def in_bands(section: Compiled, state: State, task_D: Tensor, around: int, band: int) -> State:
    """Run a section band after band.

    Args:
        section: made for whole images; called with bands of them.
        state: as the section takes it; left as it is.
        around: as `reach` says of the section's convolutions.
        band: rows at half resolution, at least 1.
    """
    rows = state.image_BCHW.shape[2] // 2
    if band >= rows:
        return section(state, task_D)
    stream: Tensor | None = None
    hidden: Tensor | None = None
    for top in range(0, rows, band):
        bottom = min(top + band, rows)
        first, last = max(0, top - around), min(rows, bottom + around)
        done = section(_rows(state, first, last, rows), task_D)
        part = _rows(done, top - first, bottom - first, last - first)
        stream = _put(stream, part.stream_BCHW, top, bottom - top, rows)
        hidden = _put(hidden, part.hidden_BCHW, top, bottom - top, rows)
    assert stream is not None
    assert hidden is not None
    return State(state.image_BCHW, stream, hidden, True)


def _rows(state: State, first: int, last: int, rows: int) -> State:
    """The rows from `first` to before `last`, of `rows` at half resolution."""

    def cut(tensor: Tensor) -> Tensor:
        scale = tensor.shape[2] // rows
        return tensor[:, :, first * scale : last * scale]

    return State(cut(state.image_BCHW), cut(state.stream_BCHW), cut(state.hidden_BCHW), False)


def _put(whole: Tensor | None, part: Tensor, top: int, band: int, rows: int) -> Tensor:
    """A band's result into the whole one, which the first band makes."""
    scale = part.shape[2] // band
    if whole is None:
        batch, channels, _, width = part.shape
        whole = part.new_empty((batch, channels, rows * scale, width))
    whole[:, :, top * scale : (top + band) * scale] = part
    return whole
