"""A cluster in a box: who is refused, what the pipeline leaves in it, and that nothing stays behind.

Coming up takes about 20 s on two idle cores, going down as long (SeaweedFS takes its time).
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import psutil
import psycopg2
import pytest
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError
from sqlalchemy import text

from infra.box.box import SERVICES, Box, folder_of, present
from infra.box.postgres import find_program
from infra.box.processes import running
from infra.box.seaweed import find_weed
from pipeline.common.errors import UserError
from pipeline.search.study.ledger import database
from pipeline.search.study.lock import DatabaseLock, alone
from tests.profiles.tiny import tiny_photos, tiny_profile
from tests.slow.searches import FOLDER, staging, trials

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(600)]
NODES = """
import json, ray
ray.init(log_to_driver=False, logging_level="ERROR")
print(json.dumps([node["Resources"].get("CPU", 0) for node in ray.nodes() if node["Alive"]]))
"""


@pytest.fixture(scope="module", autouse=True)
def programs() -> None:
    for find in (lambda: find_program("initdb"), find_weed):
        try:
            find()
        except UserError as error:
            pytest.skip(str(error))


@contextmanager
def open_folder() -> Iterator[Path]:
    """A folder through which others may pass: Postgres does not run as root. Whatever runs in it is stopped."""
    with tempfile.TemporaryDirectory(prefix="box") as name:
        folder = Path(name)
        folder.chmod(0o755)
        try:
            yield folder
        finally:
            infra(folder, "down")


def infra(project: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """`python -m infra.box` in a project."""
    return subprocess.run(
        [sys.executable, "-m", "infra.box", *arguments],
        cwd=project,
        env=surroundings(project) | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def surroundings(project: Path) -> dict[str, str]:
    source = Path(__file__).resolve().parents[2]
    place = project if (project / "infra").is_dir() else source
    return os.environ | {"PYTHONPATH": str(place), "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}


@pytest.fixture(scope="module")
def project(root: Path) -> Iterator[Path]:
    """The working tree as a repository of its own, with drawn photos and a tiny profile of two trials."""
    command = ["git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git repository")
    with open_folder() as place:
        for name in filter(None, listed.stdout.split("\0")):
            if (root / name).is_file() and name != "dvc.lock":
                (place / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(root / name, place / name)
        tiny_photos(place / "photos")
        tiny_profile(place / "params.yaml", {"data.source": "folder", "data.folder": "photos", "search.trials": 2})
        author = ("-c", "user.name=test", "-c", "user.email=test@example.invalid")
        for step in (("init", "-q"), ("add", "-A"), (*author, "commit", "-qm", "clone")):
            subprocess.run(["git", *step], cwd=place, check=True)
        yield place


@pytest.fixture(scope="module")
def box(project: Path) -> Iterator[Box]:
    done = infra(project, "up", RAY_AUTH_MODE="disabled", MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE="true")
    assert done.returncode == 0, done.stdout + done.stderr
    found = present(project)
    assert found is not None
    yield found
    assert infra(project, "down").returncode == 0
    assert not running(found.folder.path)


class TestWhoIsRefused:
    def test_it_is_up_and_listens_on_loopback_only(self, box: Box, project: Path) -> None:
        said = infra(project, "status")
        assert (said.returncode, said.stdout.splitlines()[0]) == (0, "box  is up")
        listening = [
            (service, connection.laddr.ip)
            for service, processes in running(box.folder.path).items()
            for process in processes
            for connection in process.net_connections(kind="inet")
            if connection.status == psutil.CONN_LISTEN
        ]
        assert {service for service, _ in listening} >= {"postgres", "s3", "mlflow", "ray-head", "ray-worker-1"}
        assert {ip for _, ip in listening} <= {"127.0.0.1", "::ffff:127.0.0.1", "::1"}

    def test_nobody_joins_ray_without_its_token(self, box: Box, project: Path) -> None:
        script = [sys.executable, "-c", NODES]
        inside = surroundings(project) | box.client_environment
        joined = subprocess.run(script, env=inside, capture_output=True, text=True, check=False)
        assert sorted(json.loads(joined.stdout.splitlines()[-1]))[0] == 0, "the head trains nothing"
        assert len(json.loads(joined.stdout.splitlines()[-1])) == 3
        empty = {name: value for name, value in inside.items() if not name.startswith("RAY_AUTH")}
        for environment in (
            inside | {"RAY_AUTH_TOKEN": "0" * 64},
            empty | {"RAY_AUTH_MODE": "disabled"},
            empty | {"HOME": str(project / "nobody")},
        ):
            refused = subprocess.run(script, env=environment, capture_output=True, text=True, check=False)
            assert refused.returncode != 0
            assert not refused.stdout

    @pytest.mark.parametrize(
        ("user", "password", "host", "status"),
        [
            ("", "", "", 401),
            ("box", "wrong", "", 401),
            ("admin", "password1234", "", 401),
            ("box", "RIGHT", "mlflow.example.org", 403),
            ("box", "RIGHT", "127.0.0.1.example.org", 403),
            ("box", "RIGHT", "", 200),
        ],
    )
    def test_mlflow_asks_for_a_password_and_answers_to_its_own_name_only(
        self, box: Box, user: str, password: str, host: str, status: int
    ) -> None:
        secret = box.folder.secret("mlflow") if password == "RIGHT" else password
        request = urllib.request.Request(f"{box.mlflow.uri}/api/2.0/mlflow/experiments/search?max_results=1")
        if user:
            request.add_header("Authorization", "Basic " + base64.b64encode(f"{user}:{secret}".encode()).decode())
        if host:
            request.add_header("Host", host)
        assert answer(request) == status

    def test_s3_asks_for_keys_at_every_door(self, box: Box) -> None:
        nobody = Config(signature_version=UNSIGNED, s3={"addressing_style": "path"})
        clients = [
            boto3.client("s3", endpoint_url=box.s3.endpoint, region_name="us-east-1", config=nobody),
            s3_as(box, "nobody", "wrong"),
            s3_as(box, box.s3.keys("driver")[0], "wrong"),
        ]
        for client in clients:
            for call in (client.list_buckets, lambda client=client: client.list_objects_v2(Bucket="box")):
                with pytest.raises(ClientError, match=r"AccessDenied|InvalidAccessKeyId|SignatureDoesNotMatch"):
                    call()
        filer = f"http://127.0.0.1:{box.ports['filer']}/buckets/box/ready"
        assert answer(urllib.request.Request(filer)) == 401
        assert answer(urllib.request.Request(filer, method="PUT", data=b"x")) == 401

    def test_a_role_reaches_its_own_folders_only(self, box: Box) -> None:
        driver = s3_as(box, *box.s3.keys("driver"))
        assert driver.list_objects_v2(Bucket="box", Prefix="tatsnet/networks/")["KeyCount"] >= 0
        for prefix in ("tatsnet/mlflow/", "tatsnet/dvc/", ""):
            with pytest.raises(ClientError, match="AccessDenied"):
                driver.list_objects_v2(Bucket="box", Prefix=prefix)

    @pytest.mark.parametrize(
        ("user", "password", "database"),
        [
            ("driver", "", "study"),
            ("driver", "wrong", "study"),
            ("driver", "driver", "mlflow"),
            ("mlflow", "mlflow", "study"),
            ("superuser", "", "postgres"),
            ("postgres", "", "postgres"),
        ],
    )
    def test_postgres_asks_for_a_password_and_keeps_databases_apart(
        self, box: Box, user: str, password: str, database: str
    ) -> None:
        known = box.folder.secret(f"postgres-{password}") if password in ("driver", "mlflow") else password
        place = {"host": "127.0.0.1", "port": box.ports["postgres"], "dbname": database, "user": user}
        with pytest.raises(psycopg2.OperationalError):
            psycopg2.connect(**place, password=known or "none", passfile="none")

    def test_secrets_are_private_files_and_stand_nowhere_else(self, box: Box, project: Path) -> None:
        private = [path for path in box.folder.secrets.rglob("*") if path.is_file()] + [box.folder.environment]
        assert {path.stat().st_mode & 0o777 for path in private} == {0o600}
        assert box.folder.secrets.stat().st_mode & 0o777 == 0o700
        assert box.folder.logs.stat().st_mode & 0o777 == 0o700
        inside = [path for path in box.folder.path.iterdir() if path.is_dir()]
        assert {path.stat().st_mode & 0o077 for path in inside} == {0}, "nobody else may enter any folder"
        ignored = subprocess.run(["git", "check-ignore", "-q", ".state/box"], cwd=project, check=False)
        assert ignored.returncode == 0
        values = {
            text for path in box.folder.secrets.iterdir() if path.is_file() and len(text := path.read_text()) == 64
        }
        assert len(values) > 10
        lines = [" ".join(one.cmdline()) for group in running(box.folder.path).values() for one in group]
        texts = lines + [path.read_text(errors="replace") for path in box.folder.logs.iterdir()]
        texts += [
            path.read_text(errors="replace")
            for path in (box.folder.path / "ray/files").glob("session_2*/logs/*")
            if path.is_file()
        ]
        assert not [text[:200] for text in texts if any(value in text for value in values)]


def answer(request: urllib.request.Request) -> int:
    try:
        with urllib.request.urlopen(request, timeout=20) as reply:
            return int(reply.status)
    except urllib.error.HTTPError as error:
        return error.code


def s3_as(box: Box, key: str, secret: str) -> Any:
    session = boto3.session.Session(aws_access_key_id=key, aws_secret_access_key=secret, region_name="us-east-1")
    config = Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1})
    return session.client("s3", endpoint_url=box.s3.endpoint, config=config)


def test_one_driver_at_a_time_holds_a_study(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in box.client_environment.items():
        monkeypatch.setenv(name, value)
    url = os.environ["TATSNET_STUDY"]
    with alone(DatabaseLock(database(url), "one")):
        second = alone(DatabaseLock(database(url), "one"))
        with pytest.raises(UserError, match="another search works on this study") as caught, second:
            pass
        assert box.folder.secret("postgres-driver") not in str(caught.value)
        with alone(DatabaseLock(database(url), "other")):
            pass
    with alone(DatabaseLock(database(url), "one")):
        pass


def test_a_driver_whose_database_forgot_it_takes_its_study_again_or_gives_way(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in box.client_environment.items():
        monkeypatch.setenv(name, value)
    url = os.environ["TATSNET_STUDY"]
    with alone(DatabaseLock(database(url), "one")) as still_alone:
        still_alone()
        end_connections(url)
        still_alone()
        with (
            pytest.raises(UserError, match="another search works on this study"),
            alone(DatabaseLock(database(url), "one")),
        ):
            pass
        end_connections(url)
        with (
            alone(DatabaseLock(database(url), "one")),
            pytest.raises(UserError, match="another search works on this study"),
        ):
            still_alone()
        still_alone()
        end_connections(url)


def test_workers_in_folders_of_their_own_share_a_study(box: Box, prepared: Path, root: Path, tmp_path: Path) -> None:
    """Two machines with a copy of the project each, which meet in Postgres and S3 alone; one dies."""
    environment = box.client_environment | box.s3.environment("worker")
    environment.pop("RAY_ADDRESS")
    first, second = (Path(shutil.copytree(prepared, tmp_path / name / "project")) for name in ("one", "two"))
    for place in (first, second):
        tiny_profile(place / "params.yaml", FOLDER | {"search.trials": 3, "search.schedule.iterations": 1500})
    with staging("worker", first, root, **environment) as one, staging("worker", second, root, **environment) as two:
        one.until(r"trial \d  300/1500")
        two.until(r"trial \d  150/1500")
        one.process.kill()
        assert two.end(300) == 0, two.told()
        assert "3 of 3 trials done, 0 running, 0 failed" in two.told()
        assert any("goes on from iteration" in line for line in two.lines)
    driver = {name: value for name, value in box.client_environment.items() if name != "RAY_ADDRESS"}
    with staging("search", second, root, **driver) as search:
        assert search.end() == 0, search.told()
    assert [(row["number"], row["state"]) for row in trials(second)] == [(n, "finished") for n in range(3)]
    assert not list((second / ".state" / "search").glob("*/store/networks/*")), "all of it lies in S3"


def end_connections(url: str) -> None:
    """What a server that is started anew does to those of this user."""
    with database(url).engine.connect() as other:
        others = "usename = current_user AND pid <> pg_backend_pid()"
        other.execute(text(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}"))


def test_a_search_runs_on_it_and_leaves_everything_where_it_belongs(box: Box, project: Path) -> None:
    done = infra(project, "run", "--", "dvc", "repro", "search")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "box  is up already, and stays up" in done.stdout
    assert present(project) is not None
    rows = json.loads((project / "search/trials.json").read_text(encoding="utf-8"))["trials"]
    assert [row["state"] for row in rows].count("finished") == 2

    with psycopg2.connect(
        host="127.0.0.1",
        port=box.ports["postgres"],
        dbname="study",
        user="driver",
        password=box.folder.secret("postgres-driver"),
    ) as study:
        cursor = study.cursor()
        cursor.execute("SELECT count(*) FROM trials WHERE state = 'COMPLETE'")
        assert cursor.fetchone() == (2,)
    assert not list((project / ".state").glob("search/*/study.db")), "the study lives in Postgres"

    admin = s3_as(box, *box.s3.keys("admin"))
    keys = [one["Key"] for one in admin.list_objects_v2(Bucket="box", Prefix="tatsnet/")["Contents"]]
    weights = [key for key in keys if key.startswith("tatsnet/networks/") and key.endswith("/weights.safetensors")]
    assert len(weights) == 2
    assert any(key.startswith("tatsnet/mlflow/") for key in keys), "artifacts went through MLflow into S3"
    assert not list(project.glob("mlflow.db*"))

    again = infra(project, "run", "--", "dvc", "repro", "search")
    assert again.returncode == 0
    assert "Running stage" not in again.stdout


class TestNothingStaysBehind:
    def test_the_command_s_status_is_the_run_s_and_then_all_is_stopped(self) -> None:
        script = "import os, sys; print(os.environ['RAY_ADDRESS'], os.environ['MLFLOW_TRACKING_URI']); sys.exit(3)"
        with open_folder() as place:
            done = infra(place, "run", "--", sys.executable, "-c", script)
            assert done.returncode == 3, done.stdout + done.stderr
            assert "127.0.0.1:" in done.stdout
            self.nothing_of(place)

    def test_ctrl_c_stops_all_of_it(self) -> None:
        with open_folder() as place, self.in_the_middle(place) as process:
            os.killpg(process.pid, signal.SIGINT)
            assert process.wait(90) == 130
            self.nothing_of(place)

    def test_a_box_that_was_killed_is_tidied_by_down(self) -> None:
        with open_folder() as place, self.in_the_middle(place) as process:
            process.kill()
            process.wait()
            assert set(running(folder_of(place).path)) >= set(SERVICES)
            assert infra(place, "down").returncode == 0
            self.nothing_of(place)
            assert infra(place, "down", "--delete").returncode == 0
            assert not folder_of(place).path.exists()

    def test_without_postgres_it_says_what_to_install_and_begins_nothing(self) -> None:
        with open_folder() as place:
            code = "from infra.box import postgres; postgres._PLACES = (); from infra.box.__main__ import main; main()"
            command = [sys.executable, "-c", f"import sys; sys.argv[1:] = ['up']; {code}"]
            done = subprocess.run(
                command, cwd=place, env=surroundings(place) | {"PATH": ""}, capture_output=True, text=True, check=False
            )
            assert "postgres is not installed" in done.stderr
            assert "apt-get install postgresql" in done.stderr
            assert not running(folder_of(place).path)

    @staticmethod
    @contextmanager
    def in_the_middle(place: Path) -> Iterator[subprocess.Popen[bytes]]:
        """A run whose command has begun and does not end by itself."""
        begun = place / "begun"
        script = f"import pathlib, time; pathlib.Path({str(begun)!r}).touch(); time.sleep(1000)"
        process = subprocess.Popen(
            [sys.executable, "-m", "infra.box", "run", "--", sys.executable, "-c", script],
            cwd=place,
            env=surroundings(place),
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            deadline = time.monotonic() + 120
            while not begun.exists():
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.2)
            yield process
        finally:
            process.kill()
            process.wait()

    @staticmethod
    def nothing_of(place: Path) -> None:
        assert not running(folder_of(place).path)
        named = [one.cmdline() for one in psutil.process_iter() if str(place) in " ".join(safe(one))]
        assert not named
        assert not folder_of(place).environment.exists()
        assert not folder_of(place).ports.exists()


def safe(process: psutil.Process) -> list[str]:
    try:
        return list(process.cmdline())
    except psutil.Error:
        return []
