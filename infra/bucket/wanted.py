"""The wanted state of a bucket, as S3 takes it. Pure: nothing here asks a server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from infra.bucket.place import CHECKPOINTS, Place
from pipeline.common.errors import UserError

Json = dict[str, Any]

PUBLIC_ACCESS_BLOCKED: Mapping[str, bool] = {
    "BlockPublicAcls": True,
    "IgnorePublicAcls": True,
    "BlockPublicPolicy": True,
    "RestrictPublicBuckets": True,
}
ENCRYPTION: Mapping[str, Any] = {"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]}
TLS_SID = "TatsnetTlsOnly"
_OURS = "tatsnet "


@dataclass(frozen=True, kw_only=True)
class Days:
    """When things below the prefix go away, in days.

    Args:
        checkpoints: after they were written. A search that has stood still for longer begins its trials anew.
        versions: after another version took their place, or after they were deleted.
        uploads: parts of an upload that never ended, after it began.

    Raises:
        UserError: not in 1 to 3650.
    """

    checkpoints: int = 30
    versions: int = 30
    uploads: int = 3

    def __post_init__(self) -> None:
        for name, days in vars(self).items():
            if not 1 <= days <= 3650:
                raise UserError(f"--{name.rstrip('s')}-days must lie in 1 to 3650, got {days}")


def lifecycle_rules(place: Place, days: Days) -> list[Json]:
    """Our three rules, known again by their IDs."""
    everything = f"{place.prefix}/" if place.prefix else ""
    return [
        {
            "ID": f"{_OURS}checkpoints {place.prefix}".rstrip(),
            "Status": "Enabled",
            "Filter": {"Prefix": f"{place.below(CHECKPOINTS)}/"},
            "Expiration": {"Days": days.checkpoints},
        },
        {
            "ID": f"{_OURS}versions {place.prefix}".rstrip(),
            "Status": "Enabled",
            "Filter": {"Prefix": everything},
            "Expiration": {"ExpiredObjectDeleteMarker": True},
            "NoncurrentVersionExpiration": {"NoncurrentDays": days.versions},
        },
        {
            "ID": f"{_OURS}uploads {place.prefix}".rstrip(),
            "Status": "Enabled",
            "Filter": {"Prefix": everything},
            "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": days.uploads},
        },
    ]


def with_rules(present: Sequence[Json], ours: Sequence[Json]) -> list[Json]:
    """The rules of a bucket with ours among them: everyone else's stay as and where they are."""
    return _merged(present, ours, "ID")


def tls_statement(place: Place) -> Json:
    """The statement that refuses every request that does not come over TLS."""
    return {
        "Sid": TLS_SID,
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [place.arn, f"{place.arn}/*"],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }


def with_statement(policy: Json | None, statement: Json) -> Json:
    """A bucket policy with the statement in it: everyone else's stay as they are."""
    present = (policy or {}).get("Statement", [])
    present = [present] if isinstance(present, dict) else present
    return {**({"Version": "2012-10-17"} | (policy or {})), "Statement": _merged(present, [statement], "Sid")}


def _merged(present: Sequence[Json], ours: Sequence[Json], name: str) -> list[Json]:
    by_name = {one[name]: one for one in ours}
    kept = [by_name.pop(one.get(name), one) for one in present]
    return kept + list(by_name.values())
