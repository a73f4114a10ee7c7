"""A search's own Ray listens on loopback and asks for a token: nobody else can send it work, which would run as us."""

from __future__ import annotations

import os
import secrets


def cluster_address() -> str | None:
    """The cluster that RAY_ADDRESS names; None where it names none, and a search starts a Ray of its own."""
    address = os.environ.get("RAY_ADDRESS", "").strip()
    return None if address in ("", "local") else address


def close_own_ray() -> None:
    """Close the Ray that this process may start, for as long as it lives, whatever the environment says of Ray's doors.

    To be called before Ray is imported: it reads then whether it is to ask for a token. A cluster that RAY_ADDRESS
    names is as its owner made it.
    """
    if cluster_address():
        return
    if os.environ.get("RAY_AUTH_MODE", "").strip().lower() != "token":
        os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(32))
    os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # on any system: not a cluster, so loopback
