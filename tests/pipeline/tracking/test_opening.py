"""A tracker's address is shown and kept, so no password gets into it; what answers nonsense is one message."""

from __future__ import annotations

import shutil
import socket
import threading
import traceback
from pathlib import Path

import pytest

from pipeline.commands.ui import main as ui
from pipeline.common.errors import UserError
from pipeline.search.study.ledger import sqlite
from pipeline.tracking import open_tracker, tracking_uri

SIGNED = [
    "https://ann:hunter2@mlflow.example.org",
    "HTTPS://ann:hunter2@mlflow.example.org/",
    "http://ann:hunter2@127.0.0.1:1/prefix",
    "http://hunter2@127.0.0.1:1",
    "https://ann:hun/ter2@mlflow.example.org",
    "https://ann:hun#ter2@mlflow.example.org",
    "https://ann:hun:hunter2@ter2@mlflow.example.org",
    " https://ann:hunter2@mlflow.example.org",
    "ann:hunter2@mlflow.example.org",
    "//ann:hunter2@mlflow.example.org",
    "postgresql://ann:hunter2@db.example.org/mlflow",
    "postgresql+psycopg2://:hunter2@/mlflow",
    "postgresql:///mlflow?host=db.example.org&password=hunter2",
    "mysql+pymysql://db.example.org/mlflow?passwd=hunter2",
]
UNSIGNED = [
    "https://mlflow.example.org:5000/prefix/",
    "http://[::1]:5000",
    "postgresql+psycopg2://ann@db.example.org:5432/mlflow?sslmode=require",
    "postgresql://ann@/mlflow",
    "sqlite:////srv/ann:b/c@d/mlflow.db",
    "file:///srv/ann:b/c@d",
    "file:/srv/ann:b/c@d",
    "/srv/ann:b/c@d",
]


@pytest.mark.parametrize("uri", SIGNED)
def test_an_address_with_a_password_is_refused_and_not_repeated(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    (tmp_path / "params.yaml").write_bytes((Path(__file__).parents[3] / "params.yaml").read_bytes())
    for opened in (lambda: open_tracker("e", tmp_path), lambda: ui([], tmp_path)):
        with pytest.raises(UserError, match="MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD") as refused:
            opened()
        assert "hun" not in "".join(traceback.format_exception(refused.value))
    assert capfd.readouterr() == ("", "")
    assert [path.name for path in tmp_path.iterdir()] == ["params.yaml"]


@pytest.mark.parametrize("uri", UNSIGNED)
def test_one_without_is_taken_as_it_is(uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert tracking_uri(tmp_path) == uri


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with an empty store: to make its tables takes seconds."""
    root = tmp_path_factory.mktemp("prepared")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        open_tracker("e", root)
    return root


@pytest.mark.parametrize(
    "name",
    ["a b#c", "p%20q", "q?x", "a:b@c?password=d", "{x}", "[x]", "a;b&c", "é", "back\\slash", "a\nb", "~", "%s", "100%"],
)
def test_the_project_s_folder_may_have_any_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prepared: Path, name: str
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    root = tmp_path / name
    root.mkdir()
    shutil.copy(prepared / "mlflow.db", root)
    tracker = open_tracker("other", root)
    tracker.start("run", stage="s").text("kept", "a.txt")
    assert len(tracker.find()) == 1
    study = root / "search" / "study.db"
    sqlite(study)
    assert [path.read_text() for path in (root / "mlartifacts").rglob("a.txt")] == ["kept"]
    assert {path.name for path in tmp_path.iterdir()} == {name}
    assert {path.name for path in root.iterdir()} == {"mlflow.db", "mlartifacts", ".state", "search"}
    assert [path.name for path in study.parent.iterdir()] == ["study.db"]


@pytest.mark.parametrize(
    "uri", ["http://127.0.0.1:port", "http://127.0.0.1:1/a b", "http://127.0.0.1:99999", "http://[::1"]
)
def test_an_address_that_is_none_is_one_message(uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(UserError, match="does not answer"):
        open_tracker("e", tmp_path)


def test_so_is_a_server_of_another_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b"220 mail.example.org ready\r\n")

        threading.Thread(target=answer, daemon=True).start()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{server.getsockname()[1]}")
        with pytest.raises(UserError, match="does not answer"):
            open_tracker("e", tmp_path)
