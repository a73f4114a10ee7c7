"""Bringing a bucket to its wanted state: look, say, change, look again."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from botocore.exceptions import ClientError

from infra.bucket.errors import code_of, explained, is_denied, is_unsupported
from infra.bucket.place import Place
from infra.bucket.settings import Setting, Unusable

_PATIENCE_S = 4
"""S3 may answer with the old setting for a moment after a change."""


class State(Enum):
    """What became of a setting."""

    AS_WANTED = "as wanted"
    TO_CHANGE = "to change"
    CHANGED = "changed"
    MISSING = "NOT SUPPORTED"
    REFUSED = "REFUSED"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One line of the report."""

    name: str
    state: State
    text: str


def exists(client: Any, place: Place, endpoint: str | None) -> bool:
    """Whether the bucket is there and these keys reach it.

    Raises:
        UserError: wrong keys, no rights, another region, no connection.
    """
    with explained(f"cannot look at {place.uri}", endpoint):
        try:
            client.head_bucket(Bucket=place.bucket)
        except ClientError as error:
            if code_of(error) in ("404", "NoSuchBucket"):
                return False
            # The answer to HEAD has no body, so it cannot say why; this one can.
            client.get_bucket_location(Bucket=place.bucket)
            raise
        return True


def make(client: Any, place: Place, region: str, endpoint: str | None) -> None:
    """Make the bucket.

    Raises:
        UserError: the name is taken, no rights, a wrong region.
    """
    inside = {} if region == "us-east-1" or endpoint else {"LocationConstraint": region}
    arguments: dict[str, Any] = {"CreateBucketConfiguration": inside} if inside else {}
    with explained(f"cannot make s3://{place.bucket}", endpoint):
        try:
            client.create_bucket(Bucket=place.bucket, **arguments)
        except ClientError as error:
            if code_of(error) != "BucketAlreadyOwnedByYou":
                raise


def bring(
    client: Any, place: Place, settings: Sequence[Setting], endpoint: str | None, dry_run: bool
) -> Iterator[Outcome]:
    """Bring the settings of a bucket that is there to what is wanted, one outcome at a time.

    A setting that the server does not know, or keeps otherwise than it was given, is MISSING; one that the keys may not
    read or change is REFUSED; the others go on.

    Raises:
        UserError: no connection, or keys that have become wrong.
    """
    for setting in settings:
        with explained(f"cannot set {setting.name} of s3://{place.bucket}", endpoint):
            yield _bring_one(client, place, setting, dry_run)


def _bring_one(client: Any, place: Place, setting: Setting, dry_run: bool) -> Outcome:
    def outcome(state: State, text: str = "") -> Outcome:
        return Outcome(name=setting.name, state=state, text=text or setting.text)

    if setting.name == "tls-only" and client.meta.endpoint_url.startswith("http://"):
        return outcome(State.MISSING, f"{client.meta.endpoint_url} has no TLS, and the policy would lock everyone out")
    try:
        present = setting.read(client, place)
        wanted = setting.wanted(present, place)
        if present == wanted:
            return outcome(State.AS_WANTED)
        if dry_run:
            return outcome(State.TO_CHANGE)
        setting.write(client, place, wanted)
        if not _is_kept(client, place, setting):
            return outcome(State.MISSING, "the server takes the setting but does not keep it as it was given")
    except Unusable as error:
        return outcome(State.MISSING, str(error))
    except ClientError as error:
        if is_unsupported(error):
            return outcome(State.MISSING, f"the server does not know the call ({code_of(error)})")
        if is_denied(error):
            return outcome(State.REFUSED, f"the keys need {setting.right} and the right to read it")
        raise
    return outcome(State.CHANGED)


def _is_kept(client: Any, place: Place, setting: Setting) -> bool:
    for _ in range(_PATIENCE_S):
        present = setting.read(client, place)
        if setting.wanted(present, place) == present:
            return True
        time.sleep(1)
    return False
