"""The two kernels: a 3x3 convolution with all that surrounds it, and two convolutions without anything between them.

Both are products of matrices, pixels x (taps x inputs) times (taps x inputs) x outputs, that never write the first one
down: a program makes a tile of the image and reads it once per tap, mostly from the nearest cache. Sums are float32.

Tensors lie pixel by pixel: source and target are B x H x W x channels (IN, OUT), weights 9 x I x O, padded with zeros
to whole blocks (`pack`), bias and scale O. What is None is left out when a kernel is compiled. Tiles are TILE_H x
TILE_W pixels, each program one; its first pixel is found with 64 bits, what lies around it with 32.

The functions are plain: `launch` compiles them for a GPU or interprets them on a CPU. The interpreter knows nothing of
functions that a kernel calls, so they call none.
"""

# mypy: disable-error-code="no-untyped-def"
# Triton gives its parameters their types when it compiles.

from __future__ import annotations

import triton.language as tl


def convolution(
    source,
    take,
    weight,
    bias,
    scale,
    skip,
    put,
    target,
    height,
    width,
    IN: tl.constexpr,
    I: tl.constexpr,
    I_PADDED: tl.constexpr,
    BLOCK_I: tl.constexpr,
    O: tl.constexpr,
    BLOCK_O: tl.constexpr,
    OUT: tl.constexpr,
    STRIDE: tl.constexpr,
    GREY: tl.constexpr,
    RELU: tl.constexpr,
    SHUFFLE: tl.constexpr,
    TILE_H: tl.constexpr,
    TILE_W: tl.constexpr,
    OPERAND: tl.constexpr,
):
    """One convolution.

    Args:
        source: read at the channels `take` (all, in their order, if None); GREY is taken off what is read, so that the
            zeros around the image are grey.
        scale: times the result, if given.
        skip, put: the result is added to `skip` at the channels `put` (all if None) and goes to the same channels of
            `target`, which may be the same memory.
        height, width: of the result, before its pixels are shuffled.
        SHUFFLE: outputs are in the order (row, column, channel) of the 2 x 2 pixels that they become.
        OPERAND: in what the numbers are multiplied.
    """
    pixel = tl.arange(0, TILE_H * TILE_W)
    down, right = pixel // TILE_W, pixel % TILE_W
    top, left = tl.program_id(1) * TILE_H, tl.program_id(0) * TILE_W
    image = tl.program_id(2).to(tl.int64)
    rows, columns = height * STRIDE, width * STRIDE
    y, x = (top + down) * STRIDE, (left + right) * STRIDE
    corner = source + ((image * rows + top * STRIDE) * columns + left * STRIDE) * IN
    away = (down * columns + right) * (STRIDE * IN)
    output = tl.arange(0, BLOCK_O)
    block = tl.arange(0, BLOCK_I)
    factor = block[:, None] * BLOCK_O + output[None, :]
    total = tl.broadcast_to(tl.load(bias + output)[None, :], (TILE_H * TILE_W, BLOCK_O))
    for first in tl.static_range(0, I, BLOCK_I):
        kept = (first + block < I)[None, :]
        place = first + block
        if take is not None:
            place = tl.load(take + first + block, mask=first + block < I, other=0)
        nearby = away[:, None] + place[None, :]
        for down_tap in tl.static_range(-1, 2):
            in_rows = (y + down_tap >= 0) & (y + down_tap < rows)
            line = corner + down_tap * columns * IN
            for right_tap in tl.static_range(-1, 2):
                inside = (in_rows & (x + right_tap >= 0) & (x + right_tap < columns))[:, None] & kept
                values = tl.load(line + right_tap * IN + nearby, mask=inside, other=0)
                if GREY != 0:
                    values = tl.where(inside, values - GREY, 0)
                factors = tl.load(weight + ((down_tap * 3 + right_tap + 4) * I_PADDED + first) * BLOCK_O + factor)
                values = values.to(weight.dtype.element_ty).to(OPERAND)
                total = tl.dot(values, factors.to(OPERAND), total, input_precision="ieee")
    if RELU:
        total = tl.maximum(total, 0.0)
    if scale is not None:
        total *= tl.load(scale + output)[None, :]
    here = ((y < rows) & (x < columns))[:, None] & (output < O)[None, :]
    if SHUFFLE:
        write = target + ((image * height + top) * 4 * width + left * 2) * OUT
        away_out = (down[:, None] * 2 + (output // (O // 2))[None, :]) * 2 * width + right[:, None] * 2
        away_out = away_out * OUT + (output % (O // 2))[None, :]
    else:
        write = target + ((image * height + top) * width + left) * OUT
        place_out = output
        if put is not None:
            place_out = tl.load(put + output, mask=output < O, other=0)
        away_out = (down * width + right)[:, None] * OUT + place_out[None, :]
    if skip is not None:
        before = skip + ((image * height + top) * width + left) * OUT
        total += tl.load(before + away_out, mask=here, other=0).to(tl.float32)
    tl.store(write + away_out, total.to(target.dtype.element_ty), mask=here)


def pair(
    source,
    take,
    weight1,
    bias1,
    weight2,
    bias2,
    scale,
    target,
    height,
    width,
    IN: tl.constexpr,
    I: tl.constexpr,
    I_PADDED: tl.constexpr,
    BLOCK_I: tl.constexpr,
    BLOCK_M: tl.constexpr,
    O: tl.constexpr,
    BLOCK_O: tl.constexpr,
    OUT: tl.constexpr,
    ADD: tl.constexpr,
    TILE_H: tl.constexpr,
    TILE_W: tl.constexpr,
    OPERAND: tl.constexpr,
):
    """Convolution, ReLU, convolution: what is between them stays on the chip, made anew at the edges of tiles.

    A tile of the middle tensor is TILE_H x TILE_W; one of the result is two rows and two columns less.

    Args:
        source: read at the channels `take` (all, in their order, if None).
        scale: times the result, if given.
        target: never the memory of `source`, which other programs still read.
        height, width: of source, middle and result.
        BLOCK_M: channels of the middle tensor, with padding.
        ADD: what was read is added to the result, which has as many channels then.
        OPERAND: in what the numbers are multiplied.
    """
    pixel = tl.arange(0, TILE_H * TILE_W)
    down, right = pixel // TILE_W, pixel % TILE_W
    top, left = tl.program_id(1) * (TILE_H - 2) - 1, tl.program_id(0) * (TILE_W - 2) - 1
    y, x = top + down, left + right
    corner = (tl.program_id(2).to(tl.int64) * height + top) * width + left
    away = (down * width + right)[:, None]
    middle = tl.arange(0, BLOCK_M)
    block = tl.arange(0, BLOCK_I)
    factor = block[:, None] * BLOCK_M + middle[None, :]
    total = tl.broadcast_to(tl.load(bias1 + middle)[None, :], (TILE_H * TILE_W, BLOCK_M))
    for first in tl.static_range(0, I, BLOCK_I):
        kept = (first + block < I)[None, :]
        place = first + block
        if take is not None:
            place = tl.load(take + first + block, mask=first + block < I, other=0)
        nearby = away * IN + place[None, :]
        for down_tap in tl.static_range(-1, 2):
            in_rows = (y + down_tap >= 0) & (y + down_tap < height)
            line = source + (corner + down_tap * width) * IN
            for right_tap in tl.static_range(-1, 2):
                inside = (in_rows & (x + right_tap >= 0) & (x + right_tap < width))[:, None] & kept
                values = tl.load(line + right_tap * IN + nearby, mask=inside, other=0)
                factors = tl.load(weight1 + ((down_tap * 3 + right_tap + 4) * I_PADDED + first) * BLOCK_M + factor)
                total = tl.dot(values.to(OPERAND), factors.to(OPERAND), total, input_precision="ieee")
    within = (y >= 0) & (y < height) & (x >= 0) & (x < width)
    hidden = tl.where(within[:, None], tl.maximum(total, 0.0), 0.0).to(weight2.dtype.element_ty)

    output = tl.arange(0, BLOCK_O)
    factor = middle[:, None] * BLOCK_O + output[None, :]
    itself = tl.broadcast_to(pixel[:, None], (TILE_H * TILE_W, BLOCK_M))
    result = tl.broadcast_to(tl.load(bias2 + output)[None, :], (TILE_H * TILE_W, BLOCK_O))
    for down_tap in tl.static_range(-1, 2):
        for right_tap in tl.static_range(-1, 2):
            near = (itself + (down_tap * TILE_W + right_tap)) & (TILE_H * TILE_W - 1)
            factors = tl.load(weight2 + (down_tap * 3 + right_tap + 4) * (BLOCK_M * BLOCK_O) + factor)
            values = tl.gather(hidden, near, 0)
            result = tl.dot(values.to(OPERAND), factors.to(OPERAND), result, input_precision="ieee")
    if scale is not None:
        result *= tl.load(scale + output)[None, :]
    edge = (down == 0) | (down == TILE_H - 1) | (right == 0) | (right == TILE_W - 1)
    here = (within & (edge == 0))[:, None] & (output < O)[None, :]
    if ADD:
        place = output
        if take is not None:
            place = tl.load(take + output, mask=output < O, other=0)
        read = source + corner * IN + away * IN + place[None, :]
        result += tl.load(read, mask=here, other=0).to(tl.float32)
    write = target + corner * OUT + away * OUT + output[None, :]
    tl.store(write, result.to(target.dtype.element_ty), mask=here)
