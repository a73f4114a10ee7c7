"""One session for each open tab: its photo, and which of its requests are still wanted. Nothing goes to the disk."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from threading import Lock

from tatsnet.demo.picture import Picture
from tatsnet.network.tasks import Task


class Stale(Exception):
    """A newer request has made this one useless."""


class Session:
    """A tab. May be used by several threads."""

    def __init__(self) -> None:
        self.picture: Picture | None = None
        self._newest: dict[str, int] = {}
        self._task: Task | None = None
        self._lock = Lock()

    def enter(self, kind: str, serial: int) -> None:
        """A request arrives: those of its kind with a smaller number are stale from now on."""
        with self._lock:
            self._newest[kind] = max(serial, self._newest.get(kind, serial))

    def move(self, task: Task, serial: int) -> None:
        """The sliders stand here now: the full size of where they were is not wanted any more."""
        with self._lock:
            if task != self._task and serial >= self._newest.get("full", serial):
                self._newest["full"], self._task = serial, task

    def check(self, kind: str, serial: int) -> None:
        """Go on only if nothing newer of the kind has arrived.

        Raises:
            Stale: something has.
        """
        if serial < self._newest.get(kind, serial):
            raise Stale


class Sessions:
    """The open tabs; the longest unused ones go where there are too many or their photos too large together.

    Args:
        most: tabs at a time.
        most_pixels: of all their photos; the one in use is kept whatever its size.
    """

    def __init__(self, most: int = 16, most_pixels: int = 120_000_000) -> None:
        self._most, self._most_pixels = most, most_pixels
        self._open: OrderedDict[str, Session] = OrderedDict()

    def start(self) -> str:
        """A new session's name, which nobody can guess."""
        name = secrets.token_urlsafe(16)
        self._open[name] = Session()
        self._trim()
        return name

    def find(self, name: str) -> Session | None:
        """The session of this name, now the last used one; None where it is gone."""
        session = self._open.get(name)
        if session is not None:
            self._open.move_to_end(name)
        return session

    def put(self, session: Session, picture: Picture) -> None:
        """Give a session a photo."""
        session.picture = picture
        self._trim()

    def end(self, name: str) -> None:
        """Forget a session and its photo."""
        self._open.pop(name, None)

    def __len__(self) -> int:
        """Open sessions."""
        return len(self._open)

    def _trim(self) -> None:
        while len(self._open) > 1 and (len(self._open) > self._most or self._pixels() > self._most_pixels):
            self._open.popitem(last=False)

    def _pixels(self) -> int:
        return sum(session.picture.pixels for session in self._open.values() if session.picture is not None)
