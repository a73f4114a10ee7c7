"""MLflow with accounts: runs in Postgres, artifacts in S3, one worker, its own host names only."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path

from infra.box.folder import BUCKET, Folder, write_private
from infra.box.postgres import Postgres
from infra.box.seaweed import PLACE, Seaweed
from infra.box.waiting import answers
from infra.bucket.place import MLFLOW
from pipeline.common.errors import UserError

USER = "box"


def require_packages() -> None:
    """Refuse a start without what MLflow's accounts need.

    Raises:
        UserError: Flask-WTF is not installed.
    """
    if importlib.util.find_spec("flask_wtf") is None:
        raise UserError("MLflow's accounts need Flask-WTF: pip install -c constraints.txt Flask-WTF")


@dataclass(frozen=True)
class Mlflow:
    """How the server is started.

    Args:
        folder: the box.
        port: of 127.0.0.1.
        postgres: where runs and accounts are kept.
        s3: where artifacts are kept.
    """

    folder: Folder
    port: int
    postgres: Postgres
    s3: Seaweed

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def accounts(self) -> Path:
        return self.folder.secrets / "mlflow.ini"

    def prepare(self) -> None:
        """Write the settings of the accounts. The first start makes the account `USER` with its password."""
        lines = [
            "[mlflow]",
            "default_permission = NO_PERMISSIONS",
            f"database_uri = {self.postgres.uri('accounts')}",
            f"admin_username = {USER}",
            "authorization_function = mlflow.server.auth:authenticate_request_basic_auth",
        ]
        write_private(self.accounts, "\n".join(lines) + "\n")

    @property
    def command(self) -> list[str]:
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port)]
        command += ["--workers", "1", "--app-name", "basic-auth"]
        return [*command, "--allowed-hosts", f"127.0.0.1:{self.port},localhost:{self.port}"]

    @property
    def environment(self) -> dict[str, str]:
        """Its settings, the secret ones among them: environment, because a command line is for everyone to see."""
        return self.s3.environment("mlflow") | {
            "MLFLOW_BACKEND_STORE_URI": self.postgres.uri("mlflow"),
            "MLFLOW_ARTIFACTS_DESTINATION": f"s3://{BUCKET}/{PLACE.below(MLFLOW)}",
            "MLFLOW_S3_ENDPOINT_URL": self.s3.endpoint,
            "MLFLOW_AUTH_CONFIG_PATH": str(self.accounts),
            "MLFLOW_AUTH_ADMIN_USERNAME": USER,
            "MLFLOW_AUTH_ADMIN_PASSWORD": self.folder.secret("mlflow"),
            "MLFLOW_FLASK_SERVER_SECRET_KEY": self.folder.secret("flask"),
            "MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE": "false",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "PGPASSFILE": str(self.postgres.passwords("mlflow")),
        }

    @property
    def client_environment(self) -> dict[str, str]:
        """By which a client finds the server and logs in."""
        return {
            "MLFLOW_TRACKING_URI": self.uri,
            "MLFLOW_TRACKING_USERNAME": USER,
            "MLFLOW_TRACKING_PASSWORD": self.folder.secret("mlflow"),
        }

    def is_ready(self) -> bool:
        return answers(f"{self.uri}/health")
