"""A whole run on several hosts that share nothing but a network: each stage loses a host, and the counts stay exact."""

from __future__ import annotations

import re
import secrets
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.common.layout import TUNED, WEIGHTS
from tests.profiles.tiny import tiny_profile
from tests.slow.hosts import GATEWAY, Host, Hosts, bridge, postgres
from tests.slow.s3_server import s3_server
from tests.slow.searches import FOLDER, TOLD, Search, staging, trials, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(900)]

ITERATIONS = {"pretrain.iterations": 6000, "search.schedule.iterations": 2000, "finetune.iterations": 4000}


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """By which the driver finds study and store, and the nodes the store."""
    with (
        bridge(),
        tempfile.TemporaryDirectory() as place,
        s3_server(tmp_path_factory.mktemp("s3"), host=GATEWAY) as server,
    ):
        Path(place).chmod(0o755)
        server.client().create_bucket(Bucket="hosts")
        with postgres(Path(place)) as study:
            yield server.environment() | {"TATSNET_STUDY": study, "TATSNET_STORE": "s3://hosts/tatsnet"}


def test_every_stage_loses_a_host_and_ends_with_its_count(
    project: Path, root: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    resources = {"search.resources.max_failures": 3, "search.resources.concurrent": 2}
    tiny_profile(project / "params.yaml", FOLDER | ITERATIONS | resources | {"search.trials": 4})
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    hosts = Hosts(tmp_path, root, token | environment)
    try:
        nodes = [hosts.add_node(), hosts.add_node()]
        driver = {**token, **environment, "RAY_ADDRESS": hosts.ray}
        told = {}
        for stage in ("pretrain", "search", "select", "finetune"):
            with staging(stage, project, root, hosts.head.inside, **driver) as run:
                if stage != "select":
                    run.until(rf"{stage} .* \d+/\d+ ", 120)
                    lose(busy(nodes), nodes, run, stage)
                    nodes.append(hosts.add_node())
                assert run.end(300) == 0, run.told()
                told[stage] = run.lines
                assert "Traceback" not in run.told()
    finally:
        hosts.end()
    beside = [line for line in told["search"] if line.startswith("finetune dense ")]
    assert beside, "the baseline trains while the search does"
    rungs = [(match[1], int(match[2])) for match in map(TOLD.match, told["search"]) if match]
    assert len(rungs) - len(set(rungs)) <= 1, "no rung is trained twice but the one that was cut"
    assert [(row["number"], row["state"]) for row in trials(project)] == [(n, "finished") for n in range(4)]
    assert len(list((project / TUNED).glob(f"*/{WEIGHTS}"))) >= 2


def busy(nodes: list[Host]) -> Host:
    """One on which a worker trains."""
    found: list[Host] = []
    wait_for(lambda: bool(found.extend(node for node in nodes if node.trains) or found), "a node that trains")
    return found[0]


def lose(host: Host, nodes: list[Host], run: Search, stage: str) -> None:
    """Kill a host, and wait until what it trained goes on."""
    host.die()
    nodes.remove(host)
    began = time.monotonic()
    run.until("has lost its worker", 200)
    lost, before = time.monotonic() - began, len(run.lines)
    while not any(re.search(r"\d+/\d+ ", line) for line in run.lines[before:]):
        assert run.process.poll() is None, run.told()
        assert time.monotonic() - began < 200, run.told()
        time.sleep(0.2)
    print(f"{stage}: a host's death is told after {lost:.0f} s, an iteration {time.monotonic() - began:.0f} s after it")
