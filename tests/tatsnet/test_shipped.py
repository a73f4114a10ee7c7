"""What comes with the package works right after installation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

from tatsnet.cli.main import main
from tatsnet.data.degradation import Degradation, degrade
from tatsnet.network.tasks import AXES
from tatsnet.photos.files import read_photo, to_uint8
from tatsnet.quality.metrics import psnr
from tatsnet.restorer import Restorer
from tatsnet.shipped import DEFAULT, SHIPPED_DENSE, dense_parts, shipped, summary
from tatsnet.train.run import dense_network

MOST_BYTES = 2 * 2**20
CROP = np.s_[30:126, 150:246]


@pytest.mark.parametrize("name", shipped())
def test_each_is_read_whole_and_has_a_card(name: str) -> None:
    folder = shipped()[name]
    Restorer.load(folder)
    assert len(summary(folder)) > 20
    card = (folder / "CARD.md").read_text(encoding="utf-8")
    for told in ("Licence", "Limits", "dB", "CBSD68"):
        assert told in card
    assert all(path.stat().st_size <= MOST_BYTES for path in folder.rglob("*"))


@pytest.mark.parametrize("axis", range(3))
def test_each_slider_of_the_default_mends_what_it_is_for(axis: int) -> None:
    clean = np.ascontiguousarray(data.astronaut()[CROP])
    degradation = (Degradation(blur=2), Degradation(noise=25), Degradation(quality=10))[axis]
    degraded = degrade(clean, degradation, np.random.default_rng(0))
    restored = to_uint8(Restorer.load(shipped()[DEFAULT]).restore(degraded / np.float32(255), degradation.task))
    least = {"deblur": 2.0, "denoise": 6.0, "dejpeg": 0.5}[AXES[axis]]
    assert psnr(restored, clean) > psnr(degraded, clean) + least


def test_all_sliders_at_zero_change_nothing() -> None:
    image = np.ascontiguousarray(data.coffee()[:61, :75]) / np.float32(255)
    restored = Restorer.load(shipped()[DEFAULT]).restore(image, (0.0, 0.0, 0.0))
    assert np.array_equal(to_uint8(restored), to_uint8(image))


def test_restore_takes_it_without_any_training_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Image.fromarray(data.coffee()[:40, :48]).save("photo.png")
    assert main(["restore", "photo.png", "--denoise", "0.4", "-o", "out.png"]) == 0
    assert f"network: {DEFAULT}, which comes with tatsnet" in capsys.readouterr().err
    named = main(["restore", "photo.png", "--denoise", "0.4", "-o", "named.png", "--model", DEFAULT])
    assert named == 0
    assert np.array_equal(read_photo("out.png").rgb_HWC, read_photo("named.png").rgb_HWC)
    assert not np.array_equal(read_photo("out.png").rgb_HWC, read_photo("photo.png").rgb_HWC)


def test_models_lists_them_and_shows_a_card(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models"]) == 0
    assert DEFAULT in capsys.readouterr().out
    assert main(["models", DEFAULT]) == 0
    assert "Licence" in capsys.readouterr().out
    assert main(["models", "nothing"]) == 2
    assert "comes with the package: there is" in capsys.readouterr().err


def test_the_dense_network_is_a_beginning_for_trainings() -> None:
    network = dense_network(Path(SHIPPED_DENSE))
    assert (network.config.width, network.config.blocks) == (64, 32)
    assert all(bool(torch.isfinite(weight).all()) for weight in network.state_dict().values())
    assert all(part.stat().st_size <= MOST_BYTES for part in dense_parts())
