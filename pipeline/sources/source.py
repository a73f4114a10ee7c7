"""What every source of photos is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

Report = Callable[[str], None]
"""Takes one line about the progress, for the user to see."""

SPLITS = ("train", "valid", "test")


class Source(Protocol):
    """A set of clean photos, split for training, validation and test."""

    def fetch(self, into: Path, report: Report) -> None:
        """Write the originals, PNG or JPEG, byte for byte to `into`/{train,valid,test}/NAME.ext.

        Every split holds at least one photo, and no photo stands in two of them. The same source writes the same
        bytes under the same names each time.

        Args:
            into: an empty or new directory; call within `pipeline.common.files.fresh_folder`, because a failure may
                leave part of the photos in it.
            report: is told what goes on.

        Raises:
            UserError: the photos cannot be had or are not usable; the message says which, why and what to do.
        """
        ...
