from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.commands.plan import make_plan
from pipeline.config import load

ROOT = Path(__file__).resolve().parents[2]
PROFILES = sorted((ROOT / "profiles").glob("*.yaml"))


@pytest.mark.parametrize("path", [ROOT / "params.yaml", *PROFILES], ids=lambda path: path.stem)
def test_every_profile_validates_and_plans(path: Path) -> None:
    plan = make_plan(load(path), path)
    assert plan.total.training_flops > 0
    assert plan.total.runs >= 3


def test_params_yaml_is_the_quick_profile() -> None:
    quick, params = ROOT / "profiles" / "quick.yaml", ROOT / "params.yaml"
    same = quick.read_bytes() == params.read_bytes()
    assert same, "params.yaml differs from profiles/quick.yaml: copy one over the other"


def test_the_paper_profile_has_the_paper_s_sizes() -> None:
    paper = load(ROOT / "profiles" / "paper.yaml")
    assert (paper.network.width, paper.network.blocks, paper.network.points) == (64, 32, 99)
    assert (paper.train.patch, paper.train.batch, paper.train.lr, paper.train.decay) == (64, 64, 1e-4, "half")
    assert paper.search.schedule.iterations == paper.pretrain.iterations == 1_000_000
    assert (paper.data.source, paper.eval.crop, paper.eval.test_crops) == ("div2k", 0, 0)
    assert paper.benchmark.best_of_27_crops == 0
