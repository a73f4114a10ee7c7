"""The box's bucket, by the same code as a real one's."""

from __future__ import annotations

import time

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from infra.box.seaweed import ADMIN, PLACE, Seaweed
from infra.bucket.bringing import State, bring, exists, make
from infra.bucket.settings import all_settings
from infra.bucket.wanted import Days
from pipeline.common.errors import UserError

_PATIENCE_S = 60.0
WITHOUT = ("public-access", "tls-only")
"""SeaweedFS does not know the first call, and there is no TLS on loopback."""


def make_bucket(s3: Seaweed) -> None:
    """Make the bucket, or bring it to its wanted state, as soon as the server takes a write.

    Raises:
        UserError: the server does not.
    """
    key, secret = s3.keys(ADMIN)
    config = Config(connect_timeout=2, read_timeout=20, s3={"addressing_style": "path"})
    client = boto3.session.Session(aws_access_key_id=key, aws_secret_access_key=secret, region_name="us-east-1").client(
        "s3", endpoint_url=s3.endpoint, config=config
    )
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            if not exists(client, PLACE, s3.endpoint):
                make(client, PLACE, "us-east-1", s3.endpoint)
            client.put_object(Bucket=PLACE.bucket, Key="ready", Body=b"")
            break
        except (UserError, ClientError, BotoCoreError) as error:
            if time.monotonic() > deadline:
                raise UserError(f"the S3 server takes no write after {_PATIENCE_S:g} s: {error}") from error
            time.sleep(0.3)
    for outcome in bring(client, PLACE, all_settings(Days()), s3.endpoint, dry_run=False):
        if outcome.state in (State.MISSING, State.REFUSED) and outcome.name not in WITHOUT:
            raise UserError(f"the box's bucket is not as wanted: {outcome.name}: {outcome.text}")
