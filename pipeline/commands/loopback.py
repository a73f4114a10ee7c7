"""Servers without a password stay on this machine."""

from __future__ import annotations

import ipaddress

from pipeline.common.errors import UserError


def require_loopback(host: str, otherwise: str) -> None:
    """Refuse a host on which others could reach a server.

    Args:
        host: as `--host` was given. Only a full loopback address or `localhost` passes: short forms such as `127.1` or
            `0`, names that some resolver may know, and the empty string, which means all addresses, do not.
        otherwise: what would happen and what to do instead, as the end of a sentence that begins with `--host HOST`.

    Raises:
        UserError: any other host.
    """
    try:
        loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = host == "localhost"
    if not loopback:
        raise UserError(f"--host {host or repr(host)} {otherwise}")
