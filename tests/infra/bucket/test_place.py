from __future__ import annotations

import pytest

from infra.bucket.place import Place, read_place
from pipeline.common.errors import UserError


@pytest.mark.parametrize(
    ("uri", "bucket", "prefix", "below"),
    [
        ("s3://my-team/tatsnet", "my-team", "tatsnet", "tatsnet/data"),
        ("s3://my-team/a/b.c_d-e/", "my-team", "a/b.c_d-e", "a/b.c_d-e/data"),
        ("s3://my-team", "my-team", "", "data"),
        ("s3://my-team/", "my-team", "", "data"),
    ],
)
def test_what_a_uri_names(uri: str, bucket: str, prefix: str, below: str) -> None:
    place = read_place(uri)
    assert (place.bucket, place.prefix, place.below("data")) == (bucket, prefix, below)
    assert place.uri == uri.rstrip("/")
    assert place.arn == f"arn:aws:s3:::{bucket}"


@pytest.mark.parametrize("uri", ["my-team/tatsnet", "https://my-team/x", "s3:/my-team", "", "s3:"])
def test_what_is_no_uri(uri: str) -> None:
    with pytest.raises(UserError, match="write s3://NAME/PREFIX"):
        read_place(uri)


@pytest.mark.parametrize(
    "name", ["", "ab", "a" * 64, "My-Team", "my_team", "my.team", "-team", "team-", "xn--team", "team-s3alias", "te am"]
)
def test_names_that_no_bucket_may_have(name: str) -> None:
    with pytest.raises(UserError, match="cannot be a bucket's name"):
        read_place(f"s3://{name}/tatsnet")


@pytest.mark.parametrize(
    "prefix", ["*", "a*", "a?", "${aws:username}", "a//b", "/a", "..", "a/../b", "a/./b", "a b", "ä", "a\n", "x" * 201]
)
def test_a_prefix_cannot_widen_a_policy(prefix: str) -> None:
    with pytest.raises(UserError, match="cannot be a prefix"):
        Place(bucket="my-team", prefix=prefix)
