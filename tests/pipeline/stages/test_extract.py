from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from pipeline.common.datasets import save_eval_photo
from pipeline.common.errors import UserError
from pipeline.common.layout import EVAL, FIGURES, PRUNED, SELECTED_FILE, TRIALS_FILE, TUNED, WEIGHTS
from pipeline.stages.extract import REFUSED, work
from tatsnet.method.checkpoint import save_masked
from tatsnet.network.tasks import AXES
from tatsnet.pruned.extraction import NotEqual, extract
from tatsnet.quality.control import Control
from tatsnet.quality.evaluation import make_eval_photos
from tatsnet.restorer import Restorer
from tests.pipeline.search.jobs import smooth_photo
from tests.pipeline.stages.project import content, context
from tests.tatsnet.networks import frozen_network

PICKS = [
    {"name": "knee", "trial": 3, "variant": "TA+TSNet"},
    {"name": "best", "trial": 7, "variant": "TA+TSNet"},
    {"name": "budget", "trial": 3, "variant": "TA+TSNet"},
]
SHARED = {3: 4, 7: 0}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for trial, shared in SHARED.items():
        (tmp_path / TUNED / f"{trial:04d}").mkdir(parents=True)
        model = frozen_network(shared, seed=trial)
        save_masked(tmp_path / TUNED / f"{trial:04d}" / WEIGHTS, model, gamma=0.5, sharing=True)
    (tmp_path / SELECTED_FILE).parent.mkdir()
    (tmp_path / SELECTED_FILE).write_text(json.dumps({"picks": PICKS}))
    limits(tmp_path, gain=-1e9, off_rms=0.5)
    for photo in make_eval_photos("valid", smooth_photo(16, 20, 0), 12, 1, 0):
        save_eval_photo(photo, tmp_path / EVAL / "valid")
    return tmp_path


def limits(root: Path, *, gain: float, off_rms: float) -> None:
    """What a network must do, beside a dense one that gains 4 dB; random networks do harm."""
    (root / TRIALS_FILE).write_text(json.dumps({"control": {"gain": gain, "off_rms": off_rms}}))
    dense = Control(gain_db=dict.fromkeys(AXES, 4.0), evenness=dict.fromkeys(AXES, 1.0), off_rms=0.0)
    (root / TUNED / FIGURES).write_text(json.dumps({"dense": dense.to_json()}))


def test_every_pick_is_a_network_that_restores_as_its_masked_one(project: Path) -> None:
    work(context(project))
    assert {path.name for path in (project / PRUNED).iterdir()} == {"knee", "best", "budget", REFUSED}
    assert json.loads((project / PRUNED / REFUSED).read_text()) == {}
    image, task = torch.rand(1, 3, 9, 12, generator=torch.Generator().manual_seed(0)), (0.3, 0.0, 1.0)
    for pick in PICKS:
        restorer = Restorer.load(project / PRUNED / str(pick["name"]))
        restored = restorer.effect_tensor(restorer.encode_tensor(image), task)
        with torch.inference_mode():
            expected = frozen_network(SHARED[int(str(pick["trial"]))], seed=int(str(pick["trial"])))(
                image, torch.tensor([task])
            )
        assert torch.allclose(restored, expected, atol=1e-5)


def test_picks_of_one_trial_are_one_network(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    work(context(project))
    assert content(project / PRUNED / "knee") == content(project / PRUNED / "budget")
    assert content(project / PRUNED / "knee") != content(project / PRUNED / "best")
    assert "budget is the same network as knee" in capsys.readouterr().out


def test_one_that_is_not_equal_is_named_and_nothing_is_replaced(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work(context(project))
    before = content(project / PRUNED)

    def refuse_the_second(model: Any, folder: Path) -> Any:
        if folder.name == "best":
            raise NotEqual("differs by 0.1 from the masked network")
        return extract(model, folder)

    monkeypatch.setattr("pipeline.stages.extract.extract", refuse_the_second)
    with pytest.raises(UserError, match=r"best \(trial 7\) was not written: differs by 0\.1"):
        work(context(project))
    assert content(project / PRUNED) == before


def test_a_network_that_no_longer_obeys_is_not_handed_out_and_says_why(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Trial 7 obeys; trial 3, under two names, gains a tenth of what the dense network does."""
    limits(project, gain=0.5, off_rms=0.5)
    shares = iter([0.1, 0.9])

    def measured(*_: Any) -> Control:
        return Control(gain_db=dict.fromkeys(AXES, 4 * next(shares)), evenness=dict.fromkeys(AXES, 1.0), off_rms=0.0)

    monkeypatch.setattr("pipeline.stages.extract.measure_control", measured)
    work(context(project))
    assert {path.name for path in (project / PRUNED).iterdir()} == {"best", REFUSED}
    refused = json.loads((project / PRUNED / REFUSED).read_text())
    assert set(refused) == {"knee", "budget"}
    assert "denoise gains 10% of what the dense network's does, less than 50%" in refused["knee"]
    assert "WARNING knee is not handed out" in capsys.readouterr().out


def test_when_no_pick_obeys_nothing_is_replaced(project: Path) -> None:
    work(context(project))
    before = content(project / PRUNED)
    limits(project, gain=0.5, off_rms=0.5)
    with pytest.raises(UserError, match=r"no pick obeys its sliders after fine-tuning: knee: deblur gains"):
        work(context(project))
    assert content(project / PRUNED) == before
