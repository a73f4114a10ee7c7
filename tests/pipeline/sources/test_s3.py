"""Without a server that answers, the s3 source says so soon; with one: tests/slow/test_s3_source.py."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs

import pytest
from botocore.exceptions import ClientError

from pipeline.common.errors import UserError
from pipeline.sources.s3 import S3Source, Timeouts
from pipeline.sources.s3_errors import Place, explained
from tests.pipeline.sources.packing import photo

QUICK = Timeouts(connect=0.3, read=0.3, attempts=2)


@pytest.fixture(autouse=True)
def own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keys of nobody, and none of the user's settings."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture
def closed() -> str:
    """The address of a port where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def silent() -> Iterator[str]:
    """The address of a server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=20) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@dataclass
class Bucket:
    """Answers as a bucket does, to anybody, with two photos; the next answers are cut after so many bytes."""

    photos: dict[str, bytes]
    etag: str = "1"
    cuts: list[int] = field(default_factory=list)

    def listing(self, prefix: str) -> bytes:
        contents = "".join(
            f"<Contents><Key>{key}</Key><Size>{len(data)}</Size><ETag>&quot;1&quot;</ETag></Contents>"
            for key, data in self.photos.items()
            if key.startswith(prefix)
        )
        return f"<ListBucketResult><IsTruncated>false</IsTruncated>{contents}</ListBucketResult>".encode()


def handler(bucket: Bucket) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path, _, query = self.path.partition("?")
            listed = parse_qs(query).get("prefix")
            data = bucket.listing(listed[0]) if listed else bucket.photos[path.removeprefix("/bucket/")]
            cut = bucket.cuts.pop(0) if bucket.cuts and not listed else len(data)
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.send_header("ETag", f'"{bucket.etag}"')
            self.end_headers()
            self.wfile.write(data[:cut])

        def log_message(self, *_: object) -> None:
            pass

    return Handler


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    bucket = Bucket({f"x/{name}.png": photo(seed) for seed, name in enumerate(("train/a", "train/bb", "test/c"))})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler(bucket))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_address[1]}")
    yield bucket
    server.shutdown()
    thread.join()
    server.server_close()


def test_connection_lost_within_an_object_is_tried_again(bucket: Bucket, tmp_path: Path) -> None:
    bucket.cuts = [500]
    S3Source(uri="s3://bucket/x", cache=tmp_path / "cache", timeouts=QUICK).fetch(tmp_path / "out", print)
    for key, data in bucket.photos.items():
        split = "valid" if key == "x/train/bb.png" else key.split("/")[1]
        assert (tmp_path / "out" / split / Path(key).name).read_bytes() == data


@pytest.mark.parametrize(
    ("cuts", "etag", "message"),
    [
        ([500] * 9, "1", r"cannot (reach|read) .*s3://bucket/x"),
        ([], "2", r"s3://bucket/x/train/a\.png was changed while it was fetched: run again"),
    ],
)
def test_object_that_does_not_come_is_told(
    bucket: Bucket, tmp_path: Path, cuts: list[int], etag: str, message: str
) -> None:
    bucket.cuts, bucket.etag = cuts, etag
    with pytest.raises(UserError, match=message):
        S3Source(uri="s3://bucket/x", cache=tmp_path / "cache", timeouts=QUICK).fetch(tmp_path / "out", print)
    assert not (tmp_path / "out").exists()
    bucket.cuts, bucket.etag = [], "1"
    S3Source(uri="s3://bucket/x", cache=tmp_path / "cache", timeouts=QUICK).fetch(tmp_path / "out", print)


@pytest.mark.parametrize("fixture", ["closed", "silent"])
def test_no_answer_is_told_soon(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, fixture: str
) -> None:
    endpoint = request.getfixturevalue(fixture)
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    start = time.monotonic()
    with pytest.raises(UserError, match=rf"cannot reach {endpoint} for s3://bucket/x .*AWS_ENDPOINT_URL"):
        S3Source(uri="s3://bucket/x", cache=tmp_path, timeouts=QUICK).fetch(tmp_path / "out", lambda line: None)
    assert time.monotonic() - start < 10
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda env: env.delenv("AWS_ACCESS_KEY_ID"), r"Unable to locate credentials: check AWS_ACCESS_KEY_ID"),
        (lambda env: env.delenv("AWS_SECRET_ACCESS_KEY"), r"Partial credentials .*: check AWS_ACCESS_KEY_ID"),
        (lambda env: env.setenv("AWS_PROFILE", "nobody"), r"profile \(nobody\) could not be found: check"),
        (lambda env: env.setenv("AWS_ENDPOINT_URL", "no address"), r"Invalid endpoint: no address\): check data\.uri"),
    ],
)
def test_missing_keys_and_senseless_settings_are_told(
    monkeypatch: pytest.MonkeyPatch,
    closed: str,
    tmp_path: Path,
    change: Callable[[pytest.MonkeyPatch], None],
    message: str,
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", closed)
    change(monkeypatch)
    with pytest.raises(UserError, match=message):
        S3Source(uri="s3://bucket/x", cache=tmp_path, timeouts=QUICK).fetch(tmp_path / "out", lambda line: None)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("AccessDenied", r"\(AccessDenied\): the keys may not read it: they need s3:ListBucket and s3:GetObject"),
        ("ExpiredToken", r"log in again"),
        ("Unheard", r"\(Unheard\): .*something odd"),
    ],
)
def test_answers_of_a_server_are_explained(code: str, message: str) -> None:
    answer = {"Error": {"Code": code, "Message": "something odd"}}
    with pytest.raises(UserError, match=message), explained(Place("s3://b/x", "b", "http://there")):
        raise ClientError(answer, "GetObject")  # type: ignore[arg-type]
