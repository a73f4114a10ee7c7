from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.commands.summary import summarise
from pipeline.common.errors import UserError


def metrics() -> dict[str, Any]:
    pick = {
        "name": "knee",
        "variant": "TA+TSNet",
        "psnr_db": 26.5,
        "ssim": 0.81,
        "flops_ratio_m1": 0.262,
        "flops_ratio_m27": 0.108,
        "shared_layers_pct": 70.4,
        "speedup_27": 7.25,
    }
    return {
        "input_psnr_db": 23.4,
        "dense_psnr_db": 27.25,
        "hypervolume": 0.5,
        "trials": {"finished": 10, "stopped": 2, "failed": 1},
        "picks": [pick, pick | {"name": "best", "variant": "TSNet"}],
    }


def write(root: Path, value: object) -> Path:
    (root / "reports").mkdir()
    (root / "reports" / "metrics.json").write_text(json.dumps(value))
    return root


def test_every_pick_gets_a_row_with_its_distance_to_dense(tmp_path: Path) -> None:
    text = summarise(write(tmp_path, metrics()))
    rows = {line.split()[0]: line for line in text.splitlines() if line.strip()}
    expected = ["knee", "TA+TSNet", "26.50", "-0.75", "0.810", "26.2", "%", "10.8", "%", "70", "%", "7.2x"]
    assert rows["knee"].split() == expected
    assert rows["best"].split()[1] == "TSNet"
    assert "10 finished, 2 stopped, 1 failed" in text
    assert "23.40 dB" in text
    assert "(+3.85)" in text


@pytest.mark.parametrize("command", ["tatsnet restore", "tatsnet effects", "make ui", "reports/index.html"])
def test_the_next_commands_are_named(tmp_path: Path, command: str) -> None:
    assert command in summarise(write(tmp_path, metrics()))


@pytest.mark.parametrize("inside", [True, False])
def test_the_environment_s_activation_is_named_only_outside_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inside: bool
) -> None:
    monkeypatch.delenv("VIRTUAL_ENV", raising=False)
    if inside:
        monkeypatch.setenv("VIRTUAL_ENV", "/somewhere")
    assert ("activate" in summarise(write(tmp_path, metrics()))) is not inside


def test_before_the_first_run_it_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="make repro"):
        summarise(tmp_path)


@pytest.mark.parametrize("value", [[], {}, metrics() | {"picks": [{}]}, metrics() | {"input_psnr_db": "x"}])
def test_another_file_is_refused(tmp_path: Path, value: object) -> None:
    with pytest.raises(UserError, match="dvc repro -f benchmark"):
        summarise(write(tmp_path, value))
