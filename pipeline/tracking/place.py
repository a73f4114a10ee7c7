"""Where the default store lies, as an address that every folder's name survives and that moves with the project."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote

from pipeline.common.layout import home
from pipeline.common.sqlite import sqlite_uri

STORE = "mlflow.db"
ARTIFACTS = "mlartifacts"
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)
_OWN = f"sqlite:///{STORE}"


def store_file(root: Path) -> Path:
    """The file of the default store."""
    return home(root) / STORE


def portable(root: Path, uri: str) -> str:
    """A store's address to be kept in a file: the project's own store without the folder, which may be renamed."""
    return _OWN if uri == sqlite_uri(store_file(root)) else uri


def absolute(root: Path, uri: str) -> str:
    """An address as the user or a file gives it; relative paths are taken from the project's own folder.

    A temporary copy of DVC's is deleted with all that was written into it.
    """
    if uri.startswith("sqlite:///"):
        path, question, query = uri.removeprefix("sqlite:///").partition("?")
        if path.startswith(("/", ":memory:")) or not path:
            return uri
        return f"{sqlite_uri(home(root) / unquote(path))}{question}{query}"
    if _SCHEME.match(uri) or uri.startswith(("/", "databricks")):
        return uri
    return (home(root) / uri).as_uri()
