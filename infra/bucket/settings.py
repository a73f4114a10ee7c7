"""The five settings of a bucket: how each is read, what it should be, how it is written."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import urlsplit

from botocore.exceptions import ClientError

from infra.bucket.place import Place
from infra.bucket.wanted import (
    ENCRYPTION,
    PUBLIC_ACCESS_BLOCKED,
    Days,
    lifecycle_rules,
    tls_statement,
    with_rules,
    with_statement,
)

_KMS = ("aws:kms", "aws:kms:dsse")
_SMALLEST = "TransitionDefaultMinimumObjectSize"
_PROBE = ".probe"


def is_aws(client: Any) -> bool:
    """Whether a client talks to AWS itself, and not to another server with the same calls."""
    host = urlsplit(client.meta.endpoint_url).hostname or ""
    return host.endswith((".amazonaws.com", ".amazonaws.com.cn"))


class Unusable(Exception):
    """The server takes a setting and cannot live with it; it is taken back."""


class Setting(Protocol):
    """One setting; `client` is an S3 client of boto3, whose errors pass through."""

    @property
    def name(self) -> str:
        """As `--allow-missing` takes it."""

    @property
    def text(self) -> str:
        """What is wanted, for people."""

    @property
    def right(self) -> str:
        """The permission to change it, as IAM names it."""

    def read(self, client: Any, place: Place) -> Any:
        """What the bucket has now, comparable with `==`; None where it has nothing."""

    def wanted(self, present: Any, place: Place) -> Any:
        """What it should have, given what it has."""

    def write(self, client: Any, place: Place, wanted: Any) -> None:
        """Set it.

        Raises:
            Unusable: the server cannot live with it.
        """


def _unless(codes: Sequence[str], call: Any, **arguments: Any) -> Any:
    """The answer, or None where the server says by one of these codes that nothing is set."""
    try:
        return call(**arguments)
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") in codes:
            return None
        raise


@dataclass(frozen=True, kw_only=True)
class Encryption:
    """Objects are encrypted at rest. A key of KMS, which is stricter, stays."""

    name: str = "encryption"
    text: str = "objects are encrypted at rest (AES256, or the KMS key that is set)"
    right: str = "s3:PutEncryptionConfiguration"

    def read(self, client: Any, place: Place) -> Any:
        absent = ("ServerSideEncryptionConfigurationNotFoundError",)
        found = _unless(absent, client.get_bucket_encryption, Bucket=place.bucket)
        return found and found["ServerSideEncryptionConfiguration"]

    def wanted(self, present: Any, place: Place) -> Any:
        rules = (present or {}).get("Rules", [])
        defaults = [rule.get("ApplyServerSideEncryptionByDefault", {}).get("SSEAlgorithm") for rule in rules]
        return present if any(one in ("AES256", *_KMS) for one in defaults) else dict(ENCRYPTION)

    def write(self, client: Any, place: Place, wanted: Any) -> None:
        client.put_bucket_encryption(Bucket=place.bucket, ServerSideEncryptionConfiguration=wanted)
        if is_aws(client):
            return
        probe = {"Bucket": place.bucket, "Key": place.below(_PROBE)}
        try:
            client.put_object(**probe, Body=b"")
        except ClientError as error:
            client.delete_bucket_encryption(Bucket=place.bucket)
            raise Unusable(
                "the server takes the setting but then no object, as it has no key to encrypt with; SeaweedFS wants "
                "s3.sse.kek in its security.toml"
            ) from error
        client.delete_object(**probe)


@dataclass(frozen=True, kw_only=True)
class PublicAccess:
    """No ACL and no policy can make an object public."""

    name: str = "public-access"
    text: str = "public access is blocked, by ACL and by policy"
    right: str = "s3:PutBucketPublicAccessBlock"

    def read(self, client: Any, place: Place) -> Any:
        found = _unless(("NoSuchPublicAccessBlockConfiguration",), client.get_public_access_block, Bucket=place.bucket)
        return found and found["PublicAccessBlockConfiguration"]

    def wanted(self, present: Any, place: Place) -> Any:
        return dict(PUBLIC_ACCESS_BLOCKED)

    def write(self, client: Any, place: Place, wanted: Any) -> None:
        client.put_public_access_block(Bucket=place.bucket, PublicAccessBlockConfiguration=wanted)


@dataclass(frozen=True, kw_only=True)
class Versioning:
    """What was overwritten or deleted can be had back for a while."""

    name: str = "versioning"
    text: str = "overwritten and deleted objects are kept as versions"
    right: str = "s3:PutBucketVersioning"

    def read(self, client: Any, place: Place) -> Any:
        return client.get_bucket_versioning(Bucket=place.bucket).get("Status")

    def wanted(self, present: Any, place: Place) -> Any:
        return "Enabled"

    def write(self, client: Any, place: Place, wanted: Any) -> None:
        client.put_bucket_versioning(Bucket=place.bucket, VersioningConfiguration={"Status": wanted})


@dataclass(frozen=True, kw_only=True)
class Lifecycle:
    """Old checkpoints, old versions and the parts of uploads that never ended go away by themselves."""

    days: Days
    name: str = "lifecycle"
    right: str = "s3:PutLifecycleConfiguration"

    @property
    def text(self) -> str:
        return (
            f"checkpoints expire after {self.days.checkpoints} days, old versions after {self.days.versions}, "
            f"parts of uploads that never ended after {self.days.uploads}"
        )

    def read(self, client: Any, place: Place) -> Any:
        absent = ("NoSuchLifecycleConfiguration",)
        found = _unless(absent, client.get_bucket_lifecycle_configuration, Bucket=place.bucket)
        return found and {name: found[name] for name in ("Rules", _SMALLEST) if name in found}

    def wanted(self, present: Any, place: Place) -> Any:
        rules = with_rules((present or {}).get("Rules", []), lifecycle_rules(place, self.days))
        return {**(present or {}), "Rules": rules}

    def write(self, client: Any, place: Place, wanted: Any) -> None:
        # What is left out of this call is set back to S3's default.
        others = {_SMALLEST: wanted[_SMALLEST]} if _SMALLEST in wanted else {}
        rules = {"Rules": wanted["Rules"]}
        client.put_bucket_lifecycle_configuration(Bucket=place.bucket, LifecycleConfiguration=rules, **others)


@dataclass(frozen=True, kw_only=True)
class TlsOnly:
    """A bucket policy refuses what does not come over TLS; the policy's other statements stay."""

    name: str = "tls-only"
    text: str = "requests without TLS are refused by the bucket's policy"
    right: str = "s3:PutBucketPolicy"

    def read(self, client: Any, place: Place) -> Any:
        found = _unless(("NoSuchBucketPolicy",), client.get_bucket_policy, Bucket=place.bucket)
        return found and json.loads(found["Policy"])

    def wanted(self, present: Any, place: Place) -> Any:
        return with_statement(present, tls_statement(place))

    def write(self, client: Any, place: Place, wanted: Any) -> None:
        client.put_bucket_policy(Bucket=place.bucket, Policy=json.dumps(wanted))


def all_settings(days: Days) -> list[Setting]:
    """In the order in which they are brought about: what protects comes first."""
    return [PublicAccess(), Encryption(), TlsOnly(), Versioning(), Lifecycle(days=days)]


NAMES = tuple(setting.name for setting in all_settings(Days()))
