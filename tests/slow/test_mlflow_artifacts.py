"""Artifacts in S3 by way of a real MLflow server, which alone holds the keys of S3: clients have none."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import mlflow
import pytest
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from infra.box.seaweed import PLACE
from infra.box.waiting import answers, free_ports
from infra.bucket.place import MLFLOW
from tests.slow.s3_server import S3Server, keys_of, s3_server

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(600)]
ARTIFACTS = f"s3://{PLACE.bucket}/{PLACE.below(MLFLOW)}"


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with s3_server(tmp_path_factory.mktemp("s3"), ["mlflow", "dvc"]) as running:
        running.client().create_bucket(Bucket=PLACE.bucket)
        yield running


@pytest.fixture(autouse=True)
def short_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)


@contextmanager
def tracking(s3: S3Server, place: Path, keys: tuple[str, str], destination: str = ARTIFACTS) -> Iterator[MlflowClient]:
    """A client of a server that uses these keys."""
    (port,) = free_ports(1)
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{place / 'runs.db'}", "--artifacts-destination", destination]
    quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "AWS_MAX_ATTEMPTS": "2"}
    with (place / "log").open("ab") as log:
        server = subprocess.Popen(
            command, env=os.environ | s3.environment(keys) | quiet, stdout=log, stderr=log, start_new_session=True
        )
    try:
        deadline = time.monotonic() + 90
        while not answers(f"http://127.0.0.1:{port}/health"):
            assert server.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.2)
        yield MlflowClient(f"http://127.0.0.1:{port}")
    finally:
        os.killpg(server.pid, 9)
        server.wait()


def begun(client: MlflowClient) -> str:
    """A new run of an experiment whose artifacts go through the server."""
    name = f"experiment-{time.monotonic_ns()}"
    return str(client.create_run(client.create_experiment(name)).info.run_id)


def objects(s3: S3Server) -> int:
    return int(s3.client().list_objects_v2(Bucket=PLACE.bucket, Prefix=PLACE.below(MLFLOW))["KeyCount"])


def test_artifacts_go_to_the_role_s_prefix_and_come_back(s3: S3Server, tmp_path: Path) -> None:
    photo = tmp_path / "grüne Wiese (2).bin"
    photo.write_bytes(os.urandom(9_000_000))
    with tracking(s3, tmp_path, keys_of("mlflow")) as client:
        run = begun(client)
        client.log_artifact(run, str(photo), "photos")
        client.log_text(run, "hello", "notes/a.txt")
        assert objects(s3) == 2
        assert {one.path for one in client.list_artifacts(run)} == {"photos", "notes"}
        back = mlflow.artifacts.download_artifacts(
            run_id=run,
            artifact_path=f"photos/{photo.name}",
            dst_path=str(tmp_path / "back"),
            tracking_uri=client.tracking_uri,
        )
        assert Path(back).read_bytes() == photo.read_bytes()


@pytest.mark.parametrize(
    ("keys", "destination", "said"),
    [
        (("mlflow", "wrong"), ARTIFACTS, "SignatureDoesNotMatch"),
        (("nobody", "wrong"), ARTIFACTS, "InvalidAccessKeyId"),
        (keys_of("dvc"), ARTIFACTS, "AccessDenied"),
        (keys_of("mlflow"), "s3://no-such-bucket/x", "AccessDenied"),
    ],
    ids=["wrong secret", "unknown key", "another role's keys", "no bucket"],
)
def test_a_server_that_cannot_write_says_so_and_the_next_one_goes_on(
    s3: S3Server, tmp_path: Path, keys: tuple[str, str], destination: str, said: str
) -> None:
    before = objects(s3)
    with tracking(s3, tmp_path, keys, destination) as client:
        run = begun(client)
        with pytest.raises(MlflowException, match=r"mlflow-artifacts/artifacts/.*a\.txt"):
            client.log_text(run, "hello", "a.txt")
        client.log_metric(run, "psnr", 24.0)
    assert said in (tmp_path / "log").read_text(encoding="utf-8"), "the reason stands in the server's log"
    assert objects(s3) == before
    with tracking(s3, tmp_path, keys_of("mlflow")) as client:
        client.log_text(begun(client), "hello", "a.txt")
        assert client.get_run(run).data.metrics == {"psnr": 24.0}
    assert objects(s3) == before + 1


def test_s3_killed_in_mid_upload_is_an_error_and_after_it_the_same_run_goes_on(s3: S3Server, tmp_path: Path) -> None:
    large = tmp_path / "large.bin"
    large.write_bytes(os.urandom(200_000_000))
    with tracking(s3, tmp_path, keys_of("mlflow")) as client:
        run = begun(client)
        client.log_text(run, "warm", "warm.txt")
        killer = threading.Timer(0.4, s3.kill)
        killer.start()
        try:
            with pytest.raises((MlflowException, OSError)):
                client.log_artifact(run, str(large))
        finally:
            killer.join()
            s3.start()
        client.log_artifact(run, str(large))
        (found,) = [one for one in client.list_artifacts(run) if one.path == "large.bin"]
        assert found.file_size == large.stat().st_size
