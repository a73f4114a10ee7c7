"""Whose figures a summary shows, as DVC itself says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.commands.current import require_current
from pipeline.common.errors import UserError

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

DVC_YAML = """\
stages:
  benchmark:
    cmd: mkdir -p reports && cp figures reports/metrics.json
    deps: [figures]
    outs: [reports]
"""


def dvc(root: Path, *words: str) -> None:
    environment = os.environ | {"DVC_NO_ANALYTICS": "1"}
    subprocess.run([sys.executable, "-m", "dvc", *words], cwd=root, env=environment, check=True, capture_output=True)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose stage benchmark has run."""
    root = tmp_path_factory.mktemp("made")
    (root / "dvc.yaml").write_text(DVC_YAML)
    (root / "figures").write_text("1")
    dvc(root, "init", "--no-scm", "-q")
    dvc(root, "repro", "-q")
    return root


def test_a_report_is_that_of_the_lock_file_or_refused_or_old(made: Path) -> None:
    report, figures = made / "reports" / "metrics.json", made / "figures"
    assert require_current(made) is None
    figures.write_text("2")
    assert "have changed since" in str(require_current(made))
    figures.write_text("1")
    report.chmod(0o644)
    report.unlink()
    report.write_text("3")
    with pytest.raises(UserError, match=r"does not hold the figures of this commit.*dvc checkout"):
        require_current(made)
    dvc(made, "checkout", "-f")
    assert require_current(made) is None
    (made / "dvc.yaml").write_text("stages: [")
    assert "could not say" in str(require_current(made))


def test_without_a_lock_file_nothing_is_asked(tmp_path: Path) -> None:
    (tmp_path / ".dvc").mkdir()
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / "metrics.json").write_text(json.dumps({}))
    assert require_current(tmp_path) is None
