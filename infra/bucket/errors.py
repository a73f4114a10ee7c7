"""What the errors of S3 mean to someone who sets up a bucket."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    HTTPClientError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
)
from botocore.exceptions import ConnectionError as BotoConnectionError

from pipeline.common.errors import UserError

_KEYS = "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
_RIGHTS = "log in with keys that may set up buckets: docs/cluster.md lists the permissions"
_ADVICE = {
    "InvalidAccessKeyId": f"the access key is unknown: {_KEYS}",
    "SignatureDoesNotMatch": f"the secret key is wrong: {_KEYS}",
    "ExpiredToken": "the login has expired: log in again",
    "InvalidToken": "the token of the login is wrong: log in again, or unset AWS_SESSION_TOKEN",
    "RequestTimeTooSkewed": "this machine's clock is wrong: set it",
    "AccessDenied": f"the keys may not do that: {_RIGHTS}",
    "403": f"the keys may not look at it, or another account has a bucket of that name: take another, or {_RIGHTS}",
    "301": "the bucket is in another region: name it with --region",
    "AllAccessDisabled": f"the account may not do that: {_RIGHTS}",
    "BucketAlreadyExists": "another account has a bucket of that name (names are shared by all accounts): take another",
    "TooManyBuckets": "the account has as many buckets as it may: remove one, or ask for more",
    "InvalidBucketName": "the server refuses the name: take another",
    "PermanentRedirect": "the bucket is in another region: name it with --region",
    "AuthorizationHeaderMalformed": "the bucket is in another region: name it with --region",
    "IllegalLocationConstraintException": "the endpoint serves another region: name that one with --region",
    "InvalidLocationConstraint": "there is no such region: name another with --region",
}
_UNKNOWN_CALLS = {"NotImplemented", "MethodNotAllowed", "UnsupportedOperation", "NotSupported"}


def code_of(error: ClientError) -> str:
    """The code of an S3 error, as AccessDenied; the HTTP status where the answer had no body."""
    return str(error.response.get("Error", {}).get("Code", ""))


def is_unsupported(error: ClientError) -> bool:
    """The server does not know the call."""
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return code_of(error) in _UNKNOWN_CALLS or status in (405, 501)


def is_denied(error: ClientError) -> bool:
    """The keys are good but may not do it."""
    return code_of(error) in ("AccessDenied", "403", "AllAccessDisabled")


@contextmanager
def explained(what: str, endpoint: Any) -> Iterator[None]:
    """Turn what the client raises into a UserError.

    Args:
        what: is being done, as "cannot make s3://name".
        endpoint: the server's address; None: AWS.

    Raises:
        UserError: what was refused or not reached, where, and what to do.
    """
    where = endpoint or "AWS"
    try:
        yield
    except ClientError as error:
        code = code_of(error)
        raise UserError(f"{what} at {where} ({code}): {_ADVICE.get(code, str(error))}") from error
    except (NoCredentialsError, PartialCredentialsError, ProfileNotFound) as error:
        raise UserError(f"{what}: {str(error).rstrip('.')}: {_KEYS}") from error
    except (HTTPClientError, BotoConnectionError) as error:
        raise UserError(f"{what}: {where} is not reached ({error}): check the connection and --endpoint-url") from error
    except (BotoCoreError, ValueError) as error:
        raise UserError(f"{what} at {where} ({error}): check --region, --endpoint-url and the AWS_ settings") from error
