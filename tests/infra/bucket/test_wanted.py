from __future__ import annotations

from typing import Any

import pytest

from infra.bucket.place import Place
from infra.bucket.wanted import Days, lifecycle_rules, tls_statement, with_rules, with_statement
from pipeline.common.errors import UserError

PLACE = Place(bucket="my-team", prefix="tatsnet")
THEIRS: dict[str, Any] = {"ID": "logs", "Status": "Enabled", "Filter": {"Prefix": "logs/"}, "Expiration": {"Days": 1}}


def test_only_checkpoints_expire() -> None:
    rules = lifecycle_rules(PLACE, Days(checkpoints=7, versions=8, uploads=9))
    expiring = [rule for rule in rules if "Days" in rule.get("Expiration", {})]
    assert [rule["Filter"] for rule in expiring] == [{"Prefix": "tatsnet/checkpoints/"}]
    assert expiring[0]["Expiration"] == {"Days": 7}
    assert [r["NoncurrentVersionExpiration"] for r in rules if "NoncurrentVersionExpiration" in r] == [
        {"NoncurrentDays": 8}
    ]
    assert [r["AbortIncompleteMultipartUpload"] for r in rules if "AbortIncompleteMultipartUpload" in r] == [
        {"DaysAfterInitiation": 9}
    ]
    assert all(rule["Filter"]["Prefix"].startswith("tatsnet/") for rule in rules), "others' objects are theirs"


def test_rules_of_others_and_of_another_prefix_stay() -> None:
    other = lifecycle_rules(Place(bucket="my-team", prefix="other"), Days())
    old = lifecycle_rules(PLACE, Days(checkpoints=1))
    new = lifecycle_rules(PLACE, Days(checkpoints=2))
    assert with_rules([old[0], THEIRS, *other, *old[1:]], new) == [new[0], THEIRS, *other, *new[1:]]
    assert with_rules(with_rules([THEIRS], new), new) == [THEIRS, *new]


def test_the_policy_keeps_the_statements_of_others() -> None:
    theirs = {"Sid": "Audit", "Effect": "Allow", "Principal": {"AWS": "111122223333"}, "Action": "s3:GetBucketAcl"}
    ours = tls_statement(PLACE)
    assert with_statement(None, ours) == {"Version": "2012-10-17", "Statement": [ours]}
    policy = {"Version": "2012-10-17", "Id": "x", "Statement": theirs}
    assert with_statement(policy, ours) == {"Version": "2012-10-17", "Id": "x", "Statement": [theirs, ours]}
    stale = {**ours, "Resource": [PLACE.arn]}
    assert with_statement({"Version": "2012-10-17", "Statement": [stale]}, ours)["Statement"] == [ours]


def test_the_tls_statement_holds_for_the_bucket_and_all_of_its_objects() -> None:
    statement = tls_statement(Place(bucket="my-team", prefix="tatsnet", partition="aws-cn"))
    assert statement["Resource"] == ["arn:aws-cn:s3:::my-team", "arn:aws-cn:s3:::my-team/*"]
    assert (statement["Effect"], statement["Principal"], statement["Action"]) == ("Deny", "*", "s3:*")
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


@pytest.mark.parametrize("name", ["checkpoints", "versions", "uploads"])
@pytest.mark.parametrize("days", [0, -1, 3651])
def test_days_out_of_range(name: str, days: int) -> None:
    with pytest.raises(UserError, match=f"--{name[:-1]}-days must lie in 1 to 3650, got {days}"):
        Days(**{name: days})
