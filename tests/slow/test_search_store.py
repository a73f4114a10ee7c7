"""A real search whose trials leave what they make in a real S3 server, which dies under it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.profiles.tiny import tiny_profile
from tests.slow.s3_server import s3_server
from tests.slow.searches import FOLDER, TOLD, searching, trials

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(400)]


def test_a_store_that_is_away_for_a_while_costs_no_trial(project: Path, root: Path, tmp_path: Path) -> None:
    changes = {"search.trials": 3, "search.schedule.iterations": 2000, "search.resources.max_failures": 0}
    tiny_profile(project / "params.yaml", FOLDER | changes)
    (tmp_path / "s3").mkdir()
    with s3_server(tmp_path / "s3") as server:
        server.client().create_bucket(Bucket="box")
        environment = server.environment() | {"TATSNET_STORE": "s3://box/tatsnet"}
        with searching(project, root, **environment) as search:
            search.until(r"trial 1  \d+/2000")
            server.kill()
            search.until(r"trial \d waits: cannot use the store s3://box/tatsnet")
            time.sleep(5)
            server.start()
            assert search.end(200) == 0, search.told()
            told = [(match[1], int(match[2])) for match in map(TOLD.match, search.lines) if match]
            assert len(told) == len(set(told)), "no rung is trained twice"
            assert not search.errors()
    assert [(row["number"], row["state"]) for row in trials(project)] == [(n, "finished") for n in range(3)]
