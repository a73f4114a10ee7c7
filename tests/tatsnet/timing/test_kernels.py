"""What kernels move and multiply, by hand."""

from __future__ import annotations

import math

import pytest
import torch

from tatsnet.network.architecture import NetworkConfig
from tatsnet.timing.kernels import Load, dense_calls, found_calls, total
from tatsnet.timing.synthetic import TATS_16, Layout, Shape, architecture, random_parts
from tatsnet.timing.traffic import dense_moved, moved

BFLOAT16, HEIGHT, WIDTH = torch.bfloat16, 96, 128
PIXELS = HEIGHT * WIDTH


def test_wide_convolutions_move_what_they_do_one_after_the_other() -> None:
    network = NetworkConfig(width=64, blocks=2)
    image = 2 * 3 * PIXELS  # it is float32
    load = total(dense_calls(network, HEIGHT, WIDTH, BFLOAT16))
    assert load.bytes_once == 2 * dense_moved(network, HEIGHT, WIDTH) + image


def test_a_narrow_block_moves_its_stream_only() -> None:
    network = NetworkConfig(width=16, blocks=1)
    head, block, tail = 4 * 3 + 2 * 16 / 4, 2 * (16 + 16) / 4, 2 * (16 + 16) / 4
    up_and_out = 2 * (4 + 3)
    load = total(dense_calls(network, HEIGHT, WIDTH, BFLOAT16))
    assert load.bytes_once == PIXELS * (head + block + tail + up_and_out)


def test_tiles_read_what_lies_around_them_and_multiply_padding() -> None:
    calls = dense_calls(NetworkConfig(width=16, blocks=1), HEIGHT, WIDTH, BFLOAT16)
    block, tail = calls[1:3]
    assert (block.kernel, tail.kernel) == ("pair", "convolution")
    rows, columns = HEIGHT // 2, WIDTH // 2
    tiles = math.ceil(rows / 14) * math.ceil(columns / 14)
    assert total([block]) == Load(
        bytes_once=2 * rows * columns * 32,
        bytes_tiles=2 * 16 * (tiles * 18 * 18 + rows * columns),
        flops=2 * 9 * tiles * 16 * 16 * (16 * 16 + 16 * 16),
    )
    assert total([tail]).flops == 2 * 9 * rows * columns * 16 * 16


def test_the_shared_part_is_its_head_and_its_block() -> None:
    shape = Shape(shared=4, stream=32, middle=32, task_stream=16, task_middle=16, up=16, group=16)
    parts = random_parts(architecture(shape, Layout.TIED, network=NetworkConfig(width=64, blocks=2)))
    once, _ = found_calls(parts, HEIGHT, WIDTH, BFLOAT16)
    head, block = 4 * 3 + 2 * 32 / 4, 2 * (32 + 32) / 4
    assert total(once).bytes_once == pytest.approx(PIXELS * (head + block))


def test_at_the_papers_size_an_effect_moves_half_of_what_its_convolutions_do() -> None:
    found = architecture(TATS_16, Layout.TIED)
    once, each = found_calls(random_parts(found), 2160, 3840, BFLOAT16)
    specific = [total(each[index]).bytes_once for _, index in found.tasks]
    load = total(once).bytes_once / 27 + sum(specific) / len(specific)
    assert 0.45 < load / (2 * moved(found, 2160, 3840, 27)) < 0.55
