"""Postgres: a role for MLflow and one for the driver, each with its databases; passwords by SCRAM, loopback only."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psycopg2

from infra.box.folder import Folder, write_private
from infra.box.processes import Account, marks
from pipeline.common.errors import UserError
from pipeline.common.files import writing

OWNERS: Mapping[str, str] = {"mlflow": "mlflow", "accounts": "mlflow", "study": "driver"}
"""Databases, and the role that alone may open each: MLflow's runs, its accounts, the search's study."""
_PLACES = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/usr/local/opt/postgresql*/bin")


def find_program(name: str) -> str:
    """The path of one of Postgres's programs: on PATH, or where packages put it.

    Raises:
        UserError: it is not installed.
    """
    found = shutil.which(name)
    if found is None:
        places = sorted((path for pattern in _PLACES for path in Path("/").glob(pattern[1:])), reverse=True)
        found = shutil.which(name, path=os.pathsep.join(map(str, places)))
    if found is None:
        raise UserError(
            f"{name} is not installed; the box needs PostgreSQL 13 or newer. Debian and Ubuntu: apt-get install "
            "postgresql; Fedora: dnf install postgresql-server; macOS: brew install postgresql"
        )
    return found


@dataclass(frozen=True)
class Postgres:
    """The server's data and how it is started.

    Args:
        folder: the box.
        port: of 127.0.0.1.
    """

    folder: Folder
    port: int

    @property
    def data(self) -> Path:
        return self.folder.path / "postgres"

    def passwords(self, role: str) -> Path:
        """The role's password in a file as every client of Postgres reads it (PGPASSFILE)."""
        return self.folder.secrets / f"pgpass-{role}"

    def uri(self, database: str) -> str:
        """For SQLAlchemy; the password stands in the file of `passwords`."""
        return f"postgresql+psycopg2://{OWNERS[database]}@127.0.0.1:{self.port}/{database}"

    def prepare(self, account: Account | None) -> None:
        """Make the data folder with role and databases, if it is not there: whole or not at all.

        Raises:
            UserError: Postgres is not installed, or refuses.
        """
        for role in set(OWNERS.values()):
            write_private(self.passwords(role), f"127.0.0.1:*:*:{role}:{self._password(role)}\n")
        if self.data.exists():
            return
        initdb, postgres = find_program("initdb"), find_program("postgres")
        fresh = self.data.with_name(".postgres.tmp")
        shutil.rmtree(fresh, ignore_errors=True)
        with writing(fresh):
            fresh.mkdir(mode=0o700)
            if account:
                os.chown(fresh, account.uid, account.gid)
        try:
            # The superuser of initdb can never log in: pg_hba.conf names only our roles.
            self._call(
                [initdb, "-D", str(fresh), "-U", "superuser", "-E", "UTF8", "--locale=C", "-A", "reject"], account
            )
            single = [postgres, "--single", "-D", str(fresh), "-c", "password_encryption=scram-sha-256"]
            self._call([*single, "-c", "log_statement=none", "postgres"], account, self._statements())
            access = [f"host {name} {role} 127.0.0.1/32 scram-sha-256\n" for name, role in OWNERS.items()]
            (fresh / "pg_hba.conf").write_text("".join(access), encoding="ascii")
            os.replace(fresh, self.data)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)

    def _password(self, role: str) -> str:
        return self.folder.secret(f"postgres-{role}")

    def _statements(self) -> str:
        roles = [f"CREATE ROLE {role} LOGIN PASSWORD '{self._password(role)}';" for role in sorted({*OWNERS.values()})]
        return "\n".join([*roles, *(f"CREATE DATABASE {name} OWNER {role};" for name, role in OWNERS.items()), ""])

    def _call(self, command: list[str], account: Account | None, text: str = "") -> None:
        done = subprocess.run(
            command,
            input=text,
            capture_output=True,
            text=True,
            check=False,
            cwd=self.folder.path,
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
            env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C"} | marks(self.folder.path, "postgres"),
        )
        if done.returncode or "ERROR:" in done.stderr:
            # The statement, which Postgres repeats below its error, holds the password.
            errors = [line for line in done.stderr.splitlines() if "STATEMENT" not in line and "PASSWORD" not in line]
            said = "\n".join(errors[-8:])
            raise UserError(f"Postgres could not be set up in {self.data} ({Path(command[0]).name}):\n{said}")

    @property
    def client_environment(self) -> dict[str, str]:
        """By which the search finds its study's database and logs in."""
        return {"TATSNET_STUDY": self.uri("study"), "PGPASSFILE": str(self.passwords("driver"))}

    @property
    def command(self) -> list[str]:
        options = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            "password_encryption": "scram-sha-256",
            "log_statement": "none",
            "update_process_title": "off",
        }
        settings = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        return [find_program("postgres"), "-D", str(self.data), *settings]

    def is_ready(self) -> bool:
        """Whether a role can log in with its password."""
        try:
            psycopg2.connect(
                host="127.0.0.1",
                port=self.port,
                dbname="study",
                user=OWNERS["study"],
                password=self._password(OWNERS["study"]),
                connect_timeout=2,
            ).close()
        except psycopg2.OperationalError:
            return False
        return True


def account_for(folder: Path) -> Account | None:
    """Whom Postgres runs as: None (this user), or where this is root, which it refuses, somebody with fewer rights.

    Raises:
        UserError: that account cannot reach the folder.
    """
    if os.getuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            found = pwd.getpwnam(name)
        except KeyError:
            continue
        closed = [str(place) for place in folder.resolve().parents if not place.stat().st_mode & 0o001]
        if closed:
            raise UserError(
                f"Postgres does not run as root, and {name!r}, whom it would run as, may not pass through {closed[0]}: "
                "run the box as another user than root, or put the project where others may enter"
            )
        return Account(name=name, uid=found.pw_uid, gid=found.pw_gid)
    raise UserError("Postgres does not run as root, and there is no account postgres or nobody: run the box as a user")
