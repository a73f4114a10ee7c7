"""A rectangle of an image, encoded as if the whole image were: a page restores what is on the screen alone."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from tatsnet.runtimes.torch.layers import State


class Box(NamedTuple):
    """A rectangle of pixels; `bottom` and `right` lie one after its last row and column."""

    top: int
    left: int
    bottom: int
    right: int

    def grown(self, pixels: int, within: Box) -> Box:
        """With so many pixels more on each side, as far as there are any, from an even row and column on."""
        top, left = max(within.top, self.top - pixels), max(within.left, self.left - pixels)
        bottom, right = min(within.bottom, self.bottom + pixels), min(within.right, self.right + pixels)
        return Box(top - top % 2, left - left % 2, bottom, right)

    def seen_from(self, other: Box) -> Box:
        """The same pixels, counted from another rectangle's first row and column."""
        top, left = other.top, other.left
        return Box(self.top - top, self.left - left, self.bottom - top, self.right - left)

    def of(self, pixels: Tensor) -> Tensor:
        """These rows and columns of a tensor, ... x H x W."""
        return pixels[..., self.top : self.bottom, self.left : self.right]


def whole(image: Tensor) -> Box:
    """All of an image, ... x H x W."""
    return Box(0, 0, *image.shape[-2:])


def check_box(box: Box, within: Box) -> None:
    """Refuse a rectangle that is empty or sticks out.

    Raises:
        ValueError: it is or does.
    """
    if not (
        within.top <= box.top < box.bottom <= within.bottom and within.left <= box.left < box.right <= within.right
    ):
        raise ValueError(f"rows and columns {tuple(box)} are no part of an image of {within.right}x{within.bottom}")


def cut(state: State, box: Box) -> State:
    """The part of a state that lies in a rectangle of its image, whose sides are even; it holds no more than that."""
    rows = state.image_BCHW.shape[-2]

    def part(tensor: Tensor) -> Tensor:
        step = rows // tensor.shape[-2]
        return Box(*(side // step for side in box)).of(tensor).clone()

    return State(part(state.image_BCHW), part(state.stream_BCHW), part(state.hidden_BCHW), False)
