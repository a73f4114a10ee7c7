"""Searches on a real Ray cluster of several raylets, whose nodes die and come while trials run on them."""

from __future__ import annotations

import os
import secrets
import signal
from pathlib import Path

import pytest

from tests.profiles.tiny import tiny_profile
from tests.slow.searches import FOLDER, TOLD, end_session, ray_cluster, searching, trainers, trials, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.mark.long
def test_the_trials_run_on_the_cluster_that_ray_address_names(project: Path, root: Path) -> None:
    tiny_profile(project / "params.yaml", FOLDER | {"search.trials": 2, "search.schedule.iterations": 400})
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    with ray_cluster(project, token) as cluster:
        wrong = token | {"RAY_AUTH_TOKEN": "0" * 64}
        with searching(project, root, RAY_ADDRESS=cluster.address, **wrong) as refused:
            assert refused.end() == 2
            assert f"cannot use the Ray cluster at RAY_ADDRESS={cluster.address}" in refused.errors()
            assert "RAY_AUTH_TOKEN" in refused.errors()

        with searching(project, root, RAY_ADDRESS=cluster.address, **token) as search:
            search.until(r"trial \d+  \d+/400 ")
            assert trainers(cluster.head.pid)
            assert not trainers(search.process.pid)
            assert search.end() == 0, search.told()
            assert not search.errors()
        assert cluster.head.poll() is None, "the cluster is left running"
    assert [row["state"] for row in trials(project)] == ["finished"] * 2


@pytest.mark.long
def test_nodes_die_and_come_and_the_search_ends_with_its_count(project: Path, root: Path) -> None:
    changes = {
        "search.trials": 4,
        "search.schedule.iterations": 600,
        "search.resources.concurrent": 3,
        "search.resources.max_failures": 3,
    }
    tiny_profile(project / "params.yaml", FOLDER | changes)
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    with ray_cluster(project, token, head_cpus=0) as cluster:
        first, second = cluster.add(cpus=1), cluster.add(cpus=1)
        with searching(project, root, RAY_ADDRESS=cluster.address, **token) as search:
            search.until(r"trial 0  [123]\d\d/600 ")
            search.until(r"trial 1  [123]\d\d/600 ")
            end_session(first)
            third = cluster.add(cpus=1)
            wait_for(lambda: bool(trainers(third.pid)), "a trial on the new node")
            wait_for(lambda: bool(trainers(second.pid)), "a trial on the old one")
            os.kill(trainers(second.pid)[0], signal.SIGKILL)
            assert search.end(200) == 0, search.told()
            told = [(match[1], int(match[2])) for match in map(TOLD.match, search.lines) if match]
            assert len(told) - len(set(told)) <= 2, "at most one rung is trained twice for each death"
    rows = trials(project)
    assert [(row["number"], row["state"]) for row in rows] == [(n, "finished") for n in range(4)]


@pytest.mark.long
def test_a_bound_on_time_holds_where_no_node_has_room(project: Path, root: Path) -> None:
    tiny_profile(project / "params.yaml", FOLDER | {"search.limits": {"hours": 0.005, "usd": None}})
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    with (
        ray_cluster(project, token, head_cpus=0) as cluster,
        searching(project, root, RAY_ADDRESS=cluster.address, **token) as search,
    ):
        assert search.end() == 2, search.told()
        assert any("trial 0 suspended: search.limits.hours" in line for line in search.lines)
        assert "before any trial finished" in search.errors()


@pytest.mark.long
def test_a_node_that_lacks_a_package_is_told_at_the_start(project: Path, root: Path, tmp_path: Path) -> None:
    tiny_profile(project / "params.yaml", FOLDER)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "safetensors.py").write_text("raise ImportError('no safetensors here')")
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    with ray_cluster(project, token, head_cpus=0) as cluster:
        cluster.add(cpus=1, PYTHONPATH=str(tmp_path / "broken"))
        with searching(project, root, RAY_ADDRESS=cluster.address, **token) as search:
            assert search.end() == 2, search.told()
            assert "cannot train (ImportError: no safetensors here): install there" in search.errors()
            assert "Traceback" not in search.errors()
            assert not any("starts" in line for line in search.lines)
