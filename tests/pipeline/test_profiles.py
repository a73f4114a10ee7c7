from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from pipeline.commands import profiles
from pipeline.common.errors import UserError

PROJECT = Path(__file__).resolve().parents[2]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the profiles in a folder that git does not know, with quick in use."""
    shutil.copytree(PROJECT / "profiles", tmp_path / "profiles")
    shutil.copy(tmp_path / "profiles" / "quick.yaml", tmp_path / "params.yaml")
    return tmp_path


def commit(project: Path) -> None:
    for command in (["init", "-q"], ["add", "params.yaml"], ["commit", "-q", "-m", "x"]):
        identity = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
        subprocess.run(["git", *identity, "-C", str(project), *command], check=True)


def in_use(project: Path) -> bytes:
    return (project / "params.yaml").read_bytes()


def profile(project: Path, name: str) -> bytes:
    return (project / "profiles" / f"{name}.yaml").read_bytes()


def test_there_and_back_again(project: Path) -> None:
    profiles.use("paper", project)
    assert in_use(project) == profile(project, "paper")
    profiles.use("quick", project)
    assert in_use(project) == profile(project, "quick")
    assert sorted(path.name for path in project.iterdir()) == ["params.yaml", "profiles"]


def test_edits_that_stand_nowhere_else_are_kept(project: Path) -> None:
    edits = in_use(project) + b"# mine\n"
    (project / "params.yaml").write_bytes(edits)
    with pytest.raises(UserError, match="--force"):
        profiles.use("paper", project)
    assert in_use(project) == edits
    profiles.use("paper", project, force=True)
    assert in_use(project) == profile(project, "paper")


def test_committed_edits_can_be_replaced_and_later_ones_not(project: Path) -> None:
    (project / "params.yaml").write_bytes(in_use(project) + b"# mine\n")
    commit(project)
    profiles.use("paper", project)
    (project / "params.yaml").write_bytes(in_use(project) + b"# later\n")
    with pytest.raises(UserError, match="neither committed"):
        profiles.use("quick", project)


def test_an_invalid_profile_changes_nothing(project: Path) -> None:
    before = in_use(project)
    path = project / "profiles" / "broken.yaml"
    path.write_bytes(before.replace(b"blocks:", b"blockz:"))
    with pytest.raises(UserError, match="did you mean 'blocks'"):
        profiles.use("broken", project)
    assert in_use(project) == before


@pytest.mark.parametrize(
    ("name", "said"), [("papr", "did you mean 'paper'"), ("../quick", "no profile"), ("", "quick")]
)
def test_an_unknown_profile_is_named_with_the_known_ones(project: Path, name: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        profiles.use(name, project)


def test_a_missing_params_file_is_put_in_place(project: Path) -> None:
    (project / "params.yaml").unlink()
    profiles.use("quick", project)
    assert in_use(project) == profile(project, "quick")
