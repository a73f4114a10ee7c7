"""A short-lived folder of this user's alone, with a name so short that sockets may lie in it."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from pipeline.common.errors import UserError

LONGEST = 23
"""Bytes of the folder for temporary files: a socket's whole path may have 103, and Ray's part of it takes the rest."""
_PREFIX, _OWNER = "tatsnet-", "owner"
_OURS = re.compile(rf"{_PREFIX}\w{{8}}")


class PrivateFolder:
    """A folder that nobody else can enter, held by this process; what killed processes of this user left is removed.

    Attributes:
        path: of the folder.

    Raises:
        UserError: no folder for temporary files has a short path and may be written.
    """

    def __init__(self) -> None:
        base = short_base()
        _tidy(base)
        try:
            self.path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=base))
            self._held = (self.path / _OWNER).open("w")
            fcntl.flock(self._held, fcntl.LOCK_EX)
        except OSError as error:
            raise UserError(
                f"no folder can be made in {base} ({error.strerror}): free some space, or set TMPDIR to another"
            ) from error

    def remove(self) -> None:
        """Remove it with all that is in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        self._held.close()


def short_base(others: Sequence[str] = ("/tmp", "/var/tmp")) -> Path:
    """The folder for temporary files, or one of the `others` where that has too long a path.

    Raises:
        UserError: there is none.
    """
    for place in (tempfile.gettempdir(), *others):
        if len(os.fsencode(place)) <= LONGEST and os.access(place, os.W_OK | os.X_OK):
            return Path(place)
    raise UserError(
        f"no folder for temporary files has a path of at most {LONGEST} characters, which sockets need, and may be "
        "written: set TMPDIR to one, as TMPDIR=/tmp"
    )


def _tidy(base: Path) -> None:
    for place in base.iterdir():
        with suppress(OSError):
            if _OURS.fullmatch(place.name) and place.lstat().st_uid == os.getuid() and not place.is_symlink():
                with (place / _OWNER).open("r+") as owner:
                    fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)  # held as long as its process lives
                    shutil.rmtree(place, ignore_errors=True)
