"""Where in S3 a project lives: a bucket, a prefix, and what lies below it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pipeline.common.errors import UserError

DATA = "data"
CHECKPOINTS = "checkpoints"
NETWORKS = "networks"
SHARED = "shared"
MLFLOW = "mlflow"
DVC = "dvc"

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")
_RESERVED = re.compile(r"(xn--|sthree-|amzn-s3-demo-).*|.*(-s3alias|--ol-s3|--x-s3|--table-s3)")
_PREFIX = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*")
_LONGEST_PREFIX = 200


@dataclass(frozen=True, kw_only=True)
class Place:
    """A prefix in a bucket.

    Args:
        bucket: 3 to 63 lower-case letters, digits and hyphens. Dots are legal in S3 but break TLS by host name.
        prefix: without slashes at its ends; letters, digits, `.`, `_`, `-` and `/` only, because it goes into policies,
            where `*`, `?` and `${...}` would match more than themselves. Empty: the whole bucket.
        partition: of the ARNs: aws, aws-cn, aws-us-gov.

    Raises:
        UserError: another form of name or prefix.
    """

    bucket: str
    prefix: str
    partition: str = "aws"

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.bucket) or _RESERVED.fullmatch(self.bucket):
            raise UserError(
                f"{self.bucket!r} cannot be a bucket's name here: take 3 to 63 lower-case letters, digits and hyphens "
                "(no dots, they break TLS; nothing that S3 reserves, as xn-- at the start), as my-team-tatsnet"
            )
        if self.prefix and (not _PREFIX.fullmatch(self.prefix) or len(self.prefix) > _LONGEST_PREFIX):
            raise UserError(
                f"{self.prefix!r} cannot be a prefix here: take up to {_LONGEST_PREFIX} letters, digits, '.', '_', '-' "
                "and '/' between them (it goes into policies, where other signs match more than themselves)"
            )

    @property
    def uri(self) -> str:
        """s3://bucket/prefix."""
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")

    @property
    def arn(self) -> str:
        """The bucket's ARN."""
        return f"arn:{self.partition}:s3:::{self.bucket}"

    def below(self, name: str) -> str:
        """The key of `name` below the prefix."""
        return f"{self.prefix}/{name}" if self.prefix else name


def read_place(uri: str, partition: str = "aws") -> Place:
    """The place that `s3://NAME/PREFIX` names; slashes at the end are ignored.

    Raises:
        UserError: another form.
    """
    scheme, found, rest = uri.partition("://")
    if scheme != "s3" or not found:
        raise UserError(f"{uri!r} names no bucket: write s3://NAME/PREFIX, as s3://my-team-tatsnet/tatsnet")
    bucket, _, prefix = rest.partition("/")
    return Place(bucket=bucket, prefix=prefix.rstrip("/"), partition=partition)
