from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

import pipeline.common.keys
import tatsnet
from pipeline.common.keys import code_version, key_of
from tatsnet.network.architecture import NetworkConfig
from tests.pipeline.search.spaces import space, suggestion


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Both packages' source as a copy, which the code version is then taken of."""
    for package in (tatsnet, pipeline):
        assert package.__file__ is not None
        source = Path(package.__file__).parent
        shutil.copytree(source, tmp_path / source.name, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(tatsnet, "__file__", str(tmp_path / "tatsnet" / "__init__.py"))
    monkeypatch.setattr(pipeline.common.keys, "__file__", str(tmp_path / "pipeline" / "models.py"))
    return tmp_path


def test_the_same_code_has_the_same_version(copied: Path) -> None:
    assert code_version() == code_version()
    assert len(code_version()) == 16


@pytest.mark.parametrize(
    "name", ["tatsnet/method/training.py", "pipeline/search/trial/trial.py", "pipeline/search/study/space.py"]
)
def test_what_makes_a_trial_makes_another_version(copied: Path, name: str) -> None:
    before = code_version()
    with (copied / name).open("a") as file:
        file.write("# changed\n")
    assert code_version() != before


def test_what_only_shows_trials_makes_no_other_version(copied: Path) -> None:
    before = code_version()
    for name in ("pipeline/report/tables.py", "pipeline/stages/select.py"):
        with (copied / name).open("a") as file:
            file.write("# changed\n")
    assert code_version() == before


def test_what_times_layers_counts_where_it_is_asked_for(copied: Path) -> None:
    before = code_version(), code_version("runtimes")
    with (copied / "tatsnet/runtimes/ov.py").open("a") as file:
        file.write("# changed\n")
    assert code_version() == before[0]
    assert code_version("runtimes") != before[1]


PARTS = {"space": space(), "suggestions": (suggestion(), suggestion("TSNet")), "seed": 0, "network": NetworkConfig()}


def test_a_key_does_not_depend_on_the_order_of_its_parts() -> None:
    assert key_of(PARTS) == key_of(dict(reversed(PARTS.items())))


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"space": space(gamma=(0.8, 0.96))},
        {"suggestions": (suggestion("TSNet"), suggestion())},
        {"suggestions": (suggestion(),)},
        {"network": replace(NetworkConfig(), blocks=31)},
        {"more": None},
    ],
    ids=lambda change: next(iter(change)),
)
def test_every_part_of_a_key_counts(change: dict[str, object]) -> None:
    assert key_of(PARTS | change) != key_of(PARTS)
