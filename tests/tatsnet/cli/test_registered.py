"""`--model models:/...` goes to whatever is installed to read a registry, found as installed plug-ins are."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from tatsnet.cli.errors import CommandError
from tatsnet.cli.registered import model_folder

READER = """
from pathlib import Path

def folder(address):
    if address != "models:/tatsnet@knee":
        raise ValueError(f"there is no {address}")
    return Path("found")
"""


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A distribution with such an entry point, before all others of its name."""
    facts = tmp_path / "tatsnet-9.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: tatsnet\nVersion: 9\n")
    (facts / "entry_points.txt").write_text("[tatsnet.models]\nmodels = registry_of_a_test:folder\n")
    (tmp_path / "registry_of_a_test.py").write_text(READER)
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()


def test_a_folder_is_taken_as_it_is() -> None:
    assert model_folder(Path("models/pruned/knee")) == Path("models/pruned/knee")


@pytest.mark.usefixtures("installed")
def test_an_address_is_looked_up_by_what_is_installed() -> None:
    assert model_folder(Path("models:/tatsnet@knee")) == Path("found")
    with pytest.raises(CommandError, match="there is no models:/tatsnet@nobody"):
        model_folder(Path("models:/tatsnet@nobody"))


def test_where_nothing_reads_a_registry_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = tmp_path / "tatsnet-9.dist-info"
    bare.mkdir()
    (bare / "METADATA").write_text("Metadata-Version: 2.1\nName: tatsnet\nVersion: 9\n")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    with pytest.raises(CommandError, match="make setup"):
        model_folder(Path("models:/tatsnet@knee"))
