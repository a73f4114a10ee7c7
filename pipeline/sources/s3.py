"""Photos under a prefix of an S3 bucket, laid out as a folder is. The only user of boto3 among the sources."""

from __future__ import annotations

import hashlib
import os
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

from pipeline.common.errors import UserError
from pipeline.common.files import atomic_write_json, read_json, sha256_file, writing
from pipeline.common.progress import count
from pipeline.sources.folder import FolderSource
from pipeline.sources.photos import is_clutter
from pipeline.sources.progress import megabytes, transfer
from pipeline.sources.s3_errors import Place, explained
from pipeline.sources.settings import split_uri
from pipeline.sources.source import SPLITS, Report
from pipeline.sources.watched import Away, Seen

_CHUNK = 1 << 16


@dataclass(frozen=True, kw_only=True)
class Timeouts:
    """Seconds to connect, seconds without a byte, and attempts per request: nothing hangs for ever."""

    connect: float = 5.0
    read: float = 30.0
    attempts: int = 3


@dataclass(frozen=True)
class _Object:
    """One photo in the bucket: its key, its place below the prefix, its bytes, its ETag."""

    key: str
    name: str
    size: int
    etag: str


@dataclass(frozen=True, kw_only=True)
class S3Source:
    """Photos under s3://bucket/prefix/{train,valid,test}/, copied to the cache and used as a `FolderSource`.

    Credentials, region and endpoint come from boto3's usual places (AWS_ACCESS_KEY_ID, AWS_PROFILE, AWS_ENDPOINT_URL,
    an instance's role, ...). An object is fetched again only when its ETag or size has changed.

    Args:
        uri: s3://bucket/prefix.
        cache: where the objects are kept.
        timeouts: of every request.
    """

    uri: str
    cache: Path
    timeouts: Timeouts = Timeouts()

    def fetch(self, into: Path, report: Report) -> None:
        """See `Source.fetch`.

        Raises:
            UserError: no connection, wrong keys, no such bucket, nothing under the prefix, an object that changes
                while it is read, or what `FolderSource` refuses.
        """
        bucket, prefix = split_uri(self.uri)
        endpoint = _endpoint()
        place = self._place(bucket, endpoint)
        mirror = self.cache / "s3" / hashlib.sha256(f"{endpoint} {bucket} {prefix}".encode()).hexdigest()[:16]
        with explained(place):
            client = _client(endpoint, self.timeouts)
            objects = _listed(client, bucket, f"{prefix}/" if prefix else "")
        self._require(objects)
        report(f"{self.uri}: {count(len(objects), 'object')}, {megabytes(sum(one.size for one in objects))}")
        _Mirror(mirror, client, bucket, place, self.timeouts.attempts).update(objects, report)
        FolderSource(root=mirror / "photos", name=self.uri).fetch(into, report)

    def content(self, seen: Seen) -> dict[str, str]:
        """See `Watched.content`."""
        bucket, prefix = split_uri(self.uri)
        endpoint = _endpoint()
        try:
            with explained(self._place(bucket, endpoint)):
                objects = _listed(_client(endpoint, self.timeouts), bucket, f"{prefix}/" if prefix else "")
        except UserError as error:
            raise Away(str(error)) from error
        self._require(objects)
        return {one.name: f"{one.etag} {one.size}" for one in objects}

    def _place(self, bucket: str, endpoint: str | None) -> Place:
        return Place(self.uri, bucket, endpoint or "the AWS endpoint")

    def _require(self, objects: list[_Object]) -> None:
        if not objects:
            raise UserError(
                f"{self.uri} holds no photos: upload them as {self.uri}/train/NAME.png and .../test/NAME.png"
            )


def _endpoint() -> str | None:
    return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or None


def _client(endpoint: str | None, timeouts: Timeouts) -> Any:
    own = {"addressing_style": "path"} if endpoint else {}
    config = Config(
        connect_timeout=timeouts.connect,
        read_timeout=timeouts.read,
        retries={"total_max_attempts": timeouts.attempts, "mode": "standard"},
        s3=own,
    )
    return boto3.session.Session().client("s3", endpoint_url=endpoint, config=config)


def _listed(client: Any, bucket: str, prefix: str) -> list[_Object]:
    objects = []
    for split in SPLITS:
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{prefix}{split}/"):
            for found in page.get("Contents", ()):
                name = found["Key"].removeprefix(prefix)
                if name.endswith("/") or is_clutter(name.rpartition("/")[2]):
                    continue
                if name.count("/") != 1 or "\\" in name or "\0" in name:
                    raise UserError(f"s3://{bucket}/{found['Key']} lies deeper than {split}/NAME: move or remove it")
                objects.append(_Object(found["Key"], name, found["Size"], found["ETag"].strip('"')))
    return objects


class _Mirror:
    """A local copy of the objects, with an index of what each file was in the bucket."""

    def __init__(self, folder: Path, client: Any, bucket: str, place: Place, attempts: int) -> None:
        self._photos, self._index = folder / "photos", folder / "index.json"
        self._client, self._bucket, self._place, self._attempts = client, bucket, place, attempts

    def update(self, objects: list[_Object], report: Report) -> None:
        """Fetch what is missing or changed, remove what the bucket no longer holds."""
        known = self._known()
        told = transfer(self._place.uri, sum(one.size for one in objects), report)
        done = 0
        try:
            for one in objects:
                if not self._has(one, known.get(one.name)):
                    known.pop(one.name, None)
                    known[one.name] = {"etag": one.etag, "size": one.size, "sha256": self._get(one)}
                done += one.size
                told(done)
        finally:
            atomic_write_json(self._index, known)
        names = {one.name for one in objects}
        for path in [path for path in self._photos.rglob("*") if path.is_file()]:
            if path.relative_to(self._photos).as_posix() not in names:
                path.unlink()
        for split in SPLITS:
            if (self._photos / split).is_dir() and not any((self._photos / split).iterdir()):
                (self._photos / split).rmdir()

    def _known(self) -> dict[str, Any]:
        try:
            known = read_json(self._index)
        except UserError:
            return {}
        return known if isinstance(known, dict) else {}

    def _has(self, one: _Object, known: Any) -> bool:
        path = self._photos / one.name
        if not isinstance(known, dict) or (known.get("etag"), known.get("size")) != (one.etag, one.size):
            return False
        return path.is_file() and path.stat().st_size == one.size and sha256_file(path) == known.get("sha256")

    def _get(self, one: _Object) -> str:
        """Fetch an object into its place; returns its sha256. A connection lost in the middle is tried again."""
        path = self._photos / one.name
        part = path.with_name(f".{path.name}.part")
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        for attempt in range(1, self._attempts + 1):
            try:
                self._stream(one, part)
                break
            except (BotoCoreError, ClientError) as error:
                if attempt == self._attempts or isinstance(error, ClientError):
                    with explained(self._place):
                        raise
        digest = sha256_file(part)
        os.replace(part, path)
        return digest

    def _stream(self, one: _Object, part: Path) -> None:
        answer = self._client.get_object(Bucket=self._bucket, Key=one.key)
        if answer["ETag"].strip('"') != one.etag or answer["ContentLength"] != one.size:
            raise UserError(f"s3://{self._bucket}/{one.key} was changed while it was fetched: run again")
        with writing(part), closing(answer["Body"]) as body, part.open("wb") as file:
            for chunk in body.iter_chunks(_CHUNK):
                file.write(chunk)
        if part.stat().st_size != one.size:
            raise HTTPClientError(error=f"{one.key} ended after {part.stat().st_size} of {one.size} bytes")
