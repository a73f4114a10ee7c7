"""What the errors of an S3 client mean to a user."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    HTTPClientError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
)
from botocore.exceptions import (
    ConnectionError as BotoConnectionError,
)

from pipeline.common.errors import UserError

_KEYS = "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
_ADVICE = {
    "NoSuchBucket": "there is no such bucket: check data.uri and AWS_ENDPOINT_URL",
    "404": "there is no such bucket: check data.uri and AWS_ENDPOINT_URL",
    "NoSuchKey": "an object was removed while it was fetched: run again",
    "AccessDenied": "the keys may not read it: they need s3:ListBucket and s3:GetObject there",
    "403": "the keys may not read it: they need s3:ListBucket and s3:GetObject there",
    "InvalidAccessKeyId": f"the access key is unknown: {_KEYS}",
    "SignatureDoesNotMatch": f"the secret key is wrong: {_KEYS}",
    "ExpiredToken": "the session has expired: log in again",
    "InvalidToken": "the session token is wrong: log in again, or unset AWS_SESSION_TOKEN",
    "RequestTimeTooSkewed": "this machine's clock is wrong: set it",
    "PermanentRedirect": "the bucket is in another region: set AWS_REGION",
    "AuthorizationHeaderMalformed": "the bucket is in another region: set AWS_REGION",
}


@dataclass(frozen=True)
class Place:
    """Where the photos are meant to be, for messages."""

    uri: str
    bucket: str
    endpoint: str


@contextmanager
def explained(place: Place) -> Iterator[None]:
    """Turn what the client raises into a UserError.

    Raises:
        UserError: says what was not reached or not allowed, and what to do.
    """
    try:
        yield
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        advice = _ADVICE.get(code, str(error))
        raise UserError(f"cannot read {place.uri} at {place.endpoint} ({code}): {advice}") from error
    except (NoCredentialsError, PartialCredentialsError, ProfileNotFound) as error:
        raise UserError(f"cannot read {place.uri}: {str(error).rstrip('.')}: {_KEYS}") from error
    except (HTTPClientError, BotoConnectionError) as error:
        raise UserError(
            f"cannot reach {place.endpoint} for {place.uri} ({error}): check the connection and AWS_ENDPOINT_URL"
        ) from error
    except (BotoCoreError, ValueError) as error:
        raise UserError(
            f"cannot read {place.uri} at {place.endpoint} ({error}): check data.uri and the AWS_ settings"
        ) from error
