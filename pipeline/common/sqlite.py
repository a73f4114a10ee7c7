"""Addresses of SQLite files for SQLAlchemy, on which MLflow and Optuna stand."""

from __future__ import annotations

import string
from pathlib import Path
from urllib.parse import quote, unquote

_PLAIN = "".join(sorted(set(string.printable) - set("%?{}")))


def sqlite_uri(path: Path) -> str:
    """The address of a SQLite file, whatever its folders are called.

    SQLAlchemy cuts a path at `?` and decodes a `%20` in it, and Optuna fills in what stands in braces, so these are
    encoded. MLflow would then make a folder of the encoded name, unless the driver is named.
    """
    plain = str(path.resolve())
    encoded = quote(plain, safe=_PLAIN, errors="surrogateescape")
    if unquote(plain) == plain and not set("?{}") & set(plain):
        return f"sqlite:///{plain}"
    return f"sqlite+pysqlite:///{encoded}"
