from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from pipeline.common.layout import OUTPUTS, home


@pytest.mark.parametrize(
    ("root", "owner"),
    [
        ("p", "p"),
        ("p/.dvc/tmp/exps/tmpabc", "p"),
        ("p/.dvc/tmp/exps/standalone/tmpabc", "p"),
        ("p/.dvc/tmp/exps/standalone/tmpabc/tmp", "p/tmp"),
        ("tmp/p/.dvc/tmp/exps/tmpabc", "tmp/p"),
        ("p/.dvc/tmp/exps/tmpabc/sub/folder", "p/sub/folder"),
        ("p/.dvc/tmp/exps", "p/.dvc/tmp/exps"),
        ("p/.dvc/tmp/other/tmpabc", "p/.dvc/tmp/other/tmpabc"),
        ("exps/tmpabc", "exps/tmpabc"),
    ],
)
def test_a_temporary_copy_belongs_to_its_project(tmp_path: Path, root: str, owner: str) -> None:
    assert home(tmp_path / root) == tmp_path / owner


def test_the_outputs_are_those_of_dvc_yaml(root: Path) -> None:
    stages = yaml.safe_load((root / "dvc.yaml").read_text())["stages"]
    for name, outputs in OUTPUTS.items():
        declared = [next(iter(out)) if isinstance(out, dict) else out for out in stages[name]["outs"]]
        assert sorted(declared) == sorted(path.as_posix() for path in outputs)
