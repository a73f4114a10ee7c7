"""The place where the page is served."""

from __future__ import annotations

import socket

import pytest

from tatsnet.demo.server import bound


def test_a_port_is_taken_once() -> None:
    with bound(0) as place:
        place.listen()
        with pytest.raises(OSError, match="in use"):
            bound(place.getsockname()[1])


def test_on_windows_a_port_is_not_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    """There SO_REUSEADDR lets two programs take one port, SO_EXCLUSIVEADDRUSE does not; another option stands in."""
    monkeypatch.setattr(socket, "SO_EXCLUSIVEADDRUSE", socket.SO_KEEPALIVE, raising=False)
    with bound(0) as place:
        assert place.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert not place.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)
