"""The one folder of a box: where everything lies, and its secrets."""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from pipeline.common.files import writing

BUCKET = "box"
PREFIX = "tatsnet"


@dataclass(frozen=True)
class Folder:
    """A box's folder, `.state/box` of a project.

    Others may pass through it (Postgres will not run as root, so it may have to run as somebody else), but only the
    owner may look into `secrets` and `logs`.
    """

    path: Path

    @property
    def secrets(self) -> Path:
        return self.path / "secrets"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    @property
    def ports(self) -> Path:
        """The ports of the services while they run, as JSON."""
        return self.path / "ports.json"

    @property
    def environment(self) -> Path:
        """What a shell sources to use the running box."""
        return self.path / "env.sh"

    @property
    def lock(self) -> Path:
        return self.path / "lock"

    def log(self, service: str) -> Path:
        return self.logs / f"{service}.log"

    def make(self) -> None:
        """Make what is missing.

        Raises:
            UserError: it cannot be made.
        """
        with writing(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            self.path.chmod(0o711)
            for private in (self.secrets, self.logs):
                private.mkdir(exist_ok=True)
                private.chmod(0o700)

    def secret(self, name: str) -> str:
        """The random secret of that name, made when it is first asked for."""
        path = self.secrets / name
        if not path.exists():
            write_private(path, secrets.token_hex(32))
        return path.read_text(encoding="ascii")


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read, whole or not at all.

    Raises:
        UserError: the disk is full, read-only, or there is no permission.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    with writing(path):
        try:
            with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(text)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
