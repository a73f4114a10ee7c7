"""DVC's remote in S3 (SeaweedFS) with the narrow keys of its role: pushed from one clone, pulled into another."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from infra.box.seaweed import PLACE
from infra.bucket.place import DVC
from tests.profiles.tiny import tiny_photos, tiny_profile
from tests.slow.s3_server import S3Server, keys_of, s3_server

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(600)]
REMOTE = f"s3://{PLACE.bucket}/{PLACE.below(DVC)}"
KEYS = keys_of("dvc")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with s3_server(tmp_path_factory.mktemp("s3"), ["dvc"]) as running:
        running.client().create_bucket(Bucket=PLACE.bucket)
        yield running


@dataclass(frozen=True)
class Clone:
    """A repository with a DVC remote, and the environment that its commands get."""

    root: Path
    environment: dict[str, str]

    def dvc(self, *arguments: str, patience_s: float = 300, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "dvc", *arguments],
            cwd=self.root,
            env=self.environment | environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=patience_s,
        )

    def done(self, *arguments: str) -> str:
        result = self.dvc(*arguments)
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout

    def git(self, *arguments: str) -> None:
        author = ("-c", "user.name=test", "-c", "user.email=test@example.invalid")
        subprocess.run(["git", *author, *arguments], cwd=self.root, check=True, capture_output=True)


def environment(server: S3Server, root: Path) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{clean['PATH']}"
    return clean | server.environment(KEYS) | {"PATH": path, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}


def small(server: S3Server, root: Path, files: int, size: int) -> Clone:
    """A repository with one folder under DVC."""
    clone = Clone(root, environment(server, root))
    (root / "photos").mkdir(parents=True)
    for number in range(files):
        (root / "photos" / f"{number}.bin").write_bytes(os.urandom(size))
    clone.git("init", "-q")
    clone.done("init", "-q")
    clone.done("remote", "add", "--default", "bucket", f"{REMOTE}/{root.name}")
    clone.done("config", "core.check_update", "false")
    for name in ("connect_timeout", "read_timeout"):
        clone.done("remote", "modify", "bucket", name, "5")
    clone.done("add", "-q", "photos")
    clone.git("add", "-A")
    clone.git("commit", "-qm", "photos")
    return clone


def again(clone: Clone, place: Path) -> Clone:
    """A fresh clone, without any cache."""
    subprocess.run(["git", "clone", "-q", str(clone.root), str(place)], check=True)
    return Clone(place, clone.environment | {"PYTHONPATH": str(place)})


def test_what_one_clone_pushed_another_pulls_and_has_nothing_to_do(
    server: S3Server, root: Path, tmp_path: Path
) -> None:
    """The project's own dvc.yaml, as far as its cheap stages."""
    first = Clone(tmp_path / "first", environment(server, tmp_path / "first"))
    command = ["git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git repository")
    for name in filter(None, listed.stdout.split("\0")):
        if (root / name).is_file() and name != "dvc.lock":
            (first.root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, first.root / name)
    tiny_photos(first.root / "photos")
    tiny_profile(first.root / "params.yaml", {"data.source": "folder", "data.folder": "photos"})
    first.git("init", "-q")
    first.done("remote", "add", "--default", "bucket", REMOTE)
    first.done("repro", "degrade")
    first.git("add", "-A")
    first.git("commit", "-qm", "prepared")
    first.done("push")

    second = again(first, tmp_path / "second")
    assert not (second.root / "data").exists()
    second.done("pull", "--with-deps", "degrade")
    for folder in ("data/clean", "data/train", "data/eval"):
        assert contents(second.root / folder) == contents(first.root / folder)
        assert contents(second.root / folder)
    said = second.done("repro", "degrade")
    assert "Running stage" not in said
    assert said.count("didn't change, skipping") == 2


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"AWS_SECRET_ACCESS_KEY": "wrong"}, "(403)"),
        ({"AWS_ACCESS_KEY_ID": "nobody"}, "forbidden"),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, "127.0.0.1:9"),
    ],
    ids=["wrong secret", "unknown key", "no server"],
)
def test_what_is_wrong_is_said_and_nothing_is_lost(
    server: S3Server, tmp_path: Path, changes: dict[str, str], said: str
) -> None:
    clone = small(server, tmp_path / f"refused{len(said)}", files=2, size=1000)
    refused = clone.dvc("push", **changes)
    assert refused.returncode != 0
    assert said in (refused.stdout + refused.stderr).lower()
    assert "Traceback" not in refused.stderr
    clone.done("push")
    fresh = again(clone, tmp_path / "fresh")
    fresh.done("pull")
    assert contents(fresh.root / "photos") == contents(clone.root / "photos")


def test_a_bucket_that_is_not_there_is_said(server: S3Server, tmp_path: Path) -> None:
    clone = small(server, tmp_path / "nowhere", files=1, size=1000)
    clone.done("remote", "modify", "bucket", "url", "s3://no-such-bucket/dvc")
    refused = clone.dvc("push")
    assert refused.returncode != 0
    assert "ERROR" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_the_role_s_keys_cannot_push_elsewhere(server: S3Server, tmp_path: Path) -> None:
    clone = small(server, tmp_path / "elsewhere", files=1, size=1000)
    clone.done("remote", "modify", "bucket", "url", f"s3://{PLACE.bucket}/{PLACE.below('networks')}")
    refused = clone.dvc("push")
    assert refused.returncode != 0
    assert not server.client().list_objects_v2(Bucket=PLACE.bucket, Prefix=PLACE.below("networks")).get("Contents")


def test_a_server_killed_in_mid_upload_is_said_and_the_next_push_goes_on(server: S3Server, tmp_path: Path) -> None:
    clone = small(server, tmp_path / "killed", files=24, size=4_000_000)
    admin = server.client()
    prefix = f"{PLACE.below(DVC)}/killed/"

    def kill_early() -> None:
        while not admin.list_objects_v2(Bucket=PLACE.bucket, Prefix=prefix).get("KeyCount"):
            time.sleep(0.02)
        server.kill()

    killer = threading.Thread(target=kill_early)
    killer.start()
    broken = clone.dvc("push", "--jobs", "2")
    killer.join()
    try:
        assert broken.returncode != 0, "the upload was faster than the kill"
        assert "failed to push" in broken.stderr or "ERROR" in broken.stderr
        assert "Traceback" not in broken.stderr
    finally:
        server.start()
    there = admin.list_objects_v2(Bucket=PLACE.bucket, Prefix=prefix)["KeyCount"]
    assert 0 < there < 25
    clone.done("push")
    fresh = again(clone, tmp_path / "fresh")
    fresh.done("pull")
    assert contents(fresh.root / "photos") == contents(clone.root / "photos")
