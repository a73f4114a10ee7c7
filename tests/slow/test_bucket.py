"""`python -m infra.bucket` against a real S3 server (SeaweedFS), which knows all of its calls but one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from infra.bucket.roles import ROLES
from tests.slow.s3_server import S3Server, keys_of, s3_server

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(300)]
WITHOUT = ("--allow-missing", "public-access", "--allow-missing", "tls-only")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with s3_server(tmp_path_factory.mktemp("s3"), list(ROLES)) as running:
        yield running


def run(server: S3Server, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return subprocess.run(
        [sys.executable, "-m", "infra.bucket", *arguments],
        env=clean | server.environment() | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def states(output: str) -> dict[str, str]:
    """What the report says of each setting."""
    words = ("as wanted", "to change", "changed", "NOT SUPPORTED", "REFUSED")
    found = {}
    for line in output.splitlines():
        name, _, rest = line.strip().partition(" ")
        for word in words:
            if line.startswith("  ") and rest.strip().startswith(word):
                found[name] = word
    return found


def test_a_bucket_is_made_once_and_then_there_is_nothing_to_do(server: S3Server) -> None:
    dry = run(server, "s3://first-bucket/tatsnet", "--dry-run", *WITHOUT)
    assert dry.returncode == 0, dry.stderr
    assert set(states(dry.stdout).values()) == {"to change"}
    assert "first-bucket" not in {bucket["Name"] for bucket in server.client().list_buckets()["Buckets"]}

    first = run(server, "s3://first-bucket/tatsnet", *WITHOUT)
    assert first.returncode == 0, first.stdout + first.stderr
    assert states(first.stdout) == {
        "bucket": "changed",
        "public-access": "NOT SUPPORTED",
        "encryption": "changed",
        "tls-only": "NOT SUPPORTED",
        "versioning": "changed",
        "lifecycle": "changed",
    }
    again = run(server, "s3://first-bucket/tatsnet", *WITHOUT)
    assert again.returncode == 0, again.stdout + again.stderr
    assert set(states(again.stdout).values()) == {"as wanted", "NOT SUPPORTED"}
    assert again.stdout.splitlines()[-1] == "nothing to do, without public-access, tls-only as was allowed"


def test_a_bucket_that_is_there_keeps_what_others_set(server: S3Server) -> None:
    client = server.client()
    client.create_bucket(Bucket="their-bucket")
    client.put_object(Bucket="their-bucket", Key="logs/one", Body=b"theirs")
    theirs = {"ID": "logs", "Status": "Enabled", "Filter": {"Prefix": "logs/"}, "Expiration": {"Days": 90}}
    client.put_bucket_lifecycle_configuration(Bucket="their-bucket", LifecycleConfiguration={"Rules": [theirs]})
    done = run(server, "s3://their-bucket/a", *WITHOUT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert states(done.stdout)["bucket"] == "as wanted"
    rules = client.get_bucket_lifecycle_configuration(Bucket="their-bucket")["Rules"]
    assert [rule["ID"] for rule in rules] == [
        "logs",
        "tatsnet checkpoints a",
        "tatsnet versions a",
        "tatsnet uploads a",
    ]
    assert client.get_object(Bucket="their-bucket", Key="logs/one")["Body"].read() == b"theirs"
    assert client.get_bucket_versioning(Bucket="their-bucket")["Status"] == "Enabled"
    client.put_object(Bucket="their-bucket", Key="logs/one", Body=b"overwritten")
    assert len(client.list_object_versions(Bucket="their-bucket", Prefix="logs/one")["Versions"]) == 2


def test_what_the_server_lacks_is_said_and_fails_unless_allowed(server: S3Server) -> None:
    done = run(server, "s3://second-bucket/tatsnet")
    assert done.returncode == 1
    assert "the server does not know the call (NotImplemented)" in done.stdout
    assert done.stdout.splitlines()[-1] == (
        "not as wanted: public-access, tls-only. Mend that, or go on without: "
        "--allow-missing public-access --allow-missing tls-only"
    )


@pytest.mark.parametrize(
    ("uri", "environment", "said"),
    [
        ("s3://some-bucket/x", {"AWS_ACCESS_KEY_ID": "nobody"}, "the access key is unknown"),
        ("s3://some-bucket/x", {"AWS_SECRET_ACCESS_KEY": "wrong"}, "the secret key is wrong"),
        (
            "s3://new-bucket/x",
            dict(zip(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), keys_of("dvc"), strict=True)),
            "may not",
        ),
        ("s3://some-bucket/x", {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, "http://127.0.0.1:9 is not reached"),
        ("s3://some-bucket/x", {"AWS_PROFILE": "none"}, "profile"),
        ("s3://Some_Bucket/x", {}, "cannot be a bucket's name"),
        ("s3://some-bucket/*", {}, "cannot be a prefix"),
        ("some-bucket", {}, "write s3://NAME/PREFIX"),
    ],
)
def test_mistakes_are_one_message_and_exit_2(
    server: S3Server, uri: str, environment: dict[str, str], said: str
) -> None:
    if "some-bucket" not in {bucket["Name"] for bucket in server.client().list_buckets()["Buckets"]}:
        server.client().create_bucket(Bucket="some-bucket")
    done = run(server, uri, **environment)
    assert done.returncode == 2, done.stdout + done.stderr
    assert said in done.stderr
    assert done.stderr.startswith("bucket: ")
    assert done.stderr.count("\n") == 1
    assert "secret-of" not in done.stderr


def test_the_policies_are_written_per_role_and_not_in_a_dry_run(server: S3Server, tmp_path: Path) -> None:
    folder = tmp_path / "policies"
    assert run(server, "s3://third-bucket/p", "--policies", str(folder), "--dry-run").returncode == 0
    assert not folder.exists()
    assert run(server, "s3://third-bucket/p", "--policies", str(folder), *WITHOUT).returncode == 0
    assert {path.stem for path in folder.iterdir()} == set(ROLES)
    printed = run(server, "s3://third-bucket/p", "--policy", "worker")
    assert json.loads(printed.stdout) == json.loads((folder / "worker.json").read_text(encoding="utf-8"))


FOLDERS = ("data", "checkpoints", "networks", "shared", "mlflow", "dvc")


@pytest.mark.parametrize("name", sorted(ROLES))
def test_a_role_s_keys_reach_its_folders_only(server: S3Server, name: str) -> None:
    """The IAM policies themselves, as SeaweedFS enforces them."""
    role, admin = ROLES[name], server.client()
    if "box" not in {bucket["Name"] for bucket in admin.list_buckets()["Buckets"]}:
        admin.create_bucket(Bucket="box")
    client = server.client(keys_of(name))
    for folder in FOLDERS:
        key = f"tatsnet/{folder}/one"
        admin.put_object(Bucket="box", Key=key, Body=b"x")
        assert may(client.get_object, key) is (folder in role.reads), (folder, "read")
        assert may(client.put_object, f"{key}.{name}") is (folder in role.writes), (folder, "write")
        assert may(client.delete_object, f"{key}.{name}") is (folder in role.deletes), (folder, "delete")
        assert may(client.list_objects_v2, None, Prefix=f"tatsnet/{folder}/") is (folder in role.folders), (
            folder,
            "list",
        )
    assert not may(client.put_object, "elsewhere")
    assert not may(client.list_objects_v2, None, Prefix="")
    assert may(client.get_bucket_location, None)
    for call in (client.get_bucket_policy, client.get_bucket_versioning, client.delete_bucket_lifecycle):
        assert not may(call, None)


def may(call: Any, key: str | None, **arguments: Any) -> bool:
    try:
        call(Bucket="box", **({"Key": key} if key else {}), **arguments)
    except ClientError as error:
        if error.response["Error"]["Code"] != "AccessDenied":
            raise
        return False
    return True


def test_encryption_that_the_server_has_no_key_for_is_taken_back(tmp_path: Path) -> None:
    with s3_server(tmp_path, sealed=False) as bare:
        done = run(bare, "s3://bare-bucket/x", *WITHOUT)
        assert (done.returncode, states(done.stdout)["encryption"]) == (1, "NOT SUPPORTED")
        assert "takes the setting but then no object" in done.stdout
        bare.client().put_object(Bucket="bare-bucket", Key="x/y", Body=b"still taken")
        assert run(bare, "s3://bare-bucket/x", *WITHOUT, "--allow-missing", "encryption").returncode == 0
