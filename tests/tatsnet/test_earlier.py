"""What the first release wrote loads, and computes what it computed then (tests/tatsnet/earlier).

The files were written at the last commit whose networks had no `zero_task`, by `frozen_network(4)` of these tests,
with what the networks made of an image.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from tatsnet.method.checkpoint import load_dense, load_masked
from tatsnet.network.sliders import PLAIN
from tatsnet.pruned.folder import set_sliders
from tatsnet.restorer import Restorer
from tests.tatsnet.network.test_sliders import BENT

EARLIER = Path(__file__).parent / "earlier"


@pytest.fixture(scope="module")
def outputs() -> dict[str, Tensor]:
    with np.load(EARLIER / "outputs.npz") as arrays:
        return {name: torch.from_numpy(array) for name, array in arrays.items()}


@torch.no_grad()
def test_checkpoints_restore_as_they_did(outputs: dict[str, Tensor]) -> None:
    images = outputs["image"].expand(len(outputs["tasks"]), -1, -1, -1)
    for name, load in (("dense", load_dense), ("masked", load_masked)):
        network = load(EARLIER / f"{name}.safetensors").eval()
        torch.testing.assert_close(network(images, outputs["tasks"]), outputs[name], atol=1e-5, rtol=0)


def test_a_folder_restores_as_its_masked_network_did(outputs: dict[str, Tensor]) -> None:
    restorer = Restorer.load(EARLIER / "network", runtime="torch")
    images = outputs["image"].expand(len(outputs["tasks"]), -1, -1, -1)
    made = restorer.restore_tensor(images, outputs["tasks"])
    torch.testing.assert_close(made, outputs["masked"], atol=1e-5, rtol=0)
    assert restorer.sliders == PLAIN


def test_a_folder_is_given_sliders_and_is_of_this_schema_then(tmp_path: Path, outputs: dict[str, Tensor]) -> None:
    shutil.copytree(EARLIER / "network", tmp_path / "network")
    set_sliders(tmp_path / "network", BENT)
    restorer = Restorer.load(tmp_path / "network", runtime="torch")
    assert restorer.sliders == BENT
    assert json.loads((tmp_path / "network" / "architecture.json").read_text())["schema"] == 2
    made = restorer.restore_tensor(outputs["image"], outputs["tasks"][-1:])
    torch.testing.assert_close(made, outputs["masked"][-1:], atol=1e-5, rtol=0)
