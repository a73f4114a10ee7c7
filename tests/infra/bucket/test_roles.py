from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any

import pytest

from infra.bucket.place import Place
from infra.bucket.roles import ROLES, policy

PLACE = Place(bucket="my-team", prefix="tatsnet")
GET, PUT, DELETE = "s3:GetObject", "s3:PutObject", "s3:DeleteObject"
MAY = {
    "worker": {"data": {GET}, "shared": {GET}, "checkpoints": {GET, PUT, DELETE}, "networks": {GET, PUT, DELETE}},
    "driver": {"data": {GET}, "shared": {GET, PUT}, "checkpoints": {GET, DELETE}, "networks": {GET}},
    "mlflow": {"mlflow": {GET, PUT, DELETE}},
    "dvc": {"dvc": {GET, PUT}},
}
FOLDERS = ("data", "checkpoints", "networks", "shared", "mlflow", "dvc")


def statements(name: str) -> list[dict[str, Any]]:
    return list(policy(PLACE, ROLES[name])["Statement"])


def allows(name: str, action: str, key: str) -> bool:
    """As IAM reads a policy: `*` in a resource matches anything."""
    arn = f"arn:aws:s3:::{key}"
    return any(
        action in one["Action"] and any(fnmatchcase(arn, resource) for resource in one["Resource"])
        for one in statements(name)
    )


def may_list(name: str, prefix: str) -> bool:
    (one,) = [one for one in statements(name) if one["Sid"] == "List"]
    return any(fnmatchcase(prefix, pattern) for pattern in one["Condition"]["StringLike"]["s3:prefix"])


@pytest.mark.parametrize("name", sorted(ROLES))
@pytest.mark.parametrize("folder", FOLDERS)
def test_each_role_may_do_what_it_needs_and_nothing_else(name: str, folder: str) -> None:
    key = f"my-team/tatsnet/{folder}/some/object"
    assert {action for action in (GET, PUT, DELETE) if allows(name, action, key)} == MAY[name].get(folder, set())
    assert may_list(name, f"tatsnet/{folder}/") is (folder in MAY[name])


@pytest.mark.parametrize("name", sorted(ROLES))
@pytest.mark.parametrize(
    "key",
    ["my-team/tatsnet", "my-team/other/data/x", "my-team/data/x", "another/tatsnet/data/x", "my-team/tatsnet/datax/y"],
)
def test_nobody_leaves_the_prefix(name: str, key: str) -> None:
    assert not any(allows(name, action, key) for action in (GET, PUT, DELETE))


@pytest.mark.parametrize("name", sorted(ROLES))
@pytest.mark.parametrize("prefix", ["", "tatsnet", "tatsnet/", "other/", "tatsnet/datax/"])
def test_nobody_lists_what_lies_above(name: str, prefix: str) -> None:
    assert not may_list(name, prefix)


@pytest.mark.parametrize("name", sorted(ROLES))
def test_only_objects_are_touched_and_no_action_is_a_pattern(name: str) -> None:
    actions = {action for one in statements(name) for action in one["Action"]}
    upload = {"s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"}
    assert actions <= {GET, PUT, DELETE, "s3:ListBucket", "s3:GetBucketLocation"} | upload
    assert all(one["Effect"] == "Allow" for one in statements(name))


def test_without_a_prefix_the_folders_still_bound_it() -> None:
    whole = policy(Place(bucket="my-team", prefix=""), ROLES["dvc"])
    resources = {resource for one in whole["Statement"] for resource in one["Resource"]}
    assert resources == {"arn:aws:s3:::my-team", "arn:aws:s3:::my-team/dvc/*"}
