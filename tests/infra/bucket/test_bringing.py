"""Bringing a bucket about, against the shapes of S3's own API: botocore checks every request and answer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from infra.bucket.bringing import Outcome, State, bring, exists, make
from infra.bucket.place import Place
from infra.bucket.settings import NAMES, Encryption, Lifecycle, PublicAccess, Setting, TlsOnly, Versioning, all_settings
from infra.bucket.wanted import PUBLIC_ACCESS_BLOCKED, Days, lifecycle_rules, tls_statement
from pipeline.common.errors import UserError

PLACE = Place(bucket="my-team", prefix="tatsnet")
IN = {"Bucket": "my-team"}
RULES = lifecycle_rules(PLACE, Days())
POLICY = json.dumps({"Version": "2012-10-17", "Statement": [tls_statement(PLACE)]})
AES = {"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]}
KMS = {"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms"}, "BucketKeyEnabled": True}]}
THEIRS = {"ID": "logs", "Status": "Enabled", "Filter": {"Prefix": "logs/"}, "Expiration": {"Days": 1}}


@pytest.fixture
def client() -> Any:
    return boto3.client("s3", region_name="eu-central-1", aws_access_key_id="key", aws_secret_access_key="secret")


@pytest.fixture
def stub(client: Any) -> Iterator[Stubber]:
    with Stubber(client) as stub:
        yield stub
        stub.assert_no_pending_responses()


def error(stub: Stubber, call: str, code: str, status: int = 400) -> None:
    stub.add_client_error(call, service_error_code=code, http_status_code=status)


def one(client: Any, setting: Setting, dry_run: bool = False) -> Outcome:
    (outcome,) = bring(client, PLACE, [setting], None, dry_run)
    return outcome


READS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "encryption": (
        "get_bucket_encryption",
        "ServerSideEncryptionConfigurationNotFoundError",
        {"ServerSideEncryptionConfiguration": AES},
    ),
    "public-access": (
        "get_public_access_block",
        "NoSuchPublicAccessBlockConfiguration",
        {"PublicAccessBlockConfiguration": dict(PUBLIC_ACCESS_BLOCKED)},
    ),
    "versioning": ("get_bucket_versioning", "", {"Status": "Enabled"}),
    "lifecycle": ("get_bucket_lifecycle_configuration", "NoSuchLifecycleConfiguration", {"Rules": RULES}),
    "tls-only": ("get_bucket_policy", "NoSuchBucketPolicy", {"Policy": POLICY}),
}
WRITES: dict[str, tuple[str, dict[str, Any]]] = {
    "encryption": ("put_bucket_encryption", {"ServerSideEncryptionConfiguration": AES}),
    "public-access": (
        "put_public_access_block",
        {"PublicAccessBlockConfiguration": dict(PUBLIC_ACCESS_BLOCKED)},
    ),
    "versioning": ("put_bucket_versioning", {"VersioningConfiguration": {"Status": "Enabled"}}),
    "lifecycle": ("put_bucket_lifecycle_configuration", {"LifecycleConfiguration": {"Rules": RULES}}),
    "tls-only": ("put_bucket_policy", {"Policy": POLICY}),
}


def setting_of(name: str) -> Setting:
    (found,) = [setting for setting in all_settings(Days()) if setting.name == name]
    return found


def nothing_set(stub: Stubber, name: str) -> None:
    call, absent, _ = READS[name]
    if absent:
        error(stub, call, absent, 404)
    else:
        stub.add_response(call, {}, IN)


@pytest.mark.parametrize("name", NAMES)
class TestEachSetting:
    def test_is_set_where_nothing_is_and_looked_at_again(self, client: Any, stub: Stubber, name: str) -> None:
        nothing_set(stub, name)
        call, arguments = WRITES[name]
        stub.add_response(call, {}, IN | arguments)
        stub.add_response(READS[name][0], READS[name][2], IN)
        assert one(client, setting_of(name)).state is State.CHANGED

    def test_is_left_alone_where_it_is_as_wanted(self, client: Any, stub: Stubber, name: str) -> None:
        stub.add_response(READS[name][0], READS[name][2], IN)
        assert one(client, setting_of(name)).state is State.AS_WANTED

    def test_is_only_told_in_a_dry_run(self, client: Any, stub: Stubber, name: str) -> None:
        nothing_set(stub, name)
        assert one(client, setting_of(name), dry_run=True).state is State.TO_CHANGE

    @pytest.mark.parametrize(("code", "status"), [("NotImplemented", 501), ("MethodNotAllowed", 405), ("", 501)])
    def test_is_missing_where_the_server_does_not_know_it(
        self, client: Any, stub: Stubber, name: str, code: str, status: int
    ) -> None:
        error(stub, READS[name][0], code, status)
        outcome = one(client, setting_of(name))
        assert (outcome.state, "does not know the call" in outcome.text) == (State.MISSING, True)

    def test_is_refused_where_the_keys_may_not_write_it(self, client: Any, stub: Stubber, name: str) -> None:
        nothing_set(stub, name)
        error(stub, WRITES[name][0], "AccessDenied", 403)
        outcome = one(client, setting_of(name))
        assert (outcome.state, setting_of(name).right in outcome.text) == (State.REFUSED, True)

    def test_is_missing_where_the_server_does_not_keep_it(
        self, client: Any, stub: Stubber, name: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("time.sleep", lambda seconds: None)
        nothing_set(stub, name)
        stub.add_response(WRITES[name][0], {})
        for _ in range(4):
            nothing_set(stub, name)
        outcome = one(client, setting_of(name))
        assert (outcome.state, "does not keep it" in outcome.text) == (State.MISSING, True)

    def test_a_login_that_expires_in_the_middle_ends_it(self, client: Any, stub: Stubber, name: str) -> None:
        error(stub, READS[name][0], "ExpiredToken")
        with pytest.raises(UserError, match=f"cannot set {name} of s3://my-team at AWS .ExpiredToken.*log in again"):
            one(client, setting_of(name))


def test_a_key_of_kms_is_not_replaced_by_a_weaker_one(client: Any, stub: Stubber) -> None:
    stub.add_response("get_bucket_encryption", {"ServerSideEncryptionConfiguration": KMS}, IN)
    assert one(client, Encryption()).state is State.AS_WANTED


def test_half_blocked_public_access_is_blocked_whole(client: Any, stub: Stubber) -> None:
    half = dict(PUBLIC_ACCESS_BLOCKED) | {"RestrictPublicBuckets": False}
    stub.add_response("get_public_access_block", {"PublicAccessBlockConfiguration": half}, IN)
    call, arguments = WRITES["public-access"]
    stub.add_response(call, {}, IN | arguments)
    stub.add_response(*READS["public-access"][::2], IN)
    assert one(client, PublicAccess()).state is State.CHANGED


def test_suspended_versions_are_kept_again(client: Any, stub: Stubber) -> None:
    stub.add_response("get_bucket_versioning", {"Status": "Suspended"}, IN)
    call, arguments = WRITES["versioning"]
    stub.add_response(call, {}, IN | arguments)
    stub.add_response(*READS["versioning"][::2], IN)
    assert one(client, Versioning()).state is State.CHANGED


def test_rules_of_others_and_their_smallest_size_are_written_back(client: Any, stub: Stubber) -> None:
    size = {"TransitionDefaultMinimumObjectSize": "varies_by_storage_class"}
    stub.add_response("get_bucket_lifecycle_configuration", {"Rules": [THEIRS], **size}, IN)
    rules = {"LifecycleConfiguration": {"Rules": [THEIRS, *RULES]}}
    stub.add_response("put_bucket_lifecycle_configuration", size, IN | rules | size)
    stub.add_response("get_bucket_lifecycle_configuration", {"Rules": [THEIRS, *RULES], **size}, IN)
    assert one(client, Lifecycle(days=Days())).state is State.CHANGED


def test_no_policy_locks_everyone_out_of_a_server_without_tls() -> None:
    plain = boto3.client(
        "s3",
        region_name="us-east-1",
        endpoint_url="http://127.0.0.1:1",
        aws_access_key_id="key",
        aws_secret_access_key="secret",
    )
    with Stubber(plain):
        outcome = one(plain, TlsOnly())
    assert (outcome.state, "would lock everyone out" in outcome.text) == (State.MISSING, True)


class TestTheBucket:
    def test_is_there(self, client: Any, stub: Stubber) -> None:
        stub.add_response("head_bucket", {}, IN)
        assert exists(client, PLACE, None)

    def test_is_not_there(self, client: Any, stub: Stubber) -> None:
        error(stub, "head_bucket", "404", 404)
        assert not exists(client, PLACE, None)

    @pytest.mark.parametrize(
        ("code", "said"),
        [
            ("InvalidAccessKeyId", "the access key is unknown: check AWS_ACCESS_KEY_ID"),
            ("SignatureDoesNotMatch", "the secret key is wrong"),
            ("AccessDenied", "the keys may not do that"),
            ("ExpiredToken", "log in again"),
        ],
    )
    def test_why_it_cannot_be_looked_at(self, client: Any, stub: Stubber, code: str, said: str) -> None:
        error(stub, "head_bucket", "403", 403)  # HEAD never says why
        error(stub, "get_bucket_location", code, 403)
        with pytest.raises(UserError, match=f"cannot look at s3://my-team/tatsnet at AWS .{code}.: .*{said}"):
            exists(client, PLACE, None)

    def test_another_account_s_bucket(self, client: Any, stub: Stubber) -> None:
        error(stub, "head_bucket", "403", 403)
        stub.add_response("get_bucket_location", {"LocationConstraint": "eu-central-1"}, IN)
        with pytest.raises(UserError, match="another account has a bucket of that name"):
            exists(client, PLACE, None)

    @pytest.mark.parametrize(
        ("region", "inside"),
        [
            ("eu-central-1", {"CreateBucketConfiguration": {"LocationConstraint": "eu-central-1"}}),
            ("us-east-1", {}),
        ],
    )
    def test_is_made_in_its_region(self, client: Any, stub: Stubber, region: str, inside: dict[str, Any]) -> None:
        stub.add_response("create_bucket", {}, IN | inside)
        make(client, PLACE, region, None)

    def test_made_by_someone_in_between_with_the_same_account_is_fine(self, client: Any, stub: Stubber) -> None:
        error(stub, "create_bucket", "BucketAlreadyOwnedByYou", 409)
        make(client, PLACE, "eu-central-1", None)

    @pytest.mark.parametrize(
        ("code", "said"),
        [
            ("BucketAlreadyExists", "another account has a bucket of that name"),
            ("AccessDenied", "the keys may not do that"),
            ("TooManyBuckets", "as many buckets as it may"),
            ("IllegalLocationConstraintException", "--region"),
        ],
    )
    def test_why_it_cannot_be_made(self, client: Any, stub: Stubber, code: str, said: str) -> None:
        error(stub, "create_bucket", code, 409)
        with pytest.raises(UserError, match=f"cannot make s3://my-team at AWS .{code}.: .*{said}"):
            make(client, PLACE, "eu-central-1", None)
