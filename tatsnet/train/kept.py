"""What a training leaves on the way, so that it goes on from there after a kill.

A folder of safetensors files of at most 16 MiB each, and the curve so far as JSON; it appears whole or not at all.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tatsnet.method.training import ITERATION
from tatsnet.system.files import Tensors, pack, unpack
from tatsnet.system.json_files import read_json
from tatsnet.system.replacing import fresh_folder

Curve = list[dict[str, float | int | str]]
"""One entry per report: iteration, phase, and the terms of the loss."""

EVERY_S = 60.0
"""Seconds between two checkpoints."""

PART_BYTES = 15 * 2**20
"""Of tensors in one file; a larger tensor has a file of its own."""

_CURVE = "curve.json"
_PARTS = "part-*.safetensors"


class Checkpoint:
    """What one training leaves every minute and at its end.

    Args:
        folder: whose name says which training it is: one with other inputs has another.
        tell: shows a sentence to the user.
        every_s: seconds between two checkpoints.

    Attributes:
        path: the folder.
        state: to resume from; None at the beginning.
        curve: of the iterations that are done.
    """

    def __init__(self, folder: Path, tell: Callable[[str], None], every_s: float = EVERY_S) -> None:
        self.path, self._every_s, self._last = folder, every_s, time.monotonic()
        self.state: Tensors | None = None
        self.curve: Curve = []
        if folder.is_dir():
            try:
                self.state, self.curve = _read(folder)
            except (ValueError, KeyError, OSError) as error:
                tell(f"{folder} cannot be resumed ({error}): the training begins anew")

    @property
    def iteration(self) -> int:
        """Finished iterations."""
        return 0 if self.state is None else int(self.state[ITERATION])

    def visit(self, state: Callable[[], Tensors]) -> None:
        """Keep the state, and the curve as it is, when it is time to."""
        if time.monotonic() - self._last >= self._every_s:
            self.keep(state())

    def keep(self, state: Tensors) -> None:
        """Keep the state, and the curve as it is."""
        with fresh_folder(self.path, _written) as folder:
            for index, part in enumerate(_parts(state)):
                (folder / f"part-{index}.safetensors").write_bytes(pack(part))
            (folder / _CURVE).write_text(json.dumps(self.curve))
        self._last = time.monotonic()

    def forget(self) -> None:
        """Remove it: what the training makes is written."""
        shutil.rmtree(self.path, ignore_errors=True)


def _written(folder: Path) -> list[str]:
    """The names of the files of a checkpoint."""
    return [_CURVE, *(path.name for path in folder.glob(_PARTS))]


def _parts(state: Tensors) -> Iterator[Tensors]:
    part: Tensors = {}
    size = 0
    for name, tensor in state.items():
        if part and size + tensor.nbytes > PART_BYTES:
            yield part
            part, size = {}, 0
        part[name] = tensor
        size += tensor.nbytes
    yield part


def _read(folder: Path) -> tuple[Tensors, Curve]:
    state: Tensors = {}
    for path in sorted(folder.glob(_PARTS)):
        state |= unpack(path.read_bytes(), path, "it is left out")
    if ITERATION not in state:
        raise ValueError("it holds no iteration")
    curve: Curve = read_json(folder / _CURVE)
    return state, curve
