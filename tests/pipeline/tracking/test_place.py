from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.tracking import tracking_uri
from pipeline.tracking.outbox.store import queue_folder
from pipeline.tracking.place import absolute, portable

COPY = Path(".dvc/tmp/exps/tmp12345")


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ("sqlite:///runs.db", "sqlite:///{root}/runs.db"),
        ("sqlite:///sub/runs.db?timeout=3", "sqlite:///{root}/sub/runs.db?timeout=3"),
        ("sqlite:////srv/runs.db", "sqlite:////srv/runs.db"),
        ("sqlite:///:memory:", "sqlite:///:memory:"),
        ("runs", "file://{root}/runs"),
        ("./runs", "file://{root}/runs"),
        ("./runs:a@b", "file://{root}/runs%3Aa%40b"),
        ("/srv/runs", "/srv/runs"),
        ("file:///srv/runs", "file:///srv/runs"),
        ("http://127.0.0.1:5000", "http://127.0.0.1:5000"),
        ("postgresql://ann@/runs", "postgresql://ann@/runs"),
        ("databricks", "databricks"),
    ],
)
@pytest.mark.parametrize("copy", ["", str(COPY)])
def test_a_relative_place_starts_at_the_project_s_own_folder(tmp_path: Path, given: str, taken: str, copy: str) -> None:
    assert absolute(tmp_path / copy, given) == taken.format(root=tmp_path)


@pytest.mark.parametrize("name", ["plain", "a b?c%20"])
def test_the_records_of_a_renamed_project_are_still_waiting_for_its_own_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    before, after = tmp_path / "before", tmp_path / name
    before.mkdir()
    queue_folder(before, tracking_uri(before)).mkdir(parents=True)
    kept = portable(before, tracking_uri(before))
    before.rename(after)
    assert queue_folder(after, tracking_uri(after)).is_dir()
    assert queue_folder(after, kept) == queue_folder(after, tracking_uri(after))


def test_records_that_an_earlier_version_kept_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import hashlib

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    old = hashlib.sha256(f"sqlite:///{tmp_path}/mlflow.db".encode()).hexdigest()[:16]
    (tmp_path / ".state" / "spool" / old).mkdir(parents=True)
    (tmp_path / ".state" / "spool" / old / "spool.db").touch()
    assert (queue_folder(tmp_path, tracking_uri(tmp_path)) / "spool.db").is_file()


def test_stores_apart_have_queues_apart(tmp_path: Path) -> None:
    uris = ["sqlite:////srv/a.db", "sqlite:////srv/b.db", "http://127.0.0.1:1", f"sqlite:///{tmp_path}/mlflow.db"]
    assert len({queue_folder(tmp_path, uri) for uri in uris}) == len(uris)
