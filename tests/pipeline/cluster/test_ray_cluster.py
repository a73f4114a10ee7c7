"""Which clusters are let through; tests/slow/test_search.py has a real one."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from pipeline.cluster.ray_auth import close_own_ray, cluster_address
from pipeline.cluster.ray_cluster import require_answer
from pipeline.common.errors import UserError


@pytest.fixture
def listening() -> Iterator[int]:
    """A port where somebody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.mark.parametrize("form", ["127.0.0.1:{port}", "ray://127.0.0.1:{port}", "localhost:{port}"])
def test_a_cluster_that_answers_is_let_through(listening: int, form: str) -> None:
    require_answer(form.format(port=listening))


@pytest.mark.parametrize("form", ["127.0.0.1:{port}", "ray://127.0.0.1:{port}", "[::1]:{port}", "127.0.0.1:99999"])
def test_a_cluster_that_is_away_is_told_at_once_with_what_to_do(listening: int, form: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        free = server.getsockname()[1]
    address = form.format(port=free)
    with pytest.raises(UserError, match="RAY_ADDRESS") as caught:
        require_answer(address, patience_s=2.0)
    assert address in str(caught.value)
    assert "unset" in str(caught.value)


def test_an_address_without_a_port_is_left_to_ray() -> None:
    require_answer("auto")


@pytest.mark.parametrize(
    ("value", "address"), [(None, None), ("", None), (" ", None), ("local", None), ("auto", "auto"), ("a:1", "a:1")]
)
def test_a_ray_of_our_own_is_closed_whatever_way_no_cluster_is_named(
    monkeypatch: pytest.MonkeyPatch, value: str | None, address: str | None
) -> None:
    monkeypatch.setattr(os, "environ", environment := {} if value is None else {"RAY_ADDRESS": value})
    assert cluster_address() == address
    close_own_ray()
    assert ("RAY_AUTH_TOKEN" in environment) == (address is None)


@pytest.mark.parametrize(
    ("told", "token"),
    [
        ({}, None),
        ({"RAY_AUTH_MODE": ""}, None),
        ({"RAY_AUTH_MODE": "disabled", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "1"}, None),
        ({"RAY_AUTH_MODE": "disabled", "RAY_AUTH_TOKEN": "of another cluster"}, None),
        ({"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "mine"}, "mine"),
        ({"RAY_AUTH_MODE": "token"}, ""),
    ],
    ids=["nothing", "empty", "open", "off", "own token", "token in a file"],
)
def test_the_environment_opens_no_door_of_a_ray_of_our_own(
    monkeypatch: pytest.MonkeyPatch, told: dict[str, str], token: str | None
) -> None:
    monkeypatch.setattr(os, "environ", environment := dict(told))
    close_own_ray()
    assert environment["RAY_AUTH_MODE"] == "token"
    assert environment["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] == "0"
    made = environment.get("RAY_AUTH_TOKEN", "")
    assert len(made) == 64 if token is None else made == token
