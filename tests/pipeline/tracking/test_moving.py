"""A project that is moved, copied or renamed finds its recorded files and its models again, and writes at home."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from pipeline.common.errors import UserError
from pipeline.tracking import open_tracker
from pipeline.tracking.moving import follow_move


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a run, its artifact and a version of a model that names it."""
    root = tmp_path_factory.mktemp("recorded") / "first"
    root.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        tracker = open_tracker("e", root)
        run = tracker.start("run", stage="s")
        run.text("kept", "models/a.txt")
        run.finish()
        client = MlflowClient(tracker.uri, tracker.uri)
        client.create_registered_model("m")
        client.create_model_version("m", f"{client.get_run(run.id).info.artifact_uri}/models", run_id=run.id)
        client.create_experiment("elsewhere", artifact_location="file:///srv/elsewhere")
    return root


def strings(store: Path) -> list[str]:
    """Every text in the store."""
    with closing(sqlite3.connect(store)) as db:
        tables = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return [str(cell) for table in tables for row in db.execute(f"SELECT * FROM {table}") for cell in row]


@pytest.mark.parametrize("name", ["second", "a b#%20c?d", "first-and-more"])
@pytest.mark.parametrize("how", ["move", "copy"])
def test_what_was_recorded_is_found_and_more_is_written_here(
    recorded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, how: str
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    origin, root = tmp_path / "first", tmp_path / name
    shutil.copytree(recorded, origin)
    tracker = open_tracker("e", origin)  # the copy of the fixture is itself one that was moved
    if how == "move":
        origin.rename(root)
    else:
        shutil.copytree(origin, root)
        before = strings(origin / "mlflow.db")
    tracker = open_tracker("e", root)
    client = MlflowClient(tracker.uri, tracker.uri)
    (found,) = tracker.find()
    assert Path(client.download_artifacts(found.id, "models/a.txt")).read_text() == "kept"
    (version,) = client.search_model_versions("name = 'm'")
    source = client.get_model_version_download_uri("m", version.version)
    assert source == f"{(root / 'mlartifacts').as_uri()}/{found.id}/artifacts/models"
    tracker.start("more", stage="s").text("new", "b.txt")
    assert len(tracker.find()) == 2
    assert len(list((root / "mlartifacts").rglob("b.txt"))) == 1
    assert client.get_experiment_by_name("elsewhere").artifact_location == "file:///srv/elsewhere"
    assert not [text for text in strings(root / "mlflow.db") if f"{origin.as_uri()}/" in text or f"{origin}/" in text]
    if how == "copy":
        assert strings(origin / "mlflow.db") == before
        assert not list(origin.rglob("b.txt"))


def test_a_move_is_said_once(recorded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "second"
    shutil.copytree(recorded, root)
    follow_move(root / "mlflow.db", root / "mlartifacts")
    assert f"the project was at {recorded}: " in capsys.readouterr().out
    follow_move(root / "mlflow.db", root / "mlartifacts")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("content", [b"", b"no database"])
def test_a_store_that_is_none_is_one_message_or_nothing(tmp_path: Path, content: bytes) -> None:
    store = tmp_path / "mlflow.db"
    follow_move(store, tmp_path / "mlartifacts")
    assert not store.exists()
    store.write_bytes(content * 100)
    if content:
        with pytest.raises(UserError, match="cannot be used"):
            follow_move(store, tmp_path / "mlartifacts")
    else:
        follow_move(store, tmp_path / "mlartifacts")
